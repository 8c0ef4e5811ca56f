/**
 * Copies of frames on their way from the engine's thread to the main thread: one ring in shared memory per capture, one
 * writer, one reader. When the reader is too slow, frames are lost and counted; the engine never waits.
 *
 *   int32 word 0: written, bytes ever      1: read, bytes ever      2: frames lost      3: –
 *   then RING_BYTES of records, each at a multiple of 8; positions are modulo the ring's size
 *
 *   offset  bytes  type     field
 *   0       4      uint32   length of the record, padding included; 0: the next one is at the ring's start
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
import { type Arena, SLOT_BYTES } from './arena.js';

/** A power of two that holds many super-frames. */
const RING_BYTES = 4 * 2 ** 20;
const PREFIX_BYTES = 16;
const WRITTEN = 0;
const READ = 1;
const LOST = 2;

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

class CaptureRing {
  protected readonly words: Int32Array;
  protected readonly bytes: Uint8Array;
  protected readonly shorts: Uint16Array;
  protected readonly longs: Uint32Array;
  protected readonly doubles: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer, 0, PREFIX_BYTES / 4);
    this.bytes = new Uint8Array(buffer, PREFIX_BYTES, RING_BYTES);
    this.shorts = new Uint16Array(buffer, PREFIX_BYTES, RING_BYTES / 2);
    this.longs = new Uint32Array(buffer, PREFIX_BYTES, RING_BYTES / 4);
    this.doubles = new Float64Array(buffer, PREFIX_BYTES, RING_BYTES / 8);
  }
}

/** The engine's side: a capture on one port. */
export class CapturePoint extends CaptureRing {
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
    const recordBytes = (HEADER_BYTES + length + 7) & ~7;
    const written = this.words[WRITTEN]!;
    let at = written & (RING_BYTES - 1);
    const toEnd = RING_BYTES - at;
    const skipped = recordBytes > toEnd ? toEnd : 0;
    const used = (written - Atomics.load(this.words, READ)) | 0;
    if (used + skipped + recordBytes > RING_BYTES) {
      Atomics.add(this.words, LOST, 1);
      this.#lostSince++;
      return;
    }
    if (skipped > 0) {
      this.longs[at / 4] = 0;
      at = 0;
    }
    this.longs[at / 4] = recordBytes;
    this.longs[(at + FRAME_LENGTH) / 4] = length;
    this.doubles[(at + TIME) / 8] = nowNs;
    this.shorts[(at + CSUM_START) / 2] = arena.csumStart[frame]!;
    this.shorts[(at + CSUM_OFFSET) / 2] = arena.csumOffset[frame]!;
    this.bytes[at + CSUM_STATE] = arena.csumState[frame]!;
    this.bytes[at + DIRECTION] = direction;
    this.longs[(at + LOST_BEFORE) / 4] = this.#lostSince;
    this.#lostSince = 0;
    this.#copy(arena, frame, at + HEADER_BYTES);
    Atomics.store(this.words, WRITTEN, (written + skipped + recordBytes) | 0);
    Atomics.notify(this.words, WRITTEN);
  }

  /** Views are made here and nowhere else on a frame's way: a port that is captured pays for it. */
  #copy(arena: Arena, frame: number, to: number): void {
    let left = arena.length[frame]!;
    let start = arena.start(frame);
    let room = SLOT_BYTES - arena.offset[frame]!;
    for (let slot = frame; left > 0;) {
      const n = Math.min(left, room);
      this.bytes.set(arena.bytes.subarray(start, start + n), to);
      to += n;
      left -= n;
      slot = arena.next[slot]!;
      start = slot * SLOT_BYTES;
      room = SLOT_BYTES;
    }
  }
}

/** The main thread's side. */
export class CaptureReader extends CaptureRing {
  readonly buffer: SharedArrayBuffer;

  constructor() {
    const buffer = new SharedArrayBuffer(PREFIX_BYTES + RING_BYTES);
    super(buffer);
    this.buffer = buffer;
  }

  /** Since the start, those of which no later frame tells yet included. */
  get lostFrames(): number {
    return Atomics.load(this.words, LOST) >>> 0;
  }

  /** The oldest frame, as a copy; undefined when there is none. */
  next(): CapturedFrame | undefined {
    const read = this.words[READ]!;
    if (Atomics.load(this.words, WRITTEN) === read) return undefined;
    let at = read & (RING_BYTES - 1);
    let skipped = 0;
    if (this.longs[at / 4] === 0) {
      skipped = RING_BYTES - at;
      at = 0;
    }
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
    Atomics.store(this.words, READ, (read + skipped + this.longs[at / 4]!) | 0);
    return frame;
  }

  /** Resolves when there is a frame that `next` has not given, or `wake` was called. */
  async wait(): Promise<void> {
    const read = this.words[READ]!;
    await Atomics.waitAsync(this.words, WRITTEN, read).value;
  }

  /** Ends a `wait`, for a capture that ends. */
  wake(): void {
    Atomics.notify(this.words, WRITTEN);
  }
}
