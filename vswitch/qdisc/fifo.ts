/**
 * A drop-tail queue that holds nothing back: every frame is due at once. What a link without properties uses, as Linux
 * uses `pfifo`.
 *
 *           head                head + length
 *            ▼                   ▼
 *   ┌───┬───┬───┬───┬───┬───┬───┬───┐
 *   │   │   │ a │ b │ c │ d │ e │   │   positions modulo the ring's size, a power of two
 *   └───┴───┴───┴───┴───┴───┴───┴───┘
 */
import type { Qdisc } from './qdisc.js';

/** As `txqueuelen` of an Ethernet device on Linux. */
export const DEFAULT_FIFO_FRAMES = 1000;

export class Fifo implements Qdisc {
  readonly limit: number;
  length: number;
  readonly due: Float64Array;
  readonly dueAt = 0;
  readonly #ring: Int32Array;
  readonly #mask: number;
  #head: number;

  /** `limit`: most frames that wait, at least 1. */
  constructor(limit = DEFAULT_FIFO_FRAMES) {
    if (!(limit >= 1 && limit <= 2 ** 24)) throw new RangeError(`a queue holds 1 to 16777216 frames, not ${limit}`);
    const size = 2 ** Math.ceil(Math.log2(limit));
    this.limit = limit;
    this.length = 0;
    this.due = new Float64Array([Infinity]);
    this.#ring = new Int32Array(size);
    this.#mask = size - 1;
    this.#head = 0;
  }

  enqueue(frame: number): boolean {
    if (this.length === this.limit) return false;
    this.#ring[(this.#head + this.length++) & this.#mask] = frame;
    this.due[0] = 0;
    return true;
  }

  dequeue(): number {
    if (this.length === 0) return -1;
    const frame = this.#ring[this.#head]!;
    this.#head = (this.#head + 1) & this.#mask;
    if (--this.length === 0) this.due[0] = Infinity;
    return frame;
  }

  remove(): number {
    return this.dequeue();
  }
}
