/**
 * What a tunnel tells people of datagrams that should not be, so seldom that whoever makes them fills no log. Called by
 * `udp.ts`.
 */
import type { TunnelEvents } from '../device/device.js';
import { TokenBucket } from '../handshake/token-bucket.js';

/** Of other versions and networks. */
const FOREIGN = { burst: 4, intervalMs: 1_000 };
/** RFC 6040 §4.2 wants them logged. */
const ANOMALY_PAUSE_NS = 60e9;

export class Remarks {
  readonly #events: TunnelEvents | undefined;
  readonly #foreign: TokenBucket;
  #toldAnomalies: number;
  #tellNs: number;

  constructor(events: TunnelEvents | undefined, nowMs: number) {
    this.#events = events;
    this.#foreign = new TokenBucket(FOREIGN.burst, FOREIGN.intervalMs, nowMs);
    this.#toldAnomalies = 0;
    this.#tellNs = 0;
  }

  foreign(version: number, network: number, nowMs: number): void {
    if (this.#foreign.take(nowMs)) this.#events?.foreign(version, network);
  }

  /** `frames`: those whose ECN field does not go together with that of their datagrams, ever. */
  anomalies(frames: number, nowNs: number): void {
    if (frames === this.#toldAnomalies || nowNs < this.#tellNs) return;
    this.#events?.ecnAnomalies(frames - this.#toldAnomalies);
    this.#toldAnomalies = frames;
    this.#tellNs = nowNs + ANOMALY_PAUSE_NS;
  }
}
