/**
 * A queue that chooses among packets as they come, before its limit does: what RED and PIE have in common. Behind the choice
 * is a plain queue.
 */
import type { QueueLimit } from '../../model/emulation.js';
import type { Discipline, DisciplineState, Waiting } from './discipline.js';
import { DropTail } from './drop-tail.js';

export abstract class EarlyDrop implements Discipline {
  protected readonly waiting: Waiting;
  protected readonly tail: DropTail;

  constructor(waiting: Waiting, limit: QueueLimit, rateBps: number, overheadBytes: number) {
    this.waiting = waiting;
    this.tail = new DropTail(waiting, limit, rateBps, overheadBytes);
  }

  get packets(): number {
    return this.tail.packets;
  }

  get bytes(): number {
    return this.tail.bytes;
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.tail.limit(limit, rateBps, overheadBytes);
  }

  abstract enqueue(entry: number): boolean;
  abstract adopt(entry: number): void;
  abstract dequeue(): number;

  remove(): number {
    return this.dequeue();
  }

  /** What the choice goes by, times as from `Time.now`. */
  protected abstract get memory(): readonly number[];
  protected abstract set memory(memory: readonly number[]);

  exportState(): DisciplineState {
    // Before the queue is emptied: that is no time at which nothing waits.
    const { memory } = this;
    return { queues: this.tail.exportState().queues, memory };
  }

  importState({ queues, memory }: DisciplineState): void {
    // The plain queue knows of no run: packets come one by one.
    this.tail.importState({ queues, memory: [0, 0, 0] });
    this.memory = memory as readonly number[];
  }
}
