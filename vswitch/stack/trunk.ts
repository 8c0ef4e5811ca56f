/**
 * The way between two engines of a switch process, as a device of each: frames that one sends, the other receives, with
 * channels as in a tunnel. What finds no room in the ring is dropped (`queueFull`), as it would be by a TAP.
 */
import type { FrameBatch } from '../arena.js';
import {
  type ChannelPresence,
  type DeviceContext,
  exceedsMtu,
  type PortDevice,
  RX_NO_MEMORY,
} from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { DropReason } from '../drops.js';
import { allocateTrunk, TrunkReader, TrunkWriter } from './trunk-ring.js';

/** Of Ethernet, all that fits an IP packet: what TAPs may have. */
const MTU_BYTES = 65521;
const BATCH_FRAMES = 64;

/** Channels are counted in 16 bits. */
export const MAX_CHANNEL = 65535;

/** One direction. */
export interface TrunkWay {
  /** Of `allocateTrunk`. */
  readonly ring: SharedArrayBuffer;
  /** What its writer shows of its channels, a byte each. */
  readonly presence: SharedArrayBuffer;
  /** The eventfd that its reader waits for; -1 where it never sleeps. */
  readonly bell: number;
}

export function allocateWay(ringBytes: number, bell: number): TrunkWay {
  return { ring: allocateTrunk(ringBytes), presence: new SharedArrayBuffer(MAX_CHANNEL + 1), bell };
}

export interface TrunkOptions {
  readonly out: TrunkWay;
  readonly in: TrunkWay;
}

export class TrunkDevice implements PortDevice {
  readonly mtuBytes = MTU_BYTES;
  readonly batchSize = BATCH_FRAMES;
  /** Readable while the ring may have something; of the process, not closed here. */
  readonly fd: number;
  readonly nextNs = Infinity;
  readonly presence: ChannelPresence;
  readonly #context: DeviceContext;
  readonly #io: NativeIo;
  readonly #writer: TrunkWriter;
  readonly #reader: TrunkReader;
  readonly #peerBell: number;

  constructor(context: DeviceContext, options: TrunkOptions) {
    const { io } = context;
    if (io === undefined) throw new TypeError('a trunk needs the arrays of an engine');
    this.fd = options.in.bell;
    this.presence = new SharedPresence(options.out.presence, options.in.presence);
    this.#context = context;
    this.#io = io;
    this.#writer = new TrunkWriter(options.out.ring, io);
    this.#reader = new TrunkReader(options.in.ring, io);
    this.#peerBell = options.out.bell;
  }

  rxBatch(out: FrameBatch): number {
    const reader = this.#reader;
    const most = Math.min(BATCH_FRAMES, out.capacity - out.count);
    for (let received = 0; received < most; received++) {
      const frame = reader.take();
      if (frame !== -1) {
        out.push(frame, reader.channel);
      } else if (reader.empty) {
        this.#await();
        return received;
      } else {
        return received === 0 ? RX_NO_MEMORY : received;
      }
    }
    return most;
  }

  txBatch(frames: FrameBatch, from: number): number {
    const { arena, drops, index } = this.#context;
    for (let i = from; i < frames.count; i++) {
      const frame = frames.ids[i]!;
      if (exceedsMtu(arena, frame, MTU_BYTES)) drops.drop(DropReason.tooLong, frame, index);
      else if (!this.#writer.put(frame, frames.channels[i]!)) drops.drop(DropReason.queueFull, frame, index);
      arena.release(frame);
    }
    if (this.#writer.send()) this.#io.native.eventfdSignal(this.#peerBell);
    return frames.count - from;
  }

  poll(): void {
    // Nothing here is timed.
  }

  close(): void {
    // What is under way is the other engine's to read, or nobody's.
  }

  /** The bell is quiet only while the ring is empty, so that who waits for it misses nothing. */
  #await(): void {
    if (this.fd === -1) return;
    this.#io.native.eventfdDrain(this.fd);
    if (!this.#reader.await()) this.#io.native.eventfdSignal(this.fd);
  }
}

class SharedPresence implements ChannelPresence {
  readonly #shown: Uint8Array;
  readonly #seen: Uint8Array;

  constructor(shown: SharedArrayBuffer, seen: SharedArrayBuffer) {
    this.#shown = new Uint8Array(shown);
    this.#seen = new Uint8Array(seen);
  }

  show(channel: number, isUp: boolean): void {
    Atomics.store(this.#shown, channel, isUp ? 1 : 0);
  }

  isUp(channel: number): boolean {
    return Atomics.load(this.#seen, channel) === 1;
  }
}
