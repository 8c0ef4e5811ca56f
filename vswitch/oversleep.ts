/**
 * How late the engine's thread is woken, by how long it was to sleep. A processor that has been idle for long sleeps deeply,
 * and a hypervisor may have given it to somebody else; after some tens of microseconds it is still awake. So what is learned
 * of short sleeps is kept apart from what is learned of long ones:
 *
 *   to sleep   32   65   131   262   524 µs   1.05   2.1   4.2   8.4   17   34 ms   longer
 *   kind      0 │  1 │  2  │  3  │  4  │    5    │  6  │  7  │  8  │  9 │ 10  │     11
 *   at least   1    2    4     8     16      32    60    60    60    60   60        60 µs
 *   at most   60   60   60    60     60      66   131   262   524  1049  2097      4194 µs
 *
 * Learned is what three of four short sleeps are not later than, and of those that may be led by more than 60 µs, 63 of 64: raised by
 * each that is, lowered by each that is not, in steps between which it rests there. But a sixteenth of a short sleep is never too much to
 * be awake, and so much it is at least. Called by `waiter.ts` around each wait; allocates nothing.
 */
const KINDS = 12;
/** Lengths are told apart from 2^14 ns on, by factors of two. */
const FIRST_KIND_BITS = 14;
const LONGEST_NS = 2 ** (FIRST_KIND_BITS + KINDS - 1);
const LOWER = 1 / 256;
/** By the share that is to be in time. */
const RAISE_SHORT = 3 * LOWER;
const RAISE_LONG = 63 * LOWER;
const LEAST_SHARE = 1 / 16;
const MOST_SHARE = 1 / 8;

export class Oversleep {
  /** By kind of sleep: how long before something is due to be woken, in nanoseconds. */
  readonly leadNs: Float64Array;
  readonly #leastNs: Float64Array;
  readonly #mostNs: Float64Array;
  readonly #raise: Float64Array;

  /** `usualNs`: what it begins with, and enough after any sleep on a quiet machine. */
  constructor(usualNs: number) {
    const shortestNs = Float64Array.from({ length: KINDS }, (_, kind) => 2 ** (FIRST_KIND_BITS + kind));
    this.leadNs = new Float64Array(KINDS).fill(usualNs);
    this.#leastNs = shortestNs.map((ns) => Math.min(usualNs, LEAST_SHARE * ns));
    this.#mostNs = shortestNs.map((ns) => Math.max(usualNs, MOST_SHARE * ns));
    this.#raise = this.#mostNs.map((ns) => 1 + (ns > usualNs ? RAISE_LONG : RAISE_SHORT));
  }

  /** The kind of a sleep from `clock[0]` to `clock[1]`. */
  kindOf(clock: Float64Array): number {
    const length = Math.min(LONGEST_NS, Math.max(0, clock[1]! - clock[0]!)) >>> FIRST_KIND_BITS;
    return length === 0 ? 0 : 31 - Math.clz32(length);
  }

  /** One of that kind has ended `late[at]` nanoseconds after it was to end. */
  learn(kind: number, late: Float64Array, at: number): void {
    const { leadNs } = this;
    const before = leadNs[kind]!;
    leadNs[kind] =
      late[at]! > before
        ? Math.min(this.#mostNs[kind]!, before * this.#raise[kind]!)
        : Math.max(this.#leastNs[kind]!, before * (1 - LOWER));
  }
}
