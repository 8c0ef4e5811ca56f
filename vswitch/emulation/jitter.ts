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

/** Offsets of its cells: what was drawn last, in nanoseconds. */
const NS = 0;
/** Values that a draw computes with, one after the other; the first two last from segment to segment. */
const Z = 1;
const PARETO_Z = 2;
const DRAWN = 3;
/** The width in nanoseconds, ρ, √(1 − ρ²). */
const WIDTH = 4;
const RHO = 5;
const REST = 6;
export const JITTER_CELLS = 7;

/** What a jitter remembers of the segments before; null: there were none. */
export type JitterState = readonly [number, number] | null;

export class Jitter {
  /** `ns[at]`: what was drawn last, an integer. */
  readonly ns: Float64Array;
  readonly at: number;
  readonly #random: RandomStream;
  readonly #distribution: 'uniform' | 'normal' | 'pareto' | 'paretonormal' | 'table';
  readonly #quantiles: Float64Array | null;
  /** The first segment's jitter has none before it. */
  #started: boolean;

  /** `random`: the stream of purpose `jitter`. `table`: the one that the properties name, shared by all that name it. */
  constructor(
    properties: JitterProperties,
    table: QuantileTable | null,
    random: RandomStream,
    cells: Float64Array = new Float64Array(JITTER_CELLS),
    at = 0,
  ) {
    const { jitterNs, distribution, correlationRatio } = properties;
    if ((typeof distribution === 'object') !== (table !== null)) {
      throw new RangeError('a jitter has a table if and only if its distribution is one');
    }
    this.ns = cells;
    this.at = at;
    this.#random = random;
    this.#distribution = typeof distribution === 'object' ? 'table' : distribution;
    this.#quantiles = table === null ? null : table.quantiles;
    cells.fill(0, at, at + JITTER_CELLS);
    cells[at + WIDTH] = jitterNs;
    cells[at + RHO] = correlationRatio;
    cells[at + REST] = Math.sqrt(1 - correlationRatio * correlationRatio);
    this.#started = false;
  }

  /** Draws the next segment's into `ns[at]`. */
  draw(): void {
    const values = this.ns;
    const at = this.at;
    let x = 0;
    switch (this.#distribution) {
      case 'normal':
        this.#drawNormal(Z);
        x = values[at + Z]!;
        break;
      case 'uniform':
        this.#drawChance(Z);
        x = 2 * values[at + DRAWN]! - 1;
        break;
      case 'pareto':
        // A small chance makes a long jitter: close to 0 there are more doubles than close to 1.
        this.#drawChance(PARETO_Z);
        x = (1 / Math.cbrt(values[at + DRAWN]!) - PARETO_MEAN) / PARETO_SIGMA;
        break;
      case 'paretonormal':
        this.#drawNormal(Z);
        this.#drawChance(PARETO_Z);
        x =
          (NORMAL_SHARE * values[at + Z]! +
            (PARETO_SHARE * (1 / Math.cbrt(values[at + DRAWN]!) - PARETO_MEAN)) / PARETO_SIGMA) /
          PARETONORMAL_SIGMA;
        break;
      case 'table': {
        this.#drawChance(Z);
        const quantiles = this.#quantiles!;
        const position = values[at + DRAWN]! * (quantiles.length - 1);
        // The last quantile has none after it, and a chance may round up to 1.
        const below = Math.max(0, Math.min(Math.floor(position), quantiles.length - 2));
        const from = quantiles[below]!;
        x = quantiles.length === 1 ? from : from + (position - below) * (quantiles[below + 1]! - from);
        break;
      }
    }
    this.#started = true;
    values[at + NS] = Math.round(x * values[at + WIDTH]!);
  }

  /** The next of the normal variables in the cell `variable`. */
  #drawNormal(variable: number): void {
    const values = this.ns;
    const at = this.at;
    const before = values[at + variable]!;
    this.#random.unit(values, at + variable);
    toNormal(values, at + variable);
    if (this.#started) values[at + variable] = values[at + RHO]! * before + values[at + REST]! * values[at + variable]!;
  }

  /** A chance, between 0 and 1, in `DRAWN`: of the normal variable in a cell where one depends on the one before. */
  #drawChance(variable: number): void {
    const values = this.ns;
    const at = this.at;
    if (values[at + RHO] === 0) {
      this.#random.unit(values, at + DRAWN);
      return;
    }
    this.#drawNormal(variable);
    values[at + DRAWN] = values[at + variable]!;
    toChance(values, at + DRAWN);
  }

  /** What it remembers of the segments before, without the stream's own state; null: there were none. */
  exportState(): JitterState {
    return this.#started ? [this.ns[this.at + Z]!, this.ns[this.at + PARETO_Z]!] : null;
  }

  importState(state: JitterState): void {
    this.#started = state !== null;
    this.ns[this.at + Z] = state === null ? 0 : state[0];
    this.ns[this.at + PARETO_Z] = state === null ? 0 : state[1];
  }
}
