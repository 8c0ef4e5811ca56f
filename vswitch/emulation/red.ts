/**
 * Random Early Detection (Floyd and Jacobson 1993, figure 2): what comes is dropped or marked by a chance that grows with an
 * average of the bytes that wait. Packets count one by one, whatever their length. With ECN, what would be dropped between
 * the two thresholds is marked instead where it can be; beyond the upper one all are dropped (RFC 3168 §7).
 */
import type { Queue } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import { QueueCell, type Waiting } from './discipline.js';
import { EarlyDrop } from './early-drop.js';
import type { RandomStream } from './random.js';
import { Time } from './times.js';

/** How much could have gone while nothing waited is counted in packets of so many bytes, as their "typical small packet". */
const TYPICAL_BYTES = 1000;

const AVERAGE_BYTES = QueueCell.own;
const EMPTY_SINCE_NS = QueueCell.own + 1;

export class Red extends EarlyDrop {
  readonly #queue: Extract<Queue, { discipline: 'red' }>;
  readonly #random: RandomStream;
  /** Packets since the last one that was chosen; -1 while the average is below the lower threshold. */
  #count: number;

  constructor(
    queue: Extract<Queue, { discipline: 'red' }>,
    waiting: Waiting,
    random: RandomStream,
    rateBps: number,
    overheadBytes: number,
  ) {
    super(waiting, queue.limit, rateBps, overheadBytes);
    this.#queue = queue;
    this.#random = random;
    waiting.numbers[waiting.queueAt + AVERAGE_BYTES] = 0;
    waiting.numbers[waiting.queueAt + EMPTY_SINCE_NS] = -Infinity;
    this.#count = -1;
  }

  enqueue(entry: number): boolean {
    const { minBytes, maxBytes, ecn } = this.#queue;
    this.#measure();
    const averageBytes = this.waiting.numbers[this.waiting.queueAt + AVERAGE_BYTES]!;
    if (averageBytes < minBytes) {
      this.#count = -1;
    } else if (averageBytes >= maxBytes || (this.#isChosen() && !(ecn && this.waiting.mark(entry)))) {
      this.#count = 0;
      this.waiting.drop(entry, DropReason.discipline);
      return false;
    }
    return this.tail.enqueue(entry);
  }

  adopt(entry: number): void {
    this.tail.adopt(entry);
  }

  dequeue(): number {
    const entry = this.tail.dequeue();
    const { numbers, timesAt, queueAt } = this.waiting;
    if (this.tail.packets === 0) numbers[queueAt + EMPTY_SINCE_NS] = numbers[timesAt + Time.now]!;
    return entry;
  }

  protected get memory(): readonly number[] {
    const { numbers, timesAt, queueAt } = this.waiting;
    const sinceNs = numbers[queueAt + EMPTY_SINCE_NS]! - numbers[timesAt + Time.now]!;
    return [numbers[queueAt + AVERAGE_BYTES]!, sinceNs, this.#count];
  }

  protected set memory(memory: readonly number[]) {
    const { numbers, timesAt, queueAt } = this.waiting;
    const [averageBytes, sinceNs, count] = memory as [number, number, number];
    numbers[queueAt + AVERAGE_BYTES] = averageBytes;
    numbers[queueAt + EMPTY_SINCE_NS] = sinceNs + numbers[timesAt + Time.now]!;
    this.#count = count;
  }

  /** A packet came: the average of what it finds. Where that is nothing, the average has fallen in the meantime. */
  #measure(): void {
    const { weightRatio } = this.#queue;
    const { numbers, timesAt, queueAt } = this.waiting;
    if (this.tail.packets > 0) {
      numbers[queueAt + AVERAGE_BYTES]! += weightRatio * (this.tail.bytes - numbers[queueAt + AVERAGE_BYTES]!);
      return;
    }
    const idleNs = numbers[timesAt + Time.now]! - numbers[queueAt + EMPTY_SINCE_NS]!;
    const passed = idleNs / (TYPICAL_BYTES * numbers[queueAt + QueueCell.nsPerByte]!);
    const averageBytes = numbers[queueAt + AVERAGE_BYTES]!;
    numbers[queueAt + AVERAGE_BYTES] = passed < Infinity ? averageBytes * (1 - weightRatio) ** passed : 0;
  }

  /** Between the thresholds: spread evenly, where independent draws would come in clusters (their section 7). */
  #isChosen(): boolean {
    const { minBytes, maxBytes, markRatio } = this.#queue;
    const averageBytes = this.waiting.numbers[this.waiting.queueAt + AVERAGE_BYTES]!;
    this.#count++;
    const chance = (markRatio * (averageBytes - minBytes)) / (maxBytes - minBytes);
    const spread = this.#count * chance >= 1 ? 1 : chance / (1 - this.#count * chance);
    if (this.#random.next32() >>> 0 >= spread * 2 ** 32) return false;
    this.#count = 0;
    return true;
  }
}
