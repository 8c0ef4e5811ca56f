/**
 * Software segmentation in the arena, for whoever has a super-frame and needs frames: any run of its neighbouring segments
 * becomes a frame of its own, a single one as much as several (which are a super-frame again). What the headers of a run
 * say is decided in `segment.ts`, whose `segmentFrame` is the oracle of this file. Nothing here allocates.
 *
 *   super-frame   ─► [headers]  0  |  1  |  2  |  3  ]          stays as it is: others may hold it
 *   run(0, 1)     ◄─ [headers]  0  ]                            a copy, its checksum partial
 *   run(2, 4)     ◄─ [headers]  2  |  3  ]
 *
 * Called by `device/tap.ts` (a host that takes single frames) and `tunnel/salvage.ts` (super-frames with losses).
 */
import { type Arena, Checksum, FIRST_SLOT_BYTES } from '../arena.js';
import { put16 } from './bytes.js';
import { copyChain } from './chain.js';
import { sumFrame } from './checksum.js';
import { FrameHeaders } from './headers.js';
import { segmentChecksum, segmentCount, writeRunHeaders } from './segment.js';

/**
 * Segments of one super-frame at most, lest somebody keeps us busy with segments of a byte. No sender makes more: TCP's
 * segments have 36 bytes at least (tcp_min_snd_mss is 48, with timestamps), and a segmented send of UDP has 128.
 */
const MAX_SEGMENTS = 2048;

export class Segmenter {
  /** Of the super-frame that was turned to last. */
  segments: number;
  readonly #arena: Arena;
  readonly #headers: FrameHeaders;
  #frame: number;
  #gsoSize: number;

  constructor(arena: Arena) {
    this.segments = 0;
    this.#arena = arena;
    this.#headers = new FrameHeaders();
    this.#frame = -1;
    this.#gsoSize = 0;
  }

  /** Bytes of the headers, which each run has in front of its payload. */
  get headerBytes(): number {
    return this.#headers.payload;
  }

  /**
   * Turns to a super-frame of segments of `gsoSize`, the first `knownBytes` of which are there. False when it cannot be
   * segmented: its headers are not within them, it is neither TCP nor UDP, has no payload, or too many segments.
   */
  begin(frame: number, gsoSize: number, knownBytes: number): boolean {
    const arena = this.#arena;
    const headers = this.#headers;
    // A run has its headers in its first slot.
    const bytes = Math.min(knownBytes, FIRST_SLOT_BYTES);
    if (gsoSize === 0 || !headers.parse(arena.bytes, arena.start(frame), bytes)) return false;
    this.segments = segmentCount(arena.length[frame]! - headers.payload, gsoSize);
    this.#frame = frame;
    this.#gsoSize = gsoSize;
    return this.segments > 0 && this.segments <= MAX_SEGMENTS;
  }

  /**
   * Segments `first` … `after - 1` as a frame, the caller's; -1 when the arena is full. Its checksum is partial, and it is
   * a super-frame when it has more than one.
   */
  run(first: number, after: number): number {
    const arena = this.#arena;
    const headers = this.#headers;
    const whole = this.#frame;
    const from = headers.payload + first * this.#gsoSize;
    const payloadBytes = Math.min(arena.length[whole]!, headers.payload + after * this.#gsoSize) - from;
    const run = arena.alloc(headers.payload + payloadBytes);
    if (run === -1) return -1;
    const at = arena.offset[whole]!;
    const to = arena.offset[run]!;
    copyChain(arena, whole, at, run, to, headers.payload);
    copyChain(arena, whole, at + from, run, to + headers.payload, payloadBytes);
    writeRunHeaders(
      arena.bytes,
      arena.start(run),
      headers,
      this.#gsoSize,
      first,
      payloadBytes,
      after === this.segments,
    );
    arena.gsoSize[run] = after - first > 1 ? this.#gsoSize : 0;
    arena.csumState[run] = Checksum.partial;
    arena.csumStart[run] = headers.transport;
    arena.csumOffset[run] = headers.checksumOffset;
    return run;
  }

  /** Completes the checksum of a single segment, just made by `run`. */
  complete(segment: number): void {
    const arena = this.#arena;
    const { transport, checksumOffset, protocol } = this.#headers;
    const sum = sumFrame(arena, segment, transport);
    put16(arena.bytes, arena.start(segment) + transport + checksumOffset, segmentChecksum(sum, protocol));
    arena.csumState[segment] = Checksum.unknown;
  }
}
