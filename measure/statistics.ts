/**
 * Medians and quantiles, with intervals that assume nothing of how values are distributed: medians of ratios of a busy
 * machine are neither normal nor symmetric.
 */
import type { Estimate } from '../model/bench.js';

const CONFIDENCE = 0.95;

export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of these values, not of what they are a sample of. */
export function sigma(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

/** Nearest rank: the smallest value that at least this share of the values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = ascending(values);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/**
 * The median with the narrowest interval of order statistics whose probability is at least 95 %: of n values, the one of
 * rank k from below and from above enclose the true median unless fewer than k fall on one of its sides, and how many do
 * is binomial (n, 1/2). Exact, with no assumption but that pairs are independent. Fewer than six values have none.
 */
export function estimate(values: readonly number[]): Estimate {
  const sorted = ascending(values);
  const rank = intervalRank(sorted.length);
  if (rank === undefined) return { median: median(sorted) };
  return { median: median(sorted), interval: [sorted[rank - 1]!, sorted[sorted.length - rank]!] };
}

/** The largest k for which P(X < k) ≤ 2.5 %, X binomial (n, 1/2); undefined where k would be 0. */
export function intervalRank(n: number): number | undefined {
  let probability = 0.5 ** n;
  let below = 0;
  let rank = 0;
  while (below + probability <= (1 - CONFIDENCE) / 2) {
    below += probability;
    probability *= (n - rank) / (rank + 1);
    rank++;
  }
  return rank === 0 ? undefined : rank;
}

function ascending(values: readonly number[]): number[] {
  if (values.length === 0) throw new RangeError('no values');
  return [...values].sort((a, b) => a - b);
}
