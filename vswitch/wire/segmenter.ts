/**
 * Software segmentation in the arena, for whoever has a super-frame and needs frames: any run of its neighbouring segments
 * becomes a frame of its own, a single one as much as several (which are a super-frame again). What the headers of a run
 * say is decided in `segment.ts`, whose `segmentFrame` is the oracle of this file. Nothing here allocates.
 *
 *   super-frame   ─► [headers]  0  |  1  |  2  |  3  ]          stays as it is: others may hold it
 *   run(0, 1)     ◄─ [headers]  0  ]                            a copy, its checksum partial
 *   run(2, 4)     ◄─ [headers]  2  |  3  ]
 *
 * Who needs all of it, and the super-frame no more, has it cut: then slots go over to the runs, and of each run no more is
 * copied than what it has of the slot in which it begins.
 *
 *   slots             0        1        2        3        4
 *   super-frame   ─► [h·aaaaa][aaaaaaaa][aaabbbbb][bbbbbbbb][bb   ]     used up
 *   cut(…)        ◄─ [ haaaaa][aaaaaaaa][aaa     ]                      0 is copied; 1 and 2 are the super-frame's
 *                    [  hbbbbb][bbbbbbbb][bb   ]                        what it has of 2 is copied; 3 and 4
 *
 * Called by `device/tap.ts` (a host that takes single frames), `tunnel/salvage.ts` (super-frames with losses), and
 * `emulation/emulator.ts` (runs that a link passes).
 */
import { type Arena, Checksum, FIRST_SLOT_BYTES, SLOT_BYTES } from '../arena.js';
import { put16 } from './bytes.js';
import { copyChain } from './chain.js';
import { sumFrame } from './checksum.js';
import { FrameHeaders } from './headers.js';
import { segmentChecksum, segmentCount, writeRunHeaders } from './segment.js';

/**
 * Segments of one super-frame at most, lest somebody keeps us busy with segments of a byte. No sender makes more: TCP's
 * segments have 36 bytes at least (tcp_min_snd_mss is 48, with timestamps), and a segmented send of UDP has 128.
 */
export const MAX_SEGMENTS = 2048;

export class Segmenter {
  /** Of the super-frame that was turned to last. */
  segments: number;
  readonly #arena: Arena;
  readonly #headers: FrameHeaders;
  #frame: number;
  #gsoSize: number;

  // While it is cut: a slot of the super-frame, which of its slots that is, and the one that follows it; and the last one up to
  // it that went over to no run.
  #slot: number;
  #index: number;
  #following: number;
  #kept: number;

  constructor(arena: Arena) {
    this.segments = 0;
    this.#arena = arena;
    this.#headers = new FrameHeaders();
    this.#frame = -1;
    this.#gsoSize = 0;
    this.#slot = -1;
    this.#index = 0;
    this.#following = -1;
    this.#kept = -1;
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
    const whole = this.#frame;
    const headerBytes = this.#headers.payload;
    const payloadBytes = this.#payloadBytes(first, after);
    const run = arena.alloc(headerBytes + payloadBytes);
    if (run === -1) return -1;
    const from = arena.offset[whole]! + headerBytes + first * this.#gsoSize;
    copyChain(arena, whole, from, run, arena.offset[run]! + headerBytes, payloadBytes);
    this.#writeHeaders(run, first, after, payloadBytes);
    return run;
  }

  /**
   * All of it, as runs of so many segments, the last one perhaps fewer: to `runs`, each as from `run`; returns how many. The
   * super-frame was the caller's, and is used up.
   */
  cut(runSegments: number, runs: Int32Array): number {
    const arena = this.#arena;
    const isAlone = arena.refs[this.#frame] === 1;
    this.#slot = this.#kept = this.#frame;
    this.#index = 0;
    this.#following = arena.next[this.#frame]!;
    let count = 0;
    for (let first = 0; first < this.segments; first += runSegments) {
      const after = Math.min(this.segments, first + runSegments);
      runs[count++] = isAlone ? this.#take(first, after) : this.run(first, after);
    }
    arena.release(this.#frame);
    return count;
  }

  /** As `run`, of a super-frame that nobody else holds, after all runs before it: its slots are the run's from now on. */
  #take(first: number, after: number): number {
    const arena = this.#arena;
    const headerBytes = this.#headers.payload;
    const payloadBytes = this.#payloadBytes(first, after);
    const from = arena.offset[this.#frame]! + headerBytes + first * this.#gsoSize;
    while (this.#index < Math.floor(from / SLOT_BYTES)) this.#step(true);
    const at = from - this.#index * SLOT_BYTES;
    const pieceBytes = Math.min(payloadBytes, SLOT_BYTES - at);
    // Not what a slot holds, which would be in two; where it goes on after this slot, and what is copied fits one.
    const isLong = headerBytes + payloadBytes > FIRST_SLOT_BYTES;
    const isTaking = isLong && pieceBytes < payloadBytes && headerBytes + pieceBytes <= SLOT_BYTES;
    const run = arena.alloc(isTaking ? headerBytes : headerBytes + payloadBytes);
    if (run === -1) return -1;
    if (isTaking) {
      // So that its next byte is the first of a slot.
      arena.offset[run] = SLOT_BYTES - headerBytes - pieceBytes;
      arena.length[run] = headerBytes + payloadBytes;
    }
    const to = arena.offset[run]! + headerBytes;
    copyChain(arena, this.#slot, at, run, to, pieceBytes);
    if (isTaking) {
      arena.next[run] = this.#following;
      const last = Math.floor((from + payloadBytes - 1) / SLOT_BYTES);
      while (this.#index < last) this.#step(false);
      arena.next[this.#slot] = -1;
      arena.next[this.#kept] = this.#following;
    } else {
      copyChain(arena, this.#following, 0, run, to + pieceBytes, payloadBytes - pieceBytes);
    }
    this.#writeHeaders(run, first, after, payloadBytes);
    return run;
  }

  /** To the super-frame's next slot, which is kept or goes over to a run. */
  #step(isKept: boolean): void {
    this.#slot = this.#following;
    this.#index++;
    this.#following = this.#arena.next[this.#slot]!;
    if (isKept) this.#kept = this.#slot;
  }

  #payloadBytes(first: number, after: number): number {
    const headerBytes = this.#headers.payload;
    const end = Math.min(this.#arena.length[this.#frame]!, headerBytes + after * this.#gsoSize);
    return end - headerBytes - first * this.#gsoSize;
  }

  /** The super-frame's headers, as they are for a run. */
  #writeHeaders(run: number, first: number, after: number, payloadBytes: number): void {
    const arena = this.#arena;
    const headers = this.#headers;
    const from = arena.start(this.#frame);
    arena.bytes.copyWithin(arena.start(run), from, from + headers.payload);
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
