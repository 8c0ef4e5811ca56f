/**
 * Random Early Detection (Floyd and Jacobson 1993, figure 2): what comes is dropped or marked by a chance that grows with an
 * average of the bytes that wait. Packets count one by one, whatever their length. With ECN, what would be dropped between
 * the two thresholds is marked instead where it can be; beyond the upper one all are dropped (RFC 3168 §7).
 */
import type { Queue, QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import type { Discipline, Waiting } from './discipline.js';
import { DropTail } from './drop-tail.js';
import type { RandomStream } from './random.js';

/** How much could have gone while nothing waited is counted in packets of so many bytes, as their "typical small packet". */
const TYPICAL_BYTES = 1000;

const AVERAGE_BYTES = 0;
const EMPTY_SINCE_NS = 1;

export class Red implements Discipline {
  readonly #queue: Extract<Queue, { discipline: 'red' }>;
  readonly #waiting: Waiting;
  readonly #random: RandomStream;
  readonly #tail: DropTail;
  readonly #state: Float64Array;
  /** Packets since the last one that was chosen; -1 while the average is below the lower threshold. */
  #count: number;

  constructor(
    queue: Extract<Queue, { discipline: 'red' }>,
    waiting: Waiting,
    random: RandomStream,
    rateBps: number,
    overheadBytes: number,
  ) {
    this.#queue = queue;
    this.#waiting = waiting;
    this.#random = random;
    this.#tail = new DropTail(waiting, queue.limit, rateBps, overheadBytes);
    this.#state = Float64Array.of(0, -Infinity);
    this.#count = -1;
  }

  get packets(): number {
    return this.#tail.packets;
  }

  get bytes(): number {
    return this.#tail.bytes;
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.#tail.limit(limit, rateBps, overheadBytes);
  }

  enqueue(entry: number): boolean {
    const { minBytes, maxBytes, ecn } = this.#queue;
    this.#measure();
    const averageBytes = this.#state[AVERAGE_BYTES]!;
    if (averageBytes < minBytes) {
      this.#count = -1;
    } else if (averageBytes >= maxBytes || (this.#isChosen() && !(ecn && this.#waiting.mark(entry)))) {
      this.#count = 0;
      this.#waiting.drop(entry, DropReason.discipline);
      return false;
    }
    return this.#tail.enqueue(entry);
  }

  adopt(entry: number): void {
    this.#tail.adopt(entry);
  }

  dequeue(): number {
    const entry = this.#tail.dequeue();
    if (this.#tail.packets === 0) this.#state[EMPTY_SINCE_NS] = this.#waiting.now[0]!;
    return entry;
  }

  remove(): number {
    return this.dequeue();
  }

  /** A packet came: the average of what it finds. Where that is nothing, the average has fallen in the meantime. */
  #measure(): void {
    const { weightRatio } = this.#queue;
    const state = this.#state;
    if (this.#tail.packets > 0) {
      state[AVERAGE_BYTES]! += weightRatio * (this.#tail.bytes - state[AVERAGE_BYTES]!);
      return;
    }
    const idleNs = this.#waiting.now[0]! - state[EMPTY_SINCE_NS]!;
    const passed = idleNs / (TYPICAL_BYTES * this.#waiting.nsPerByte[0]!);
    state[AVERAGE_BYTES] = passed < Infinity ? state[AVERAGE_BYTES]! * (1 - weightRatio) ** passed : 0;
  }

  /** Between the thresholds: spread evenly, where independent draws would come in clusters (their section 7). */
  #isChosen(): boolean {
    const { minBytes, maxBytes, markRatio } = this.#queue;
    this.#count++;
    const chance = (markRatio * (this.#state[AVERAGE_BYTES]! - minBytes)) / (maxBytes - minBytes);
    const spread = this.#count * chance >= 1 ? 1 : chance / (1 - this.#count * chance);
    if (this.#random.next32() >>> 0 >= spread * 2 ** 32) return false;
    this.#count = 0;
    return true;
  }
}
