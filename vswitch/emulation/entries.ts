/**
 * What is in emulated links, waiting or in flight, of one engine: entries in chains, from one pool, so that an idle link
 * takes no room and `--memory` bounds them all. A frame may be in several links at once (floods), so that chains cannot
 * go through the arena.
 *
 *   chain ─ first ─► entry ─ next ─► entry ─ next ─► -1
 *                    frame, bytes, segments, cameNs, atNs
 *
 * Nothing here allocates after the constructor.
 */
export class Entries {
  readonly capacity: number;
  /** Entry → the next one of its chain, or -1. */
  readonly next: Int32Array;
  /** The frame in the arena. */
  readonly frame: Int32Array;
  /** Of the frame, without the link's overhead. */
  readonly bytes: Int32Array;
  /** How many packets it is on a wire: 1, or the segments of a run. */
  readonly segments: Uint16Array;
  /** Slots of the arena that its frame had when it came: others who hold it may take bytes off. */
  readonly slots: Uint8Array;
  /** When it came into the link; of a copy, or what was cut from a run: when that came. */
  readonly cameNs: Float64Array;
  /** While it waits: when it came. In flight: when it is due. */
  readonly atNs: Float64Array;
  #free: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.next = new Int32Array(capacity);
    this.frame = new Int32Array(capacity);
    this.bytes = new Int32Array(capacity);
    this.segments = new Uint16Array(capacity);
    this.slots = new Uint8Array(capacity);
    this.cameNs = new Float64Array(capacity);
    this.atNs = new Float64Array(capacity);
    for (let i = 0; i < capacity; i++) this.next[i] = i + 1;
    if (capacity > 0) this.next[capacity - 1] = -1;
    this.#free = capacity > 0 ? 0 : -1;
  }

  /** An entry whose fields are the caller's to set, `next` is -1; -1 when there is none left. */
  take(): number {
    const entry = this.#free;
    if (entry === -1) return -1;
    this.#free = this.next[entry]!;
    this.next[entry] = -1;
    return entry;
  }

  giveBack(entry: number): void {
    this.next[entry] = this.#free;
    this.#free = entry;
  }

  // Chains: first in, first out. Two words, of which the first is the first entry, -1 where there is none, and the
  // second the last.

  append(chain: Int32Array, at: number, entry: number): void {
    this.next[entry] = -1;
    if (chain[at] === -1) chain[at] = entry;
    else this.next[chain[at + 1]!] = entry;
    chain[at + 1] = entry;
  }

  /** Takes out the first; -1 when there is none. */
  shift(chain: Int32Array, at: number): number {
    const entry = chain[at]!;
    if (entry !== -1) chain[at] = this.next[entry]!;
    return entry;
  }
}
