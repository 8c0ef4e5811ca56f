/**
 * All frames of one engine live here, in one block of memory that the addon reads and writes too.
 *
 *   slot 0        slot 1        slot 2        …          a frame is a chain of slots:
 *   ┌──────────┐  ┌──────────┐  ┌──────────┐
 *   │ headroom │  │ data     │  │ data     │             frame id = index of its first slot
 *   │ 128 B    │  │ 2048 B   │  │ …        │             next[id] → second slot → … → -1
 *   ├──────────┤  │          │  │          │
 *   │ data     │  │          │  │          │             data starts at `offset[id]` of the first slot (128 unless
 *   │ 1920 B   │  │          │  │          │             headers were pulled, or it was cut) and at 0 of every other
 *   └──────────┘  └──────────┘  └──────────┘
 *
 * Fields of a frame stand in arrays indexed by frame id. Frames are reference counted: flooding retains, every way out
 * releases. Whoever holds one of several references must not write to the bytes, but for one thing: a partial checksum
 * may be completed in place, since that and `csumState` together say the same as before to every holder.
 * Nothing here allocates after the constructor.
 */
export const SLOT_BYTES = 2048;
export const HEADROOM_BYTES = 128;
/** Data bytes that fit a frame's first slot. */
export const FIRST_SLOT_BYTES = SLOT_BYTES - HEADROOM_BYTES;
/** A TSO super-frame: 64 KiB of IP and its Ethernet header, with room for a VLAN tag. */
export const MAX_FRAME_BYTES = 65535 + 18;
export const MAX_FRAME_SLOTS = 1 + Math.ceil((MAX_FRAME_BYTES - FIRST_SLOT_BYTES) / SLOT_BYTES);

/** What is known of the transport checksum. The order is the order of trust. */
export const Checksum = {
  /** Nothing: it is as the wire brought it, and the receiver checks it. */
  unknown: 0,
  /** The sender's kernel left the pseudo-header sum in it; `csumStart` and `csumOffset` say where to complete it. */
  partial: 1,
  /** Verified by a device. */
  valid: 2,
} as const;
export type Checksum = (typeof Checksum)[keyof typeof Checksum];

/** How many slots a frame of this many bytes takes. */
export function slotsFor(frameBytes: number): number {
  return frameBytes <= FIRST_SLOT_BYTES ? 1 : 1 + Math.ceil((frameBytes - FIRST_SLOT_BYTES) / SLOT_BYTES);
}

export class Arena {
  /** The slots' bytes: slot `i` starts at `i * SLOT_BYTES`. */
  readonly bytes: Uint8Array;
  /** The same, for numbers of more than a byte. */
  readonly view: DataView;
  readonly slotCount: number;
  /** Slot → next slot of the same frame, or -1. */
  readonly next: Int32Array;

  // Fields of a frame, indexed by its id.
  /** Bytes of the Ethernet frame, without FCS. */
  readonly length: Int32Array;
  /** Where the data starts within the first slot. */
  readonly offset: Uint16Array;
  /** Bytes of payload per segment when this is a super-frame, else 0. */
  readonly gsoSize: Uint16Array;
  readonly csumState: Uint8Array;
  /**
   * From the frame's start to where checksumming starts, and from there to the checksum field. Where `csumState` is
   * `partial`, the field lies within the frame and in its first slot: devices refuse what says otherwise.
   */
  readonly csumStart: Uint16Array;
  readonly csumOffset: Uint16Array;
  /** When it came to where the engine had it from, by the engine's clock; 0: when the engine comes to it. */
  readonly cameNs: Float64Array;
  /** As many as there are entries in emulated links (`emulation/entries.ts`): more than 16 bits. */
  readonly refs: Uint32Array;

  readonly #free: Int32Array;
  #freeCount: number;

  /** `bytes` comes from the addon (`native.arenaCreate`), or is any array in tests; its size bounds all frames. */
  constructor(bytes: Uint8Array) {
    const slots = Math.floor(bytes.byteLength / SLOT_BYTES);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.slotCount = slots;
    this.next = new Int32Array(slots).fill(-1);
    this.length = new Int32Array(slots);
    this.offset = new Uint16Array(slots);
    this.gsoSize = new Uint16Array(slots);
    this.csumState = new Uint8Array(slots);
    this.csumStart = new Uint16Array(slots);
    this.csumOffset = new Uint16Array(slots);
    this.cameNs = new Float64Array(slots);
    this.refs = new Uint32Array(slots);
    // A stack: the slot that was freed last, still in cache, is used first; memory never used is never touched.
    this.#free = new Int32Array(slots);
    for (let i = 0; i < slots; i++) this.#free[i] = slots - 1 - i;
    this.#freeCount = slots;
  }

  get freeSlots(): number {
    return this.#freeCount;
  }

  /** Takes one bare slot, for a device to read into; -1 when none is left. */
  takeSlot(): number {
    return this.#freeCount === 0 ? -1 : this.#free[--this.#freeCount]!;
  }

  /** Gives back one bare slot that became no part of a frame. */
  returnSlot(slot: number): void {
    this.next[slot] = -1;
    this.#free[this.#freeCount++] = slot;
  }

  /** Makes a frame of chained bare slots (`next` already set, `slot` first): one reference, default fields. */
  adopt(slot: number, frameBytes: number): number {
    this.length[slot] = frameBytes;
    this.offset[slot] = HEADROOM_BYTES;
    this.gsoSize[slot] = 0;
    this.csumState[slot] = Checksum.unknown;
    this.cameNs[slot] = 0;
    this.refs[slot] = 1;
    return slot;
  }

  /** A new frame with room for `frameBytes`, contents undefined; -1 when the arena is full. */
  alloc(frameBytes: number): number {
    const slots = slotsFor(frameBytes);
    if (slots > this.#freeCount) return -1;
    const first = this.#free[--this.#freeCount]!;
    let last = first;
    for (let i = 1; i < slots; i++) {
      const slot = this.#free[--this.#freeCount]!;
      this.next[last] = slot;
      last = slot;
    }
    this.next[last] = -1;
    return this.adopt(first, frameBytes);
  }

  retain(frame: number): void {
    this.refs[frame]!++;
  }

  /** Gives up one reference; the last one frees the slots. */
  release(frame: number): void {
    if (--this.refs[frame]! > 0) return;
    const second = this.next[frame]!;
    this.#free[this.#freeCount++] = frame;
    if (second !== -1) this.#releaseChain(frame, second);
  }

  #releaseChain(first: number, second: number): void {
    this.next[first] = -1;
    for (let slot = second; slot !== -1;) {
      const next = this.next[slot]!;
      this.returnSlot(slot);
      slot = next;
    }
  }

  /** The same for frames `from` to before `to` of a batch. */
  releaseAll({ ids }: FrameBatch, from: number, to: number): void {
    for (let i = from; i < to;) {
      i = this.#releaseSingles(ids, i, to);
      if (i < to) this.release(ids[i++]!);
    }
  }

  /** Up to the first that is in several slots, or held by others. It calls nothing, so that the arrays are looked up once for all frames. */
  #releaseSingles(ids: Int32Array, from: number, to: number): number {
    const { next, refs } = this;
    const free = this.#free;
    let count = this.#freeCount;
    let i = from;
    for (; i < to; i++) {
      const frame = ids[i]!;
      if (refs[frame] !== 1 || next[frame] !== -1) break;
      refs[frame] = 0;
      free[count++] = frame;
    }
    this.#freeCount = count;
    return i;
  }

  /** How many slots its bytes are in. */
  slotsOf(frame: number): number {
    const beyondFirst = this.length[frame]! - (SLOT_BYTES - this.offset[frame]!);
    return beyondFirst <= 0 ? 1 : 1 + Math.ceil(beyondFirst / SLOT_BYTES);
  }

  /** Where the frame's first byte stands in `bytes`. Headers up to `FIRST_SLOT_BYTES` are contiguous from here. */
  start(frame: number): number {
    return frame * SLOT_BYTES + this.offset[frame]!;
  }

  /** Copies `data` into a new frame (tests, `pcap`, `memory`); -1 when the arena is full. */
  write(data: Uint8Array): number {
    const frame = this.alloc(data.byteLength);
    if (frame === -1) return -1;
    let done = 0;
    let slot = frame;
    let at = this.start(frame);
    let room = SLOT_BYTES - this.offset[frame]!;
    while (done < data.byteLength) {
      const n = Math.min(room, data.byteLength - done);
      this.bytes.set(data.subarray(done, done + n), at);
      done += n;
      slot = this.next[slot]!;
      at = slot * SLOT_BYTES;
      room = SLOT_BYTES;
    }
    return frame;
  }

  /** A copy of the frame's bytes (tests, capture: not for the hot path). */
  read(frame: number): Uint8Array {
    const out = new Uint8Array(this.length[frame]!);
    let done = 0;
    let slot = frame;
    let at = this.start(frame);
    let room = SLOT_BYTES - this.offset[frame]!;
    while (done < out.byteLength) {
      const n = Math.min(room, out.byteLength - done);
      out.set(this.bytes.subarray(at, at + n), done);
      done += n;
      slot = this.next[slot]!;
      at = slot * SLOT_BYTES;
      room = SLOT_BYTES;
    }
    return out;
  }
}

/**
 * A fixed list of frames that a breath passes from step to step. The channel stands here and not in the arena, because a
 * flooded frame leaves by several channels at once.
 */
export class FrameBatch {
  readonly ids: Int32Array;
  /** The tunnel channel that each frame came by (`rxBatch`) or leaves by (`txBatch`); 0 on devices that have none. */
  readonly channels: Uint16Array;
  readonly capacity: number;
  count = 0;

  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.channels = new Uint16Array(capacity);
    this.capacity = capacity;
  }

  /** Appends; the caller has seen that `count < capacity`. */
  push(frame: number, channel: number): void {
    this.ids[this.count] = frame;
    this.channels[this.count] = channel;
    this.count++;
  }

  /** Appends frames of another batch, `from` to before `to`; the caller has seen that there is room. */
  append(frames: FrameBatch, from: number, to: number, channel: number): void {
    const { ids, channels, count } = this;
    const shift = count - from;
    for (let i = from; i < to; i++) {
      ids[i + shift] = frames.ids[i]!;
      channels[i + shift] = channel;
    }
    this.count = to + shift;
  }

  /** Makes it a batch of this frame. */
  only(frame: number): this {
    this.count = 0;
    this.push(frame, 0);
    return this;
  }

  /** Makes it a batch of those frames of another, `from` to before `to`, without their channels. */
  part(frames: FrameBatch, from: number, to: number): this {
    this.count = 0;
    this.append(frames, from, to, 0);
    return this;
  }

  /** Forgets the first `n`, which went elsewhere. */
  shift(n: number): void {
    if (n < this.count) {
      this.ids.copyWithin(0, n, this.count);
      this.channels.copyWithin(0, n, this.count);
    }
    this.count -= n;
  }
}
