/**
 * What decides about the packets that wait for a link: in which order they go on, and which are dropped or marked. One
 * per direction with a rate or a trace; `emulator.ts` calls it, in the order of the link's own time, which may be behind
 * the engine's: what was due between two breaths is done late, but as of when it was due.
 *
 * A discipline owns the entries it has queued. It bounds them by its limit, in packets or bytes that wait.
 */
import type { QueueLimit } from '../../model/emulation.js';
import type { Arena } from '../arena.js';
import type { DropReason } from '../drops.js';
import type { Entries } from './entries.js';

export interface Discipline {
  /** Packets on a wire (segments), and their bytes without overhead, that wait. */
  readonly packets: number;
  readonly bytes: number;

  /**
   * Takes an entry that came now, or has it dropped. Entries of a discipline that is not drop-tail are single packets.
   * Returns false where it was dropped.
   */
  enqueue(entry: number): boolean;

  /** What is there stays, also where it is more than that. A time is as many bytes, overhead included, as pass in it. */
  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void;

  /** Takes an entry without question: when a link's discipline is changed, what waits goes over to the new one. */
  adopt(entry: number): void;

  /** The entry that goes on now, which is the caller's; -1 when none waits any more. May drop others before it. */
  dequeue(): number;

  /** As `dequeue`, but drops nothing: for a link that goes down. */
  remove(): number;
}

/** What disciplines are given. */
export interface Waiting {
  readonly arena: Arena;
  readonly entries: Entries;
  /** `now[0]`: the link's time, in nanoseconds, of what is being done. */
  readonly now: Float64Array;
  /** `nsPerByte[0]`: how long a byte takes at the rate of the moment (of a trace: on average). */
  readonly nsPerByte: Float64Array;
  /** Of the run of segments that went on the line last: with how many of them it has begun, or more. */
  begun(): number;
  /** Counts and releases what an entry holds, and gives the entry back. */
  drop(entry: number, reason: DropReason): void;
  /** Marks its packet CE (RFC 3168); false where its transport does not understand that, and nothing is changed. */
  mark(entry: number): boolean;
}
