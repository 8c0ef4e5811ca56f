/**
 * Delays of many frames in little memory: buckets that are less than 1/128 wide, and the mean of each, so that a quantile is
 * wrong by less than 0.8 %, and exact where all delays near it are the same. Used by `tally.ts`.
 *
 *   delay          0 … 255     256 … 511, by 2     512 … 1023, by 4     …
 *   bucket         0 … 255     256 … 383           384 … 511            …
 */
import type { SimulatedDelay } from '../model/simulation.js';

const STEPS = 128;
/** Delays are below 2⁵³ ns. */
const OCTAVES = 46;

export class DelayHistogram {
  /** Frames in each bucket, and the sum of their delays. */
  #counts: Float64Array | undefined;
  #sumsNs: Float64Array | undefined;
  #count = 0;
  #sumNs = 0;
  #maxNs = 0;

  add(delayNs: number): void {
    this.#counts ??= new Float64Array((OCTAVES + 1) * STEPS);
    this.#sumsNs ??= new Float64Array((OCTAVES + 1) * STEPS);
    const bucket = bucketOf(delayNs);
    this.#counts[bucket]!++;
    this.#sumsNs[bucket]! += delayNs;
    this.#count++;
    this.#sumNs += delayNs;
    if (delayNs > this.#maxNs) this.#maxNs = delayNs;
  }

  /** Undefined: there is none. */
  summary(): SimulatedDelay | undefined {
    if (this.#count === 0) return undefined;
    const [p50Ns, p99Ns] = [this.#quantile(0.5), this.#quantile(0.99)];
    return { meanNs: Math.round(this.#sumNs / this.#count), p50Ns, p99Ns, maxNs: this.#maxNs };
  }

  /** The mean of the bucket of the delay that so many are not above. */
  #quantile(ratio: number): number {
    let left = Math.ceil(this.#count * ratio);
    const counts = this.#counts!;
    let bucket = 0;
    for (left -= counts[0]!; left > 0; left -= counts[bucket]!) bucket++;
    return Math.round(this.#sumsNs![bucket]! / counts[bucket]!);
  }
}

function bucketOf(delayNs: number): number {
  let octave = 0;
  let leading = delayNs;
  for (; leading >= 2 * STEPS; octave++) leading = Math.floor(leading / 2);
  return octave * STEPS + leading;
}
