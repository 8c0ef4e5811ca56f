/**
 * What has left the line of a link and has not arrived: for the delay and its jitter. Packets keep their order, as on a
 * cable: one whose jitter would have it overtake arrives with the one before it. Those that are reordered go without the
 * delay. Called by `emulator.ts`.
 */
import type { Entries } from './entries.js';
import type { HeldFrame } from './held-frame.js';
import type { Holding } from './holding.js';
import type { Jitter } from './jitter.js';
import { Words } from './rows.js';
import { Time } from './times.js';

export interface FlightState {
  /** Each in the order in which they arrive. */
  readonly ordered: readonly HeldFrame[];
  readonly early: readonly HeldFrame[];
}

export class Flight {
  readonly #holding: Holding;
  readonly #entries: Entries;
  #jitter: Jitter | null;
  #delayNs: number;

  constructor(holding: Holding) {
    this.#holding = holding;
    this.#entries = holding.entries;
    this.#jitter = null;
    this.#delayNs = 0;
    holding.words[holding.wordsAt + Words.ordered] = -1;
    holding.words[holding.wordsAt + Words.early] = -1;
    this.#look();
  }

  /** For packets that come from now on. */
  configure(delayNs: number, jitter: Jitter | null): void {
    this.#delayNs = delayNs;
    this.#jitter = jitter;
  }

  /** Sends an entry on its way, that left the line at `Time.left`; `isEarly` without the delay. */
  launch(entry: number, isEarly: boolean): void {
    const { numbers, timesAt, words, wordsAt } = this.#holding;
    const leftNs = numbers[timesAt + Time.left]!;
    const { atNs } = this.#entries;
    const jitter = this.#jitter;
    if (jitter !== null) jitter.draw();
    if (isEarly) {
      atNs[entry] = leftNs;
      this.#entries.append(words, wordsAt + Words.early, entry);
    } else {
      const delayNs = jitter === null ? this.#delayNs : Math.max(0, this.#delayNs + jitter.ns[jitter.at]!);
      const dueNs = Math.max(numbers[timesAt + Time.lastDue]!, leftNs + delayNs);
      numbers[timesAt + Time.lastDue] = dueNs;
      atNs[entry] = dueNs;
      this.#entries.append(words, wordsAt + Words.ordered, entry);
    }
    if (atNs[entry] < numbers[timesAt + Time.arrival]!) numbers[timesAt + Time.arrival] = atNs[entry]!;
  }

  /** Takes out the entry that arrives first, whenever; -1 when none is in flight. Its fields are still to be read. */
  take(): number {
    const { words, wordsAt } = this.#holding;
    const { atNs } = this.#entries;
    const early = words[wordsAt + Words.early]!;
    const ordered = words[wordsAt + Words.ordered]!;
    // In the same nanosecond, what goes without the delay is first.
    const isEarly = early !== -1 && (ordered === -1 || atNs[early]! <= atNs[ordered]!);
    const entry = this.#entries.shift(words, wordsAt + (isEarly ? Words.early : Words.ordered));
    this.#look();
    return entry;
  }

  /** Writes `Time.arrival`. */
  #look(): void {
    const { numbers, timesAt, words, wordsAt } = this.#holding;
    const { atNs } = this.#entries;
    const early = words[wordsAt + Words.early]!;
    const ordered = words[wordsAt + Words.ordered]!;
    const earlyNs = early === -1 ? Infinity : atNs[early]!;
    const orderedNs = ordered === -1 ? Infinity : atNs[ordered]!;
    numbers[timesAt + Time.arrival] = Math.min(earlyNs, orderedNs);
  }

  /** Takes out all that is in flight. */
  exportState(): FlightState {
    const state = { ordered: this.#exportChain(Words.ordered), early: this.#exportChain(Words.early) };
    this.#look();
    return state;
  }

  importState({ ordered, early }: FlightState): void {
    this.#importChain(Words.ordered, ordered);
    this.#importChain(Words.early, early);
    this.#look();
  }

  #exportChain(chain: number): HeldFrame[] {
    const { words, wordsAt } = this.#holding;
    const frames: HeldFrame[] = [];
    for (;;) {
      const entry = this.#entries.shift(words, wordsAt + chain);
      if (entry === -1) return frames;
      frames.push(this.#holding.exportEntry(entry));
    }
  }

  #importChain(chain: number, frames: readonly HeldFrame[]): void {
    const { words, wordsAt } = this.#holding;
    for (const held of frames) {
      const entry = this.#holding.importEntry(held);
      if (entry !== -1) this.#entries.append(words, wordsAt + chain, entry);
    }
  }
}
