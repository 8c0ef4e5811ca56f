/**
 * Rebuilds frames that came in several chunks. Chunks may come in any order and in any grouping; a frame is known by
 * (lane, frame id). An entry per frame, in typed arrays:
 *
 *   bucket ─► entry ─► entry          hash of (lane, id), chained by `#bucketNext`
 *   oldest ─► entry ─► … ─► newest    by the time of the first chunk, chained by `#newer` and `#older`
 *
 *   entry: the arena's frame, allocated at its full length; which bytes of it are there, as sorted runs
 *          (start, end); chunks are copied to their place, once
 *
 * Bounded three ways, so that no sender can make it grow or wait:
 *   frames   256: more than a batch of frames that a batch of datagrams can leave open
 *   memory   4 MiB, and at most a quarter of the arena: 63 of the longest frames
 *   time     100 ms: half of Linux's smallest TCP retransmission timeout (TCP_RTO_MIN, include/net/tcp.h); what comes
 *            later has been sent again. Under load nothing waits that long: a frame is given up when 128 datagrams of
 *            its lane have come since its last chunk, so many that two segmented sends of 64 KiB may change places.
 * When frames or memory run out, the oldest frame is given up. A super-frame that is given up is salvaged.
 *
 * A chunk that overlaps what is there is refused (RFC 5722 says why: what overlaps is an error or an attack), and so is
 * one that disagrees with the first about the frame. Called by `receiver.ts`.
 */
import { HEADROOM_BYTES, MAX_FRAME_SLOTS, SLOT_BYTES, type Arena, slotsFor } from '../arena.js';
import type { DeviceContext } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { copyChain } from '../wire/chain.js';
import type { Delivery } from './delivery.js';
import { Salvage } from './salvage.js';
import type { ChunkHeader } from './wire.js';

export interface ReassemblyLimits {
  readonly frames: number;
  readonly slots: number;
  readonly ageNs: number;
  /** Datagrams of its lane that may come after a frame's last chunk before it is given up. */
  readonly reorderDatagrams: number;
}

/**
 * Most runs of one frame. A frame has at most 57 chunks at the smallest path MTU, so at most 29 runs when every other
 * one is missing.
 */
const MAX_RUNS = 32;
const LANES = 256;

export function defaultLimits(arena: Arena): ReassemblyLimits {
  const slots = Math.min((4 * 1024 * 1024) / SLOT_BYTES, arena.slotCount >>> 2);
  return { frames: 256, slots: Math.max(slots, MAX_FRAME_SLOTS), ageNs: 100e6, reorderDatagrams: 128 };
}

export class Reassembly {
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #delivery: Delivery;
  readonly #salvage: Salvage;
  readonly #limits: ReassemblyLimits;

  // Fields of an entry, indexed by it.
  readonly #frame: Int32Array;
  readonly #frameId: Int32Array;
  readonly #lane: Uint8Array;
  readonly #channel: Uint16Array;
  readonly #gsoSize: Uint16Array;
  readonly #checksum: Uint8Array;
  /** Bytes at the frame's start that a header copy filled: they are no run, and chunks write over them. */
  readonly #copyBytes: Uint8Array;
  /** The ECN fields of its datagrams, a bit each. */
  readonly #marks: Uint8Array;
  readonly #receivedBytes: Int32Array;
  readonly #startedNs: Float64Array;
  /** `#arrived` of its lane when its last chunk came. */
  readonly #touched: Int32Array;
  /** Where the last chunk ended, so that the next one in order need not walk the chain: a slot, and its start's offset. */
  readonly #tailSlot: Int32Array;
  readonly #tailAt: Int32Array;
  readonly #runCount: Uint8Array;
  /** `MAX_RUNS` pairs (start, end) each. */
  readonly #runs: Int32Array;
  readonly #bucketNext: Int32Array;
  readonly #older: Int32Array;
  readonly #newer: Int32Array;

  readonly #buckets: Int32Array;
  readonly #bucketShift: number;
  /** Datagrams per lane, counted here: a sender's own counter begins anew when it does. */
  readonly #arrived: Int32Array;
  #oldest: number;
  #newest: number;
  /** First of the unused entries, chained by `#bucketNext`. */
  #unused: number;
  #slots: number;

  constructor(context: DeviceContext, delivery: Delivery, limits: ReassemblyLimits) {
    const { frames } = limits;
    if (frames < 1 || limits.slots < MAX_FRAME_SLOTS)
      throw new RangeError('reassembly needs room for the longest frame');
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#delivery = delivery;
    this.#salvage = new Salvage(context, delivery);
    this.#limits = limits;
    this.#frame = new Int32Array(frames);
    this.#frameId = new Int32Array(frames);
    this.#lane = new Uint8Array(frames);
    this.#channel = new Uint16Array(frames);
    this.#gsoSize = new Uint16Array(frames);
    this.#checksum = new Uint8Array(frames);
    this.#copyBytes = new Uint8Array(frames);
    this.#marks = new Uint8Array(frames);
    this.#receivedBytes = new Int32Array(frames);
    this.#startedNs = new Float64Array(frames);
    this.#touched = new Int32Array(frames);
    this.#tailSlot = new Int32Array(frames);
    this.#tailAt = new Int32Array(frames);
    this.#runCount = new Uint8Array(frames);
    this.#runs = new Int32Array(frames * MAX_RUNS * 2);
    this.#bucketNext = new Int32Array(frames);
    this.#older = new Int32Array(frames);
    this.#newer = new Int32Array(frames);
    const bucketBits = Math.ceil(Math.log2(frames)) + 1;
    this.#buckets = new Int32Array(1 << bucketBits).fill(-1);
    this.#bucketShift = 32 - bucketBits;
    this.#arrived = new Int32Array(LANES);
    this.#oldest = -1;
    this.#newest = -1;
    for (let entry = 0; entry < frames; entry++) this.#bucketNext[entry] = entry + 1 < frames ? entry + 1 : -1;
    this.#unused = 0;
    this.#slots = 0;
  }

  /** Slots that half-rebuilt frames take. */
  get slots(): number {
    return this.#slots;
  }

  /** When the oldest frame is given up; Infinity while there is none. */
  get nextNs(): number {
    return this.#oldest === -1 ? Infinity : this.#startedNs[this.#oldest]! + this.#limits.ageNs;
  }

  /** A datagram of `lane` has come: gives up frames that too many datagrams have passed by. */
  arrived(lane: number): void {
    this.#arrived[lane]!++;
    for (let entry = this.#oldest; entry !== -1;) {
      const newer = this.#newer[entry]!;
      if (this.#lane[entry] === lane) {
        const passed = (this.#arrived[lane]! - this.#touched[entry]!) | 0;
        if (passed <= this.#limits.reorderDatagrams) return;
        this.#giveUp(entry);
      }
      entry = newer;
    }
  }

  /** Gives up frames that are too old. */
  poll(nowNs: number): void {
    while (this.#oldest !== -1 && this.nextNs <= nowNs) this.#giveUp(this.#oldest);
  }

  /**
   * Takes a chunk that is not a whole frame. Its payload stands at offset `at` of `slot`, or behind it in the chain, and
   * the header copy follows; both are copied. `marks`: the ECN field of its datagram, as `markOf` has it.
   */
  add(chunk: ChunkHeader, lane: number, slot: number, at: number, nowNs: number, marks: number): void {
    const hash = this.#hash(lane, chunk.frameId);
    let entry = this.#find(hash, lane, chunk.frameId);
    if (entry === -1) {
      // Only a header copy: the frame is complete without it, or lost.
      if (chunk.payloadBytes === 0) return;
      entry = this.#begin(hash, chunk, lane, nowNs);
      if (entry === -1) return;
    } else if (!this.#agrees(entry, chunk)) {
      this.#drops.drop(DropReason.duplicateChunk, -1, this.#port);
      return;
    }
    this.#touched[entry] = this.#arrived[lane]!;
    if (chunk.payloadBytes > 0) {
      const refusal = this.#addRun(entry, chunk.offset, chunk.offset + chunk.payloadBytes);
      if (refusal !== -1) {
        this.#drops.drop(refusal as DropReason, -1, this.#port);
        return;
      }
      this.#place(entry, chunk, slot, at);
      this.#receivedBytes[entry]! += chunk.payloadBytes;
    }
    this.#marks[entry]! |= marks;
    if (this.#receivedBytes[entry] === chunk.frameBytes) {
      const frame = this.#remove(entry);
      this.#delivery.deliver(frame, chunk.channel, chunk.gsoSize, chunk.checksum, this.#marks[entry]!);
    } else if (chunk.copyBytes > 0) {
      this.#placeCopy(entry, chunk.copyBytes, slot, at + chunk.payloadBytes);
    }
  }

  /** Releases all half-rebuilt frames. */
  close(): void {
    while (this.#oldest !== -1) this.#arena.release(this.#remove(this.#oldest));
  }

  // --- entries -------------------------------------------------------------------------------------------------------

  #hash(lane: number, frameId: number): number {
    // Fibonacci hashing: the upper bits of a product with 2³² / φ.
    return Math.imul((frameId + Math.imul(lane, 0x01000193)) | 0, 0x9e3779b1) >>> this.#bucketShift;
  }

  #find(hash: number, lane: number, frameId: number): number {
    const id = frameId | 0;
    let entry = this.#buckets[hash]!;
    while (entry !== -1 && (this.#frameId[entry] !== id || this.#lane[entry] !== lane))
      entry = this.#bucketNext[entry]!;
    return entry;
  }

  /** A new entry, after room was made for it; -1, counted, when the arena is full. */
  #begin(hash: number, chunk: ChunkHeader, lane: number, nowNs: number): number {
    const slots = slotsFor(chunk.frameBytes);
    while (this.#unused === -1 || this.#slots + slots > this.#limits.slots) this.#giveUp(this.#oldest);
    const frame = this.#arena.alloc(chunk.frameBytes);
    if (frame === -1) {
      this.#drops.drop(DropReason.arenaFull, -1, this.#port);
      return -1;
    }
    const entry = this.#unused;
    this.#unused = this.#bucketNext[entry]!;
    this.#slots += slots;
    this.#frame[entry] = frame;
    this.#frameId[entry] = chunk.frameId;
    this.#lane[entry] = lane;
    this.#channel[entry] = chunk.channel;
    this.#gsoSize[entry] = chunk.gsoSize;
    this.#checksum[entry] = chunk.checksum;
    this.#copyBytes[entry] = 0;
    this.#marks[entry] = 0;
    this.#receivedBytes[entry] = 0;
    this.#startedNs[entry] = nowNs;
    this.#tailSlot[entry] = frame;
    this.#tailAt[entry] = 0;
    this.#runCount[entry] = 0;
    this.#bucketNext[entry] = this.#buckets[hash]!;
    this.#buckets[hash] = entry;
    this.#older[entry] = this.#newest;
    this.#newer[entry] = -1;
    if (this.#newest === -1) this.#oldest = entry;
    else this.#newer[this.#newest] = entry;
    this.#newest = entry;
    return entry;
  }

  #agrees(entry: number, chunk: ChunkHeader): boolean {
    return (
      this.#arena.length[this.#frame[entry]!] === chunk.frameBytes &&
      this.#channel[entry] === chunk.channel &&
      this.#gsoSize[entry] === chunk.gsoSize &&
      this.#checksum[entry] === chunk.checksum
    );
  }

  /** Forgets an entry; its frame is the caller's. */
  #remove(entry: number): number {
    const frame = this.#frame[entry]!;
    const hash = this.#hash(this.#lane[entry]!, this.#frameId[entry]!);
    if (this.#buckets[hash] === entry) {
      this.#buckets[hash] = this.#bucketNext[entry]!;
    } else {
      let before = this.#buckets[hash]!;
      while (this.#bucketNext[before] !== entry) before = this.#bucketNext[before]!;
      this.#bucketNext[before] = this.#bucketNext[entry]!;
    }
    const older = this.#older[entry]!;
    const newer = this.#newer[entry]!;
    if (older === -1) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === -1) this.#newest = older;
    else this.#older[newer] = older;
    this.#bucketNext[entry] = this.#unused;
    this.#unused = entry;
    this.#slots -= slotsFor(this.#arena.length[frame]!);
    return frame;
  }

  #giveUp(entry: number): void {
    const runsAt = entry * MAX_RUNS * 2;
    const startsAtZero = this.#runCount[entry]! > 0 && this.#runs[runsAt] === 0;
    const known = startsAtZero ? this.#runs[runsAt + 1]! : this.#copyBytes[entry]!;
    const headerBytes = Math.min(known, SLOT_BYTES - HEADROOM_BYTES);
    const channel = this.#channel[entry]!;
    const gsoSize = this.#gsoSize[entry]!;
    const runCount = this.#runCount[entry]!;
    const frame = this.#remove(entry);
    // Counted once, whatever can be saved of it. Bytes that never came are not shown to the flight recorder.
    this.#drops.drop(DropReason.incomplete, headerBytes > 0 ? frame : -1, this.#port);
    const marks = this.#marks[entry]!;
    if (gsoSize > 0) this.#salvage.save(frame, channel, gsoSize, marks, headerBytes, this.#runs, runsAt, runCount);
    this.#arena.release(frame);
  }

  // --- bytes ---------------------------------------------------------------------------------------------------------

  /** Adds the run `start` … `end`, joined with its neighbours. Returns -1, or the reason why it is refused. */
  #addRun(entry: number, start: number, end: number): number {
    const runs = this.#runs;
    const at = entry * MAX_RUNS * 2;
    const count = this.#runCount[entry]!;
    let i = count; // runs that start at or before `start`
    while (i > 0 && runs[at + 2 * (i - 1)]! > start) i--;
    const before = at + 2 * (i - 1);
    const after = at + 2 * i;
    const endBefore = i > 0 ? runs[before + 1]! : -1;
    const startAfter = i < count ? runs[after]! : -1;
    if (endBefore > start || (startAfter !== -1 && startAfter < end)) return DropReason.duplicateChunk;
    if (endBefore === start && startAfter === end) {
      runs[before + 1] = runs[after + 1]!;
      runs.copyWithin(after, after + 2, at + 2 * count);
      this.#runCount[entry] = count - 1;
    } else if (endBefore === start) {
      runs[before + 1] = end;
    } else if (startAfter === end) {
      runs[after] = start;
    } else {
      if (count === MAX_RUNS) return DropReason.badDatagram;
      runs.copyWithin(after + 2, after, at + 2 * count);
      runs[after] = start;
      runs[after + 1] = end;
      this.#runCount[entry] = count + 1;
    }
    return -1;
  }

  #place(entry: number, chunk: ChunkHeader, slot: number, at: number): void {
    // Where the chunk begins, counted from the first slot's start.
    const target = HEADROOM_BYTES + chunk.offset;
    if (target < this.#tailAt[entry]!) {
      this.#tailSlot[entry] = this.#frame[entry]!;
      this.#tailAt[entry] = 0;
    }
    while (target - this.#tailAt[entry]! >= SLOT_BYTES) {
      this.#tailSlot[entry] = this.#arena.next[this.#tailSlot[entry]!]!;
      this.#tailAt[entry]! += SLOT_BYTES;
    }
    copyChain(this.#arena, slot, at, this.#tailSlot[entry]!, target - this.#tailAt[entry]!, chunk.payloadBytes);
  }

  /** Fills the frame's start from the copy in its last chunk, unless bytes of the first chunk are there already. */
  #placeCopy(entry: number, copyBytes: number, slot: number, at: number): void {
    const firstStart = this.#runCount[entry]! > 0 ? this.#runs[entry * MAX_RUNS * 2]! : copyBytes;
    if (firstStart < copyBytes) return;
    copyChain(this.#arena, slot, at, this.#frame[entry]!, HEADROOM_BYTES, copyBytes);
    this.#copyBytes[entry] = copyBytes;
  }
}
