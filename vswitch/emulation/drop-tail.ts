/**
 * The plain queue of a link: first in, first out; what finds it full is dropped. The only discipline whose entries may be
 * runs of segments, which it counts one by one; whoever adds a run (`adopt`) has seen that there is room for all of it.
 */
import type { QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import type { Discipline, Waiting } from './discipline.js';
import { Chain } from './entries.js';

const SEGMENTS = 0;
const SEGMENT_BYTES = 1;
const SEGMENT_NS = 2;
const BEGAN_NS = 3;

export class DropTail implements Discipline {
  packets: number;
  bytes: number;
  readonly #waiting: Waiting;
  readonly #chain: Chain;
  #limitPackets: number;
  #limitBytes: number;
  #overheadBytes: number;
  /** The run on the line: its segments, their bytes and nanoseconds each, and when it began. */
  readonly #run: Float64Array;

  constructor(waiting: Waiting, limit: QueueLimit, rateBps: number, overheadBytes: number) {
    this.packets = 0;
    this.bytes = 0;
    this.#waiting = waiting;
    this.#chain = new Chain(waiting.entries);
    this.#limitPackets = Infinity;
    this.#limitBytes = Infinity;
    this.#overheadBytes = 0;
    this.#run = new Float64Array(4);
    this.limit(limit, rateBps, overheadBytes);
  }

  /** What is there stays, also where it is more than that. A time is as many bytes, overhead included, as pass in it. */
  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.#limitPackets = limit.unit === 'packets' ? limit.packets : Infinity;
    this.#limitBytes = limit.unit === 'bytes' ? limit.bytes : Infinity;
    this.#overheadBytes = 0;
    if (limit.unit !== 'time') return;
    this.#limitBytes = Math.floor((rateBps * limit.durationNs) / 8e9);
    this.#overheadBytes = overheadBytes;
  }

  /** A run went on the line at `Waiting.now`: of its segments, those whose turn has not come still wait. */
  onLine(segments: number, segmentBytes: number, segmentNs: number): void {
    const run = this.#run;
    run[SEGMENTS] = segments;
    run[SEGMENT_BYTES] = segmentBytes;
    run[SEGMENT_NS] = segmentNs;
    run[BEGAN_NS] = this.#waiting.now[0]!;
  }

  /** How many more packets of this length there is room for, at most `packets`. */
  room(packetBytes: number, packets: number): number {
    const run = this.#run;
    const begun = 1 + Math.floor((this.#waiting.now[0]! - run[BEGAN_NS]!) / run[SEGMENT_NS]!);
    const onLine = run[SEGMENTS] === 0 ? 0 : Math.max(0, run[SEGMENTS]! - begun);
    const waiting = this.packets + onLine;
    const byCount = this.#limitPackets - waiting;
    const usedBytes = this.bytes + onLine * run[SEGMENT_BYTES]! + waiting * this.#overheadBytes;
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
