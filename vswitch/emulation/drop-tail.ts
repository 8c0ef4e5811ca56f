/**
 * The plain queue of a link: first in, first out; what finds it full is dropped. The only discipline whose entries may be
 * runs of segments, which it counts one by one: while a run is on the line, those of its segments whose turn has not come
 * still wait.
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
  /** Of the run on the line: what of it still waits. */
  #runPackets: number;
  #runBytes: number;

  constructor(waiting: Waiting, limit: QueueLimit, rateBps: number, overheadBytes: number) {
    this.packets = 0;
    this.bytes = 0;
    this.#waiting = waiting;
    this.#chain = new Chain(waiting.entries);
    this.#limitPackets = Infinity;
    this.#limitBytes = Infinity;
    this.#overheadBytes = 0;
    this.#runPackets = 0;
    this.#runBytes = 0;
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

  /** Of the run that is on the line, so much has still to wait for its turn. */
  setRun(packets: number, bytes: number): void {
    this.#runPackets = packets;
    this.#runBytes = bytes;
  }

  /** How many of so many packets of this length there is room for. */
  room(packetBytes: number, packets: number): number {
    const free = this.#limitPackets - this.packets - this.#runPackets;
    if (this.#limitBytes === Infinity) return Math.max(0, Math.min(packets, free));
    const used = this.bytes + this.#runBytes + (this.packets + this.#runPackets) * this.#overheadBytes;
    return Math.max(0, Math.min(packets, Math.floor((this.#limitBytes - used) / (packetBytes + this.#overheadBytes))));
  }

  enqueue(entry: number): boolean {
    const { bytes, segments } = this.#waiting.entries;
    if (segments[entry] === 1 && this.room(bytes[entry]!, 1) === 0) {
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
