/** How often something may happen: at once up to a burst, then at a steady interval. */
export class TokenBucket {
  readonly #burst: number;
  readonly #intervalMs: number;
  #tokens: number;
  #refilledMs: number;

  constructor(burst: number, intervalMs: number, nowMs: number) {
    this.#burst = burst;
    this.#intervalMs = intervalMs;
    this.#tokens = burst;
    this.#refilledMs = nowMs;
  }

  take(nowMs: number): boolean {
    const earned = Math.floor((nowMs - this.#refilledMs) / this.#intervalMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#refilledMs += earned * this.#intervalMs;
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }
}
