/**
 * What packets pass one after the other: a rate, or a recorded trace of deliveries. Called by `emulator.ts`.
 */
import { Time } from './times.js';

export interface Line {
  /**
   * Passes packets of so many bytes in all, without overhead, from `Time.start` on; writes `Time.finish`, where it still has
   * the end of those before.
   */
  pass(bytes: number, packets: number): void;
}

/**
 * A rate. Whole nanoseconds: what is left of one counts for the next packet while the line stays busy, so that no
 * rounding adds up.
 */
export class RateLine implements Line {
  readonly #times: Float64Array;
  readonly #rateBps: number;
  readonly #overheadBytes: number;
  /** Of a nanosecond, in 1/rate. */
  #remainder: number;

  constructor(times: Float64Array, rateBps: number, overheadBytes: number) {
    this.#times = times;
    this.#rateBps = rateBps;
    this.#overheadBytes = overheadBytes;
    this.#remainder = 0;
  }

  pass(bytes: number, packets: number): void {
    const times = this.#times;
    const startNs = times[Time.start]!;
    if (startNs > times[Time.finish]!) this.#remainder = 0;
    // A run is at most 64 KiB of payload and a few hundred headers: exact.
    const work = (bytes + packets * this.#overheadBytes) * 8e9 + this.#remainder;
    const ns = Math.floor(work / this.#rateBps);
    this.#remainder = work - ns * this.#rateBps;
    times[Time.finish] = startNs + ns;
  }
}

/** Bytes of one opportunity (Netravali et al. 2015, Mahimahi §4). */
export const OPPORTUNITY_BYTES = 1504;
const MS_NS = 1e6;

/**
 * A recording of when a link could deliver: at each of these milliseconds 1504 bytes may pass, over and over with the
 * last one's period. What an opportunity offers while nothing waits is lost; a packet may take several, and leaves with
 * the one that completes it.
 */
export class TraceLine implements Line {
  readonly #times: Float64Array;
  readonly #overheadBytes: number;
  readonly #atMs: Float64Array;
  /** When the recording began, and how long it is. */
  readonly #beganNs: number;
  readonly #periodNs: number;
  /** The opportunity that is being used: its number over all periods, and what it has left. */
  #index: number;
  #leftBytes: number;

  constructor(times: Float64Array, atMs: readonly number[], beganNs: number, overheadBytes: number) {
    this.#times = times;
    this.#overheadBytes = overheadBytes;
    this.#atMs = Float64Array.from(atMs);
    this.#beganNs = beganNs;
    this.#periodNs = this.#atMs.at(-1)! * MS_NS;
    this.#index = -1;
    this.#leftBytes = 0;
  }

  pass(bytes: number, packets: number): void {
    const times = this.#times;
    const startNs = times[Time.start]!;
    if (startNs > times[Time.finish]! || this.#index === -1) this.#turnTo(startNs);
    let needBytes = bytes + packets * this.#overheadBytes;
    while (this.#leftBytes < needBytes) {
      needBytes -= this.#leftBytes;
      this.#index++;
      this.#leftBytes = OPPORTUNITY_BYTES;
    }
    this.#leftBytes -= needBytes;
    times[Time.finish] = this.#timeOf();
  }

  /** All opportunities until then, that one included, are gone. */
  #turnTo(startNs: number): void {
    const period = Math.max(0, Math.floor((startNs - this.#beganNs) / this.#periodNs));
    const atMs = this.#atMs;
    const sinceMs = (startNs - this.#beganNs - period * this.#periodNs) / MS_NS;
    let low = 0;
    let high = atMs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (atMs[middle]! <= sinceMs) low = middle + 1;
      else high = middle;
    }
    this.#index = period * atMs.length + low - 1;
    this.#leftBytes = 0;
  }

  #timeOf(): number {
    const { length } = this.#atMs;
    const period = Math.floor(this.#index / length);
    return this.#beganNs + period * this.#periodNs + this.#atMs[this.#index - period * length]! * MS_NS;
  }
}
