/** Controlled Delay (RFC 8289) of one queue: `codel-queues.ts` has the algorithm. */
import type { Queue, QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import { CodelQueues } from './codel-queues.js';
import { type Discipline, type DisciplineState, QueueCell, type Waiting } from './discipline.js';
import { exceedsBound, writeBound } from './queue-bound.js';

export class Codel implements Discipline {
  readonly #waiting: Waiting;
  readonly #queues: CodelQueues;

  constructor(
    queue: Extract<Queue, { discipline: 'codel' }>,
    waiting: Waiting,
    rateBps: number,
    overheadBytes: number,
  ) {
    this.#waiting = waiting;
    this.#queues = new CodelQueues(1, queue, waiting);
    this.limit(queue.limit, rateBps, overheadBytes);
  }

  get packets(): number {
    return this.#queues.packets;
  }

  get bytes(): number {
    return this.#queues.bytes;
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    const { numbers, queueAt } = this.#waiting;
    writeBound(numbers, queueAt + QueueCell.bound, limit, rateBps, overheadBytes);
  }

  enqueue(entry: number): boolean {
    const { packets, bytes } = this.#queues;
    const { entries, numbers, queueAt } = this.#waiting;
    if (exceedsBound(numbers, queueAt + QueueCell.bound, packets + 1, bytes + entries.bytes[entry]!)) {
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

  exportState(): DisciplineState {
    return this.#queues.exportState();
  }

  importState(state: DisciplineState): void {
    this.#queues.importState(state);
  }
}
