/**
 * A TAP: the wire of a host's Ethernet interface, read and written in batches by the addon. With `vnetHdr` it carries
 * super-frames and the checksum state both ways; without, each frame is a wire frame with its checksum complete, and a
 * super-frame is cut on its way out. So it is with `vnetHdr` too, where the kernel does not know that kind of super-frame
 * (of UDP: before Linux 6.2): it says so of the first one.
 *
 * A TAP never says that it is full: what its interface's queue cannot hold, the kernel drops and counts there. A frame
 * that the kernel refuses (the interface is down: EIO) is dropped as `deviceError`.
 */
import { constants } from 'node:os';
import { type Arena, Checksum, FIRST_SLOT_BYTES, FrameBatch, MAX_FRAME_SLOTS, SLOT_BYTES, slotsFor } from '../arena.js';
import { DropReason, type DropSink } from '../drops.js';
import { completeFrameChecksum } from '../wire/checksum.js';
import { Segmenter } from '../wire/segmenter.js';
import {
  type DeviceContext,
  ETHERNET_HEADER_BYTES,
  exceedsMtu,
  type PortDevice,
  RX_GONE,
  RX_NO_MEMORY,
  VLAN_TAG_BYTES,
} from './device.js';
import type { NativeIo } from './native-io.js';
import { VnetHeaders } from './vnet-header.js';

const { EINVAL } = constants.errno;

/** With MAX_FRAME_SLOTS + 1 scatter entries each, well below IO_ENTRIES. */
const BATCH_FRAMES = 64;
/** Of super-frames, so many in one read: a megabyte at most would push all else out of the cache. */
const SUPER_FRAMES = 4;
/** Reads that bring no frame of more than a slot, until small ones are expected. */
const CALM_READS = 8;
/** Of the arena, so much at most is offered for one read, though small frames need little of it. */
const MOST_OFFERED = 1 / 8;

export interface TapDeviceOptions {
  /** Opened with the same `vnetHdr`; the device closes it. */
  readonly fd: number;
  readonly mtuBytes: number;
  readonly vnetHdr: boolean;
}

export class TapDevice implements PortDevice {
  readonly mtuBytes: number;
  readonly batchSize = BATCH_FRAMES;
  readonly nextNs = Infinity;
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #io: NativeIo;
  /** 1 or 0, as the addon wants it. */
  readonly #vnetHdr: number;
  readonly #vnet: VnetHeaders;
  readonly #segmenter: Segmenter;
  /** Segments of the super-frame that is being cut. */
  readonly #segments: FrameBatch;
  /** Bit n: the kernel does not know super-frames of kind n (`VnetHeaders.kindAt`). */
  #unknownKinds: number;
  /** Slots for the longest frame that it can give; slots offered for a batch, and for one of small frames at most. */
  readonly #minSlots: number;
  readonly #offerSlots: number;
  readonly #mostSlots: number;
  /** Frames of so many bytes are in one slot where a device read them, and no longer than the MTU, whatever is in them. */
  readonly #longestPlain: number;
  /** Reads in a row that brought small frames, up to CALM_READS; and how many frames the last one brought. */
  #calmReads: number;
  #lastRead: number;
  #fd: number;
  /** As `arrivalTimes` wants it; 0: nobody writes down when frames come. */
  #arrivals: number;

  constructor(context: DeviceContext, options: TapDeviceOptions) {
    const { io } = context;
    if (io === undefined) throw new TypeError('a TAP needs the native addon');
    this.mtuBytes = options.mtuBytes;
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#io = io;
    this.#vnetHdr = options.vnetHdr ? 1 : 0;
    this.#vnet = new VnetHeaders(context.arena, io.vnet);
    this.#segmenter = new Segmenter(context.arena);
    this.#segments = new FrameBatch(BATCH_FRAMES);
    this.#unknownKinds = 0;
    // One byte more than it may be long: a longer frame is cut short by the kernel, and seen to be too long.
    const longest = ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES + options.mtuBytes + 1;
    this.#minSlots = options.vnetHdr ? MAX_FRAME_SLOTS : slotsFor(longest);
    this.#offerSlots = options.vnetHdr ? SUPER_FRAMES * MAX_FRAME_SLOTS : BATCH_FRAMES * this.#minSlots;
    this.#mostSlots = Math.max(this.#offerSlots, Math.floor(context.arena.slotCount * MOST_OFFERED));
    this.#longestPlain = Math.min(FIRST_SLOT_BYTES, ETHERNET_HEADER_BYTES + options.mtuBytes);
    this.#calmReads = CALM_READS;
    this.#lastRead = 1;
    this.#fd = options.fd;
    this.#arrivals = 0;
  }

  get fd(): number {
    return this.#fd;
  }

  rxBatch(out: FrameBatch): number {
    const io = this.#io;
    const most = Math.min(BATCH_FRAMES, out.capacity - out.count);
    if (most === 0) return 0;
    const ahead = this.#calmReads === CALM_READS ? this.#lastRead : 0;
    const wanted = Math.min(Math.max(this.#offerSlots, ahead * this.#minSlots), this.#mostSlots);
    const offered = io.offerSlots(wanted);
    if (offered < this.#minSlots) return RX_NO_MEMORY;
    const read = io.native.tapRead(io.handle, this.#fd, offered, this.#minSlots, most, this.#vnetHdr, ahead);
    if (read < 0) return RX_GONE;
    if (this.#arrivals !== 0 && read > 0) io.native.arrivalTimes(io.handle, this.#arrivals, read);
    const before = out.count;
    const plain = this.#adoptPlain(out, read);
    const used = this.#adopt(out, plain, read);
    const received = out.count - before;
    io.takeOffered(used);
    if (read > 0) this.#lastRead = read;
    if (used > read) this.#calmReads = 0;
    else if (read > 0 && this.#calmReads < CALM_READS) this.#calmReads++;
    return received;
  }

  /**
   * Makes frames of what was read, and returns how many, up to the first that is in several slots or of which there is more to say than
   * that its checksum is to be completed. It calls nothing, so that where the arrays are is looked up once for all frames.
   */
  #adoptPlain(out: FrameBatch, read: number): number {
    const arena = this.#arena;
    const { came, lengths, slots } = this.#io;
    const { ids, channels, count } = out;
    const tellsArrivals = this.#arrivals !== 0;
    const longest = this.#longestPlain;
    let i = 0;
    for (; i < read; i++) {
      const frame = slots[i]!;
      const bytes = lengths[i]!;
      if (bytes > longest) break;
      arena.adopt(frame, bytes);
      if (this.#vnetHdr === 1 && !this.#vnet.readPlain(i, frame)) break;
      if (tellsArrivals) arena.cameNs[frame] = came[i]!;
      ids[count + i] = frame;
      channels[count + i] = 0;
    }
    out.count = count + i;
    return i;
  }

  /** The same of any frames from `i` on; returns how many slots are used by all. */
  #adopt(out: FrameBatch, i: number, read: number): number {
    const arena = this.#arena;
    const { came, lengths, slots } = this.#io;
    let used = i;
    for (; i < read; i++) {
      const lengthBytes = lengths[i]!;
      const frame = slots[used++]!;
      if (lengthBytes > FIRST_SLOT_BYTES) used = this.#io.chain(used, slotsFor(lengthBytes));
      arena.adopt(frame, lengthBytes);
      if (this.#arrivals !== 0) arena.cameNs[frame] = came[i]!;
      if (this.#vnetHdr === 1 && !this.#vnet.read(i, frame)) this.#drop(DropReason.malformed, frame);
      else if (exceedsMtu(arena, frame, this.mtuBytes)) this.#drop(DropReason.tooLong, frame);
      else out.push(frame, 0);
    }
    return used;
  }

  txBatch(frames: FrameBatch, from: number): number {
    let i = from;
    while (i < frames.count) {
      const frame = frames.ids[i]!;
      if (!this.#mustBeCut(frame)) {
        const consumed = this.#write(frames, i);
        if (consumed === 0 && !this.#mustBeCut(frame)) break;
        i += consumed;
      } else {
        this.#cut(frame);
        i++;
      }
    }
    return i - from;
  }

  setCarrier(on: boolean): void {
    try {
      this.#io.native.tapSetCarrier(this.#fd, on);
    } catch (error) {
      // Its interface was deleted: `rxBatch` will say so.
      if ((error as { errno?: string }).errno !== 'EBADFD') throw error;
    }
  }

  watchArrivals(fd: number): void {
    const { native } = this.#io;
    try {
      const arrivals = native.arrivalsCreate(fd);
      this.#forgetArrivals();
      this.#arrivals = arrivals;
    } finally {
      native.close(fd);
    }
  }

  #forgetArrivals(): void {
    if (this.#arrivals !== 0) this.#io.native.arrivalsDestroy(this.#arrivals);
    this.#arrivals = 0;
  }

  poll(): void {
    // Nothing here is timed.
  }

  close(): void {
    this.#forgetArrivals();
    if (this.#fd !== -1) this.#io.native.close(this.#fd);
    this.#fd = -1;
  }

  /**
   * Writes frames from `first` on, up to the first that must be cut; returns how many it consumed. None: the device is
   * full, or has just said that the first one must be cut.
   */
  #write(frames: FrameBatch, first: number): number {
    const io = this.#io;
    const staged = this.#stage(frames, first);
    if (staged === 0) return 1;
    const written = io.native.tapWrite(io.handle, this.#fd, 0, 0, staged, this.#vnetHdr);
    const arena = this.#arena;
    for (let n = 0; n < written;) {
      const refused = this.#nextRefused(n, written);
      arena.releaseAll(frames, first + n, first + refused);
      if (refused < written) this.#drop(DropReason.deviceError, frames.ids[first + refused]!);
      n = refused + 1;
    }
    if (written >= 0) return written;
    const kind = this.#vnetHdr === 1 && written === -EINVAL ? this.#vnet.kindAt(0) : 0;
    if (kind === 0) return this.#drop(DropReason.deviceError, frames.ids[first]!);
    this.#unknownKinds |= 1 << kind;
    return 0;
  }

  /** Of the frames from `n` to before `end` that were written together, the first that was not; `end` where all were. */
  #nextRefused(n: number, end: number): number {
    const { lengths } = this.#io;
    while (n < end && lengths[n]! >= 0) n++;
    return n;
  }

  /** Whether it is a super-frame that the kernel would not take. */
  #mustBeCut(frame: number): boolean {
    if (this.#arena.gsoSize[frame] === 0) return false;
    if (this.#vnetHdr === 0) return true;
    return this.#unknownKinds !== 0 && (this.#unknownKinds & (1 << this.#vnet.kindOf(frame))) !== 0;
  }

  /**
   * Writes a super-frame as its segments, a batch at a time and as many as there are slots for; the rest of them is dropped
   * where the arena or the device is full.
   */
  #cut(frame: number): void {
    const arena = this.#arena;
    const segmenter = this.#segmenter;
    const segments = this.#segments;
    const knownBytes = Math.min(arena.length[frame]!, SLOT_BYTES - arena.offset[frame]!);
    if (exceedsMtu(arena, frame, this.mtuBytes)) {
      this.#drop(DropReason.tooLong, frame);
      return;
    }
    if (!segmenter.begin(frame, arena.gsoSize[frame]!, knownBytes)) {
      this.#drop(DropReason.malformed, frame);
      return;
    }
    for (let next = 0; next < segmenter.segments;) {
      segments.count = 0;
      for (; next < segmenter.segments && segments.count < segments.capacity; next++) {
        const segment = segmenter.run(next, next + 1);
        if (segment === -1) break;
        if (this.#vnetHdr === 0) segmenter.complete(segment);
        segments.push(segment, 0);
      }
      let written = 0;
      while (written < segments.count) {
        const consumed = this.#write(segments, written);
        if (consumed === 0) break;
        written += consumed;
      }
      for (let i = written; i < segments.count; i++) arena.release(segments.ids[i]!);
      if (written === segments.count && written > 0) continue;
      this.#drop(segments.count === 0 ? DropReason.arenaFull : DropReason.queueFull, frame);
      return;
    }
    arena.release(frame);
  }

  /**
   * Fills the scatter list with frames from `first` on; returns how many. A frame that must be cut, or is to be dropped,
   * ends the batch before it, so that frames are consumed in their order; 0: the first one was to be dropped, and is.
   */
  #stage(frames: FrameBatch, first: number): number {
    const most = Math.min(frames.count - first, BATCH_FRAMES);
    const arena = this.#arena;
    const io = this.#io;
    const { lengths } = io;
    const { ids } = frames;
    let n = this.#stagePlain(frames, first, most);
    let entries = n;
    for (; n < most; n++) {
      const frame = ids[first + n]!;
      if (n > 0 && this.#mustBeCut(frame)) return n;
      const tooLong = exceedsMtu(arena, frame, this.mtuBytes);
      if (tooLong || !this.#describe(n, frame)) {
        if (n === 0) this.#drop(tooLong ? DropReason.tooLong : DropReason.malformed, frame);
        return n;
      }
      const end = io.scatterList(frame, entries);
      lengths[n] = end - entries;
      entries = end;
    }
    return most;
  }

  /**
   * The same, of which there are most: frames in one slot that are not to be cut, completed or dropped, an entry each. Up to the first that
   * is another. It calls nothing, so that where the arrays are is looked up once for all frames.
   */
  #stagePlain({ ids }: FrameBatch, first: number, most: number): number {
    const { csumState, gsoSize, length, offset } = this.#arena;
    const { iov, lengths } = this.#io;
    const longest = this.#longestPlain;
    for (let n = 0; n < most; n++) {
      const frame = ids[first + n]!;
      const bytes = length[frame]!;
      const at = offset[frame]!;
      if (gsoSize[frame] !== 0 || bytes > longest || bytes > SLOT_BYTES - at) return n;
      if (this.#vnetHdr === 1) this.#vnet.writePlain(n, frame);
      else if (csumState[frame] === Checksum.partial) return n;
      iov[2 * n] = frame * SLOT_BYTES + at;
      iov[2 * n + 1] = bytes;
      lengths[n] = 1;
    }
    return most;
  }

  /** Says what the kernel must know of the frame's checksum and segments; false when it cannot be said. */
  #describe(index: number, frame: number): boolean {
    if (this.#vnetHdr === 1) return this.#vnet.write(index, frame);
    return this.#arena.csumState[frame] !== Checksum.partial || completeFrameChecksum(this.#arena, frame);
  }

  /** Returns how many frames that was: one. */
  #drop(reason: DropReason, frame: number): number {
    this.#drops.drop(reason, frame, this.#port);
    this.#arena.release(frame);
    return 1;
  }
}
