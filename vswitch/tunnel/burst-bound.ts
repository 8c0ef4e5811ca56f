/**
 * How much goes toward a peer at once: what its socket has no room for is lost, and the kernel reports a send that it drops
 * there as done. So each end says in its probes what its socket holds (SO_RCVBUF), and the other sends no more in a row than
 * half of it; the rest waits in its port's queue.
 *
 *   bytes left   ┐      ┌ begin: refilled by the time that has passed, up to a burst
 *     burst ─────┼──╲   │      ╱─────
 *                │   ╲  ▼    ╱
 *         0 ─────┼────╲────╱──────── time         admit: while something is left
 *                │     ╲_╱                        holding: until a quarter is there again
 *
 * It is no flow control: nobody waits for a peer's word, so one that does not read for milliseconds loses frames as before.
 * Pure: time comes in. Called by `udp.ts`.
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

export class BurstBound {
  #peerBufferBytes: number;
  /** Infinity while the peer has not said what it holds. */
  #burstBytes: number;
  #leftBytes: number;
  /** When `#leftBytes` was so. */
  #atNs: number;
  /** When it goes on; Infinity while nothing is held back. */
  #resumeNs: number;

  constructor() {
    this.#peerBufferBytes = 0;
    this.#burstBytes = Infinity;
    this.#leftBytes = Infinity;
    this.#atNs = 0;
    this.#resumeNs = Infinity;
  }

  /** What the peer says that its socket holds, as Linux counts it; 0: it does not say, and nothing is bounded. */
  set peerBufferBytes(bytes: number) {
    if (bytes === this.#peerBufferBytes) return;
    this.#peerBufferBytes = bytes;
    this.#burstBytes = bytes === 0 ? Infinity : bytes * BURST_RATIO;
    this.#leftBytes = this.#burstBytes;
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
    const refillBytes = ((nowNs - this.#atNs) / REFILL_NS) * this.#burstBytes;
    this.#leftBytes = Math.min(this.#burstBytes, this.#leftBytes + refillBytes);
    this.#atNs = nowNs;
    if (this.#leftBytes <= 0) this.#hold();
    return this.#leftBytes > 0;
  }

  /** How many of the datagrams that take `heldBytes` may go, from the first on; one at least where `begin` said so. */
  admit(heldBytes: Int32Array, datagrams: number): number {
    if (this.#burstBytes === Infinity) return datagrams;
    let left = this.#leftBytes;
    let admitted = 0;
    for (; admitted < datagrams && left > 0; admitted++) left -= heldBytes[admitted]!;
    return admitted;
  }

  /** The first `sent` of them went, and `hasMore` that were not admitted. */
  spend(heldBytes: Int32Array, sent: number, hasMore: boolean): void {
    if (this.#burstBytes === Infinity) return;
    for (let i = 0; i < sent; i++) this.#leftBytes -= heldBytes[i]!;
    // One datagram may be larger than a burst, or than all that a peer says it holds: it goes, and costs a refill.
    this.#leftBytes = Math.max(this.#leftBytes, -this.#burstBytes);
    if (hasMore) this.#hold();
  }

  #hold(): void {
    this.#resumeNs = this.#atNs + (RESUME_RATIO - this.#leftBytes / this.#burstBytes) * REFILL_NS;
  }
}
