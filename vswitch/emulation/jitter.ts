/**
 * What is added to the delay of each segment: random nanoseconds with mean 0 and the shape, width and correlation that were
 * asked for. Called by `emulator.ts`, which keeps the sum from falling below 0, and by the oracle in `test/emulation/`.
 *
 * The correlation is that of normal variables, of which each segment's is made from the one before:
 *
 *   z ← ρz + √(1 − ρ²)ε      u = Φ(z)      jitter = F⁻¹(u)         a Gaussian copula
 *
 * z stays standard normal, so u stays uniform and the jitter has the distribution F whatever ρ is. (Where successive
 * values of the shape itself are averaged instead, as in netem, the jitter shrinks as the correlation grows.)
 */
import type { Jitter as JitterProperties } from '../../model/emulation.js';
import { toChance, toNormal } from './normal.js';
import type { RandomStream } from './random.js';

/** Pareto's distribution with exponent 3 and least value 1: the mean, and the standard deviation. */
const PARETO_MEAN = 3 / 2;
const PARETO_SIGMA = Math.sqrt(3) / 2;
/** Shares of the two in `paretonormal`, as in netem's table of that name, and the standard deviation of their sum. */
const NORMAL_SHARE = 1 / 4;
const PARETO_SHARE = 3 / 4;
const PARETONORMAL_SIGMA = Math.hypot(NORMAL_SHARE, PARETO_SHARE);

/** A distribution given by its quantiles at equal distances, straight between them; brought to mean 0 and σ 1. */
export class QuantileTable {
  readonly quantiles: Float64Array;

  /** `quantiles` ascend; where all are the same, so is each value: 0. */
  constructor(quantiles: readonly number[]) {
    if (quantiles.length === 0) throw new RangeError('a distribution has at least one quantile');
    let sum = 0;
    let squares = 0;
    const last = quantiles.length - 1;
    for (let i = 0; i < last; i++) {
      const a = quantiles[i]!;
      const b = quantiles[i + 1]!;
      sum += (a + b) / 2;
      squares += (a * a + a * b + b * b) / 3;
    }
    const mean = last === 0 ? quantiles[0]! : sum / last;
    const variance = last === 0 ? 0 : squares / last - mean * mean;
    const scale = variance > 0 ? 1 / Math.sqrt(variance) : 0;
    this.quantiles = Float64Array.from(quantiles, (quantile) => (quantile - mean) * scale);
  }
}

/** Values that a draw computes with, one after the other; the first two last from segment to segment. */
const Z = 0;
const PARETO_Z = 1;
const DRAWN = 2;
const VALUE_COUNT = 3;

export class Jitter {
  /** `ns[0]`: what was drawn last, an integer. */
  readonly ns: Float64Array;
  readonly #random: RandomStream;
  readonly #distribution: 'uniform' | 'normal' | 'pareto' | 'paretonormal' | 'table';
  readonly #quantiles: Float64Array | null;
  /** The width in nanoseconds, ρ, √(1 − ρ²). */
  readonly #scale: Float64Array;
  readonly #values: Float64Array;
  /** The first segment's jitter has none before it. */
  #started: boolean;

  /** `random`: the stream of purpose `jitter`. `table`: the one that the properties name, shared by all that name it. */
  constructor(properties: JitterProperties, table: QuantileTable | null, random: RandomStream) {
    const { jitterNs, distribution, correlationRatio } = properties;
    if ((typeof distribution === 'object') !== (table !== null)) {
      throw new RangeError('a jitter has a table if and only if its distribution is one');
    }
    this.ns = new Float64Array(1);
    this.#random = random;
    this.#distribution = typeof distribution === 'object' ? 'table' : distribution;
    this.#quantiles = table === null ? null : table.quantiles;
    this.#scale = Float64Array.of(jitterNs, correlationRatio, Math.sqrt(1 - correlationRatio * correlationRatio));
    this.#values = new Float64Array(VALUE_COUNT);
    this.#started = false;
  }

  /** Draws the next segment's into `ns[0]`. */
  draw(): void {
    const values = this.#values;
    let x = 0;
    switch (this.#distribution) {
      case 'normal':
        this.#drawNormal(Z);
        x = values[Z]!;
        break;
      case 'uniform':
        this.#drawChance(Z);
        x = 2 * values[DRAWN]! - 1;
        break;
      case 'pareto':
        // A small chance makes a long jitter: close to 0 there are more doubles than close to 1.
        this.#drawChance(PARETO_Z);
        x = (1 / Math.cbrt(values[DRAWN]!) - PARETO_MEAN) / PARETO_SIGMA;
        break;
      case 'paretonormal':
        this.#drawNormal(Z);
        this.#drawChance(PARETO_Z);
        x =
          (NORMAL_SHARE * values[Z]! + (PARETO_SHARE * (1 / Math.cbrt(values[DRAWN]!) - PARETO_MEAN)) / PARETO_SIGMA) /
          PARETONORMAL_SIGMA;
        break;
      case 'table': {
        this.#drawChance(Z);
        const quantiles = this.#quantiles!;
        const at = values[DRAWN]! * (quantiles.length - 1);
        // The last quantile has none after it, and a chance may round up to 1.
        const below = Math.max(0, Math.min(Math.floor(at), quantiles.length - 2));
        const from = quantiles[below]!;
        x = quantiles.length === 1 ? from : from + (at - below) * (quantiles[below + 1]! - from);
        break;
      }
    }
    this.#started = true;
    this.ns[0] = Math.round(x * this.#scale[0]!);
  }

  /** The next of the normal variables in `values[at]`. */
  #drawNormal(at: number): void {
    const values = this.#values;
    const before = values[at]!;
    this.#random.unit(values, at);
    toNormal(values, at);
    if (this.#started) values[at] = this.#scale[1]! * before + this.#scale[2]! * values[at]!;
  }

  /** A chance, between 0 and 1, in `DRAWN`: of the normal variable in `values[at]` where one depends on the one before. */
  #drawChance(at: number): void {
    const values = this.#values;
    if (this.#scale[1] === 0) {
      this.#random.unit(values, DRAWN);
      return;
    }
    this.#drawNormal(at);
    values[DRAWN] = values[at]!;
    toChance(values, DRAWN);
  }

  /** What it remembers of the segments before, without the stream's own state; null: there were none. */
  exportState(): readonly [number, number] | null {
    return this.#started ? [this.#values[Z]!, this.#values[PARETO_Z]!] : null;
  }

  importState(state: readonly [number, number] | null): void {
    this.#started = state !== null;
    this.#values[Z] = state === null ? 0 : state[0];
    this.#values[PARETO_Z] = state === null ? 0 : state[1];
  }
}
