/**
 * From a probe to a datagram: padded to its length in the arena, named as the one datagram of the scatter list that the
 * tunnel's sender fills else. Called by `../udp.ts` and `../dgram.ts`.
 */
import { HEADROOM_BYTES, SLOT_BYTES, type Arena } from '../../arena.js';
import { Ecn } from '../../wire/ecn.js';
import type { TunnelSender } from '../sender.js';
import { DATAGRAM_HEADER_BYTES, DatagramType, UDP_HEADER_BYTES } from '../wire.js';
import { PROBE_BYTES } from './probe.js';

/** Datagram header and probe, which stand in the frame's first slot. */
const HEADERS_BYTES = DATAGRAM_HEADER_BYTES + PROBE_BYTES;

export interface ProbePackerOptions {
  /** 20 or 40. */
  readonly ipHeaderBytes: number;
  readonly tagBytes: number;
  /** As of `TunnelSenderOptions`. */
  readonly iov: Int32Array;
  readonly lengths: Int32Array;
  readonly cuts?: Int32Array;
  readonly ecn?: Uint8Array;
}

export class ProbePacker {
  readonly #arena: Arena;
  readonly #sender: TunnelSender;
  readonly #options: ProbePackerOptions;
  readonly #overheadBytes: number;

  constructor(arena: Arena, sender: TunnelSender, options: ProbePackerOptions) {
    this.#arena = arena;
    this.#sender = sender;
    this.#options = options;
    this.#overheadBytes = options.ipHeaderBytes + UDP_HEADER_BYTES + options.tagBytes;
  }

  /**
   * Fills the scatter list with a datagram of `message`, and zeros until its IP packet has `packetBytes` (0: none).
   * Returns the frame that it lies in, to be released when it was sent; -1 when there is no memory.
   */
  pack(message: Uint8Array, packetBytes: number): number {
    const { cuts, ecn, iov, lengths } = this.#options;
    const arena = this.#arena;
    const bytes = packetBytes === 0 ? HEADERS_BYTES : packetBytes - this.#overheadBytes;
    const frame = arena.alloc(bytes);
    if (frame === -1) return -1;
    let at = HEADROOM_BYTES;
    let left = bytes;
    let entries = 0;
    for (let slot = frame; left > 0; slot = arena.next[slot]!, at = 0, entries++) {
      const start = slot * SLOT_BYTES + at;
      const here = Math.min(left, SLOT_BYTES - at);
      arena.bytes.fill(0, start, start + here);
      iov[2 * entries] = start;
      iov[2 * entries + 1] = here;
      left -= here;
    }
    lengths[0] = entries;
    if (cuts !== undefined) cuts[0] = 0;
    if (ecn !== undefined) ecn[0] = Ecn.notEct;
    const start = arena.start(frame);
    this.#sender.emitHeader(DatagramType.probe, start);
    for (let i = 0; i < PROBE_BYTES; i++) arena.bytes[start + DATAGRAM_HEADER_BYTES + i] = message[i]!;
    return frame;
  }
}
