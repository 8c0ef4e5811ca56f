/**
 * From datagrams to frames, for one tunnel. It survives anything: what breaks a rule of the format is dropped and counted,
 * and the chunks in front of it are kept, for each says all that it needs.
 *
 *   datagram ─► header ─► chunk ─┬─ a whole frame, the last of its datagram ─► the datagram's slots become the frame
 *                                ├─ a whole frame ─────────────────────────► copied into a frame of its own
 *                                └─ a part ────────────────────────────────► reassembly
 *
 * Called by `udp.ts` and `dgram.ts`. Frames come out of `drain`. Parity is the addon's; where there is none it is passed over,
 * and nothing but repair is lost by that.
 */
import { HEADROOM_BYTES, SLOT_BYTES, type Arena, type FrameBatch } from '../arena.js';
import type { DeviceContext } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { copyChain } from '../wire/chain.js';
import { markOf } from './decapsulation.js';
import { Delivery } from './delivery.js';
import { Reassembly, defaultLimits, type ReassemblyLimits } from './reassembly.js';
import {
  CHUNK_HEADER_BYTES,
  ChunkHeader,
  DATAGRAM_HEADER_BYTES,
  DatagramHeader,
  DatagramType,
  MAX_CHUNKS,
  NETWORK_AT,
  WIRE_VERSION,
} from './wire.js';
import { get32 } from '../wire/bytes.js';

/** What a tunnel gets besides frames. The datagram's slots stay the receiver's. */
export interface ControlSink {
  /**
   * `payloadBytes` stand at `at` of the arena, in a row. One that came sealed is of the peer; an open one has a mark where
   * others have their counter.
   */
  handshake(at: number, payloadBytes: number, isSealed: boolean, markHigh: number, markLow: number): void;
  /** The same, of a probe; but only its first PROBE_BYTES stand in a row, the others are padding. False when it is none. */
  probe(at: number, payloadBytes: number): boolean;
  /** A datagram of another version, whose network is then 0, or of another network came, from anybody. */
  foreign(version: number, network: number): void;
}

export interface TunnelReceiverOptions {
  readonly networkNumber: number;
  readonly limits?: ReassemblyLimits;
  /** Datagrams were opened before they come here; without: none may say that it is sealed. */
  readonly isSealed?: boolean;
  /** Without: datagrams of other types than frames are refused. */
  readonly control?: ControlSink;
}

/** Where the first chunk's payload begins in a datagram's first slot. */
const FIRST_PAYLOAD_AT = HEADROOM_BYTES + DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES;

export class TunnelReceiver {
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #networkNumber: number;
  readonly #isSealed: boolean;
  readonly #control: ControlSink | undefined;
  readonly #delivery: Delivery;
  readonly #reassembly: Reassembly;
  readonly #header: DatagramHeader;
  readonly #chunk: ChunkHeader;
  /** A chunk header that lies across two slots is put together here. */
  readonly #straddling: Uint8Array;
  #isOurs: boolean;

  constructor(context: DeviceContext, options: TunnelReceiverOptions) {
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#networkNumber = options.networkNumber;
    this.#isSealed = options.isSealed ?? false;
    this.#control = options.control;
    this.#delivery = new Delivery(context);
    this.#reassembly = new Reassembly(context, this.#delivery, options.limits ?? defaultLimits(context.arena));
    this.#header = new DatagramHeader();
    this.#chunk = new ChunkHeader();
    this.#straddling = new Uint8Array(CHUNK_HEADER_BYTES);
    this.#isOurs = false;
  }

  /** Frames that wait to be drained. */
  get waiting(): number {
    return this.#delivery.waiting;
  }

  /** Slots that half-rebuilt frames take. */
  get reassemblySlots(): number {
    return this.#reassembly.slots;
  }

  /** When `poll` is due: at once while frames wait, else when the oldest half-rebuilt frame is given up. */
  get nextNs(): number {
    return this.#delivery.waiting > 0 ? 0 : this.#reassembly.nextNs;
  }

  /** Whether the last datagram was one of this tunnel: what follows says nothing of any other. */
  get isOurs(): boolean {
    return this.#isOurs;
  }

  /** Of the last datagram: 0 when it was not sealed. */
  get epoch(): number {
    return this.#isOurs ? this.#header.epoch : 0;
  }

  /** Whether the last datagram carried frames. */
  get isFrames(): boolean {
    return this.#isOurs && this.#header.type === DatagramType.frames;
  }

  /** Whether it was parity, of which nothing was done. */
  get isParity(): boolean {
    return this.#isOurs && this.#header.type === DatagramType.parity && this.#header.epoch > 0 === this.#isSealed;
  }

  /** Frames whose ECN field goes together with that of their datagrams as nobody should make it, dropped ones included. */
  get ecnAnomalies(): number {
    return this.#delivery.ecnAnomalies;
  }

  /**
   * Takes a datagram, which the caller read into the arena as a frame (`adopt`, `write`). `ecn` is the field of the IP
   * header that it came with.
   */
  datagram(frame: number, nowNs: number, ecn: number): void {
    const header = this.#header;
    const { bytes, length } = this.#arena;
    let isKept = false;
    this.#isOurs =
      header.parse(bytes, this.#arena.start(frame), length[frame]!) && header.network === this.#networkNumber;
    if (!this.#isOurs) {
      this.#tellForeign(this.#arena.start(frame), length[frame]!);
      this.#drops.drop(DropReason.badDatagram, frame, this.#port);
    } else if (header.type === DatagramType.frames && header.epoch > 0 === this.#isSealed) {
      this.#reassembly.arrived(header.lane);
      isKept = this.#readChunks(frame, nowNs, markOf(ecn));
    } else if (!this.isParity && !this.#controlled(frame)) {
      this.#drops.drop(DropReason.badDatagram, frame, this.#port);
    }
    if (!isKept) this.#arena.release(frame);
  }

  /** Moves up to `count` frames to `out`, which has room for them; returns how many. */
  drain(out: FrameBatch, count: number): number {
    return this.#delivery.drain(out, count);
  }

  /** Gives up frames that have waited too long; what can be saved of them comes out of `drain`. */
  poll(nowNs: number): void {
    this.#reassembly.poll(nowNs);
  }

  close(): void {
    this.#reassembly.close();
    this.#delivery.close();
  }

  #tellForeign(at: number, lengthBytes: number): void {
    if (lengthBytes < DATAGRAM_HEADER_BYTES) return;
    const version = this.#arena.bytes[at]!;
    const network = version === WIRE_VERSION ? get32(this.#arena.bytes, at + NETWORK_AT) : 0;
    if (network !== this.#networkNumber) this.#control?.foreign(version, network);
  }

  /** Whether it was a datagram for our control. */
  #controlled(frame: number): boolean {
    const header = this.#header;
    const at = this.#arena.start(frame) + DATAGRAM_HEADER_BYTES;
    const payloadBytes = this.#arena.length[frame]! - DATAGRAM_HEADER_BYTES;
    if (this.#control === undefined || payloadBytes === 0) return false;
    if (header.type === DatagramType.probe) {
      return header.epoch > 0 === this.#isSealed && this.#control.probe(at, payloadBytes);
    }
    const isInARow = HEADROOM_BYTES + this.#arena.length[frame]! <= SLOT_BYTES;
    if (header.type !== DatagramType.handshake || !this.#isSealed || !isInARow) return false;
    this.#control.handshake(at, payloadBytes, header.epoch !== 0, header.counterHigh, header.counterLow);
    return true;
  }

  /** True when the datagram's slots became a frame; else they are still to be released. */
  #readChunks(datagram: number, nowNs: number, marks: number): boolean {
    const arena = this.#arena;
    const chunk = this.#chunk;
    let slot = datagram;
    let at = HEADROOM_BYTES + DATAGRAM_HEADER_BYTES;
    let left = arena.length[datagram]! - DATAGRAM_HEADER_BYTES;
    for (let chunks = 0; left > 0; chunks++) {
      while (at >= SLOT_BYTES) {
        at -= SLOT_BYTES;
        slot = arena.next[slot]!;
      }
      if (this.#isPadding(slot, at, left)) return false;
      if (chunks === MAX_CHUNKS || !this.#parseChunk(slot, at, left)) {
        this.#drops.drop(DropReason.badDatagram, datagram, this.#port);
        return false;
      }
      left -= chunk.bytes;
      at += CHUNK_HEADER_BYTES;
      if (!chunk.isWhole) this.#reassembly.add(chunk, this.#header.lane, slot, at, nowNs, marks);
      else if (left === 0 && slot === datagram && this.#canStay(at)) {
        this.#deliverInPlace(datagram, at, marks);
        return true;
      } else this.#deliverCopy(slot, at, marks);
      at += chunk.payloadBytes + chunk.copyBytes;
    }
    return false;
  }

  /** The list of chunks ends where a channel is zero. */
  #isPadding(slot: number, at: number, left: number): boolean {
    const { bytes, next } = this.#arena;
    if (bytes[slot * SLOT_BYTES + at] !== 0) return false;
    if (left === 1) return true;
    return bytes[at + 1 < SLOT_BYTES ? slot * SLOT_BYTES + at + 1 : next[slot]! * SLOT_BYTES] === 0;
  }

  #parseChunk(slot: number, at: number, left: number): boolean {
    const { bytes, next } = this.#arena;
    const here = SLOT_BYTES - at;
    if (here >= CHUNK_HEADER_BYTES || left <= here) return this.#chunk.parse(bytes, slot * SLOT_BYTES + at, left);
    const rest = next[slot]! * SLOT_BYTES - here;
    for (let i = 0; i < CHUNK_HEADER_BYTES; i++) {
      this.#straddling[i] = bytes[i < here ? slot * SLOT_BYTES + at + i : rest + i]!;
    }
    return this.#chunk.parse(this.#straddling, 0, left);
  }

  /** A frame must have its headers in a row: it lies in this slot to its end, or begins near the slot's start. */
  #canStay(at: number): boolean {
    const { payloadBytes, copyBytes } = this.#chunk;
    return copyBytes === 0 && (at === FIRST_PAYLOAD_AT || at + payloadBytes <= SLOT_BYTES);
  }

  #deliverInPlace(datagram: number, at: number, marks: number): void {
    const { channel, gsoSize, checksum, frameBytes } = this.#chunk;
    this.#arena.offset[datagram] = at;
    this.#arena.length[datagram] = frameBytes;
    this.#delivery.deliver(datagram, channel, gsoSize, checksum, marks);
  }

  #deliverCopy(slot: number, at: number, marks: number): void {
    const { channel, gsoSize, checksum, frameBytes } = this.#chunk;
    const frame = this.#arena.alloc(frameBytes);
    if (frame === -1) {
      this.#drops.drop(DropReason.arenaFull, -1, this.#port);
      return;
    }
    copyChain(this.#arena, slot, at, frame, HEADROOM_BYTES, frameBytes);
    this.#delivery.deliver(frame, channel, gsoSize, checksum, marks);
  }
}
