/**
 * A host's port in virtual time: gives its engine the frames that it is offered, and takes whatever is sent to it. It has no
 * descriptor; its number stands for one, so that the engine reads it when `portReady` says so and not in each breath.
 */
import type { FrameBatch } from '../vswitch/arena.js';
import { type DeviceContext, exceedsMtu, type PortDevice } from '../vswitch/device/device.js';
import { DropReason } from '../vswitch/drops.js';
import type { OfferedFrame } from '../vswitch/recording/lines.js';

export class HostDevice implements PortDevice {
  readonly mtuBytes: number;
  readonly batchSize = 64;
  readonly fd: number;
  readonly nextNs = Infinity;
  readonly #context: DeviceContext;
  readonly #offered: OfferedFrame[];

  constructor(context: DeviceContext, mtuBytes: number) {
    this.mtuBytes = mtuBytes;
    this.fd = context.index;
    this.#context = context;
    this.#offered = [];
  }

  /** For the next breath; the bytes are not changed. */
  offer(frame: OfferedFrame): void {
    this.#offered.push(frame);
  }

  rxBatch(out: FrameBatch): number {
    const { arena, drops, index } = this.#context;
    const frames = this.#offered.splice(0, Math.min(this.batchSize, out.capacity - out.count));
    let received = 0;
    for (const { bytes, gsoSize = 0, checksum } of frames) {
      const frame = arena.write(bytes);
      if (frame === -1) {
        drops.drop(DropReason.arenaFull, -1, index);
        continue;
      }
      arena.gsoSize[frame] = gsoSize;
      if (checksum !== undefined) [arena.csumState[frame], arena.csumStart[frame], arena.csumOffset[frame]] = checksum;
      out.push(frame, 0);
      received++;
    }
    return received;
  }

  txBatch(frames: FrameBatch, from: number): number {
    const { arena, drops, index } = this.#context;
    for (let i = from; i < frames.count; i++) {
      const frame = frames.ids[i]!;
      if (exceedsMtu(arena, frame, this.mtuBytes)) drops.drop(DropReason.tooLong, frame, index);
      arena.release(frame);
    }
    return frames.count - from;
  }

  poll(): void {
    // Nothing here is timed.
  }

  close(): void {
    this.#offered.length = 0;
  }
}
