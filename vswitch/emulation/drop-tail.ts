/**
 * The plain queue of a link: first in, first out; what finds it full is dropped. The only discipline whose entries may be
 * runs of segments, which it counts one by one; whoever adds a run (`adopt`) has seen that there is room for all of it.
 */
import type { QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import { type Discipline, type DisciplineState, QueueCell, type Waiting } from './discipline.js';
import { begunOfRun } from './line.js';
import { roomInBound, writeBound } from './queue-bound.js';

export class DropTail implements Discipline {
  packets: number;
  bytes: number;
  readonly #waiting: Waiting;
  /** The run on the line: its segments, bytes of each (the last one may be shorter), and in all. */
  #runSegments: number;
  #segmentBytes: number;
  #runBytes: number;

  constructor(waiting: Waiting, limit: QueueLimit, rateBps: number, overheadBytes: number) {
    this.packets = 0;
    this.bytes = 0;
    this.#waiting = waiting;
    this.#runSegments = 0;
    this.#segmentBytes = 0;
    this.#runBytes = 0;
    waiting.words[waiting.waitingAt] = -1;
    this.limit(limit, rateBps, overheadBytes);
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    const { numbers, queueAt } = this.#waiting;
    writeBound(numbers, queueAt + QueueCell.bound, limit, rateBps, overheadBytes);
  }

  /** A run goes on the line: of its segments, those whose turn has not come still wait. */
  onLine(segments: number, segmentBytes: number, runBytes: number): void {
    this.#runSegments = segments;
    this.#segmentBytes = segmentBytes;
    this.#runBytes = runBytes;
  }

  /** How many more packets of this length there is room for, at most `packets`. */
  room(packetBytes: number, packets: number): number {
    const { numbers, timesAt, lineAt, queueAt } = this.#waiting;
    const begun = this.#runSegments === 0 ? 0 : begunOfRun(numbers, timesAt, lineAt);
    const onLine = Math.max(0, this.#runSegments - begun);
    const onLineBytes = onLine === 0 ? 0 : this.#runBytes - begun * this.#segmentBytes;
    const bound = queueAt + QueueCell.bound;
    return roomInBound(numbers, bound, this.packets + onLine, this.bytes + onLineBytes, packetBytes, packets);
  }

  enqueue(entry: number): boolean {
    const { bytes } = this.#waiting.entries;
    if (this.room(bytes[entry]!, 1) === 0) {
      this.#waiting.drop(entry, DropReason.queueLimit);
      return false;
    }
    this.adopt(entry);
    return true;
  }

  adopt(entry: number): void {
    const { entries, words, waitingAt } = this.#waiting;
    this.packets += entries.segments[entry]!;
    this.bytes += entries.bytes[entry]!;
    entries.append(words, waitingAt, entry);
  }

  dequeue(): number {
    const { entries, words, waitingAt } = this.#waiting;
    const entry = entries.shift(words, waitingAt);
    if (entry === -1) return -1;
    this.packets -= entries.segments[entry]!;
    this.bytes -= entries.bytes[entry]!;
    return entry;
  }

  remove(): number {
    return this.dequeue();
  }

  exportState(): DisciplineState {
    const queue = [];
    for (let entry = this.dequeue(); entry !== -1; entry = this.dequeue()) queue.push(this.#waiting.exportEntry(entry));
    return { queues: [queue], memory: [this.#runSegments, this.#segmentBytes, this.#runBytes] };
  }

  importState({ queues: [queue], memory }: DisciplineState): void {
    for (const held of queue!) {
      const entry = this.#waiting.importEntry(held);
      if (entry !== -1) this.adopt(entry);
    }
    [this.#runSegments, this.#segmentBytes, this.#runBytes] = memory as [number, number, number];
  }
}
