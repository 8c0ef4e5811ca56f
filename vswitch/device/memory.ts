/**
 * A pair of devices joined by two wires in memory: what one sends, the other receives. For tests, benchmarks and the
 * warm-up. Both may belong to one engine (frames are handed over) or to two (frames are copied from arena to arena).
 *
 * A wire holds `capacity` frames; `txBatch` into a full one consumes less, as a slow device does.
 */
import { type Arena, type FrameBatch, SLOT_BYTES } from '../arena.js';
import { DropReason } from '../drops.js';
import { type DeviceContext, exceedsMtu, type PortDevice } from './device.js';

export interface MemoryOptions {
  readonly mtuBytes?: number;
  readonly batchSize?: number;
  /** Frames that a wire holds; a power of two. */
  readonly capacity?: number;
}

/** Frames under way in one direction; they lie in the sender's arena. */
class Wire {
  readonly arena: Arena;
  readonly ids: Int32Array;
  readonly channels: Uint16Array;
  readonly mask: number;
  head = 0;
  count = 0;

  constructor(arena: Arena, capacity: number) {
    if (capacity < 1 || (capacity & (capacity - 1)) !== 0) throw new RangeError(`not a power of two: ${capacity}`);
    this.arena = arena;
    this.ids = new Int32Array(capacity);
    this.channels = new Uint16Array(capacity);
    this.mask = capacity - 1;
  }

  push(frame: number, channel: number): void {
    const at = (this.head + this.count++) & this.mask;
    this.ids[at] = frame;
    this.channels[at] = channel;
  }

  clear(): void {
    for (; this.count > 0; this.count--) this.arena.release(this.ids[this.head++ & this.mask]!);
  }
}

export class MemoryDevice implements PortDevice {
  readonly mtuBytes: number;
  readonly batchSize: number;
  readonly fd = -1;
  readonly nextNs = Infinity;
  readonly #context: DeviceContext;
  readonly #out: Wire;
  readonly #in: Wire;

  private constructor(context: DeviceContext, out: Wire, incoming: Wire, options: MemoryOptions) {
    this.mtuBytes = options.mtuBytes ?? 1500;
    this.batchSize = options.batchSize ?? 64;
    this.#context = context;
    this.#out = out;
    this.#in = incoming;
  }

  static pair(a: DeviceContext, b: DeviceContext, options: MemoryOptions = {}): [MemoryDevice, MemoryDevice] {
    const capacity = options.capacity ?? 1024;
    const there = new Wire(a.arena, capacity);
    const back = new Wire(b.arena, capacity);
    return [new MemoryDevice(a, there, back, options), new MemoryDevice(b, back, there, options)];
  }

  rxBatch(out: FrameBatch): number {
    const wire = this.#in;
    const most = Math.min(this.batchSize, out.capacity - out.count, wire.count);
    let received = 0;
    for (let i = 0; i < most; i++) {
      const at = wire.head & wire.mask;
      const sent = wire.ids[at]!;
      const channel = wire.channels[at]!;
      wire.head = (wire.head + 1) & wire.mask;
      wire.count--;
      const frame = this.#own(sent, wire.arena);
      if (frame === -1) continue;
      out.push(frame, channel);
      received++;
    }
    return received;
  }

  txBatch(frames: FrameBatch, from: number): number {
    const { arena, drops, index } = this.#context;
    const wire = this.#out;
    let i = from;
    for (; i < frames.count; i++) {
      const frame = frames.ids[i]!;
      if (exceedsMtu(arena, frame, this.mtuBytes)) {
        drops.drop(DropReason.tooLong, frame, index);
        arena.release(frame);
        continue;
      }
      if (wire.count > wire.mask) break;
      wire.push(frame, frames.channels[i]!);
    }
    return i - from;
  }

  poll(): void {
    // Nothing here is timed.
  }

  close(): void {
    this.#out.clear();
    this.#in.clear();
  }

  /** A frame of the receiver's own, which nobody else holds; -1 (counted) when its arena is full. */
  #own(sent: number, from: Arena): number {
    const { arena, drops, index } = this.#context;
    if (from === arena && arena.refs[sent] === 1) return sent;
    const frame = arena.alloc(from.length[sent]!);
    if (frame === -1) drops.drop(DropReason.arenaFull, -1, index);
    else copyFrame(from, sent, arena, frame);
    from.release(sent);
    return frame;
  }
}

/** `to` was allocated with the same length: its slots are laid out alike once the offsets agree. */
function copyFrame(source: Arena, from: number, target: Arena, to: number): void {
  target.gsoSize[to] = source.gsoSize[from]!;
  target.csumState[to] = source.csumState[from]!;
  target.csumStart[to] = source.csumStart[from]!;
  target.csumOffset[to] = source.csumOffset[from]!;
  let left = source.length[from]!;
  let sourceSlot = from;
  let sourceAt = source.offset[from]!;
  let targetSlot = to;
  let targetAt = target.offset[to]!;
  while (left > 0) {
    const n = Math.min(left, SLOT_BYTES - sourceAt, SLOT_BYTES - targetAt);
    const start = sourceSlot * SLOT_BYTES + sourceAt;
    target.bytes.set(source.bytes.subarray(start, start + n), targetSlot * SLOT_BYTES + targetAt);
    left -= n;
    sourceAt += n;
    targetAt += n;
    if (sourceAt === SLOT_BYTES) {
      sourceSlot = source.next[sourceSlot]!;
      sourceAt = 0;
    }
    if (targetAt === SLOT_BYTES) {
      targetSlot = target.next[targetSlot]!;
      targetAt = 0;
    }
  }
}
