/**
 * What devices on real descriptors share: the addon, the arrays registered with it (`IoArrays`), and a stock of free
 * slots to read into. One per engine. The arrays hold nothing between two calls: whoever calls the addon fills them
 * first and has read them before anyone else calls it.
 *
 * The addon comes as an argument: an engine on plain memory (tests) never loads it.
 */
import type { Clock } from '../../model/clock.js';
import type { IoArrays, Native } from '../../native/binding.js';
import { Arena, SLOT_BYTES } from '../arena.js';
import { ENDPOINT_BYTES } from '../tunnel/roaming/endpoint.js';

/** Most frames or datagrams in one call. */
export const IO_FRAMES = 1024;
/** Most scatter entries (or slots to read into) in one call. */
export const IO_ENTRIES = 8192;
/** As `VNET_HDR_BYTES` of native/binding.ts, which cannot be imported without loading the addon. */
const VNET_HDR_BYTES = 12;
/** Most descriptors that one `wait` reports. */
const IO_READY = 256;

/** What devices call of the addon. */
export type DeviceCalls = Pick<
  Native,
  | 'arenaCreate'
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
  readonly lengths: Int32Array;
  readonly cuts: Int32Array;
  readonly ecn: Uint8Array;
  readonly sources: Int32Array;
  readonly endpoint: Uint8Array;
  readonly vnet: Uint8Array;
  readonly ready: Int32Array;
  /** `now[0]`: the time; behind it what the next wait is told. */
  readonly now: Float64Array;
  /**
   * The array that `iov` is the beginning of. Its end is a stock of free slots taken from the arena, from `#stockAt` on and
   * the next to be read into first: so they are copied down in one piece.
   */
  readonly #stock: Int32Array;
  #stockAt: number;

  constructor(native: DeviceCalls, arenaBytes: number) {
    const arrays: IoArrays = {
      arena: new Uint8Array(native.arenaCreate(arenaBytes)),
      iov: new Int32Array(3 * IO_ENTRIES),
      lengths: new Int32Array(IO_FRAMES),
      cuts: new Int32Array(IO_FRAMES),
      ecn: new Uint8Array(IO_FRAMES),
      sources: new Int32Array(IO_FRAMES),
      endpoint: new Uint8Array(ENDPOINT_BYTES),
      vnet: new Uint8Array(IO_FRAMES * VNET_HDR_BYTES),
      ready: new Int32Array(IO_READY),
      clock: new Float64Array(4),
    };
    this.native = native;
    this.arena = new Arena(arrays.arena);
    this.handle = native.ioCreate(arrays);
    this.iov = arrays.iov.subarray(0, 2 * IO_ENTRIES);
    this.lengths = arrays.lengths;
    this.cuts = arrays.cuts;
    this.ecn = arrays.ecn;
    this.sources = arrays.sources;
    this.endpoint = arrays.endpoint;
    this.vnet = arrays.vnet;
    this.ready = arrays.ready;
    this.now = arrays.clock;
    this.#stock = arrays.iov;
    this.#stockAt = arrays.iov.length;
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

  /** How long before that it stays awake, so that it is not late; 0: not at all. After it: how long it did. */
  set spinNs(ns: number) {
    this.now[2] = ns;
  }

  /** Reads the clock. */
  tick(): void {
    this.native.tick(this.handle);
  }

  /** Puts up to `count` (at most IO_ENTRIES) free slots into `iov`, to be read into; returns how many there were. */
  offerSlots(count: number): number {
    const stock = this.#stock;
    while (stock.length - this.#stockAt < count) {
      const slot = this.arena.takeSlot();
      if (slot === -1) break;
      stock[--this.#stockAt] = slot;
    }
    const offered = Math.min(count, stock.length - this.#stockAt);
    stock.copyWithin(0, this.#stockAt, this.#stockAt + offered);
    return offered;
  }

  /** The first `count` of the slots offered last were filled and are the caller's. */
  takeOffered(count: number): void {
    this.#stockAt += count;
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
    while (this.#stockAt < this.#stock.length) this.arena.returnSlot(this.#stock[this.#stockAt++]!);
    this.native.ioDestroy(this.handle);
  }
}
