import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LOOK_MS, untilLookMs } from './look.js';

it('brings all that look to the same moments, a second apart, though timers end a little early or late', () => {
  const begin = fc.double({ min: 0, max: 1e9, noNaN: true });
  const offMs = fc.double({ min: -45, max: 500, noNaN: true });
  fc.assert(
    fc.property(begin, fc.array(offMs, { minLength: 1, maxLength: 20 }), (beginMs, off) => {
      let nowMs = beginMs;
      const aims: number[] = [];
      for (const byMs of off) {
        const waitMs = untilLookMs(nowMs);
        expect(waitMs).toBeGreaterThanOrEqual(50);
        expect(waitMs).toBeLessThanOrEqual(LOOK_MS + 50);
        aims.push(nowMs + waitMs);
        nowMs += waitMs + byMs;
      }
      aims.forEach((aimMs, i) => {
        expect(Math.abs(aimMs / LOOK_MS - Math.round(aimMs / LOOK_MS))).toBeLessThan(1e-6);
        if (i > 0) expect(aimMs - aims[i - 1]!).toBeCloseTo(LOOK_MS, 3);
      });
    }),
  );
});
