/**
 * A reliable, ordered stream of bytes each way, in pieces that may be lost, doubled and reordered. Small on purpose: a
 * handshake is a few flights of one or two datagrams.
 *
 * Every piece that brings data is acknowledged at once, by the count of bytes that have come without a gap. What is not
 * acknowledged is sent again from there, at twice the interval each time. Memory is bounded both ways: a stream of more
 * than `MAX_STREAM_BYTES` is no handshake.
 */
import { MAX_DATA_BYTES } from './packet.js';

export const MAX_STREAM_BYTES = 64 * 1024;
/** Bytes under way at once. */
const WINDOW_BYTES = 8 * MAX_DATA_BYTES;
/** Longer than a round trip on most paths; on a longer one it only costs a few datagrams. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 1_000;
/** Pieces that came before their turn. */
const MAX_EARLY_PIECES = 8;

export interface StreamEnds {
  /** One piece to the peer; it may get lost. */
  readonly send: (offset: number, acknowledged: number, data: Uint8Array) => void;
  /** Bytes of the peer, in order. They are the stream's no more. */
  readonly deliver: (data: Uint8Array) => void;
}

export class HandshakeStream {
  readonly #ends: StreamEnds;
  /** What was written and not acknowledged, from `#acknowledged` on. */
  #waiting: Uint8Array;
  #acknowledged: number;
  #sent: number;
  #received: number;
  /** By offset. */
  readonly #early: Map<number, Uint8Array>;
  #retryMs: number;
  #nextMs: number;
  #progressMs: number;

  constructor(ends: StreamEnds, nowMs: number) {
    this.#ends = ends;
    this.#waiting = new Uint8Array(0);
    this.#acknowledged = 0;
    this.#sent = 0;
    this.#received = 0;
    this.#early = new Map();
    this.#retryMs = FIRST_RETRY_MS;
    this.#nextMs = Infinity;
    this.#progressMs = nowMs;
  }

  /** When `poll` has something to do. */
  get nextMs(): number {
    return this.#nextMs;
  }

  /** When something last came that had not come before. */
  get progressMs(): number {
    return this.#progressMs;
  }

  /** Bytes of the peer's stream that have come. */
  get received(): number {
    return this.#received;
  }

  /** Whether the peer has all that was written. */
  get isAcknowledged(): boolean {
    return this.#waiting.byteLength === 0;
  }

  /** False where it would be too long. */
  write(data: Uint8Array, nowMs: number): boolean {
    const { byteLength } = this.#waiting;
    if (this.#acknowledged + byteLength + data.byteLength > MAX_STREAM_BYTES) return false;
    const waiting = new Uint8Array(byteLength + data.byteLength);
    waiting.set(this.#waiting);
    waiting.set(data, byteLength);
    this.#waiting = waiting;
    this.#send(nowMs);
    return true;
  }

  /** A piece of the peer. */
  receive(offset: number, acknowledged: number, data: Uint8Array, nowMs: number): void {
    const before = this.#acknowledged;
    this.#acknowledge(acknowledged, nowMs);
    if (data.byteLength > 0) {
      this.#take(offset, data, nowMs);
      // Also for what came before: the peer says it again because our answer got lost.
      this.#ends.send(this.#acknowledged, this.#received, new Uint8Array(0));
    }
    if (this.#acknowledged > before) this.#send(nowMs);
  }

  poll(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.again(nowMs);
  }

  /** Sends once more what is not acknowledged. */
  again(nowMs: number): void {
    this.#sent = this.#acknowledged;
    this.#send(nowMs);
  }

  /** The peer is not waited for any more. */
  abandon(): void {
    this.#nextMs = Infinity;
  }

  #acknowledge(acknowledged: number, nowMs: number): void {
    const end = this.#acknowledged + this.#waiting.byteLength;
    if (acknowledged <= this.#acknowledged || acknowledged > end) return;
    this.#waiting = this.#waiting.slice(acknowledged - this.#acknowledged);
    this.#acknowledged = acknowledged;
    this.#sent = Math.max(this.#sent, acknowledged);
    this.#retryMs = FIRST_RETRY_MS;
    this.#nextMs = this.isAcknowledged ? Infinity : nowMs + this.#retryMs;
    this.#progressMs = nowMs;
  }

  #take(offset: number, data: Uint8Array, nowMs: number): void {
    const isLate = offset + data.byteLength <= this.#received;
    if (isLate || offset + data.byteLength > MAX_STREAM_BYTES) return;
    if (offset > this.#received) {
      if (this.#early.size < MAX_EARLY_PIECES && !this.#early.has(offset)) this.#early.set(offset, data.slice());
      return;
    }
    this.#deliver(offset, data, nowMs);
    for (let found = this.#nextEarly(); found !== undefined; found = this.#nextEarly()) {
      const [early, bytes] = found;
      this.#early.delete(early);
      if (early + bytes.byteLength > this.#received) this.#deliver(early, bytes, nowMs);
    }
  }

  #nextEarly(): [number, Uint8Array] | undefined {
    for (const entry of this.#early) if (entry[0] <= this.#received) return entry;
    return undefined;
  }

  #deliver(offset: number, data: Uint8Array, nowMs: number): void {
    const fresh = data.slice(this.#received - offset);
    this.#received += fresh.byteLength;
    this.#progressMs = nowMs;
    this.#ends.deliver(fresh);
  }

  #send(nowMs: number): void {
    const end = Math.min(this.#waiting.byteLength, WINDOW_BYTES);
    for (let at = this.#sent - this.#acknowledged; at < end; at = this.#sent - this.#acknowledged) {
      const data = this.#waiting.subarray(at, Math.min(at + MAX_DATA_BYTES, end));
      this.#sent += data.byteLength;
      this.#ends.send(this.#sent - data.byteLength, this.#received, data);
      this.#nextMs = nowMs + this.#retryMs;
    }
  }
}
