/**
 * Distribution functions of the jitters that a link can be asked for, by their definitions (docs/scenario.md) and not by
 * the engine's code: `jitter.ts` compares what pings met with them, `charts.ts` draws them. Of mean 0; in multiples of
 * the jitter that was asked for, which is the standard deviation and for `uniform` the half-width.
 */
import type { JitterReport } from '../../model/bench-link.js';

export type Shape = JitterReport['distribution'];

/** Pareto's distribution with exponent 3 and least value 1: mean 3/2, variance 3/4. */
const PARETO_MEAN = 1.5;
const PARETO_SIGMA = Math.sqrt(0.75);
/** A quarter of a normal variable and three quarters of Pareto's, both of mean 0 and deviation 1. */
const NORMAL_SHARE = 0.25;
const PARETO_SHARE = 0.75;

export function deviation(ns: number, delayNs: number, jitterNs: number): number {
  return (ns - delayNs) / jitterNs;
}

/** The chance of a deviation of at most x. */
export function distributionFunction(shape: Shape, x: number): number {
  if (shape === 'uniform') return Math.min(1, Math.max(0, (x + 1) / 2));
  if (shape === 'normal') return normal(x);
  return shape === 'pareto' ? pareto(x) : paretoNormal(x);
}

/** Kolmogorov's and Smirnov's statistic; `ascending` is a sample. */
export function distanceTo(shape: Shape, ascending: readonly number[]): number {
  const n = ascending.length;
  const distances = ascending.map((x, i) => {
    const share = distributionFunction(shape, x);
    return Math.max(share - i / n, (i + 1) / n - share);
  });
  return Math.max(...distances);
}

function pareto(x: number): number {
  const value = x * PARETO_SIGMA + PARETO_MEAN;
  return value <= 1 ? 0 : 1 - value ** -3;
}

/** The sum's: over all normal parts, what is left for the other. */
function paretoNormal(x: number): number {
  const [steps, reach] = [400, 6];
  const width = Math.hypot(NORMAL_SHARE, PARETO_SHARE);
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const [from, to] = [-reach + (2 * reach * i) / steps, -reach + (2 * reach * (i + 1)) / steps];
    const rest = (x * width - (NORMAL_SHARE * (from + to)) / 2) / PARETO_SHARE;
    sum += (normal(to) - normal(from)) * pareto(rest);
  }
  return sum;
}

/** Φ by its series around 0 (Abramowitz and Stegun 26.2.10), which is exact to 1e-12 within eight deviations. */
function normal(x: number): number {
  if (Math.abs(x) > 8) return x < 0 ? 0 : 1;
  let term = x;
  let sum = x;
  for (let i = 1; Math.abs(term) > 1e-17; i++) {
    term *= (x * x) / (2 * i + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
