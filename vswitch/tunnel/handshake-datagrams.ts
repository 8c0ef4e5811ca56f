/**
 * Datagrams of handshakes (type 1), as a tunnel's device has them: packed to go out, sealed or open with the tunnel's mark;
 * and counted when they come in, since anybody can send open ones. What stands in them is of `../handshake/`, in the main
 * thread. Called by `udp.ts`.
 */
import type { Arena } from '../arena.js';
import type { NativeIo } from '../device/native-io.js';
import { TokenBucket } from '../handshake/token-bucket.js';
import { get32 } from '../wire/bytes.js';
import { Ecn } from '../wire/ecn.js';
import type { TunnelSender } from './sender.js';
import { DATAGRAM_HEADER_BYTES, DatagramHeader, DatagramType } from './wire.js';

/**
 * How many are passed on in a row, and how often one more: of those that are sealed, of open ones with the tunnel's mark,
 * and of others, of which strangers send as many as they like. A peer that has a wrong certificate of us is one of these,
 * and is heard, so that people are told why.
 */
const SEALED = { burst: 64, intervalMs: 2 };
const MARKED = { burst: 64, intervalMs: 2 };
const UNMARKED = { burst: 16, intervalMs: 20 };

export class HandshakeDatagrams {
  readonly #arena: Arena;
  readonly #io: NativeIo;
  readonly #sender: TunnelSender;
  /** Of open ones. */
  readonly #header: DatagramHeader;
  readonly #sealed: TokenBucket;
  readonly #marked: TokenBucket;
  readonly #unmarked: TokenBucket;

  constructor(io: NativeIo, sender: TunnelSender, networkNumber: number, nowMs: number) {
    this.#arena = io.arena;
    this.#io = io;
    this.#sender = sender;
    this.#header = new DatagramHeader();
    this.#header.type = DatagramType.handshake;
    this.#header.network = networkNumber;
    this.#sealed = new TokenBucket(SEALED.burst, SEALED.intervalMs, nowMs);
    this.#marked = new TokenBucket(MARKED.burst, MARKED.intervalMs, nowMs);
    this.#unmarked = new TokenBucket(UNMARKED.burst, UNMARKED.intervalMs, nowMs);
  }

  /** Eight bytes that open ones of both ends bear where others have their counter. */
  set mark(mark: Uint8Array) {
    this.#header.counterHigh = get32(mark, 0);
    this.#header.counterLow = get32(mark, 4);
  }

  isMarked(markHigh: number, markLow: number): boolean {
    return markHigh === this.#header.counterHigh && markLow === this.#header.counterLow;
  }

  /** Whether one that came is listened to. */
  admits(isSealed: boolean, isMarked: boolean, nowMs: number): boolean {
    return (isSealed ? this.#sealed : isMarked ? this.#marked : this.#unmarked).take(nowMs);
  }

  /**
   * Fills the scatter list with a datagram of 1 … 1184 bytes of payload. Returns the frame that it lies in, to be released
   * when it was sent; -1 when there is no memory.
   */
  pack(payload: Uint8Array, isSealed: boolean): number {
    const { iov, lengths, cuts, ecn } = this.#io;
    const datagram = new Uint8Array(DATAGRAM_HEADER_BYTES + payload.byteLength);
    datagram.set(payload, DATAGRAM_HEADER_BYTES);
    const frame = this.#arena.write(datagram);
    if (frame === -1) return -1;
    const at = this.#arena.start(frame);
    if (isSealed) this.#sender.emitHeader(DatagramType.handshake, at);
    else this.#header.emit(this.#arena.bytes, at);
    iov[0] = at;
    iov[1] = datagram.byteLength;
    lengths[0] = 1;
    cuts[0] = 0;
    ecn[0] = Ecn.notEct;
    return frame;
  }
}
