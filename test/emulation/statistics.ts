/**
 * Is what was drawn from the distribution that was asked for? Tests of goodness of fit, each answering with its p-value:
 * the chance of samples at least as far off, had they come from that distribution. Seeds are fixed, so that a p-value is the
 * same at each run; a test asks for more than `LEAST_P`.
 *
 * The p-values themselves are tested against tables in `statistics.test.ts`.
 */

/** One in a thousand sets of right samples is farther off. */
export const LEAST_P = 0.001;

/** Pearson's χ²: counts that were observed against those expected, none of which is below 5. */
export function chiSquareP(
  observed: readonly number[],
  expected: readonly number[],
  degrees = observed.length - 1,
): number {
  let statistic = 0;
  for (const [i, count] of expected.entries()) {
    if (!(count >= 5)) throw new RangeError(`class ${i} expects ${count}: join it with another`);
    statistic += (observed[i]! - count) ** 2 / count;
  }
  return upperGamma(degrees / 2, statistic / 2);
}

/** How often something of this chance happened, in so many independent trials: χ² with two classes. */
export function ratioP(happened: number, trials: number, ratio: number): number {
  return chiSquareP([happened, trials - happened], [trials * ratio, trials * (1 - ratio)]);
}

/** The chance that a standard normal variable is at least so far from 0. */
export function normalP(z: number): number {
  return upperGamma(0.5, (z * z) / 2);
}

/** Kolmogorov and Smirnov, for many samples of a continuous distribution. Sorts them. */
export function kolmogorovSmirnovP(samples: Float64Array, cumulative: (x: number) => number): number {
  samples.sort();
  const n = samples.length;
  let distance = 0;
  for (let i = 0; i < n; i++) {
    const chance = cumulative(samples[i]!);
    distance = Math.max(distance, chance - i / n, (i + 1) / n - chance);
  }
  return kolmogorovP((Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n)) * distance);
}

/** Kolmogorov's distribution, with the two series that converge soon on either side; upper tail. */
export function kolmogorovP(x: number): number {
  if (x <= 0) return 1;
  if (x < 1) {
    let sum = 0;
    for (let k = 1; k < 40; k += 2) sum += Math.exp(-((k * Math.PI) ** 2) / (8 * x * x));
    return 1 - (Math.sqrt(2 * Math.PI) / x) * sum;
  }
  let sum = 0;
  for (let k = 1; k < 40; k++) sum += (k % 2 === 1 ? 2 : -2) * Math.exp(-2 * k * k * x * x);
  return sum;
}

/** Of samples with the ones after them. */
export function autocorrelation(samples: Float64Array, lag = 1): number {
  const mean = samples.reduce((a, b) => a + b, 0) / samples.length;
  let products = 0;
  let squares = 0;
  for (let i = 0; i < samples.length; i++) {
    squares += (samples[i]! - mean) ** 2;
    if (i >= lag) products += (samples[i]! - mean) * (samples[i - lag]! - mean);
  }
  return products / squares;
}

/** Q(a, x) = Γ(a, x) / Γ(a): a power series for small x, else Lentz's continued fraction (DLMF 8.11.4, 8.9.2). */
function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = a + 1; term > sum * 1e-16; n++) sum += term *= x / n;
    return 1 - front * sum;
  }
  let b = x + 1 - a;
  let c = Infinity;
  let d = 1 / b;
  let fraction = d;
  for (let i = 1, change = 0; Math.abs(change - 1) > 1e-15 && i < 100_000; i++) {
    const an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    change = c * d;
    fraction *= change;
  }
  return front * fraction;
}

/** Stirling's series, moved up to where it is exact (DLMF 5.11.1). */
function logGamma(a: number): number {
  let shift = 0;
  let x = a;
  for (; x < 12; x++) shift += Math.log(x);
  const series = 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5) - 1 / (1680 * x ** 7);
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + series - shift;
}
