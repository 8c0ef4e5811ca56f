/**
 * How late frames left emulated links: noted as each leaves, counted when what a breath sends has been written, which may be
 * much later where the breath found its code in no cache. Filled by `emulator.ts`, told by `engine.ts` at a breath's end.
 */
import type { Clock } from '../../model/clock.js';
import { Telemetry } from '../telemetry.js';

/** As many as one run of the transmit list may pass. */
const CAPACITY = 4096;

export class Lateness {
  /** How many are noted. */
  count: number;
  readonly #now: Float64Array;
  readonly #telemetry: Telemetry;
  readonly #dueNs: Float64Array;
  /** Of the direction's counters. */
  readonly #base: Int32Array;
  /** `[0]`: what is handed on. */
  readonly #late: Float64Array;

  constructor({ clock, telemetry }: { readonly clock: Clock; readonly telemetry: Telemetry }) {
    this.count = 0;
    this.#now = clock.now;
    this.#telemetry = telemetry;
    this.#dueNs = new Float64Array(CAPACITY);
    this.#base = new Int32Array(CAPACITY);
    this.#late = new Float64Array(1);
  }

  /** A frame leaves a direction, 2 · link + way, that was due at `due[at]`. */
  note(direction: number, due: Float64Array, at: number): void {
    // Of so many, the first were written long ago.
    if (this.count === CAPACITY) this.tell();
    this.#dueNs[this.count] = due[at]!;
    this.#base[this.count++] = Telemetry.directionBase(direction >>> 1, direction & 1);
  }

  /** All that are noted have been written by now. One that was there before it was due was not late. */
  tell(): void {
    const late = this.#late;
    for (let i = 0; i < this.count; i++) {
      late[0] = Math.max(0, this.#now[0]! - this.#dueNs[i]!);
      this.#telemetry.countLate(this.#base[i]!, late);
    }
    this.count = 0;
  }
}
