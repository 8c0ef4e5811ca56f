/**
 * What holds the frames of one direction of a link until they may go on. Frames are ids in the arena that the qdisc was made
 * with, and its time is the clock's that it was made with: an argument of each call, a double, would be a piece of garbage
 * in each breath (bench/README.md). Called by `link.ts` alone.
 *
 * The law: frames taken = frames given + frames dropped and counted + `length`; one that cuts frames, or doubles them,
 * counts what it has made as taken.
 */
import type { FrameBatch } from '../arena.js';

export interface Qdisc {
  /** Frames that are in it. */
  readonly length: number;
  /** `due[dueAt]`: when `dequeue` may have a frame to give, at the earliest; Infinity while it is empty. */
  readonly due: Float64Array;
  readonly dueAt: number;

  /** True: the frame is the qdisc's (queued, or dropped and counted). False: it is full, and the frame stays the caller's. */
  enqueue(frame: number): boolean;

  /** `enqueue` of frames from `from` on, until it is full for one: returns that one's place, or how many there are. */
  enqueueAll(frames: FrameBatch, from: number): number;

  /** The next frame that is due, which is the caller's from now on; -1 when there is none. */
  dequeue(): number;

  /** `dequeue` into `frames`, of as many as have room there, at most `most`. */
  dequeueAll(frames: FrameBatch, most: number): void;

  /** The next frame, due or not, for a link that goes down: the caller's from now on; -1 when it is empty. */
  remove(): number;
}

/** Of a direction that was not told yet what it is like: it takes nothing and has nothing. */
export const NO_QDISC: Qdisc = {
  length: 0,
  due: Float64Array.of(Infinity),
  dueAt: 0,
  enqueue: () => false,
  enqueueAll: (_, from) => from,
  dequeue: () => -1,
  dequeueAll: () => undefined,
  remove: () => -1,
};
