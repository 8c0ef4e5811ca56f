/** Controlled Delay (RFC 8289) of one queue: `codel-queues.ts` has the algorithm. */
import type { Queue, QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import { CodelQueues } from './codel-queues.js';
import type { Discipline, Waiting } from './discipline.js';
import { QueueBound } from './queue-bound.js';

export class Codel implements Discipline {
  readonly #waiting: Waiting;
  readonly #bound: QueueBound;
  readonly #queues: CodelQueues;

  constructor(
    queue: Extract<Queue, { discipline: 'codel' }>,
    waiting: Waiting,
    rateBps: number,
    overheadBytes: number,
  ) {
    this.#waiting = waiting;
    this.#bound = new QueueBound(queue.limit, rateBps, overheadBytes);
    this.#queues = new CodelQueues(1, queue, waiting);
  }

  get packets(): number {
    return this.#queues.packets;
  }

  get bytes(): number {
    return this.#queues.bytes;
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.#bound.set(limit, rateBps, overheadBytes);
  }

  enqueue(entry: number): boolean {
    const { packets, bytes } = this.#queues;
    if (this.#bound.isExceeded(packets + 1, bytes + this.#waiting.entries.bytes[entry]!)) {
      this.#waiting.drop(entry, DropReason.queueLimit);
      return false;
    }
    this.adopt(entry);
    return true;
  }

  adopt(entry: number): void {
    this.#queues.push(0, entry);
  }

  dequeue(): number {
    return this.#queues.dequeue(0);
  }

  remove(): number {
    return this.#queues.shift(0);
  }
}
