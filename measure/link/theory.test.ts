import { describe, expect, it } from 'vitest';
import { distanceTo, distributionFunction, type Shape } from './theory.js';

const SHAPES: readonly Shape[] = ['uniform', 'normal', 'pareto', 'paretonormal'];

describe.each(SHAPES)('%s', (shape) => {
  it('ascends from 0 to 1', () => {
    let before = 0;
    for (let x = -10; x <= 10; x += 0.05) {
      const share = distributionFunction(shape, x);
      expect(share).toBeGreaterThanOrEqual(before - 1e-12);
      before = share;
    }
    expect(distributionFunction(shape, -10)).toBeCloseTo(0, 6);
    expect(distributionFunction(shape, 1e6)).toBeCloseTo(1, 6);
  });

  it('has the mean 0: as much lies above as below', () => {
    // ∫ (1 − F) over what is above 0, and ∫ F over what is below
    let [above, below] = [0, 0];
    const step = 0.05;
    for (let x = step / 2; x < 400; x += x < 20 ? step : 1) {
      const width = x < 20 ? step : 1;
      above += (1 - distributionFunction(shape, x)) * width;
      below += distributionFunction(shape, -x) * width;
    }
    expect(above).toBeCloseTo(below, 2);
  });
});

it('knows the quantiles of the standard normal distribution', () => {
  expect(distributionFunction('normal', 1.959964)).toBeCloseTo(0.975, 6);
  expect(distributionFunction('normal', -1.281552)).toBeCloseTo(0.1, 6);
});

it('is as far as the largest step of a sample is from theory', () => {
  expect(distanceTo('uniform', [0])).toBe(0.5);
  expect(distanceTo('uniform', [-0.5, 0.5])).toBe(0.25);
  expect(distanceTo('uniform', [2, 3])).toBe(1);
});
