import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimate, intervalRank, median, quantile } from './statistics.js';

describe('median and quantiles', () => {
  it('are those of the definition', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3);
    const thousand = Array.from({ length: 1000 }, (_, i) => i + 1);
    expect([0, 0.5, 0.99, 0.999, 1].map((share) => quantile(thousand, share))).toEqual([1, 500, 990, 999, 1000]);
  });

  it('of nothing are refused', () => {
    expect(() => median([])).toThrow(RangeError);
    expect(() => quantile([], 0.5)).toThrow(RangeError);
  });
});

describe('the interval of a median', () => {
  // Conover, Practical Nonparametric Statistics, table A3: ranks of the 95 % interval.
  it.each([
    [5, undefined],
    [6, 1],
    [9, 2],
    [12, 3],
    [15, 4],
    [20, 6],
    [25, 8],
    [50, 18],
    [1000, 469],
  ])('of %i values is between those of rank %s', (n, rank) => {
    expect(intervalRank(n)).toBe(rank);
  });

  it('is between values, around the median, whatever their order', () => {
    const numbers = fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(numbers, (values) => {
        const { median: middle, interval } = estimate(values);
        expect(interval === undefined).toBe(values.length < 6);
        if (interval === undefined) return;
        expect(values).toEqual(expect.arrayContaining([...interval]));
        expect(interval[0]).toBeLessThanOrEqual(middle);
        expect(interval[1]).toBeGreaterThanOrEqual(middle);
        expect(estimate(values.toReversed())).toEqual({ median: middle, interval });
      }),
    );
  });
});
