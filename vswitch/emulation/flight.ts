/**
 * What has left the line of a link and has not arrived: for the delay and its jitter. Packets keep their order, as on a
 * cable: one whose jitter would have it overtake arrives with the one before it. Those that are reordered go without the
 * delay. Called by `emulator.ts`.
 */
import type { Emulation } from '../../model/emulation.js';
import { Chain, type Entries } from './entries.js';
import type { Jitter } from './jitter.js';
import { Time } from './times.js';

export class Flight {
  /** `due[0]`: when the first arrives; Infinity: none is in flight. */
  readonly due: Float64Array;
  readonly #entries: Entries;
  readonly #times: Float64Array;
  /** Each in the order of its deadlines. */
  readonly #ordered: Chain;
  readonly #early: Chain;
  #jitter: Jitter | null;
  #delayNs: number;

  constructor(entries: Entries, times: Float64Array) {
    this.due = new Float64Array([Infinity]);
    this.#entries = entries;
    this.#times = times;
    this.#ordered = new Chain(entries);
    this.#early = new Chain(entries);
    this.#jitter = null;
    this.#delayNs = 0;
  }

  /** For packets that come from now on. */
  configure({ delayNs }: Emulation, jitter: Jitter | null): void {
    this.#delayNs = delayNs;
    this.#jitter = jitter;
  }

  /** Sends an entry on its way, that left the line at `Time.left`; `isEarly` without the delay. */
  launch(entry: number, isEarly: boolean): void {
    const times = this.#times;
    const leftNs = times[Time.left]!;
    const { atNs } = this.#entries;
    const jitter = this.#jitter;
    if (jitter !== null) jitter.draw();
    if (isEarly) {
      atNs[entry] = leftNs;
      this.#early.push(entry);
    } else {
      const delayNs = jitter === null ? this.#delayNs : Math.max(0, this.#delayNs + jitter.ns[0]!);
      const dueNs = Math.max(times[Time.lastDue]!, leftNs + delayNs);
      times[Time.lastDue] = dueNs;
      atNs[entry] = dueNs;
      this.#ordered.push(entry);
    }
    if (atNs[entry] < this.due[0]!) this.due[0] = atNs[entry]!;
  }

  /** Takes out the entry that arrives first, whenever; -1 when none is in flight. Its fields are still to be read. */
  take(): number {
    const { atNs } = this.#entries;
    const early = this.#early.first;
    const ordered = this.#ordered.first;
    // In the same nanosecond, what goes without the delay is first.
    const isEarly = early !== -1 && (ordered === -1 || atNs[early]! <= atNs[ordered]!);
    const entry = isEarly ? this.#early.shift() : this.#ordered.shift();
    const nextEarlyNs = this.#early.first === -1 ? Infinity : atNs[this.#early.first]!;
    const nextOrderedNs = this.#ordered.first === -1 ? Infinity : atNs[this.#ordered.first]!;
    this.due[0] = Math.min(nextEarlyNs, nextOrderedNs);
    return entry;
  }
}
