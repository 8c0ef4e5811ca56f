import { describe, expect, it } from 'vitest';
import { autocorrelation, chiSquareP, kolmogorovP, kolmogorovSmirnovP, normalP, ratioP } from './statistics.js';

describe('p-values', () => {
  it('χ²: as in its table', () => {
    // A statistic of 3.841, 18.307, 124.342 leaves 5 % above it with 1, 10, 100 degrees of freedom.
    for (const [degrees, statistic] of [
      [1, 3.841458820694124],
      [10, 18.307038053275146],
      [100, 124.34211340400407],
    ] as const) {
      const off = Math.sqrt((statistic * 1e6) / 2);
      expect(chiSquareP([1e6 - off, 1e6 + off], [1e6, 1e6], degrees)).toBeCloseTo(0.05, 9);
    }
    expect(chiSquareP([7, 9], [7, 9])).toBe(1);
    expect(() => chiSquareP([3, 13], [4, 12])).toThrow(RangeError);
  });

  it('of a ratio: as the normal distribution has it', () => {
    // 5050 of 10 000 at one half is one standard deviation.
    expect(ratioP(5050, 10_000, 0.5)).toBeCloseTo(0.31731050786291415, 9);
    expect(normalP(1)).toBeCloseTo(0.31731050786291415, 12);
    expect(normalP(-3)).toBeCloseTo(0.0026997960632601866, 12);
    expect(normalP(6)).toBeCloseTo(1.973175290075396e-9, 18);
  });

  it('Kolmogorov: as in its table, and the two series agree', () => {
    expect(kolmogorovP(1.3580986393225505)).toBeCloseTo(0.05, 9);
    expect(kolmogorovP(0.8275735551899077)).toBeCloseTo(0.5, 9);
    expect(kolmogorovP(1 - 1e-9)).toBeCloseTo(kolmogorovP(1), 8);
    expect(kolmogorovP(0.1)).toBeCloseTo(1, 9);
  });

  it('Kolmogorov and Smirnov: evenly spread samples are uniform, squares of them are not', () => {
    const even = Float64Array.from({ length: 1000 }, (_, i) => (i + 0.5) / 1000);
    expect(kolmogorovSmirnovP(even, (x) => x)).toBeGreaterThan(0.999);
    expect(kolmogorovSmirnovP(even, (x) => x * x)).toBeLessThan(1e-9);
  });

  it('autocorrelation: of an alternation −1, of pairs about 0', () => {
    expect(autocorrelation(Float64Array.from({ length: 1000 }, (_, i) => i % 2))).toBeCloseTo(-1, 2);
    expect(autocorrelation(Float64Array.from({ length: 1000 }, (_, i) => (i >> 1) % 2))).toBeCloseTo(0, 2);
  });
});
