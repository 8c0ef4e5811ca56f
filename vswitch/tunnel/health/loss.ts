/**
 * How much of what we send arrives: from two counters that a reply brings together, the datagrams that we had sent when we
 * asked and those that the peer had received when it was asked. Their differences over a sliding window are what was sent
 * and what arrived; a reply that is lost itself leaves nothing out, as the next one spans its time too.
 *
 *   sent      100   180   260   260   340      cumulative, a pair a sample
 *   received   98   178   255   255   331      ratio over all of it: 1 - (331 - 98) / (340 - 100) = 0.029
 *
 * A peer that was restarted counts from zero: the window begins anew. Called by `tunnel-health.ts`.
 */

/** Differences in the window, and the least time between two samples: 16 s of an idle tunnel, which is asked each second. */
const SAMPLES = 17;
const SPACING_NS = 500e6;
/** Of which ten are lost where one in a hundred is. */
const LATEST_DATAGRAMS = 1000;

export class Loss {
  readonly #sent: Float64Array;
  readonly #received: Float64Array;
  #count: number;
  /** Of the newest sample. */
  #at: number;
  #sampledNs: number;

  constructor() {
    this.#sent = new Float64Array(SAMPLES);
    this.#received = new Float64Array(SAMPLES);
    this.#count = 0;
    this.#at = 0;
    this.#sampledNs = -Infinity;
  }

  /** Of the datagrams sent in the window; NaN where none were. */
  get ratio(): number {
    if (this.#count < 2) return NaN;
    const oldest = (this.#at + SAMPLES - this.#count + 1) % SAMPLES;
    const sent = this.#sent[this.#at]! - this.#sent[oldest]!;
    const received = this.#received[this.#at]! - this.#received[oldest]!;
    if (sent === 0) return NaN;
    // What was reordered behind the question, or duplicated on the way, can make it more than was sent.
    return Math.max(0, 1 - received / sent);
  }

  /**
   * The same of the newest difference alone, where it is of so many datagrams that it says something: a change is seen in it
   * sooner. NaN where it is not.
   */
  get latestRatio(): number {
    if (this.#count < 2) return NaN;
    const before = (this.#at + SAMPLES - 1) % SAMPLES;
    const sent = this.#sent[this.#at]! - this.#sent[before]!;
    if (sent < LATEST_DATAGRAMS) return NaN;
    return Math.max(0, 1 - (this.#received[this.#at]! - this.#received[before]!) / sent);
  }

  sample(sent: number, received: number, nowNs: number): void {
    if (this.#count > 0) {
      // A reply that was overtaken by a newer one says nothing new.
      if (sent < this.#sent[this.#at]!) return;
      if (received < this.#received[this.#at]!) this.clear();
      else if (nowNs - this.#sampledNs < SPACING_NS) return;
    }
    this.#at = (this.#at + 1) % SAMPLES;
    this.#sent[this.#at] = sent;
    this.#received[this.#at] = received;
    this.#sampledNs = nowNs;
    if (this.#count < SAMPLES) this.#count++;
  }

  clear(): void {
    this.#count = 0;
  }
}
