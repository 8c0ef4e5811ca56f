import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atMostNs } from './lateness.js';

/** As an engine counts them: bucket 0 is 0 ns, the n-th 2ⁿ⁻¹ ns and more, below 2ⁿ. */
function histogram(times: readonly number[]): number[] {
  const buckets = Array.from({ length: 64 }, () => 0);
  for (const ns of times) buckets[ns === 0 ? 0 : Math.floor(Math.log2(ns)) + 1]!++;
  return buckets;
}

describe('atMostNs', () => {
  it('is 0 where nothing was timed, and where nothing was late', () => {
    expect(atMostNs([], 0.99)).toBe(0);
    expect(atMostNs([12], 1)).toBe(0);
  });

  it('is the end of the bucket that the frame is in', () => {
    // 98 in time, one late by 1000 ns, one by 5000 ns.
    const buckets = histogram([...Array.from({ length: 98 }, () => 0), 1000, 5000]);
    expect([0.5, 0.98, 0.99, 1].map((part) => atMostNs(buckets, part))).toEqual([0, 0, 1024, 8192]);
  });

  it('is never less than the truth, and less than twice as much', () => {
    const part = fc.double({ min: 0.001, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 300 }), part, (times, wanted) => {
        const sorted = times.toSorted((a, b) => a - b);
        const exact = sorted.findLast((_, i) => i < wanted * sorted.length)!;
        const told = atMostNs(histogram(times), wanted);
        expect(told).toBeGreaterThanOrEqual(exact);
        expect(told).toBeLessThanOrEqual(Math.max(0, 2 * exact));
      }),
    );
  });
});
