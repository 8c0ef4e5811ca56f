/**
 * Chance: streams of random numbers, one for each purpose in each direction of each link, so that to add a link, or a
 * property to one, changes no draw of another. Whoever draws is given its stream when it is made.
 *
 * xoshiro128** 1.1 (Blackman and Vigna, 2021): 32-bit operations alone, which are what JavaScript has without garbage, a
 * period of 2¹²⁸ − 1, no known weakness in statistical tests. sfc32 is as fast, but only its average period is known, and a
 * run has thousands of streams. A stream begins where a hash of its name says: 128 bits, so that no two overlap in practice.
 */
import { hash } from 'node:crypto';

/** Numbers of a draw: 0 … 2³² − 1. */
const RANGE = 2 ** 32;

export const STREAM_WORDS = 4;

/** What a stream's position is when it is kept: four 32-bit integers. */
export type RandomState = readonly number[];

/** A ratio as `RandomStream.chance` compares it. Exact for 0 and 1, else to the nearest 2⁻³². */
export function thresholdOf(ratio: number): number {
  return Math.round(ratio * RANGE);
}

export class RandomStream {
  /** Its position is in `words[at]` and the three after it. */
  readonly #words: Int32Array;
  readonly #at: number;

  /**
   * `purpose`: `loss`, `corrupt`, `duplicate`, `reorder`, `jitter` or `queue`. Where `words` have a position, it goes on
   * there: who makes the same stream anew has it as it was.
   */
  constructor(
    seed: number,
    link: string,
    direction: 0 | 1,
    purpose: string,
    words: Int32Array = new Int32Array(STREAM_WORDS),
    at = 0,
  ) {
    this.#words = words;
    this.#at = at;
    if (hasBegun(words, at)) return;
    // JSON, so that no two keys are the same text.
    const digest = hash('sha256', JSON.stringify([seed, link, direction, purpose]), 'buffer');
    for (let i = 0; i < STREAM_WORDS; i++) words[at + i] = digest.readInt32LE(4 * i);
  }

  /** 32 random bits, as a signed integer. */
  next32(): number {
    const state = this.#words;
    const at = this.#at;
    const s1 = state[at + 1]!;
    const scrambled = Math.imul(s1, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
    const s2 = state[at + 2]! ^ state[at]!;
    const s3 = state[at + 3]! ^ s1;
    state[at + 1] = s1 ^ s2;
    state[at] = state[at]! ^ s3;
    state[at + 2] = s2 ^ (s1 << 9);
    state[at + 3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  /** True with the chance that stands as a threshold in `thresholds[at]`: an argument would be garbage. Always draws. */
  chance(thresholds: Float64Array, at: number): boolean {
    return this.next32() >>> 0 < thresholds[at]!;
  }

  /** Puts a number between 0 and 1, neither of them included, into `values[at]`: an odd multiple of 2⁻⁵³. */
  unit(values: Float64Array, at: number): void {
    const high = this.next32() >>> 6;
    const low = this.next32() >>> 6;
    values[at] = (high * 2 ** 26 + low + 0.5) * 2 ** -52;
  }

  exportState(): RandomState {
    return readRandomState(this.#words, this.#at);
  }

  /** Goes on where the stream stood that `state` is from. */
  importState(state: RandomState): void {
    writeRandomState(this.#words, this.#at, state);
  }
}

/** All of them 0 is what no stream comes to. */
export function hasBegun(words: Int32Array, at: number): boolean {
  return (words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) !== 0;
}

export function readRandomState(words: Int32Array, at: number): RandomState {
  return [...words.subarray(at, at + STREAM_WORDS)];
}

export function writeRandomState(words: Int32Array, at: number, state: RandomState): void {
  if (state.length !== STREAM_WORDS || !state.some((word) => (word | 0) !== 0)) {
    throw new RangeError(`a random stream's state is four integers, not all 0: [${state.join(', ')}]`);
  }
  words.set(state, at);
}
