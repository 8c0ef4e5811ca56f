/**
 * What packets pass one after the other: a rate, or a recorded trace of deliveries. Called by `emulator.ts`.
 */
import { Time } from './times.js';

export interface Line {
  /**
   * Writes `Time.start`: when the line can begin with the packet that is first now. `isNext`: it waited while the one before
   * was passed, else it came now, at `Time.now`.
   */
  plan(isNext: boolean): void;

  /** A run of packets begins at `Time.start`, to be passed at once or one by one: each, but the last, has so many bytes. */
  beginRun(packetBytes: number): void;

  /** Passes packets of so many bytes in all, overhead included, from `Time.start` on: writes `Time.finish`. */
  pass(bytes: number): void;

  /** With how many packets of the run the line has begun by `Time.now`, or more than it has. */
  begun(): number;
}

/** Of a nanosecond, in 1/rate; of the run on the line: when it began, with which remainder, and the work of a packet. */
const REMAINDER = 0;
const RUN_START = 1;
const RUN_REMAINDER = 2;
const RUN_WORK = 3;

/**
 * A rate. Whole nanoseconds: what is left of one counts for the next packet while the line stays busy, so that no
 * rounding adds up.
 */
export class RateLine implements Line {
  readonly #times: Float64Array;
  readonly #rateBps: number;
  /** Doubles that last: in fields, each that is stored would be garbage. */
  readonly #state: Float64Array;

  constructor(times: Float64Array, rateBps: number) {
    this.#times = times;
    this.#rateBps = rateBps;
    this.#state = new Float64Array([0, 0, 0, 1]);
  }

  plan(): void {
    const times = this.#times;
    times[Time.start] = Math.max(times[Time.finish]!, times[Time.now]!);
  }

  beginRun(packetBytes: number): void {
    const times = this.#times;
    const state = this.#state;
    state[RUN_START] = times[Time.start]!;
    state[RUN_REMAINDER] = times[Time.start]! > times[Time.finish]! ? 0 : state[REMAINDER]!;
    state[RUN_WORK] = packetBytes * 8e9;
  }

  pass(bytes: number): void {
    const times = this.#times;
    const startNs = times[Time.start]!;
    const before = startNs > times[Time.finish]! ? 0 : this.#state[REMAINDER]!;
    // A run is at most 64 KiB of payload and a few hundred headers: exact.
    const work = bytes * 8e9 + before;
    const ns = Math.floor(work / this.#rateBps);
    this.#state[REMAINDER] = work - ns * this.#rateBps;
    times[Time.finish] = startNs + ns;
  }

  /** The n-th begins after floor((n · work + remainder) / rate): in time where n · work + remainder < (time + 1) · rate. */
  begun(): number {
    const state = this.#state;
    const sinceNs = this.#times[Time.now]! - state[RUN_START]!;
    return Math.ceil(((sinceNs + 1) * this.#rateBps - state[RUN_REMAINDER]!) / state[RUN_WORK]!);
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
  readonly #atMs: Float64Array;
  /** When the recording began, and how long it is. */
  readonly #beganNs: number;
  readonly #periodNs: number;
  /** The opportunity that was used last, counted over all periods (-1: none yet), and what it has left. */
  #index: number;
  #leftBytes: number;

  constructor(times: Float64Array, atMs: readonly number[], beganNs: number) {
    this.#times = times;
    this.#atMs = Float64Array.from(atMs);
    this.#beganNs = beganNs;
    this.#periodNs = this.#atMs.at(-1)! * MS_NS;
    this.#index = -1;
    this.#leftBytes = 0;
  }

  plan(isNext: boolean): void {
    const times = this.#times;
    const nowNs = times[Time.now]!;
    const finishNs = times[Time.finish]!;
    if (this.#leftBytes > 0 && (isNext || finishNs > nowNs)) {
      times[Time.start] = Math.max(finishNs, nowNs);
      return;
    }
    this.#leftBytes = 0;
    if (this.#index === -1) this.#miss(Math.max(finishNs, nowNs));
    else if (!isNext) this.#miss(nowNs);
    this.#index++;
    times[Time.start] = this.#timeOf();
    this.#index--;
  }

  pass(bytes: number): void {
    let needBytes = bytes;
    while (this.#leftBytes < needBytes) {
      needBytes -= this.#leftBytes;
      this.#index++;
      this.#leftBytes = OPPORTUNITY_BYTES;
    }
    this.#leftBytes -= needBytes;
    this.#times[Time.finish] = this.#timeOf();
  }

  beginRun(): void {
    // Packets come one at a time.
  }

  /** Its packets come one at a time; a run that was on another line before it is gone. */
  begun(): number {
    return Infinity;
  }

  /** All opportunities until then, that moment included, are gone. */
  #miss(untilNs: number): void {
    const atMs = this.#atMs;
    const period = Math.max(0, Math.floor((untilNs - this.#beganNs) / this.#periodNs));
    const sinceMs = (untilNs - this.#beganNs - period * this.#periodNs) / MS_NS;
    let low = 0;
    let high = atMs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (atMs[middle]! <= sinceMs) low = middle + 1;
      else high = middle;
    }
    // A recording may begin with 0: the moment at which the one before ends.
    const missed = period * atMs.length + low - 1;
    if (missed > this.#index) this.#index = missed;
  }

  #timeOf(): number {
    const { length } = this.#atMs;
    const period = Math.floor(this.#index / length);
    return this.#beganNs + period * this.#periodNs + this.#atMs[this.#index - period * length]! * MS_NS;
  }
}
