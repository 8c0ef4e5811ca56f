/**
 * What parity may cost: half of the bytes that it protects, and 32 kB a second above that, so that what is sent now and then
 * (a ping, a keystroke: blocks of one datagram, whose parity is as long as they are) is protected as well. A path that
 * loses since it is full so never gets more than one and a half times its load. Time comes in. Called by `parity.ts`.
 */
import { MAX_PARITY_RATIO } from '../../../model/fec.js';

const FREE_BYTES_PER_S = 32e3;
/** Saved for a burst. */
const MOST_BYTES = 64 * 1024;

export class ParityBudget {
  #bytes: number;
  #atNs: number;

  constructor() {
    this.#bytes = MOST_BYTES;
    this.#atNs = 0;
  }

  /** It is now. */
  tick(nowNs: number): void {
    this.#earn(((nowNs - this.#atNs) / 1e9) * FREE_BYTES_PER_S);
    this.#atNs = nowNs;
  }

  /** So many bytes of frames are sent. */
  sent(bytes: number): void {
    this.#earn(bytes * MAX_PARITY_RATIO);
  }

  /** How many of `rows`, of so many bytes each, there may be; they are paid. */
  take(rows: number, rowBytes: number): number {
    const taken = Math.min(rows, Math.floor(this.#bytes / rowBytes));
    this.#bytes -= taken * rowBytes;
    return taken;
  }

  #earn(bytes: number): void {
    this.#bytes = Math.min(MOST_BYTES, this.#bytes + bytes);
  }
}
