import { describe, expect, it } from 'vitest';
import { toChance, toNormal } from './normal.js';

const apply = (f: (values: Float64Array, at: number) => void, x: number): number => {
  const values = Float64Array.of(NaN, x);
  f(values, 1);
  return values[1]!;
};

describe('the normal distribution', () => {
  it.each([
    [1e-15, -7.941345326170995],
    [1e-9, -5.9978070150076865],
    [0.01, -2.3263478740408408],
    [0.3, -0.5244005127080407],
    [0.5, 0],
    [0.9, 1.2815515655446008],
    [0.999999, 4.753424308817089],
  ])('is below z with a chance of %d', (chance, z) => {
    expect(Math.abs(apply(toNormal, chance) - z)).toBeLessThan(1e-14 * Math.max(1, Math.abs(z)));
  });

  it.each([
    [-8, 6.220960574271819e-16],
    [-7, 1.279812543885835e-12],
    [-3.3, 0.0004834241423837776],
    [-1, 0.15865525393145707],
    [0, 0.5],
    [0.5, 0.6914624612740131],
    [2, 0.9772498680518208],
    [6, 0.9999999990134123],
  ])('is below %d with its chance', (z, chance) => {
    expect(Math.abs(apply(toChance, z) - chance)).toBeLessThan(Math.min(1e-15, 1e-8 * chance));
  });

  it('is the inverse of its inverse, which were found in different ways', () => {
    for (let k = 1; k < 20_000; k++) {
      const chance = k / 20_000;
      expect(Math.abs(apply(toChance, apply(toNormal, chance)) - chance)).toBeLessThan(2e-15);
    }
  });
});
