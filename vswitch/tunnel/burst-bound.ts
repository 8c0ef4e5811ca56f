/**
 * How much goes toward a peer at once: what its socket has no room for is lost, and the kernel reports a send that it drops
 * there as done. So each end says in its probes what its socket holds (SO_RCVBUF), and the other sends no more in a row than
 * half of it; the rest waits in its port's queue.
 *
 *   bytes left   ┐      ┌ refilled by the time that passes, up to a burst
 *     burst ─────┼──╲   │      ╱─────
 *                │   ╲  ▼    ╱
 *         0 ─────┼────╲────╱──────── time         admit: while something is left
 *                │     ╲_╱                        holding: until a quarter is there again
 *
 * All lanes of a tunnel send to one socket, from several threads: what one takes is not there for the others. So all that is
 * kept is a word that they share: when a whole burst will be left again (as GCRA has it, ITU-T I.371). Who takes of it moves that
 * on, in exchange for what it was when he looked. Of all lanes, one datagram at most goes beyond the bound.
 *
 * It is no flow control: nobody waits for a peer's word, so one that does not read for milliseconds loses frames as before.
 * Time comes in. Called by `lane.ts`.
 */

/**
 * Of a receive buffer, what a datagram takes at most: the kernel counts the memory that it lies in (`truesize`), and not its
 * bytes. On Linux 6.18 over loopback, SO_MEMINFO of a socket that is not read: 832 for 20 bytes, 2304 for 1472, 4352
 * for 2000, 16640 for 9000; 62656 for 42 pieces of 1472 that come uncut, where cut ones take 96768. Drivers that receive
 * into half pages come near to this bound.
 */
export const HELD_PER_BYTE = 2;
export const HELD_PER_DATAGRAM = 1024;

/** The other half is for what a reader that is a bit late has not read, and for the datagram that goes beyond the bound. */
const BURST_RATIO = 1 / 2;
/**
 * In this time a peer is taken to have read a burst. A switch wakes within 100 µs (p99 of an idle machine), and then takes
 * some 80 µs for each 64 KiB, opening included. With 416 KiB, as distributions allow without privileges, this is one
 * super-frame in 0.2 ms; with the 16 MiB that root has, no rate that could be reached.
 */
const REFILL_NS = 250e3;
/** So much of a burst is there when it goes on: less would be a wake-up for each datagram. */
const RESUME_RATIO = 1 / 4;

/** What the word counts in, modulo 2³²: 43 s. */
const TICK_NS = 10;
const REFILL = REFILL_NS / TICK_NS;
/** One datagram may be larger than a burst, or than all that a peer says it holds: it goes, and costs a refill beyond. */
const MOST_OWED = 2 * REFILL;
/** Who looks may have read the clock this long ago. What seems to be owed for longer is of before the word's last turn: nothing. */
const LATEST = MOST_OWED + 10e6 / TICK_NS;

export class BurstBound {
  readonly #word: Int32Array;
  #peerBufferBytes: number;
  /** Infinity while the peer has not said what it holds. */
  #burstBytes: number;
  /** When `begin` was called last. */
  #nowNs: number;
  /** Ticks that `admit` took last. */
  #taken: number;
  /** When it goes on; Infinity while nothing is held back. */
  #resumeNs: number;

  /** `word`: of all lanes of a tunnel. */
  constructor(word: Int32Array = new Int32Array(1)) {
    this.#word = word;
    this.#peerBufferBytes = 0;
    this.#burstBytes = Infinity;
    this.#nowNs = 0;
    this.#taken = 0;
    this.#resumeNs = Infinity;
  }

  /**
   * What the peer says that its socket holds, as Linux counts it; 0: it does not say, and nothing is bounded. What was sent
   * before takes as long to be read, whatever it says now.
   */
  set peerBufferBytes(bytes: number) {
    if (bytes === this.#peerBufferBytes) return;
    this.#peerBufferBytes = bytes;
    this.#burstBytes = bytes === 0 ? Infinity : bytes * BURST_RATIO;
    this.#resumeNs = Infinity;
  }

  /** When `poll` is due: Infinity while nothing is held back. */
  get nextNs(): number {
    return this.#resumeNs;
  }

  poll(nowNs: number): void {
    if (nowNs >= this.#resumeNs) this.#resumeNs = Infinity;
  }

  /** Whether anything may be sent now. */
  begin(nowNs: number): boolean {
    if (this.#burstBytes === Infinity) return true;
    this.poll(nowNs);
    if (this.#resumeNs !== Infinity) return false;
    this.#nowNs = nowNs;
    if (this.#owed(Atomics.load(this.#word, 0)) < REFILL) return true;
    this.#hold();
    return false;
  }

  /** Takes what as many of the datagrams as may go need, of those that take `heldBytes` from the first on; returns how many. */
  admit(heldBytes: Int32Array, datagrams: number): number {
    if (this.#burstBytes === Infinity) return datagrams;
    for (;;) {
      const before = Atomics.load(this.#word, 0);
      const owed = this.#owed(before);
      const leftBytes = (1 - owed / REFILL) * this.#burstBytes;
      let bytes = 0;
      let admitted = 0;
      for (; admitted < datagrams && bytes < leftBytes; admitted++) bytes += heldBytes[admitted]!;
      if (this.#take(before, owed, bytes)) return admitted;
    }
  }

  /** Of those that were admitted, the first `sent` went; and `hasMore` that were not. */
  settle(heldBytes: Int32Array, admitted: number, sent: number, hasMore: boolean): void {
    if (this.#burstBytes === Infinity) return;
    if (sent < admitted) {
      let bytes = 0;
      for (let i = sent; i < admitted; i++) bytes += heldBytes[i]!;
      Atomics.sub(this.#word, 0, Math.min(this.#taken, Math.floor((bytes / this.#burstBytes) * REFILL)));
    }
    if (hasMore) this.#hold();
  }

  /** A datagram of so many bytes goes, whatever is left. */
  spend(bytes: number): void {
    if (this.#burstBytes === Infinity) return;
    for (;;) {
      const before = Atomics.load(this.#word, 0);
      if (this.#take(before, this.#owed(before), bytes)) return;
    }
  }

  /** False: another lane was first, and nothing is taken. */
  #take(before: number, owed: number, bytes: number): boolean {
    const cost = Math.ceil((bytes / this.#burstBytes) * REFILL);
    const after = Math.max(owed, Math.min(MOST_OWED, owed + cost));
    this.#taken = after - owed;
    return Atomics.compareExchange(this.#word, 0, before, (this.#now + after) | 0) === before;
  }

  /** In how many ticks from `begin` on a whole burst is left. */
  #owed(word: number): number {
    const owed = (word - this.#now) | 0;
    return owed < 0 || owed > LATEST ? 0 : owed;
  }

  get #now(): number {
    return (this.#nowNs / TICK_NS) | 0;
  }

  #hold(): void {
    const owed = this.#owed(Atomics.load(this.#word, 0));
    this.#resumeNs = this.#nowNs + Math.max(1, owed - (1 - RESUME_RATIO) * REFILL) * TICK_NS;
  }
}
