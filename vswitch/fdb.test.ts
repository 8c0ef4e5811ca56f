import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../model/clock.js';
import { Fdb } from './fdb.js';

const AGEING_NS = 300e9;

describe('Fdb', () => {
  it('forgets after the ageing time, to the nanosecond', () => {
    const clock = new ManualClock(1000);
    const fdb = new Fdb(16, AGEING_NS, clock);
    fdb.learn(0x0200, 1, 3);
    clock.advance(AGEING_NS - 1);
    expect(fdb.lookup(0x0200, 1)).toBe(3);
    clock.advance(1);
    expect(fdb.lookup(0x0200, 1)).toBe(-1);
    fdb.learn(0x0200, 1, 3);
    expect(fdb.lookup(0x0200, 1)).toBe(3);
  });

  it('follows a host that moves', () => {
    const clock = new ManualClock();
    const fdb = new Fdb(16, AGEING_NS, clock);
    fdb.learn(0x0200, 1, 3);
    fdb.learn(0x0200, 1, 4);
    expect(fdb.lookup(0x0200, 1)).toBe(4);
    expect(fdb.count).toBe(1);
  });

  it('never learns a group address', () => {
    const clock = new ManualClock();
    const fdb = new Fdb(16, AGEING_NS, clock);
    fdb.learn(0x0100, 0x5e000001, 3);
    fdb.learn(0xffff, -1, 3);
    expect(fdb.count).toBe(0);
    expect(fdb.lookup(0xffff, -1)).toBe(-1);
  });

  it('when full, refuses and counts new addresses and refreshes those it has', () => {
    const clock = new ManualClock();
    const fdb = new Fdb(2, AGEING_NS, clock);
    fdb.learn(0x0200, 1, 1);
    fdb.learn(0x0200, 2, 2);
    fdb.learn(0x0200, 3, 3);
    expect([fdb.refused, fdb.lookup(0x0200, 3)]).toEqual([1, -1]);
    clock.advance(200e9);
    fdb.learn(0x0200, 1, 4);
    clock.advance(200e9);
    expect(fdb.lookup(0x0200, 1)).toBe(4);
    fdb.sweep(64);
    fdb.learn(0x0200, 3, 3);
    expect(fdb.lookup(0x0200, 3)).toBe(3);
  });

  it('sweeps no more than it is told', () => {
    const clock = new ManualClock();
    const fdb = new Fdb(1000, AGEING_NS, clock);
    for (let i = 0; i < 1000; i++) fdb.learn(0x0200, i, 1);
    clock.advance(AGEING_NS);
    fdb.sweep(100);
    expect(fdb.count).toBeGreaterThanOrEqual(900);
    for (let i = 0; i < 40; i++) fdb.sweep(100);
    expect(fdb.count).toBe(0);
  });

  it('refuses a size that makes no sense', () => {
    expect(() => new Fdb(0, AGEING_NS, new ManualClock())).toThrow(RangeError);
  });

  it('agrees with a Map', () => {
    // Few addresses, so that they meet again; a small table, so that clusters form and fill up.
    const address = fc.record({ hi: fc.constantFrom(0x0200, 0x0201, 0x0002), lo: fc.integer({ min: -4, max: 4 }) });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('learn' as const), address, end: fc.nat(4) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.nat(200) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('sweep' as const), slots: fc.nat(40) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const), end: fc.nat(4) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const limit = 16;
        const clock = new ManualClock();
        const fdb = new Fdb(limit, AGEING_NS, clock);
        const model = new Map<string, { hi: number; lo: number; end: number; seenNs: number }>();
        for (const step of steps) {
          if (step.kind === 'learn') {
            const { hi, lo } = step.address;
            const before = { count: fdb.count, refused: fdb.refused };
            fdb.learn(hi, lo, step.end);
            if (fdb.refused === before.refused)
              model.set(`${hi} ${lo}`, { hi, lo, end: step.end, seenNs: clock.nowNs() });
            else expect([before.count, model.has(`${hi} ${lo}`)]).toEqual([limit, false]);
          } else if (step.kind === 'wait') {
            clock.advance(step.seconds * 1e9);
          } else if (step.kind === 'sweep') {
            fdb.sweep(step.slots);
          } else {
            fdb.flush(step.end);
            for (const [key, entry] of model) if (entry.end === step.end) model.delete(key);
          }
          for (const [key, entry] of model) {
            const expired = clock.nowNs() - entry.seenNs >= AGEING_NS;
            expect(fdb.lookup(entry.hi, entry.lo)).toBe(expired ? -1 : entry.end);
            if (expired) model.delete(key);
          }
          const live = fdb.entries().map(({ hi, lo, end }) => `${hi} ${lo} ${end}`);
          expect(live.sort()).toEqual([...model.values()].map(({ hi, lo, end }) => `${hi} ${lo} ${end}`).sort());
          expect(fdb.count).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });
});
