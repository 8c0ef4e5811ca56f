import { describe, expect, it } from 'vitest';
import { autocorrelation, kolmogorovSmirnovP, LEAST_P, normalP } from '../../test/emulation/statistics.js';
import type { Jitter as JitterProperties } from '../../model/emulation.js';
import { Jitter, QuantileTable } from './jitter.js';
import { toChance } from './normal.js';
import { RandomStream } from './random.js';

const FRAMES = 1_000_000;
const JITTER_NS = 1e9;
/** Skewed, and far from mean 0 and σ 1. */
const TABLE = new QuantileTable([3, 4, 4.5, 5, 9, 20]);

type Shape = 'uniform' | 'normal' | 'pareto' | 'paretonormal' | 'table';

function create(shape: Shape, correlationRatio: number, seed = 1): [Jitter, RandomStream] {
  const random = new RandomStream(seed, 'h1--s1', 0, 'jitter');
  const distribution: JitterProperties['distribution'] = shape === 'table' ? { table: 'skewed' } : shape;
  const properties = { jitterNs: JITTER_NS, distribution, correlationRatio };
  return [new Jitter(properties, shape === 'table' ? TABLE : null, random), random];
}

/** In units of the width, every `step`th of them. */
function draw(jitter: Jitter, count = FRAMES, step = 1): Float64Array {
  const samples = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < step; k++) jitter.draw();
    samples[i] = jitter.ns[0]! / JITTER_NS;
  }
  return samples;
}

function normalCumulative(x: number): number {
  const values = Float64Array.of(x);
  toChance(values, 0);
  return values[0]!;
}

function paretoCumulative(x: number): number {
  const value = 1.5 + (x * Math.sqrt(3)) / 2;
  return value <= 1 ? 0 : 1 - value ** -3;
}

/** A quarter of a normal and three quarters of a Pareto variable, σ 1: the integral over the normal one, by Simpson's rule. */
function paretoNormalCumulative(x: number): number {
  const steps = 400;
  const width = 16 / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const z = -8 + i * width;
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    const pareto = (x * Math.sqrt(10 / 16) - z / 4) / 0.75;
    sum += (weight * Math.exp((-z * z) / 2) * paretoCumulative(pareto)) / Math.sqrt(2 * Math.PI);
  }
  return (sum * width) / 3;
}

/** By interpolation in a grid, for functions that take long. */
function tabulated(cumulative: (x: number) => number, from: number, to: number, steps: number): (x: number) => number {
  const grid = Array.from({ length: steps + 1 }, (_, i) => cumulative(from + ((to - from) * i) / steps));
  return (x) => {
    const at = ((x - from) / (to - from)) * steps;
    if (at < 0 || at >= steps) return cumulative(x);
    const i = Math.floor(at);
    return grid[i]! + (at - i) * (grid[i + 1]! - grid[i]!);
  };
}

function tableCumulative(x: number): number {
  const { quantiles } = TABLE;
  if (x <= quantiles[0]!) return 0;
  const above = quantiles.findIndex((quantile) => quantile > x);
  if (above === -1) return 1;
  const from = quantiles[above - 1]!;
  return (above - 1 + (x - from) / (quantiles[above]! - from)) / (quantiles.length - 1);
}

const CUMULATIVE: Record<Shape, (x: number) => number> = {
  uniform: (x) => Math.min(1, Math.max(0, (x + 1) / 2)),
  normal: normalCumulative,
  pareto: paretoCumulative,
  paretonormal: tabulated(paretoNormalCumulative, -3, 12, 30_000),
  table: tableCumulative,
};
const SHAPES = Object.keys(CUMULATIVE) as Shape[];

/** σ of the mean of a million, where it exists and converges; of `uniform` the width is not σ. */
const SIGMA: Record<Shape, number> = { uniform: 1 / Math.sqrt(3), normal: 1, pareto: 1, paretonormal: 1, table: 1 };

describe('jitter', () => {
  it.each(SHAPES)('%s: the distribution that was asked for, mean 0, no memory', (shape) => {
    const samples = draw(create(shape, 0)[0]);
    const mean = samples.reduce((a, b) => a + b, 0) / FRAMES;
    expect(normalP((mean / SIGMA[shape]) * Math.sqrt(FRAMES))).toBeGreaterThan(LEAST_P);
    expect(normalP(autocorrelation(samples) * Math.sqrt(FRAMES))).toBeGreaterThan(LEAST_P);
    expect(kolmogorovSmirnovP(samples, CUMULATIVE[shape])).toBeGreaterThan(LEAST_P);
  });

  it.each(SHAPES)('%s: the same distribution with a correlation of one half', (shape) => {
    // Every 20th: what is left of the correlation is 2⁻²⁰, and the test holds for independent samples.
    const samples = draw(create(shape, 0.5, 2)[0], FRAMES / 20, 20);
    expect(kolmogorovSmirnovP(samples, CUMULATIVE[shape])).toBeGreaterThan(LEAST_P);
  });

  it('has the standard deviation that was asked for, whatever the correlation', () => {
    for (const correlation of [0, 0.5, 0.9]) {
      const samples = draw(create('normal', correlation)[0]);
      const variance = samples.reduce((sum, x) => sum + x * x, 0) / FRAMES;
      // Of a Gaussian chain, the variance of the estimate is 2(1 + ρ²)/(1 − ρ²)/n.
      const sigma = Math.sqrt((2 * (1 + correlation ** 2)) / (1 - correlation ** 2) / FRAMES);
      expect(normalP((variance - 1) / sigma)).toBeGreaterThan(LEAST_P);
    }
  });

  it.each([0.25, 0.5, 0.9])('has the correlation %d, of the normal variables underneath', (correlation) => {
    // Bartlett: of a chain with ρ, the estimate's variance is (1 − ρ²)/n.
    const sigma = Math.sqrt((1 - correlation ** 2) / FRAMES);
    expect(normalP((autocorrelation(draw(create('normal', correlation)[0])) - correlation) / sigma)).toBeGreaterThan(
      LEAST_P,
    );
    // Of uniform ranks it is (6/π) asin(ρ/2): Pearson 1907.
    const ofRanks = (6 / Math.PI) * Math.asin(correlation / 2);
    expect(Math.abs(autocorrelation(draw(create('uniform', correlation)[0])) - ofRanks)).toBeLessThan(0.005);
  });

  it('is the same for all with a correlation of 1', () => {
    const samples = draw(create('pareto', 1)[0], 1000);
    expect(new Set(samples).size).toBe(1);
  });

  it('a table has mean 0 and standard deviation 1, straight lines between its quantiles included', () => {
    const samples = draw(create('table', 0, 3)[0]);
    const variance = samples.reduce((sum, x) => sum + x * x, 0) / FRAMES;
    expect(Math.abs(variance - 1)).toBeLessThan(0.01);
    expect(TABLE.quantiles.length).toBe(6);
    for (const constant of [[7], [7, 7, 7]]) {
      const random = new RandomStream(1, 'a', 0, 'jitter');
      const jitter = new Jitter(
        { jitterNs: JITTER_NS, distribution: { table: 'x' }, correlationRatio: 0.5 },
        new QuantileTable(constant),
        random,
      );
      jitter.draw();
      expect(jitter.ns[0]! + 0).toBe(0);
    }
    expect(() => new QuantileTable([])).toThrow(RangeError);
  });

  it.each(SHAPES)('%s: goes on where its state was kept, through JSON', (shape) => {
    const [jitter, random] = create(shape, 0.7);
    for (const skipped of [0, 1, 50]) {
      draw(jitter, skipped);
      const kept = JSON.parse(JSON.stringify([jitter.exportState(), random.exportState()])) as [
        [number, number] | null,
        number[],
      ];
      const [resumed, stream] = create(shape, 0.7, 9);
      draw(resumed, 5);
      resumed.importState(kept[0]);
      stream.importState(kept[1]);
      expect(draw(resumed, 50)).toEqual(draw(jitter, 50));
    }
  });
});
