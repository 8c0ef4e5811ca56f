/**
 * Frames on their way from one engine's thread to another's: a ring (`ring.ts`) that has the frames themselves, since each
 * engine has an arena of its own.
 *
 *   offset  bytes  type     field
 *   0       4      uint32   length of the record, padding included
 *   4       4      uint32   length of the frame
 *   8       2      uint16   channel
 *   10      2      uint16   gsoSize
 *   12      2      uint16   csumStart
 *   14      2      uint16   csumOffset
 *   16      8      double   cameNs: the engines of a process have one clock
 *   24      1      uint8    csumState
 *   25      7               –
 *   32      n               the frame, whole, then padding
 *
 * Its reader sleeps in epoll, so beside the ring there is an eventfd, its bell. As with the notifications of virtio (1.2,
 * 2.7.10), the reader says in word 3 that it is to be rung for, `AWAITED`, and a writer rings once for that:
 *
 *   reader, the ring is empty          writer
 *     awaited = 1                        written = …
 *     written === read? sleep            awaited, exchanged for 0, was 1? ring
 *
 * Both stores come before both loads (Atomics are sequentially consistent), so of reader and writer at least one sees what
 * the other did: no record is left lying while its reader sleeps.
 */
import type { Arena } from '../arena.js';
import type { NativeIo } from '../device/native-io.js';
import { allocateRing, RingReader, RingWriter } from '../ring.js';

const FRAME_LENGTH = 4;
const CHANNEL = 8;
const GSO_SIZE = 10;
const CSUM_START = 12;
const CSUM_OFFSET = 14;
const CAME_NS = 16;
const CSUM_STATE = 24;
const HEADER_BYTES = 32;

/** Word of the ring's prefix: 1 while the reader is to be rung for. */
const AWAITED = 3;

/** `ringBytes`: a power of two. */
export function allocateTrunk(ringBytes: number): SharedArrayBuffer {
  const buffer = allocateRing(ringBytes);
  new Int32Array(buffer)[AWAITED] = 1;
  return buffer;
}

export class TrunkWriter extends RingWriter {
  readonly #io: NativeIo;

  constructor(buffer: SharedArrayBuffer, io: NativeIo) {
    super(buffer);
    this.#io = io;
  }

  /** Copies a frame; false where there is no room. The reader has it with the next `send`. */
  put(frame: number, channel: number): boolean {
    const { arena } = this.#io;
    const length = arena.length[frame]!;
    const at = this.reserve(HEADER_BYTES + length);
    if (at === -1) return false;
    this.longs[(at + FRAME_LENGTH) / 4] = length;
    this.shorts[(at + CHANNEL) / 2] = channel;
    this.shorts[(at + GSO_SIZE) / 2] = arena.gsoSize[frame]!;
    this.shorts[(at + CSUM_START) / 2] = arena.csumStart[frame]!;
    this.shorts[(at + CSUM_OFFSET) / 2] = arena.csumOffset[frame]!;
    this.doubles[(at + CAME_NS) / 8] = arena.cameNs[frame]!;
    this.bytes[at + CSUM_STATE] = arena.csumState[frame]!;
    const entries = this.#io.scatterList(frame, 0);
    this.#io.native.gather(this.#io.handle, this.bytes, at + HEADER_BYTES, entries);
    return true;
  }

  /** The reader may have what was put. Returns whether it is to be rung for. */
  send(): boolean {
    this.publish();
    return Atomics.exchange(this.words, AWAITED, 0) === 1;
  }
}

export class TrunkReader extends RingReader {
  /** Of the frame that `take` gave last. */
  channel: number;
  readonly #io: NativeIo;
  readonly #arena: Arena;

  constructor(buffer: SharedArrayBuffer, io: NativeIo) {
    super(buffer);
    this.channel = 0;
    this.#io = io;
    this.#arena = io.arena;
  }

  /** The oldest frame, as one of this arena; -1: the ring is empty, or (`empty` says so) there is no memory for it. */
  take(): number {
    const arena = this.#arena;
    const at = this.first();
    if (at === -1) return -1;
    const frame = arena.alloc(this.longs[(at + FRAME_LENGTH) / 4]!);
    if (frame === -1) return -1;
    this.channel = this.shorts[(at + CHANNEL) / 2]!;
    arena.gsoSize[frame] = this.shorts[(at + GSO_SIZE) / 2]!;
    arena.csumStart[frame] = this.shorts[(at + CSUM_START) / 2]!;
    arena.csumOffset[frame] = this.shorts[(at + CSUM_OFFSET) / 2]!;
    arena.cameNs[frame] = this.doubles[(at + CAME_NS) / 8]!;
    arena.csumState[frame] = this.bytes[at + CSUM_STATE]!;
    const entries = this.#io.scatterList(frame, 0);
    this.#io.native.scatter(this.#io.handle, this.bytes, at + HEADER_BYTES, entries);
    this.release();
    return frame;
  }

  /** From now on the next record is rung for; false: there is one already, and nobody rings. */
  await(): boolean {
    Atomics.store(this.words, AWAITED, 1);
    return this.empty || Atomics.exchange(this.words, AWAITED, 0) === 0;
  }
}
