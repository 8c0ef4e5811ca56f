/**
 * When things numbered 0 … capacity-1 are due: a hierarchical timing wheel (Varghese and Lauck 1987, scheme 7) in typed
 * arrays. To set, move or cancel one takes the same time however many there are; nothing allocates.
 *
 *   level 0   64 slots of  1.024 µs     ┌─┬─┬─┬─ … ─┐    a slot is a list of what is due within it; where the
 *   level 1   64 slots of 65.5   µs     ┌─┬─┬─┬─ … ─┐    time comes to a slot of a higher level, what is in it
 *   level 2   64 slots of  4.19  ms     ┌─┬─┬─┬─ … ─┐    is spread over the levels below
 *   …
 *   level 7   64 slots of 52     days
 *
 * A deadline keeps its nanosecond: the wheel only sorts roughly, and what is due is compared. Used by
 * `transmit-list.ts`, with the directions of links.
 */
import type { Clock } from '../model/clock.js';

const SLOTS = 64;
/** In the bits of a slot's number. */
const LAST_SLOT = SLOTS - 1;
const LEVELS = 8;
const TICK_NS = 1024;
/** Nanoseconds of a slot, by level. */
const WIDTHS = Float64Array.from({ length: LEVELS }, (_, level) => TICK_NS * SLOTS ** level);
/** Of a list, so many are looked at for the first deadline; of a longer one, where its slot begins is good enough. */
const LOOK = 8;
const NOWHERE = -1;

/** Which slot of its level a position is in. What a remainder of doubles would be, which takes ten times as long. */
function slotAt(position: number): number {
  return (position - Math.floor(position / SLOTS) * SLOTS) | 0;
}

export class TimingWheel {
  /** When each is due, or was, in nanoseconds. Written by `set`. */
  readonly atNs: Float64Array;
  /** What `expire` has found, the first `count` of it: in the order of its deadlines, and at the same one of its numbers. */
  readonly due: Int32Array;
  /** `next[0]`: when the first is due; may be too early, never too late. Infinity: none is set. */
  readonly next: Float64Array;
  readonly #now: Float64Array;
  /** Doubly linked lists: slot → first, and what follows and precedes each. */
  readonly #first: Int32Array;
  readonly #after: Int32Array;
  readonly #before: Int32Array;
  /** The slot that each is in, levels one after the other; NOWHERE. */
  readonly #slot: Int16Array;
  /** By level: how many slots of time have begun since the clock's start. */
  readonly #position: Float64Array;
  /** By level: how many are in it. */
  readonly #held: Int32Array;

  constructor(capacity: number, clock: Clock) {
    this.atNs = new Float64Array(capacity).fill(Infinity);
    this.due = new Int32Array(capacity);
    this.next = new Float64Array([Infinity]);
    this.#now = clock.now;
    this.#first = new Int32Array(LEVELS * SLOTS).fill(NOWHERE);
    this.#after = new Int32Array(capacity);
    this.#before = new Int32Array(capacity);
    this.#slot = new Int16Array(capacity).fill(NOWHERE);
    this.#position = new Float64Array(LEVELS);
    this.#held = new Int32Array(LEVELS);
  }

  /** Due at `when[at]` from now on, which may be in the past. */
  set(item: number, when: Float64Array, at = 0): void {
    const atNs = when[at]!;
    if (this.#slot[item] !== NOWHERE) this.#unlink(item);
    this.atNs[item] = atNs;
    if (atNs === Infinity) return;
    this.#link(item);
    if (atNs < this.next[0]!) this.next[0] = atNs;
  }

  cancel(item: number): void {
    if (this.#slot[item] === NOWHERE) return;
    this.#unlink(item);
  }

  /** Takes out all that are due by now, to `due`; returns how many. */
  expire(): number {
    const nowNs = this.#now[0]!;
    let count = 0;
    if (nowNs < this.next[0]!) return 0;
    // Upwards: what moves down finds the levels below at the present.
    for (let level = 0; level < LEVELS; level++) {
      const until = Math.floor(nowNs / WIDTHS[level]!);
      const from = this.#position[level]!;
      this.#position[level] = until;
      if (this.#held[level] === 0) continue;
      // The slot of the present is looked at again each time: on level 0 what is in it may not be due yet.
      const slots = Math.min(SLOTS, until - from + 1);
      const first = slotAt(from);
      for (let i = 0; i < slots; i++) count = this.#empty(level, (first + i) & LAST_SLOT, nowNs, count);
    }
    this.#look();
    this.#sort(count);
    return count;
  }

  /** Sorts a slot's list anew: into `due`, or to where it belongs by now. */
  #empty(level: number, slot: number, nowNs: number, count: number): number {
    let item = this.#first[level * SLOTS + slot]!;
    while (item !== NOWHERE) {
      const following = this.#after[item]!;
      if (this.atNs[item]! <= nowNs) {
        this.#unlink(item);
        this.due[count++] = item;
      } else if (level > 0) {
        this.#unlink(item);
        this.#link(item);
      }
      item = following;
    }
    return count;
  }

  /** Shell's sort: of a few, or of those that are almost in order, as good as any. */
  #sort(count: number): void {
    const { due, atNs } = this;
    for (let gap = count >>> 1; gap > 0; gap >>>= 1) {
      for (let i = gap; i < count; i++) {
        const item = due[i]!;
        let at = i;
        for (; at >= gap; at -= gap) {
          const other = due[at - gap]!;
          if (atNs[other]! < atNs[item]! || (atNs[other] === atNs[item] && other < item)) break;
          due[at] = other;
        }
        due[at] = item;
      }
    }
  }

  #link(item: number): void {
    const atNs = this.atNs[item]!;
    let level = 0;
    let at = 0;
    for (; level < LEVELS; level++) {
      // What is past is due in the slot of the present.
      at = Math.max(Math.floor(atNs / WIDTHS[level]!), this.#position[level]!);
      if (at - this.#position[level]! < SLOTS) break;
    }
    if (level === LEVELS) {
      level = LEVELS - 1;
      at = this.#position[level]! + SLOTS - 1;
    }
    const slot = level * SLOTS + slotAt(at);
    const first = this.#first[slot]!;
    this.#slot[item] = slot;
    this.#after[item] = first;
    this.#before[item] = NOWHERE;
    if (first !== NOWHERE) this.#before[first] = item;
    this.#first[slot] = item;
    this.#held[level]!++;
  }

  #unlink(item: number): void {
    const slot = this.#slot[item]!;
    const after = this.#after[item]!;
    const before = this.#before[item]!;
    if (before === NOWHERE) this.#first[slot] = after;
    else this.#after[before] = after;
    if (after !== NOWHERE) this.#before[after] = before;
    this.#slot[item] = NOWHERE;
    this.#held[Math.floor(slot / SLOTS)]!--;
  }

  /** Finds the first deadline: that of the first slot in use, on each level. */
  #look(): void {
    let nextNs = Infinity;
    for (let level = 0; level < LEVELS; level++) {
      if (this.#held[level] === 0) continue;
      const position = this.#position[level]!;
      const present = slotAt(position);
      let i = 0;
      while (this.#first[level * SLOTS + ((present + i) & LAST_SLOT)] === NOWHERE) i++;
      let item = this.#first[level * SLOTS + ((present + i) & LAST_SLOT)]!;
      let firstNs = Infinity;
      // In the slot of the present it begins in the past: who went by that would come again and again, and find nothing.
      const most = level === 0 && i === 0 ? Infinity : LOOK;
      let looks = 0;
      for (; item !== NOWHERE && looks < most; looks++, item = this.#after[item]!)
        firstNs = Math.min(firstNs, this.atNs[item]!);
      if (item !== NOWHERE) firstNs = Math.min(firstNs, (position + i) * WIDTHS[level]!);
      nextNs = Math.min(nextNs, firstNs);
    }
    this.next[0] = nextNs;
  }
}
