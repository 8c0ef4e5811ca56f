/**
 * What devices on real descriptors share: the addon, the arrays registered with it (`IoArrays`), and a stock of free
 * slots to read into. One per engine. The arrays hold nothing between two calls: whoever calls the addon fills them
 * first and has read them before anyone else calls it.
 *
 * The addon comes as an argument: an engine on plain memory (tests) never loads it.
 */
import type { Clock } from '../../model/clock.js';
import type { IoArrays, Native } from '../../native/binding.js';
import { Arena, SLOT_BYTES, slotsFor } from '../arena.js';
import { ENDPOINT_BYTES } from '../tunnel/roaming/endpoint.js';

/** Most frames or datagrams in one call. */
export const IO_FRAMES = 1024;
/** Most scatter entries, and most slots to read into, in one call. */
export const IO_ENTRIES = 8192;
/** As `VNET_HDR_BYTES` of native/binding.ts, which cannot be imported without loading the addon. */
const VNET_HDR_BYTES = 12;
/** Most descriptors that one `wait` reports. */
const IO_READY = 256;

/** What devices call of the addon. */
export type DeviceCalls = Pick<
  Native,
  | 'arenaCreate'
  | 'arrivalTimes'
  | 'arrivalsCreate'
  | 'arrivalsDestroy'
  | 'close'
  | 'eventfdDrain'
  | 'eventfdSignal'
  | 'gather'
  | 'ioCreate'
  | 'ioDestroy'
  | 'tapRead'
  | 'tapSetCarrier'
  | 'tapWrite'
  | 'tick'
  | 'keyringAdd'
  | 'keyringCreate'
  | 'keyringDestroy'
  | 'keyringRemove'
  | 'parityCreate'
  | 'parityDestroy'
  | 'parityRows'
  | 'random'
  | 'scatter'
  | 'udpConnect'
  | 'udpDisconnect'
  | 'udpFeatures'
  | 'udpMore'
  | 'udpOverruns'
  | 'udpPeer'
  | 'udpRead'
  | 'udpReceiveBufferBytes'
  | 'udpReceiverCreate'
  | 'udpReceiverDestroy'
  | 'udpRepaired'
  | 'udpSource'
  | 'udpUnrepaired'
  | 'udpWrite'
>;

export class NativeIo implements Clock {
  readonly native: DeviceCalls;
  readonly arena: Arena;
  /** Of `ioCreate`: the first argument of data-path calls. */
  readonly handle: number;
  readonly iov: Int32Array;
  /** A stock of free slots taken from the arena, the next to be read into first. */
  readonly slots: Int32Array;
  readonly lengths: Int32Array;
  readonly cuts: Int32Array;
  readonly ecn: Uint8Array;
  readonly sources: Int32Array;
  readonly came: Float64Array;
  readonly endpoint: Uint8Array;
  readonly vnet: Uint8Array;
  readonly ready: Int32Array;
  /** `now[0]`: the time; behind it what the next wait is told. */
  readonly now: Float64Array;
  /** How many slots there are in the stock, those that were taken included: the first so many. */
  #stocked: number;
  #taken: number;

  /** `zeroNs`: CLOCK_MONOTONIC where its clock is 0; absent: now. */
  constructor(native: DeviceCalls, arenaBytes: number, zeroNs?: number) {
    const arrays: IoArrays = {
      arena: new Uint8Array(native.arenaCreate(arenaBytes)),
      iov: new Int32Array(2 * IO_ENTRIES),
      slots: new Int32Array(IO_ENTRIES),
      lengths: new Int32Array(IO_FRAMES),
      cuts: new Int32Array(IO_FRAMES),
      ecn: new Uint8Array(IO_FRAMES),
      sources: new Int32Array(IO_FRAMES),
      came: new Float64Array(IO_FRAMES),
      endpoint: new Uint8Array(ENDPOINT_BYTES),
      vnet: new Uint8Array(IO_FRAMES * VNET_HDR_BYTES),
      ready: new Int32Array(IO_READY),
      clock: new Float64Array(5),
    };
    this.native = native;
    this.arena = new Arena(arrays.arena);
    this.handle = native.ioCreate(arrays, zeroNs);
    this.iov = arrays.iov;
    this.slots = arrays.slots;
    this.lengths = arrays.lengths;
    this.cuts = arrays.cuts;
    this.ecn = arrays.ecn;
    this.sources = arrays.sources;
    this.came = arrays.came;
    this.endpoint = arrays.endpoint;
    this.vnet = arrays.vnet;
    this.ready = arrays.ready;
    this.now = arrays.clock;
    this.#stocked = 0;
    this.#taken = 0;
    this.tick();
  }

  /** The time of the last `wait` or `tick`. */
  nowNs(): number {
    return this.now[0]!;
  }

  /** When the next `wait` ends at the latest; Infinity: not before a descriptor is ready. */
  set deadlineNs(ns: number) {
    this.now[1] = ns;
  }

  /** Not 0: it stays awake before that, so that it is not late (`waiter.ts` has for how long). After it: how long it did. */
  set spinNs(ns: number) {
    this.now[2] = ns;
  }

  /** Reads the clock. */
  tick(): void {
    this.native.tick(this.handle);
  }

  /** Sees that there are `count` free slots (at most IO_ENTRIES) in `slots`, to be read into; returns how many of them there are. */
  offerSlots(count: number): number {
    const { arena, slots } = this;
    // What was taken last is replaced where it stood: nothing is moved, but where the arena has no more.
    while (this.#taken > 0) {
      const slot = arena.takeSlot();
      if (slot === -1) break;
      slots[--this.#taken] = slot;
    }
    if (this.#taken > 0) {
      slots.copyWithin(0, this.#taken, this.#stocked);
      this.#stocked -= this.#taken;
      this.#taken = 0;
    }
    while (this.#stocked < count) {
      const slot = arena.takeSlot();
      if (slot === -1) break;
      slots[this.#stocked++] = slot;
    }
    return Math.min(count, this.#stocked);
  }

  /** The first `count` of the slots offered last were filled and are the caller's. */
  takeOffered(count: number): void {
    this.#taken = count;
  }

  /** Chains the `count` slots of a frame, of which the first stands before `at`; returns the place after them. */
  chain(at: number, count: number): number {
    const { slots } = this;
    const { next } = this.arena;
    const end = at + count - 1;
    for (; at < end; at++) next[slots[at - 1]!] = slots[at]!;
    return end;
  }

  /**
   * The same of `count` datagrams, of `lengths[i]` bytes each: chains the slots of each, of which the first is its own. Those of a negative length have
   * none. To be called before any of them is looked at, as what is dropped gives slots back.
   */
  takeDatagrams(count: number): void {
    const { slots, lengths } = this;
    const { next } = this.arena;
    let used = 0;
    for (let i = 0; i < count; i++) {
      const bytes = lengths[i]!;
      if (bytes < 0) continue;
      for (let last = used + slotsFor(bytes) - 1; used < last; used++) next[slots[used]!] = slots[used + 1]!;
      next[slots[used++]!] = -1;
    }
    this.takeOffered(used);
  }

  /** Adds a frame's parts to the scatter list from entry `at` on; returns the entry after them. */
  scatterList(frame: number, at: number): number {
    const { arena, iov } = this;
    let left = arena.length[frame]!;
    let start = arena.start(frame);
    let room = SLOT_BYTES - arena.offset[frame]!;
    for (let slot = frame; left > 0;) {
      const n = left < room ? left : room;
      iov[2 * at] = start;
      iov[2 * at + 1] = n;
      at++;
      left -= n;
      slot = arena.next[slot]!;
      start = slot * SLOT_BYTES;
      room = SLOT_BYTES;
    }
    return at;
  }

  /** Gives the stock back to the arena and forgets the arrays. Nothing may use it afterwards. */
  close(): void {
    while (this.#stocked > this.#taken) this.arena.returnSlot(this.slots[--this.#stocked]!);
    this.native.ioDestroy(this.handle);
  }
}
