/**
 * Copies of frames on their way from the engine's thread to the main thread: one ring (`ring.ts`) per capture. When the
 * reader is too slow, frames are lost and counted.
 *
 *   offset  bytes  type     field
 *   0       4      uint32   length of the record, padding included
 *   4       4      uint32   length of the frame
 *   8       8      float64  time, the engine's clock in ns
 *   16      2      uint16   csumStart
 *   18      2      uint16   csumOffset
 *   20      1      uint8    csumState
 *   21      1      uint8    0: received from the device, 1: sent to it
 *   22      2               –
 *   24      4      uint32   frames lost since the record before
 *   28      4               –
 *   32      n               the frame, whole, then padding
 */
import type { Arena } from './arena.js';
import { allocateRing, RingReader, RingWriter } from './ring.js';

/** A power of two that holds many super-frames. */
const RING_BYTES = 4 * 2 ** 20;

const FRAME_LENGTH = 4;
const TIME = 8;
const CSUM_START = 16;
const CSUM_OFFSET = 18;
const CSUM_STATE = 20;
const DIRECTION = 21;
const LOST_BEFORE = 24;
const HEADER_BYTES = 32;

export interface CapturedFrame {
  readonly nowNs: number;
  /** 0: received from the device, 1: sent to it. */
  readonly direction: number;
  readonly csumState: number;
  readonly csumStart: number;
  readonly csumOffset: number;
  /** Frames that were lost between the one before and this one. */
  readonly lostBefore: number;
  readonly bytes: Uint8Array;
}

/** The engine's side: a capture on one port. */
export class CapturePoint extends RingWriter {
  readonly id: number;
  readonly #channel: number;
  #lostSince: number;

  /** `channel`: only frames of this one; -1: all. */
  constructor(id: number, buffer: SharedArrayBuffer, channel: number) {
    super(buffer);
    this.id = id;
    this.#channel = channel;
    this.#lostSince = 0;
  }

  record(arena: Arena, frame: number, channel: number, direction: number, nowNs: number): void {
    if (this.#channel !== -1 && channel !== this.#channel) return;
    const length = arena.length[frame]!;
    const at = this.reserve(HEADER_BYTES + length);
    if (at === -1) {
      this.#lostSince++;
      return;
    }
    this.longs[(at + FRAME_LENGTH) / 4] = length;
    this.doubles[(at + TIME) / 8] = nowNs;
    this.shorts[(at + CSUM_START) / 2] = arena.csumStart[frame]!;
    this.shorts[(at + CSUM_OFFSET) / 2] = arena.csumOffset[frame]!;
    this.bytes[at + CSUM_STATE] = arena.csumState[frame]!;
    this.bytes[at + DIRECTION] = direction;
    this.longs[(at + LOST_BEFORE) / 4] = this.#lostSince;
    this.#lostSince = 0;
    this.copy(arena, frame, at + HEADER_BYTES);
    this.publish();
  }
}

/** The main thread's side. */
export class CaptureReader extends RingReader {
  constructor() {
    super(allocateRing(RING_BYTES));
  }

  /** Since the start, those of which no later frame tells yet included. */
  get lostFrames(): number {
    return this.lost;
  }

  /** The oldest frame, as a copy; undefined when there is none. */
  next(): CapturedFrame | undefined {
    const at = this.first();
    if (at === -1) return undefined;
    const length = this.longs[(at + FRAME_LENGTH) / 4]!;
    const frame: CapturedFrame = {
      nowNs: this.doubles[(at + TIME) / 8]!,
      direction: this.bytes[at + DIRECTION]!,
      csumState: this.bytes[at + CSUM_STATE]!,
      csumStart: this.shorts[(at + CSUM_START) / 2]!,
      csumOffset: this.shorts[(at + CSUM_OFFSET) / 2]!,
      lostBefore: this.longs[(at + LOST_BEFORE) / 4]!,
      bytes: this.bytes.slice(at + HEADER_BYTES, at + HEADER_BYTES + length),
    };
    this.release();
    return frame;
  }
}
