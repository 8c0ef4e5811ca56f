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
import type { HeldFrame } from './held-frame.js';
import { BOUND_CELLS } from './queue-bound.js';

/** A discipline's cells: how long a byte takes at the rate of the moment (of a trace: on average); its bound; what is its own. */
export const QueueCell = { nsPerByte: 0, bound: 1, own: 1 + BOUND_CELLS } as const;
/** Of the one that takes most: PIE. */
export const QUEUE_CELLS = QueueCell.own + 4;

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

  /** Takes out all that waits, and what it remembers: times as from `Time.now`. */
  exportState(): DisciplineState;

  /** Of the same discipline, into an empty one that was just made. What there is no room for is counted as overload. */
  importState(state: DisciplineState): void;
}

export interface DisciplineState {
  /** By queue, in the order in which they go on. */
  readonly queues: readonly (readonly HeldFrame[])[];
  /** Numbers that mean something to the discipline, in an order of its own; arrays of it are by queue. */
  readonly memory: readonly (number | readonly number[])[];
}

/** What disciplines are given: `holding.ts`, and the direction's row (`rows.ts`). */
export interface Waiting {
  readonly arena: Arena;
  readonly entries: Entries;
  readonly numbers: Float64Array;
  /** In `numbers`: where times, the line's cells and the queue's begin. Of what is being done: `Time.now`. */
  readonly timesAt: number;
  readonly lineAt: number;
  readonly queueAt: number;
  readonly words: Int32Array;
  /** In `words`: of a discipline with one queue, its chain. */
  readonly waitingAt: number;
  /** Counts and releases what an entry holds, and gives the entry back. */
  drop(entry: number, reason: DropReason): void;
  /** Marks its packet CE (RFC 3168); false where its transport does not understand that, and nothing is changed. */
  mark(entry: number): boolean;
  /** Takes the frame of an entry out, and gives the entry back. */
  exportEntry(entry: number): HeldFrame;
  /** An entry for a frame that was taken out elsewhere; -1, and it is counted as dropped, where there is no room. */
  importEntry(held: HeldFrame): number;
}
