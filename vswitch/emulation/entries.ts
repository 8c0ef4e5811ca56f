/**
 * What is in emulated links, waiting or in flight, of one engine: entries in chains, from one pool, so that an idle link
 * takes no room and `--memory` bounds them all. A frame may be in several links at once (floods), so that chains cannot
 * go through the arena.
 *
 *   direction ─ first ─► entry ─ next ─► entry ─ next ─► -1
 *                        frame, bytes, segments, cameNs, atNs
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
}

/** First in, first out: a chain of entries. */
export class Chain {
  /** Of the entries, -1 when there are none. */
  first: number;
  readonly #entries: Entries;
  #last: number;

  constructor(entries: Entries) {
    this.first = -1;
    this.#entries = entries;
    this.#last = -1;
  }

  push(entry: number): void {
    const { next } = this.#entries;
    next[entry] = -1;
    if (this.first === -1) this.first = entry;
    else next[this.#last] = entry;
    this.#last = entry;
  }

  /** Takes out the first; -1 when there is none. */
  shift(): number {
    const entry = this.first;
    if (entry !== -1) this.first = this.#entries.next[entry]!;
    return entry;
  }
}
