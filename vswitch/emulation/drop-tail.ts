/**
 * The plain queue of a link: first in, first out; what finds it full is dropped. The only discipline whose entries may be
 * runs of segments, which it counts one by one; whoever adds a run (`adopt`) has seen that there is room for all of it.
 */
import type { QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import type { Discipline, Waiting } from './discipline.js';
import { Chain } from './entries.js';

export class DropTail implements Discipline {
  packets: number;
  bytes: number;
  readonly #waiting: Waiting;
  readonly #chain: Chain;
  #limitPackets: number;
  #limitBytes: number;
  #overheadBytes: number;
  /** The run on the line: its segments, bytes of each (the last one may be shorter), and in all. */
  #runSegments: number;
  #segmentBytes: number;
  #runBytes: number;

  constructor(waiting: Waiting, limit: QueueLimit, rateBps: number, overheadBytes: number) {
    this.packets = 0;
    this.bytes = 0;
    this.#waiting = waiting;
    this.#chain = new Chain(waiting.entries);
    this.#limitPackets = Infinity;
    this.#limitBytes = Infinity;
    this.#overheadBytes = 0;
    this.#runSegments = 0;
    this.#segmentBytes = 0;
    this.#runBytes = 0;
    this.limit(limit, rateBps, overheadBytes);
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.#limitPackets = limit.unit === 'packets' ? limit.packets : Infinity;
    this.#limitBytes = limit.unit === 'bytes' ? limit.bytes : Infinity;
    this.#overheadBytes = 0;
    if (limit.unit !== 'time') return;
    this.#limitBytes = Math.floor((rateBps * limit.durationNs) / 8e9);
    this.#overheadBytes = overheadBytes;
  }

  /** A run goes on the line: of its segments, those whose turn has not come still wait. */
  onLine(segments: number, segmentBytes: number, runBytes: number): void {
    this.#runSegments = segments;
    this.#segmentBytes = segmentBytes;
    this.#runBytes = runBytes;
  }

  /** How many more packets of this length there is room for, at most `packets`. */
  room(packetBytes: number, packets: number): number {
    const begun = this.#runSegments === 0 ? 0 : this.#waiting.begun();
    const onLine = Math.max(0, this.#runSegments - begun);
    const waiting = this.packets + onLine;
    const byCount = this.#limitPackets - waiting;
    const onLineBytes = onLine === 0 ? 0 : this.#runBytes - begun * this.#segmentBytes;
    const usedBytes = this.bytes + onLineBytes + waiting * this.#overheadBytes;
    const byBytes = Math.floor((this.#limitBytes - usedBytes) / (packetBytes + this.#overheadBytes));
    return Math.max(0, Math.min(packets, byCount, byBytes));
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
    const { bytes, segments } = this.#waiting.entries;
    this.packets += segments[entry]!;
    this.bytes += bytes[entry]!;
    this.#chain.push(entry);
  }

  dequeue(): number {
    const entry = this.#chain.shift();
    if (entry === -1) return -1;
    const { bytes, segments } = this.#waiting.entries;
    this.packets -= segments[entry]!;
    this.bytes -= bytes[entry]!;
    return entry;
  }

  remove(): number {
    return this.dequeue();
  }
}
