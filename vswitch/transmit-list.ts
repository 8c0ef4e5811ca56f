/**
 * Directions that have frames to pass on: a queue of those that may do so now, and the ones that wait for a time. Each
 * direction is in it at most once (`LinkDirection.listed`). Used by `link.ts` (push) and `engine.ts` (run).
 */
import type { Clock } from '../model/clock.js';
import { ActiveList } from './active-list.js';
import type { LinkDirection } from './link.js';

/** Frames that a direction passes on before the next one has its turn. */
const QUOTA = 64;

export class TransmitList {
  /** When the first of the waiting directions is due; may be too early, never too late. Infinity: none waits. */
  nextNs: number;
  readonly #clock: Clock;
  #ring: (LinkDirection | null)[];
  #head: number;
  #count: number;
  readonly #waiting: ActiveList<LinkDirection>;

  constructor(clock: Clock) {
    this.nextNs = Infinity;
    this.#clock = clock;
    this.#ring = new Array<LinkDirection | null>(16).fill(null);
    this.#head = 0;
    this.#count = 0;
    this.#waiting = new ActiveList();
  }

  /** Room for so many directions, so that `push` never allocates. */
  reserve(directions: number): void {
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

  /** A direction that is not listed yet. */
  push(direction: LinkDirection): void {
    direction.listed = true;
    direction.waiting = false;
    this.#ring[(this.#head + this.#count++) & (this.#ring.length - 1)] = direction;
  }

  /** One of those that wait is due at this time, perhaps earlier than it was. */
  expect(nextNs: number): void {
    if (nextNs < this.nextNs) this.nextNs = nextNs;
  }

  /** Forgets a direction that goes away. */
  remove(direction: LinkDirection): void {
    for (let n = this.#count; n > 0; n--) {
      const other = this.#pop();
      if (other !== direction) this.push(other);
    }
    this.#waiting.remove(direction);
    direction.listed = false;
    direction.waiting = false;
  }

  /** Lets the directions pass on frames, in turn, until none has one that is due or `budget` frames went; returns how many. */
  run(budget: number): number {
    if (this.#clock.nowNs() >= this.nextNs) this.#wake();
    let frames = 0;
    while (this.#count > 0 && frames < budget) {
      const direction = this.#pop();
      frames += direction.transmit(QUOTA);
      const nextNs = direction.qdisc.nextNs;
      if (nextNs <= this.#clock.nowNs()) {
        this.push(direction);
      } else if (nextNs === Infinity) {
        direction.listed = false;
      } else {
        direction.waiting = true;
        this.#waiting.push(direction);
        this.expect(nextNs);
      }
    }
    return frames;
  }

  #pop(): LinkDirection {
    const direction = this.#ring[this.#head]!;
    this.#ring[this.#head] = null;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#count--;
    return direction;
  }

  #wake(): void {
    this.nextNs = Infinity;
    let kept = 0;
    const { items, count } = this.#waiting;
    for (let i = 0; i < count; i++) {
      const direction = items[i]!;
      const nextNs = direction.qdisc.nextNs;
      if (nextNs <= this.#clock.nowNs()) {
        this.push(direction);
      } else {
        items[kept++] = direction;
        this.expect(nextNs);
      }
    }
    this.#waiting.count = kept;
  }
}
