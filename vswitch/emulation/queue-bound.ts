/** How much may wait, for disciplines that hold it in several queues. A time is as many bytes, overhead included, as the rate passes in it. */
import type { QueueLimit } from '../../model/emulation.js';

export class QueueBound {
  #packets: number;
  #bytes: number;
  #overheadBytes: number;

  constructor(limit: QueueLimit, rateBps: number, overheadBytes: number) {
    this.#packets = Infinity;
    this.#bytes = Infinity;
    this.#overheadBytes = 0;
    this.set(limit, rateBps, overheadBytes);
  }

  set(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.#packets = limit.unit === 'packets' ? limit.packets : Infinity;
    this.#bytes = limit.unit === 'bytes' ? limit.bytes : Infinity;
    this.#overheadBytes = 0;
    if (limit.unit !== 'time') return;
    this.#bytes = Math.floor((rateBps * limit.durationNs) / 8e9);
    this.#overheadBytes = overheadBytes;
  }

  /** So many packets, and bytes without overhead, are more than may wait. */
  isExceeded(packets: number, bytes: number): boolean {
    return packets > this.#packets || bytes + packets * this.#overheadBytes > this.#bytes;
  }
}
