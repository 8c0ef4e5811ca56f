/**
 * Directions that have frames to pass on: a queue of those that may do so now, and a timing wheel of those that wait for a
 * time. Each direction is in one of them at most (`LinkDirection.listed`, `waiting`). Used by `link.ts` (schedule) and
 * `engine.ts` (run).
 */
import type { Clock } from '../model/clock.js';
import { FrameBatch } from './arena.js';
import { MAX_LINKS, TURN_FRAMES } from './limits.js';
import type { LinkDirection } from './link.js';
import { TimingWheel } from './timing-wheel.js';

export class TransmitList {
  /** The frames that the direction whose turn it is passes on. */
  readonly batch: FrameBatch;
  readonly #now: Float64Array;
  #ring: (LinkDirection | null)[];
  #head: number;
  #count: number;
  readonly #wheel: TimingWheel;
  /** Those in the wheel, by their index. */
  readonly #waiting: (LinkDirection | null)[];

  constructor(clock: Clock) {
    this.batch = new FrameBatch(TURN_FRAMES);
    this.#now = clock.now;
    this.#ring = new Array<LinkDirection | null>(16).fill(null);
    this.#head = 0;
    this.#count = 0;
    this.#wheel = new TimingWheel(2 * MAX_LINKS, clock);
    this.#waiting = [];
  }

  /** Room for directions with indices below, so that `schedule` never allocates. */
  reserve(directions: number): void {
    while (this.#waiting.length < directions) this.#waiting.push(null);
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, directions)));
    if (size <= this.#ring.length) return;
    const ring = new Array<LinkDirection | null>(size).fill(null);
    for (let i = 0; i < this.#count; i++) ring[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)]!;
    this.#ring = ring;
    this.#head = 0;
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** When the first of the waiting directions is due; may be too early, never too late. Infinity: none waits. */
  get nextNs(): number {
    return this.#wheel.next[0]!;
  }

  /** What a direction has to pass on, or when, has changed. */
  schedule(direction: LinkDirection): void {
    if (direction.listed) return;
    const { due, dueAt } = direction.qdisc;
    // The first of these comparisons is for links that are not emulated, which need no clock.
    if (due[dueAt] === 0 || (due[dueAt]! < Infinity && due[dueAt]! <= this.#now[0]!)) {
      if (direction.waiting) this.#wheel.cancel(direction.index);
      this.#push(direction);
    } else if (due[dueAt]! < Infinity) {
      this.#wheel.set(direction.index, due, dueAt);
      direction.waiting = true;
      this.#waiting[direction.index] = direction;
    } else if (direction.waiting) {
      this.#wheel.cancel(direction.index);
      direction.waiting = false;
    }
  }

  /** Forgets a direction that goes away. */
  remove(direction: LinkDirection): void {
    for (let n = this.#count; n > 0; n--) {
      const other = this.#pop();
      if (other !== direction) this.#push(other);
    }
    this.#wheel.cancel(direction.index);
    this.#waiting[direction.index] = null;
    direction.listed = false;
    direction.waiting = false;
  }

  /** Lets the directions pass on frames, in turn, until none has one that is due or `budget` frames went; returns how many. */
  run(budget: number): number {
    if (this.#now[0]! >= this.#wheel.next[0]!) this.#wake();
    let frames = 0;
    while (this.#count > 0 && frames < budget) {
      const direction = this.#pop();
      direction.listed = false;
      frames += direction.transmit(TURN_FRAMES);
      this.schedule(direction);
    }
    return frames;
  }

  #push(direction: LinkDirection): void {
    direction.listed = true;
    direction.waiting = false;
    this.#ring[(this.#head + this.#count++) & (this.#ring.length - 1)] = direction;
  }

  #pop(): LinkDirection {
    const direction = this.#ring[this.#head]!;
    this.#ring[this.#head] = null;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#count--;
    return direction;
  }

  #wake(): void {
    const count = this.#wheel.expire();
    for (let i = 0; i < count; i++) this.#push(this.#waiting[this.#wheel.due[i]!]!);
  }
}
