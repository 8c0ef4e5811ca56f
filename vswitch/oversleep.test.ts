import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Oversleep } from './oversleep.js';

const USUAL_NS = 60_000;

function kindOf(oversleep: Oversleep, ns: number): number {
  return oversleep.kindOf(Float64Array.of(1e12, 1e12 + ns));
}

/** Sleeps so often, each so late as is said. */
function sleep(oversleep: Oversleep, kind: number, times: number, lateNs: (n: number) => number): void {
  for (let n = 0; n < times; n++) oversleep.learn(kind, Float64Array.of(lateNs(n)), 0);
}

describe('how late sleeps end', () => {
  it('is told apart by their length', () => {
    const oversleep = new Oversleep(USUAL_NS);
    const kinds = [-1e9, 0, 32_000, 33_000, 100_000, 1e6, 10e6, 1e15, Infinity].map((ns) => kindOf(oversleep, ns));
    expect(kinds).toEqual([0, 0, 0, 1, 2, 5, 9, 11, 11]);
  });

  it('is what is usual before anything is known', () => {
    expect([...new Oversleep(USUAL_NS).leadNs]).toEqual(new Array(12).fill(USUAL_NS));
  });

  it('is learned: three of four are in time', () => {
    const oversleep = new Oversleep(USUAL_NS);
    const kind = kindOf(oversleep, 50_000);
    // 4, 5 … 13 µs late.
    sleep(oversleep, kind, 5000, (n) => 4000 + ((7 * n) % 10) * 1000);
    expect(oversleep.leadNs[kind]).toBeGreaterThan(10_000);
    expect(oversleep.leadNs[kind]).toBeLessThan(12_500);
    // Of other kinds nothing was learned.
    expect(oversleep.leadNs[kind + 1]).toBe(USUAL_NS);
    // And it is learned anew.
    sleep(oversleep, kind, 500, () => 50_000);
    expect(oversleep.leadNs[kind]).toBeGreaterThan(48_000);
  });

  it('is no less than a sixteenth of the sleep', () => {
    const oversleep = new Oversleep(USUAL_NS);
    for (const ns of [100_000, 1e6, 10e6]) {
      const kind = kindOf(oversleep, ns);
      sleep(oversleep, kind, 5000, () => 0);
      expect(oversleep.leadNs[kind]).toBeGreaterThanOrEqual(Math.min(USUAL_NS, ns / 32));
      expect(oversleep.leadNs[kind]).toBeLessThanOrEqual(ns / 16);
    }
  });

  it('may be more after long sleeps, and there 63 of 64 are in time', () => {
    const oversleep = new Oversleep(USUAL_NS);
    const kind = kindOf(oversleep, 20e6);
    // One in ten by more than a millisecond.
    sleep(oversleep, kind, 5000, (n) => (n % 10 === 0 ? 1.2e6 : 40_000));
    expect(oversleep.leadNs[kind]).toBeGreaterThan(1.1e6);
    sleep(oversleep, kind, 5000, () => 40_000);
    expect(oversleep.leadNs[kind]).toBeLessThanOrEqual(USUAL_NS);
    // However late they were, no longer than an eighth of the sleep.
    sleep(oversleep, kind, 500, () => 1e9);
    expect(oversleep.leadNs[kind]).toBeLessThanOrEqual(20e6 / 8);
  });

  it('stays within its bounds, whatever is learned', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 11 }), fc.double({ min: 0, max: 1e9, noNaN: true }))), (sleeps) => {
        const oversleep = new Oversleep(USUAL_NS);
        for (const [kind, lateNs] of sleeps) oversleep.learn(kind, Float64Array.of(lateNs), 0);
        return oversleep.leadNs.every((ns) => ns >= 1000 && ns <= 4.2e6);
      }),
    );
  });
});
