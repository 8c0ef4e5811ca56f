/**
 * The round-trip time of a tunnel, from probes that were answered: smoothed as RFC 6298 does it, with its variation, and
 * the least of late. A reply says when its request was sent, so each is a sample, retransmitted or not (RFC 7323 §4).
 * Called by `tunnel-health.ts`.
 */

/** RFC 6298 §2: α, β and K. */
const GAIN = 1 / 8;
const VARIATION_GAIN = 1 / 4;
const VARIATIONS = 4;
/** The least is that of the last 64 to 128 samples: a path that became longer is seen within some minutes. */
const WINDOW_SAMPLES = 64;

/**
 * Bounds of `timeoutNs`. RFC 6298 asks for a second at least, as a false retransmission adds to a congested path; a probe
 * is one datagram that nobody waits for. The lower one covers an engine that has to wait for its core.
 */
export const MIN_TIMEOUT_NS = 100e6;
export const MAX_TIMEOUT_NS = 1e9;
/** While nothing was answered yet. */
const FIRST_TIMEOUT_NS = 250e6;

export class Rtt {
  /** NaN while there is no sample. */
  smoothedNs: number;
  variationNs: number;
  #leastNs: number;
  #leastBeforeNs: number;
  #samples: number;

  constructor() {
    this.smoothedNs = NaN;
    this.variationNs = NaN;
    this.#leastNs = Infinity;
    this.#leastBeforeNs = Infinity;
    this.#samples = 0;
  }

  /** As if there had been no sample. */
  reset(): void {
    this.smoothedNs = NaN;
    this.variationNs = NaN;
    this.#leastNs = Infinity;
    this.#leastBeforeNs = Infinity;
    this.#samples = 0;
  }

  /** NaN while there is no sample. */
  get leastNs(): number {
    const leastNs = Math.min(this.#leastNs, this.#leastBeforeNs);
    return leastNs === Infinity ? NaN : leastNs;
  }

  /** After which a reply is not to be expected any more. */
  get timeoutNs(): number {
    if (Number.isNaN(this.smoothedNs)) return FIRST_TIMEOUT_NS;
    const timeoutNs = this.smoothedNs + VARIATIONS * this.variationNs;
    return Math.min(Math.max(timeoutNs, MIN_TIMEOUT_NS), MAX_TIMEOUT_NS);
  }

  sample(rttNs: number): void {
    if (Number.isNaN(this.smoothedNs)) {
      this.smoothedNs = rttNs;
      this.variationNs = rttNs / 2;
    } else {
      // The variation first, by the mean of before (RFC 6298 §2.3).
      this.variationNs += VARIATION_GAIN * (Math.abs(this.smoothedNs - rttNs) - this.variationNs);
      this.smoothedNs += GAIN * (rttNs - this.smoothedNs);
    }
    if (++this.#samples > WINDOW_SAMPLES) {
      this.#leastBeforeNs = this.#leastNs;
      this.#leastNs = Infinity;
      this.#samples = 1;
    }
    if (rttNs < this.#leastNs) this.#leastNs = rttNs;
  }
}
