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

  /** What it remembers of what has passed, times as from `Time.now`. */
  exportState(): LineState;
  importState(state: LineState): void;
}

/** Its cells, those that are times counted from now. */
export type LineState = readonly number[];

/** Offsets of a rate's cells: of a nanosecond, in 1/rate; of the run on the line: when it began, with which remainder, and the work of a packet. */
const REMAINDER = 0;
const RUN_START = 1;
const RUN_REMAINDER = 2;
/** 0: there is no run on the line. */
const RUN_WORK = 3;
const RATE = 4;
/** Of a trace's: when the recording began. */
const BEGAN = 0;
/** The opportunity that was used last, counted over all periods (-1: none yet), and what it has left. */
const INDEX = 1;
const LEFT_BYTES = 2;
export const LINE_CELLS = 5;

/**
 * With how many packets of the run on it a line has begun by `Time.now`, or more than it has. The n-th begins after
 * floor((n · work + remainder) / rate): in time where n · work + remainder < (time + 1) · rate.
 */
export function begunOfRun(numbers: Float64Array, timesAt: number, lineAt: number): number {
  const work = numbers[lineAt + RUN_WORK]!;
  if (work === 0) return Infinity;
  const sinceNs = numbers[timesAt + Time.now]! - numbers[lineAt + RUN_START]!;
  return Math.ceil(((sinceNs + 1) * numbers[lineAt + RATE]! - numbers[lineAt + RUN_REMAINDER]!) / work);
}

/**
 * A rate. Whole nanoseconds: what is left of one counts for the next packet while the line stays busy, so that no
 * rounding adds up.
 */
export class RateLine implements Line {
  readonly #numbers: Float64Array;
  readonly #timesAt: number;
  readonly #at: number;

  constructor(numbers: Float64Array, timesAt: number, at: number, rateBps: number) {
    this.#numbers = numbers;
    this.#timesAt = timesAt;
    this.#at = at;
    numbers.fill(0, at, at + LINE_CELLS);
    numbers[at + RATE] = rateBps;
  }

  plan(): void {
    const numbers = this.#numbers;
    const times = this.#timesAt;
    numbers[times + Time.start] = Math.max(numbers[times + Time.finish]!, numbers[times + Time.now]!);
  }

  beginRun(packetBytes: number): void {
    const numbers = this.#numbers;
    const at = this.#at;
    const startNs = numbers[this.#timesAt + Time.start]!;
    numbers[at + RUN_START] = startNs;
    numbers[at + RUN_REMAINDER] = startNs > numbers[this.#timesAt + Time.finish]! ? 0 : numbers[at + REMAINDER]!;
    numbers[at + RUN_WORK] = packetBytes * 8e9;
  }

  pass(bytes: number): void {
    const numbers = this.#numbers;
    const at = this.#at;
    const startNs = numbers[this.#timesAt + Time.start]!;
    const rateBps = numbers[at + RATE]!;
    const before = startNs > numbers[this.#timesAt + Time.finish]! ? 0 : numbers[at + REMAINDER]!;
    // A run is at most 64 KiB of payload and a few hundred headers: exact.
    const work = bytes * 8e9 + before;
    const ns = Math.floor(work / rateBps);
    numbers[at + REMAINDER] = work - ns * rateBps;
    numbers[this.#timesAt + Time.finish] = startNs + ns;
  }

  exportState(): LineState {
    const numbers = this.#numbers;
    const at = this.#at;
    const sinceNs = numbers[at + RUN_START]! - numbers[this.#timesAt + Time.now]!;
    return [numbers[at + REMAINDER]!, sinceNs, numbers[at + RUN_REMAINDER]!, numbers[at + RUN_WORK]!];
  }

  importState(state: LineState): void {
    this.#numbers.set(state, this.#at);
    this.#numbers[this.#at + RUN_START]! += this.#numbers[this.#timesAt + Time.now]!;
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
  readonly #numbers: Float64Array;
  readonly #timesAt: number;
  readonly #at: number;
  readonly #atMs: readonly number[];

  /** `atMs`: as it was recorded, shared by all lines that name it. It begins at `Time.now`. */
  constructor(numbers: Float64Array, timesAt: number, at: number, atMs: readonly number[]) {
    this.#numbers = numbers;
    this.#timesAt = timesAt;
    this.#at = at;
    this.#atMs = atMs;
    numbers.fill(0, at, at + LINE_CELLS);
    numbers[at + BEGAN] = numbers[timesAt + Time.now]!;
    numbers[at + INDEX] = -1;
  }

  plan(isNext: boolean): void {
    const numbers = this.#numbers;
    const at = this.#at;
    const times = this.#timesAt;
    const nowNs = numbers[times + Time.now]!;
    const finishNs = numbers[times + Time.finish]!;
    if (numbers[at + LEFT_BYTES]! > 0 && (isNext || finishNs > nowNs)) {
      numbers[times + Time.start] = Math.max(finishNs, nowNs);
      return;
    }
    numbers[at + LEFT_BYTES] = 0;
    if (numbers[at + INDEX] === -1) this.#miss(Math.max(finishNs, nowNs));
    else if (!isNext) this.#miss(nowNs);
    numbers[at + INDEX]!++;
    numbers[times + Time.start] = this.#timeOf();
    numbers[at + INDEX]!--;
  }

  pass(bytes: number): void {
    const numbers = this.#numbers;
    const at = this.#at;
    let needBytes = bytes;
    while (numbers[at + LEFT_BYTES]! < needBytes) {
      needBytes -= numbers[at + LEFT_BYTES]!;
      numbers[at + INDEX]!++;
      numbers[at + LEFT_BYTES] = OPPORTUNITY_BYTES;
    }
    numbers[at + LEFT_BYTES]! -= needBytes;
    numbers[this.#timesAt + Time.finish] = this.#timeOf();
  }

  beginRun(): void {
    // Packets come one at a time; a run that was on another line before it is gone.
  }

  exportState(): LineState {
    const numbers = this.#numbers;
    const at = this.#at;
    const sinceNs = numbers[at + BEGAN]! - numbers[this.#timesAt + Time.now]!;
    return [sinceNs, numbers[at + INDEX]!, numbers[at + LEFT_BYTES]!];
  }

  importState(state: LineState): void {
    this.#numbers.set(state, this.#at);
    this.#numbers[this.#at + BEGAN]! += this.#numbers[this.#timesAt + Time.now]!;
  }

  /** All opportunities until then, that moment included, are gone. */
  #miss(untilNs: number): void {
    const atMs = this.#atMs;
    const beganNs = this.#numbers[this.#at + BEGAN]!;
    const periodNs = atMs[atMs.length - 1]! * MS_NS;
    const period = Math.max(0, Math.floor((untilNs - beganNs) / periodNs));
    const sinceMs = (untilNs - beganNs - period * periodNs) / MS_NS;
    let low = 0;
    let high = atMs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (atMs[middle]! <= sinceMs) low = middle + 1;
      else high = middle;
    }
    // A recording may begin with 0: the moment at which the one before ends.
    const missed = period * atMs.length + low - 1;
    if (missed > this.#numbers[this.#at + INDEX]!) this.#numbers[this.#at + INDEX] = missed;
  }

  #timeOf(): number {
    const atMs = this.#atMs;
    const { length } = atMs;
    const index = this.#numbers[this.#at + INDEX]!;
    const period = Math.floor(index / length);
    const sinceMs = period * atMs[length - 1]! * MS_NS + atMs[index - period * length]! * MS_NS;
    return this.#numbers[this.#at + BEGAN]! + sinceMs;
  }
}
