import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../model/clock.js';
import { TimingWheel } from './timing-wheel.js';

const HOUR_NS = 3600e9;

function setAt(wheel: TimingWheel, item: number, atNs: number): void {
  wheel.set(item, Float64Array.of(atNs));
}

function expired(wheel: TimingWheel): number[] {
  return [...wheel.due.subarray(0, wheel.expire())];
}

describe('TimingWheel', () => {
  it('gives each when it is due, to the nanosecond', () => {
    const clock = new ManualClock();
    const wheel = new TimingWheel(4, clock);
    setAt(wheel, 0, 5000);
    setAt(wheel, 1, 4999);
    setAt(wheel, 2, 10e9);
    expect(wheel.next[0]).toBe(4999);
    clock.advance(4998);
    expect(expired(wheel)).toEqual([]);
    clock.advance(1);
    expect(expired(wheel)).toEqual([1]);
    expect(wheel.next[0]).toBe(5000);
    clock.advance(1);
    expect(expired(wheel)).toEqual([0]);
    clock.advance(10e9 - 5001);
    expect(expired(wheel)).toEqual([]);
    clock.advance(1);
    expect(expired(wheel)).toEqual([2]);
    expect(wheel.next[0]).toBe(Infinity);
  });

  it('goes on from each of many deadlines in the slot of the present to the next', () => {
    const clock = new ManualClock();
    const count = 500;
    const wheel = new TimingWheel(count, clock);
    for (let item = 0; item < count; item++) setAt(wheel, item, 1024 + 2 * item);
    for (let item = 0; item < count; item++) {
      expect(wheel.next[0]).toBeGreaterThan(clock.nowNs());
      clock.advance(1024 + 2 * item - clock.nowNs());
      expect(expired(wheel)).toEqual([item]);
    }
    expect(wheel.next[0]).toBe(Infinity);
  });

  it('does as a list of deadlines does, whatever is set, moved, cancelled, and however time goes', () => {
    const delay = fc.oneof(
      fc.integer({ min: 0, max: 3000 }),
      fc.integer({ min: 0, max: 300_000 }),
      fc.double({ min: 0, max: 2 * HOUR_NS, noNaN: true }).map(Math.floor),
      fc.double({ min: 0, max: 2 ** 52, noNaN: true }).map(Math.floor),
    );
    const item = fc.integer({ min: 0, max: 19 });
    const step = fc.oneof(
      fc.record({ set: item, delayNs: delay }),
      fc.record({ cancel: item }),
      fc.record({ advance: delay }),
      fc.record({ toNext: fc.constant(true) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 * HOUR_NS }), fc.array(step, { maxLength: 60 }), (startNs, steps) => {
        const clock = new ManualClock(startNs);
        const wheel = new TimingWheel(20, clock);
        const model = new Map<number, number>();
        for (const step of steps) {
          if ('set' in step) {
            // Some in the past.
            const atNs = Math.max(0, clock.nowNs() + step.delayNs - 1000);
            setAt(wheel, step.set, atNs);
            model.set(step.set, atNs);
          } else if ('cancel' in step) {
            wheel.cancel(step.cancel);
            model.delete(step.cancel);
          } else {
            const first = Math.min(...model.values());
            expect(wheel.next[0]).toBeLessThanOrEqual(first);
            if ('advance' in step) clock.advance(step.advance);
            else if (wheel.next[0]! < Infinity) clock.advance(Math.max(0, wheel.next[0]! - clock.nowNs()));
            const ordered = [...model].sort(([a, aNs], [b, bNs]) => aNs - bNs || a - b);
            const due = ordered.filter(([, atNs]) => atNs <= clock.nowNs()).map(([which]) => which);
            expect(expired(wheel)).toEqual(due);
            for (const which of due) model.delete(which);
            expect(wheel.next[0]).toBeGreaterThan(clock.nowNs());
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('is not woken more than a few times for one far deadline', () => {
    const clock = new ManualClock();
    const wheel = new TimingWheel(100, clock);
    for (let i = 0; i < 100; i++) setAt(wheel, i, HOUR_NS + i);
    let wakes = 0;
    for (; clock.nowNs() < HOUR_NS; wakes++) {
      clock.advance(Math.max(0, wheel.next[0]! - clock.nowNs()));
      wheel.expire();
    }
    expect(wakes).toBeLessThanOrEqual(10);
  });
});
