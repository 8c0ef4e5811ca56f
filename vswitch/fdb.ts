/**
 * The filtering database of one bridge (IEEE 802.1D-2004, 7.9): which end an address was last seen at.
 *
 * An open-addressing hash table in typed arrays with linear probing; removal shifts the cluster back, so there are no
 * tombstones and a lookup ends at the first empty slot. At most `limit` addresses, at least twice as many slots: a host
 * that makes up addresses fills the table and no more; those learned before stay, and are refreshed.
 *
 *   slot   words: hi, end + 1   lo           seenNs
 *   0      0x0000      0        –            –           empty
 *   1      0x0200      3        0x0000000a   12.5e9      02:00:00:00:00:0a is at end 2
 *
 * Ageing is exact and lazy: an entry that is too old is not found; `sweep` frees its slot a little at a time.
 * Called by `bridge.ts`, per frame, and by the engine for sweeping and dumps. An address is two integers: the first 2
 * bytes (`hi`) and the last 4 (`lo`, as an int32).
 */
import type { Clock } from '../model/clock.js';

export interface FdbEntry {
  readonly hi: number;
  readonly lo: number;
  readonly end: number;
  readonly ageNs: number;
}

export class Fdb {
  readonly limit: number;
  ageingNs: number;
  /** Addresses held, those that are too old but not swept yet included. */
  count: number;
  /** How often an address was not learned because the table was full; of frames that follow each other it is tried once. */
  refused: number;
  /** What is seen for the first time since then is news to those who were told of it before (`stack/member.ts`). */
  toldNs: number;
  readonly #now: Float64Array;
  /** Two a slot, so that a look at one is at one place. */
  readonly #words: Int32Array;
  readonly #seenNs: Float64Array;
  readonly #mask: number;
  readonly #shift: number;
  #cursor: number;

  /** `limit`: 1 … 2²². */
  constructor(limit: number, ageingNs: number, clock: Clock) {
    if (!(limit >= 1 && limit <= 2 ** 22)) throw new RangeError(`an FDB holds 1 to 4194304 addresses, not ${limit}`);
    const bits = Math.max(4, Math.ceil(Math.log2(2 * limit)));
    const slots = 2 ** bits;
    this.limit = limit;
    this.ageingNs = ageingNs;
    this.count = 0;
    this.refused = 0;
    this.toldNs = -Infinity;
    this.#now = clock.now;
    this.#words = new Int32Array(2 * slots);
    this.#seenNs = new Float64Array(slots);
    this.#mask = slots - 1;
    this.#shift = 32 - bits;
    this.#cursor = 0;
  }

  /**
   * 7.8: the address was seen at `end` (0 … 65534), perhaps somewhere else than before. Group addresses are refused. Returns
   * whether that is news: it is new, was elsewhere, or was not seen since `toldNs`.
   */
  learn(hi: number, lo: number, end: number): boolean {
    if ((hi & 0x100) !== 0) return false;
    const words = this.#words;
    const here = (hi << 16) | (end + 1);
    let slot = this.#home(hi, lo);
    for (let word = words[2 * slot]!; word !== 0; word = words[2 * slot]!) {
      if (words[2 * slot + 1] === lo && word >>> 16 === hi) {
        const isNews = word !== here || this.#seenNs[slot]! < this.toldNs;
        words[2 * slot] = here;
        this.#seenNs[slot] = this.#now[0]!;
        return isNews;
      }
      slot = (slot + 1) & this.#mask;
    }
    if (this.count === this.limit) {
      this.refused++;
      return false;
    }
    words[2 * slot] = here;
    words[2 * slot + 1] = lo;
    this.#seenNs[slot] = this.#now[0]!;
    this.count++;
    return true;
  }

  /** The end that the address is at; -1 when it is not known, or not any more. */
  lookup(hi: number, lo: number): number {
    const words = this.#words;
    let slot = this.#home(hi, lo);
    for (let word = words[2 * slot]!; word !== 0; word = words[2 * slot]!) {
      if (words[2 * slot + 1] === lo && word >>> 16 === hi) return this.#isOld(slot) ? -1 : (word & 0xffff) - 1;
      slot = (slot + 1) & this.#mask;
    }
    return -1;
  }

  /** Looks at the next `slots` slots and frees those that are too old. */
  sweep(slots: number): void {
    for (let i = 0; i < slots && this.count > 0; i++) {
      const slot = this.#cursor;
      if (this.#words[2 * slot] !== 0 && this.#isOld(slot)) {
        this.#remove(slot); // Another entry may stand here now: the cursor stays.
      } else {
        this.#cursor = (slot + 1) & this.#mask;
      }
    }
  }

  /** Forgets all addresses at one end. Takes time in the size of the table: for a link that goes down or away. */
  flush(end: number): void {
    for (let slot = 0; slot <= this.#mask && this.count > 0;) {
      if ((this.#words[2 * slot]! & 0xffff) === end + 1) this.#remove(slot);
      else slot++;
    }
  }

  /** What `lookup` would find, in no order. */
  entries(): FdbEntry[] {
    const entries: FdbEntry[] = [];
    for (let slot = 0; slot <= this.#mask; slot++) {
      const word = this.#words[2 * slot]!;
      if (word === 0 || this.#isOld(slot)) continue;
      const ageNs = this.#now[0]! - this.#seenNs[slot]!;
      entries.push({ hi: word >>> 16, lo: this.#words[2 * slot + 1]!, end: (word & 0xffff) - 1, ageNs });
    }
    return entries;
  }

  #isOld(slot: number): boolean {
    return this.#now[0]! - this.#seenNs[slot]! >= this.ageingNs;
  }

  /** Multiplicative hashing (Knuth, TAOCP 3, 6.4): the product's upper bits depend on all bits of the address. */
  #home(hi: number, lo: number): number {
    return Math.imul(lo ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1) >>> this.#shift;
  }

  /** Knuth's algorithm R: entries behind the gap that are not at home move into it. */
  #remove(slot: number): void {
    const words = this.#words;
    let gap = slot;
    let next = (slot + 1) & this.#mask;
    for (let word = words[2 * next]!; word !== 0; word = words[2 * next]!) {
      const home = this.#home(word >>> 16, words[2 * next + 1]!);
      if (((next - home) & this.#mask) >= ((next - gap) & this.#mask)) {
        words[2 * gap] = word;
        words[2 * gap + 1] = words[2 * next + 1]!;
        this.#seenNs[gap] = this.#seenNs[next]!;
        gap = next;
      }
      next = (next + 1) & this.#mask;
    }
    words[2 * gap] = 0;
    this.count--;
  }
}
