/**
 * The tunnel's way out: rebuilt frames get what the wire does not carry, and wait for the next `rxBatch`, because one
 * datagram can hold many and time alone can yield some (salvage).
 *
 *   head                     tail
 *     │ frame, channel │ … │           a ring; indices grow for ever, masked on use
 *
 * Every frame given to `deliver` leaves in one way: into the ring, or released and counted.
 * Called by `receiver.ts`, `reassembly.ts` and `salvage.ts`.
 */
import { Checksum, SLOT_BYTES, type Arena, type FrameBatch } from '../arena.js';
import type { DeviceContext } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { FrameHeaders } from '../wire/headers.js';
import { decapsulateEcn, EcnFate, NO_MARKS } from './decapsulation.js';

/** The frames of one read, 64 datagrams of 64 chunks, and as many salvaged ones again. A power of two. */
const RING_FRAMES = 8192;

export class Delivery {
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #headers: FrameHeaders;
  readonly #ids: Int32Array;
  readonly #channels: Uint16Array;
  /** See `TunnelReceiver.ecnAnomalies`. */
  ecnAnomalies: number;
  #head: number;
  #tail: number;

  constructor(context: DeviceContext) {
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#headers = new FrameHeaders();
    this.#ids = new Int32Array(RING_FRAMES);
    this.#channels = new Uint16Array(RING_FRAMES);
    this.ecnAnomalies = 0;
    this.#head = 0;
    this.#tail = 0;
  }

  /** Frames that wait. */
  get waiting(): number {
    return (this.#tail - this.#head) | 0;
  }

  /**
   * Takes a whole frame. Where its checksum is partial, the place of the checksum comes from its headers and from nothing
   * that the peer says: a frame whose headers do not tell is refused. `marks` are the ECN fields of its datagrams.
   */
  deliver(frame: number, channel: number, gsoSize: number, checksum: Checksum, marks: number): void {
    const arena = this.#arena;
    const contiguous = Math.min(arena.length[frame]!, SLOT_BYTES - arena.offset[frame]!);
    if (marks !== NO_MARKS) {
      const fate = decapsulateEcn(arena.bytes, arena.start(frame), contiguous, marks);
      if (fate !== EcnFate.kept) this.ecnAnomalies++;
      if (fate === EcnFate.dropped) {
        this.#refuse(DropReason.ecnConflict, frame);
        return;
      }
    }
    if (checksum === Checksum.partial) {
      const isKnown = this.#headers.parse(arena.bytes, arena.start(frame), contiguous);
      if (!isKnown || (gsoSize > 0 && arena.length[frame]! <= this.#headers.payload)) {
        this.#refuse(DropReason.badDatagram, frame);
        return;
      }
      arena.csumStart[frame] = this.#headers.transport;
      arena.csumOffset[frame] = this.#headers.checksumOffset;
    }
    arena.gsoSize[frame] = gsoSize;
    arena.csumState[frame] = checksum;
    if (this.waiting === RING_FRAMES) {
      this.#refuse(DropReason.queueFull, frame);
      return;
    }
    const at = this.#tail & (RING_FRAMES - 1);
    this.#ids[at] = frame;
    this.#channels[at] = channel;
    this.#tail = (this.#tail + 1) | 0;
  }

  /** Moves up to `count` frames to `out`, which has room for them; returns how many. */
  drain(out: FrameBatch, count: number): number {
    const n = Math.min(count, this.waiting);
    for (let i = 0; i < n; i++) {
      const at = this.#head & (RING_FRAMES - 1);
      out.push(this.#ids[at]!, this.#channels[at]!);
      this.#head = (this.#head + 1) | 0;
    }
    return n;
  }

  /** Releases what waits. */
  close(): void {
    for (; this.waiting > 0; this.#head = (this.#head + 1) | 0) {
      this.#arena.release(this.#ids[this.#head & (RING_FRAMES - 1)]!);
    }
  }

  #refuse(reason: DropReason, frame: number): void {
    this.#drops.drop(reason, frame, this.#port);
    this.#arena.release(frame);
  }
}
