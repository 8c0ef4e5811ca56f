/**
 * A drop-tail queue that holds nothing back: every frame is due at once. What a link without properties uses, as Linux
 * uses `pfifo`.
 *
 *           head                head + length
 *            ▼                   ▼
 *   ┌───┬───┬───┬───┬───┬───┬───┬───┐
 *   │   │   │ a │ b │ c │ d │ e │   │   positions modulo the ring's size, a power of two
 *   └───┴───┴───┴───┴───┴───┴───┴───┘
 *
 * Most queues never hold more than a turn's frames: the ring begins with room for those, and is made twice as large where more wait.
 */
import type { FrameBatch } from '../arena.js';
import { TURN_FRAMES } from '../limits.js';
import type { Qdisc } from './qdisc.js';

/** As `txqueuelen` of an Ethernet device on Linux. */
export const DEFAULT_FIFO_FRAMES = 1000;

export class Fifo implements Qdisc {
  readonly limit: number;
  length: number;
  readonly due: Float64Array;
  readonly dueAt = 0;
  #ring: Int32Array;
  #mask: number;
  #head: number;

  /** `limit`: most frames that wait, at least 1. */
  constructor(limit = DEFAULT_FIFO_FRAMES) {
    if (!(limit >= 1 && limit <= 2 ** 24)) throw new RangeError(`a queue holds 1 to 16777216 frames, not ${limit}`);
    const size = 2 ** Math.ceil(Math.log2(Math.min(limit, TURN_FRAMES)));
    this.limit = limit;
    this.length = 0;
    this.due = new Float64Array([Infinity]);
    this.#ring = new Int32Array(size);
    this.#mask = size - 1;
    this.#head = 0;
  }

  enqueue(frame: number): boolean {
    if (this.length === this.limit) return false;
    if (this.length > this.#mask) this.#grow(this.length + 1);
    this.#ring[(this.#head + this.length++) & this.#mask] = frame;
    this.due[0] = 0;
    return true;
  }

  enqueueAll(frames: FrameBatch, from: number): number {
    const { ids, count } = frames;
    const end = Math.min(count, from + this.limit - this.length);
    const length = this.length + end - from;
    if (length > this.#mask + 1) this.#grow(length);
    const ring = this.#ring;
    const mask = this.#mask;
    let at = this.#head + this.length;
    for (let i = from; i < end; i++) ring[at++ & mask] = ids[i]!;
    this.length = length;
    if (this.length > 0) this.due[0] = 0;
    return end;
  }

  dequeueAll(frames: FrameBatch, most: number): void {
    const { ids, channels, count } = frames;
    const ring = this.#ring;
    const mask = this.#mask;
    const end = count + Math.min(this.length, most, frames.capacity - count);
    let at = this.#head;
    for (let i = count; i < end; i++) {
      ids[i] = ring[at++ & mask]!;
      channels[i] = 0;
    }
    this.#head = at & mask;
    this.length -= end - count;
    frames.count = end;
    if (this.length === 0) this.due[0] = Infinity;
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

  /** What waits is at the beginning of the new ring. */
  #grow(frames: number): void {
    let size = 2 * this.#ring.length;
    while (size < frames) size *= 2;
    const ring = new Int32Array(size);
    for (let i = 0; i < this.length; i++) ring[i] = this.#ring[(this.#head + i) & this.#mask]!;
    this.#ring = ring;
    this.#mask = size - 1;
    this.#head = 0;
  }
}
