/**
 * A device as the engine sees it: which direction of which link its frames enter, and the queue of frames that wait to
 * go out. Called by `engine.ts` (receive, flush) and by the directions that end here (`send`).
 */
import type { Clock } from '../model/clock.js';
import type { ActiveList } from './active-list.js';
import { type Arena, FrameBatch } from './arena.js';
import type { CapturePoint } from './capture-ring.js';
import type { PortDevice } from './device/device.js';
import type { DropCounter } from './drop-counter.js';
import { DropReason } from './drops.js';
import type { LinkDirection } from './link.js';
import type { EngineDevice } from './stack/config.js';
import { PortField, Telemetry } from './telemetry.js';

/** Bits of `Port.interest`, those of EPOLLIN and EPOLLOUT. */
export const READABLE = 1;
export const WRITABLE = 4;
/** What a device's descriptor is always waited for, while there is memory to read into. */
export function listensTo({ sendsOnly }: PortDevice): number {
  return sendsOnly === true ? 0 : READABLE;
}

/** Most frames of one `rxBatch`. */
export const MAX_BATCH = 256;
/** Frames that wait for a device that does not take them: so many, and so many bytes, or an eighth of the arena. */
export const TX_FRAMES = 1024;
const TX_BYTES = 4 * 2 ** 20;
/** So many are sent at once, without waiting for the end of the breath. */
const FLUSH_FRAMES = 256;

export class Port {
  readonly index: number;
  readonly config: EngineDevice;
  readonly device: PortDevice;
  /** Directions that begin here, by channel (0 on devices that have none). */
  readonly directions: (LinkDirection | null)[];
  readonly captures: CapturePoint[];
  /** It is in the engine's list of ports to read. */
  listed: boolean;
  /** It is in the engine's list of ports to flush. */
  dirty: boolean;
  /** The device took less than it was given: the rest waits until it is writable, or due for `poll` where it is holding. */
  blocked: boolean;
  /** It is in the engine's list of ports that wait for memory to read into. */
  starved: boolean;
  /** What the poller watches its descriptor for: READABLE, WRITABLE, both or neither. */
  interest: number;
  /** The device is gone: it is not read any more, and what is sent to it is dropped. */
  gone: boolean;
  /** As its device said last. */
  peerIsDead: boolean;
  readonly #tx: FrameBatch;
  #txBytes: number;
  readonly #maxTxBytes: number;
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #drops: DropCounter;
  readonly #dirtyPorts: ActiveList<Port>;
  readonly #counters: Float64Array;
  readonly #base: number;
  /** Of the frames in `#tx`, the first so many have been captured. */
  #captured: number;

  constructor(
    index: number,
    config: EngineDevice,
    device: PortDevice,
    engine: {
      readonly arena: Arena;
      readonly clock: Clock;
      readonly drops: DropCounter;
      readonly telemetry: Telemetry;
      readonly dirtyPorts: ActiveList<Port>;
    },
  ) {
    this.index = index;
    this.config = config;
    this.device = device;
    this.directions = [];
    this.captures = [];
    this.listed = false;
    this.dirty = false;
    this.blocked = false;
    this.starved = false;
    this.interest = listensTo(device);
    this.gone = false;
    this.peerIsDead = false;
    this.#tx = new FrameBatch(TX_FRAMES);
    this.#txBytes = 0;
    this.#maxTxBytes = Math.min(TX_BYTES, engine.arena.bytes.byteLength / 8);
    this.#arena = engine.arena;
    this.#clock = engine.clock;
    this.#drops = engine.drops;
    this.#dirtyPorts = engine.dirtyPorts;
    this.#counters = engine.telemetry.ports;
    this.#base = Telemetry.portBase(index);
    this.#captured = 0;
  }

  /** Takes one reference of each frame; they go out at the end of the breath at the latest, or are dropped. */
  send(frames: FrameBatch, channel: number): void {
    const { ids, count } = frames;
    const { length } = this.#arena;
    let bytes = this.#txBytes;
    for (let i = 0; i < count; i++) bytes += length[ids[i]!]!;
    if (this.gone || this.#tx.count + count > FLUSH_FRAMES || bytes > this.#maxTxBytes / 2) {
      this.#sendEach(frames, channel);
      return;
    }
    this.#tx.append(frames, 0, count, channel);
    this.#txBytes = bytes;
    this.#soil();
  }

  /** There is something to flush. */
  #soil(): void {
    if (this.dirty) return;
    this.dirty = true;
    this.#dirtyPorts.push(this);
  }

  /** Where there may be too many to wait for the end of the breath, or at all. */
  #sendEach(frames: FrameBatch, channel: number): void {
    const tx = this.#tx;
    const { length } = this.#arena;
    for (let i = 0; i < frames.count; i++) {
      const frame = frames.ids[i]!;
      if ((tx.count >= FLUSH_FRAMES || this.#txBytes > this.#maxTxBytes / 2) && !this.blocked) this.flush();
      const bytes = this.#txBytes + length[frame]!;
      if (tx.count === tx.capacity || bytes > this.#maxTxBytes || this.gone) {
        this.#drop(this.gone ? DropReason.deviceError : DropReason.queueFull, frame);
      } else {
        tx.push(frame, channel);
        this.#txBytes = bytes;
        this.#soil();
      }
    }
  }

  /** Gives the device what waits; `blocked` says whether it took all. */
  flush(): void {
    const { ids, count } = this.#tx;
    if (this.captures.length !== 0) this.#captureSent();
    const droppedFrames = this.#drops.outgoingFrames;
    const droppedBytes = this.#drops.outgoingBytes;
    this.#drops.outgoing = true;
    const consumed = count === 0 ? 0 : this.device.txBatch(this.#tx, 0);
    this.#drops.outgoing = false;
    let leftBytes = 0;
    for (let i = consumed; i < count; i++) leftBytes += this.#arena.length[ids[i]!]!;
    const consumedBytes = this.#txBytes - leftBytes;
    this.#txBytes = leftBytes;
    this.#tx.shift(consumed);
    if (this.#captured > 0) this.#captured = Math.max(0, this.#captured - consumed);
    this.blocked = this.#tx.count > 0;
    this.#counters[this.#base + PortField.txPackets]! += consumed - (this.#drops.outgoingFrames - droppedFrames);
    this.#counters[this.#base + PortField.txBytes]! += consumedBytes - (this.#drops.outgoingBytes - droppedBytes);
  }

  /** Counts and captures frames that the device gave. */
  received(batch: FrameBatch): void {
    let bytes = 0;
    for (let i = 0; i < batch.count; i++) bytes += this.#arena.length[batch.ids[i]!]!;
    this.#counters[this.#base + PortField.rxPackets]! += batch.count;
    this.#counters[this.#base + PortField.rxBytes]! += bytes;
    if (this.captures.length === 0) return;
    for (let i = 0; i < batch.count; i++) this.#capture(batch.ids[i]!, batch.channels[i]!, 0);
  }

  /** Drops what waits and closes the device. */
  close(): void {
    for (let i = 0; i < this.#tx.count; i++) this.#drop(DropReason.linkDown, this.#tx.ids[i]!);
    this.#tx.count = 0;
    this.#txBytes = 0;
    this.device.close();
  }

  #drop(reason: DropReason, frame: number): void {
    this.#drops.outgoing = true;
    this.#drops.drop(reason, frame, this.index);
    this.#drops.outgoing = false;
    this.#arena.release(frame);
  }

  #captureSent(): void {
    for (; this.#captured < this.#tx.count; this.#captured++) {
      this.#capture(this.#tx.ids[this.#captured]!, this.#tx.channels[this.#captured]!, 1);
    }
  }

  #capture(frame: number, channel: number, direction: number): void {
    for (let i = 0; i < this.captures.length; i++) {
      this.captures[i]!.record(this.#arena, frame, channel, direction, this.#clock.nowNs());
    }
  }
}
