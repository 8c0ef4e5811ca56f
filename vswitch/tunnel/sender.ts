/**
 * From frames to datagrams, for one lane of one tunnel.
 *
 *   frame ─► may it go, and how?  ─► what goes into which datagram? ─► headers and entries of the scatter list
 *            frame-admission.ts      here                              datagram-list.ts
 *
 * How frames are cut and packed:
 *  - A frame that fits an empty datagram is never cut. Small ones share a datagram with what is behind them in the batch;
 *    nothing ever waits for more to come.
 *  - A frame that does not fit is cut where the datagram is full: a full chunk first, then the rest, and the rest shares
 *    its datagram with what follows. So ten frames of 1514 bytes over a path of 1500 make 11 datagrams, where halves
 *    would make 20, and all but the last are equally long, as UDP_SEGMENT wants them.
 *  - A super-frame begins a datagram of its own, so that its chunks lie at the same places in each.
 *  - A datagram has the ECN field of the frames in it (RFC 6040 §4.1, normal mode), so a frame with another begins one too.
 *  - Where there is parity (`fec/`), it follows the frame with which a block is full.
 *
 * Use, in this order: `pack`, then send datagrams 0 … n-1, `fail` for each that could not be sent, `finish(sent)`. A frame
 * of which only some datagrams went out stays with the caller, and the sender holds a reference to it: when the same
 * frame comes first in the next batch, it goes on where it stopped. Called by `lane.ts` and `dgram.ts`.
 */
import { type Checksum, SLOT_BYTES, type Arena, type FrameBatch } from '../arena.js';
import type { DeviceContext } from '../device/device.js';
import type { DropReason, DropSink } from '../drops.js';
import { Ecn } from '../wire/ecn.js';
import { DatagramList, type DatagramListOptions } from './datagram-list.js';
import { FEC_PAYLOAD_BYTES, PARITY_OVERHEAD_BYTES, type Parity } from './fec/parity.js';
import { FrameAdmission } from './frame-admission.js';
import {
  CHUNK_HEADER_BYTES,
  ChunkHeader,
  DatagramType,
  MAX_PATH_MTU_BYTES,
  MAX_SEND_BYTES,
  MIN_PATH_MTU_BYTES,
  UDP_HEADER_BYTES,
  tunnelOverheadBytes,
} from './wire.js';

const MAX_FRAMES = 1024;
/** A frame is begun in what is left of a datagram only when at least this much of it goes there. */
const MIN_CUT_BYTES = 256;
/** Fewer pieces are not worth a long datagram, whose last piece no other frame can share. */
const MIN_LONG_PIECES = 4;
/** Between a block's first datagram and its parity: two bytes on the wire. */
const MAX_DISTANCE = 0xffff - 255;
/** Of one segmented send: UDP_MAX_SEGMENTS of kernels before 6.9. */
const MAX_LONG_PIECES = 64;

export interface TunnelSenderOptions extends DatagramListOptions {
  readonly networkNumber: number;
  readonly lane: number;
  readonly pathMtuBytes: number;
  /** 20 or 40. */
  readonly ipHeaderBytes: number;
  /** RFC 6040 §4.1 and §4.3; in compatibility mode it is Not-ECT always. Normal by default. */
  readonly ecnMode?: 'normal' | 'compatibility';
  /** Without, there is none. Needs `cuts` and `ecn`, and an addon that makes it. */
  readonly parity?: Parity;
}

export class TunnelSender {
  /** Datagrams of frames and of parity that went out, ever, by `finish` and `finishParity`. */
  sentDatagrams: number;
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #admission: FrameAdmission;
  readonly #list: DatagramList;
  readonly #chunk: ChunkHeader;
  readonly #copiesEcn: boolean;
  readonly #parity: Parity | undefined;
  /** The block that was open when this pack began. */
  #blockFirst: number;
  #pathMtuBytes: number;
  readonly #ipHeaderBytes: number;
  readonly #tagBytes: number;
  readonly #canCut: boolean;
  /** Pieces of a long datagram at most; 1: there are none. */
  #longPieces: number;
  /** Per frame of the current pack: 0, or 1 + the reason why it will be counted as dropped. */
  readonly #fate: Uint8Array;

  #frames: FrameBatch | null;
  #from: number;
  /** Of the frame that is being placed. */
  #frameEcn: Ecn;
  #nextFrameId: number;

  /** The frame of which a part was sent, or -1; the sender holds a reference. */
  #heldFrame: number;
  #heldChannel: number;
  #heldId: number;
  #heldOffset: number;
  #heldFate: number;

  constructor(context: DeviceContext, options: TunnelSenderOptions) {
    const { networkNumber, lane, pathMtuBytes, ipHeaderBytes } = options;
    requireInteger('network number', networkNumber, 1, 0xffffffff);
    requireInteger('lane', lane, 0, 255);
    requireInteger('path MTU', pathMtuBytes, MIN_PATH_MTU_BYTES, MAX_PATH_MTU_BYTES);
    if (ipHeaderBytes !== 20 && ipHeaderBytes !== 40) throw new RangeError(`IP header of ${ipHeaderBytes} bytes`);
    this.sentDatagrams = 0;
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#admission = new FrameAdmission(context.arena);
    this.#list = new DatagramList(context.arena, options);
    this.#list.header.network = networkNumber;
    this.#list.header.lane = lane;
    this.#chunk = new ChunkHeader();
    this.#copiesEcn = options.ecn !== undefined && options.ecnMode !== 'compatibility';
    this.#parity = options.parity;
    this.#blockFirst = -1;
    this.#pathMtuBytes = pathMtuBytes;
    this.#ipHeaderBytes = ipHeaderBytes;
    this.#tagBytes = options.tagBytes ?? 0;
    this.#canCut = options.cuts !== undefined;
    this.#longPieces = 1;
    this.#fate = new Uint8Array(MAX_FRAMES);
    this.#frames = null;
    this.#from = 0;
    this.#frameEcn = Ecn.notEct;
    this.#nextFrameId = 0;
    this.#heldFrame = -1;
    this.#heldChannel = 0;
    this.#heldId = 0;
    this.#heldOffset = 0;
    this.#heldFate = 0;
    this.pathMtuBytes = pathMtuBytes;
  }

  /** From the next `pack` on; what was sent of a frame stays sent, whatever the path MTU was. 1280 … 65535 */
  set pathMtuBytes(bytes: number) {
    requireInteger('path MTU', bytes, MIN_PATH_MTU_BYTES, MAX_PATH_MTU_BYTES);
    // Its parity would be as long as the path took before.
    if (bytes < this.#pathMtuBytes) this.#dropBlock();
    this.#pathMtuBytes = bytes;
    this.#setChunkBytes();
    if (!this.#canCut) return;
    const pieceBytes = bytes - this.#ipHeaderBytes - UDP_HEADER_BYTES;
    this.#longPieces = Math.min(MAX_LONG_PIECES, Math.floor(MAX_SEND_BYTES / pieceBytes));
  }

  /** In the header of all datagrams from the next `pack` on. */
  set epoch(epoch: number) {
    this.#dropBlock();
    this.#list.header.epoch = epoch;
  }

  get pathMtuBytes(): number {
    return this.#pathMtuBytes;
  }

  /** There is parity from the next `pack` on, or no more: it has to fit the path, so what it is of is shorter. */
  parityChanged(): void {
    this.#setChunkBytes();
  }

  /** Writes the header of a datagram that somebody else makes, the next of this lane. */
  emitHeader(type: number, at: number): void {
    const { header } = this.#list;
    this.#parity?.interrupt(this.#list.counter);
    header.type = type;
    header.emit(this.#arena.bytes, at);
    header.type = DatagramType.frames;
    header.advance(1);
  }

  /** Datagrams that were begun so far. */
  get counter(): number {
    return this.#list.counter;
  }

  /** Of each datagram of the current pack: bytes of a receive buffer that it takes, at most (`burst-bound.ts`). */
  get heldBytes(): Int32Array {
    return this.#list.heldBytes;
  }

  /** The kernel refuses segmented sends: no more long datagrams. */
  cutNoMore(): void {
    this.#longPieces = 1;
  }

  /**
   * Fills the scatter list with frames `from` … of the batch, as many as it holds; returns how many datagrams there are.
   * None does not mean that nothing was done: frames that cannot be sent are dropped by `finish`.
   */
  pack(frames: FrameBatch, from: number): number {
    const list = this.#list;
    this.#frames = frames;
    this.#from = from;
    list.reset();
    const end = Math.min(frames.count, from + MAX_FRAMES);
    let index = from;
    const isHeld = this.#heldFrame !== -1 && index < end && this.#isHeld(frames, index);
    if (this.#parity !== undefined) {
      this.#blockFirst = this.#parity.first;
      if (this.#parity.isFull(list.counter)) this.#protect(index, isHeld ? this.#heldOffset : 0, this.#heldId);
    }
    if (isHeld) {
      this.#fate[0] = this.#heldFate;
      this.#admission.admit(this.#heldFrame);
      if (!this.#place(index, this.#heldOffset, this.#heldId)) return list.count;
      index++;
    }
    for (; index < end; index++) {
      const refusal = this.#admission.admit(frames.ids[index]!);
      this.#fate[index - from] = refusal + 1;
      if (refusal === -1 && !this.#place(index, 0, this.#takeFrameId())) return list.count;
      if (this.#parity?.isFull(list.counter) === true && !this.#protect(index + 1, 0, 0)) return list.count;
    }
    list.mark(end, 0, 0);
    return list.count;
  }

  /** Datagram `datagram` could not be sent and is not tried again: all that it has a part of is lost. */
  fail(datagram: number, reason: DropReason): void {
    const { firstCounter, firstIndex, lastIndex } = this.#list;
    const last = lastIndex[datagram]!;
    this.sentDatagrams -= firstCounter[datagram + 1]! - firstCounter[datagram]!;
    for (let i = firstIndex[datagram]! - this.#from; i <= last - this.#from; i++) {
      if (this.#fate[i] === 0) this.#fate[i] = reason + 1;
    }
  }

  /**
   * Datagrams 0 … `done - 1` were sent or failed. Releases the frames that are through, counts those that were dropped;
   * returns how many that were, from `from` on.
   */
  finish(done: number): number {
    const { firstCounter, firstIndex } = this.#list;
    const frames = this.#frames!;
    const index = firstIndex[done]!;
    this.sentDatagrams += firstCounter[done]! - firstCounter[0]!;
    for (let i = this.#from; i < index; i++) {
      const frame = frames.ids[i]!;
      const fate = this.#fate[i - this.#from]!;
      if (fate !== 0) this.#drops.drop((fate - 1) as DropReason, frame, this.#port);
      this.#arena.release(frame);
    }
    this.#hold(index, done);
    if (this.#parity !== undefined) this.#settle(this.#parity, done);
    this.#frames = null;
    return index - this.#from;
  }

  /** Fills the scatter list with the parity of the block that is open; returns 1, or 0 when there is none. */
  packParity(): number {
    this.#list.reset();
    this.#protect(this.#from, 0, 0);
    return this.#list.count;
  }

  /** What `packParity` made was sent, or not: it is not tried again. */
  finishParity(sent: number): void {
    if (sent === 0) return;
    const rows = this.#list.parityRows[0]!;
    this.sentDatagrams += rows;
    this.#parity!.sentDatagrams += rows;
  }

  /** Gives back the slots of its headers, and the frame that it holds. Idempotent. */
  close(): void {
    if (this.#heldFrame !== -1) this.#arena.release(this.#heldFrame);
    this.#heldFrame = -1;
    this.#list.close();
  }

  // --- parity --------------------------------------------------------------------------------------------------------

  #setChunkBytes(): void {
    const chunkBytes = this.#pathMtuBytes - tunnelOverheadBytes(this.#ipHeaderBytes, this.#tagBytes);
    const isProtected = this.#parity?.isOn === true;
    this.#list.chunkBytes = isProtected
      ? Math.min(chunkBytes - PARITY_OVERHEAD_BYTES, FEC_PAYLOAD_BYTES - CHUNK_HEADER_BYTES)
      : chunkBytes;
  }

  /**
   * Adds the parity of the block that is open, and closes it; what follows begins with the frame at `index`, from `offset`
   * on. False, and marked, when the list is full: then the block stays open.
   */
  #protect(index: number, offset: number, id: number): boolean {
    const parity = this.#parity!;
    const list = this.#list;
    if (!list.beginParity(index, offset, id)) return false;
    const { counter } = list;
    const { first } = parity;
    const datagrams = parity.count(counter);
    const rows = parity.close(counter, list.chunkBytes + CHUNK_HEADER_BYTES + PARITY_OVERHEAD_BYTES);
    if (rows > 0 && counter - first <= MAX_DISTANCE) list.addParity(rows, datagrams, first);
    // The addon sees by a gap that this block has ended.
    else if (datagrams > 0) list.header.advance(1);
    return true;
  }

  /** Datagrams 0 … `done - 1` went out. */
  #settle(parity: Parity, done: number): void {
    const { count, firstCounter, parityRows } = this.#list;
    let first = this.#blockFirst;
    for (let i = 0; i < done; i++) {
      parity.sentDatagrams += parityRows[i]!;
      if (parityRows[i]! > 0) first = -1;
      else if (first === -1) first = firstCounter[i]!;
    }
    if (done < count) parity.rewind(parity.isOn ? first : -1, firstCounter[done]!);
  }

  #dropBlock(): void {
    if (this.#parity?.isOpen !== true) return;
    this.#parity.clear();
    this.#list.header.advance(1);
  }

  // --- what goes where -----------------------------------------------------------------------------------------------

  /**
   * Adds the frame at `index`, just admitted, from byte `offset` on. False when the list is full before its end: where it
   * goes on is marked.
   */
  #place(index: number, offset: number, id: number): boolean {
    const arena = this.#arena;
    const list = this.#list;
    const frame = this.#frames!.ids[index]!;
    const chunk = this.#chunk;
    const frameBytes = arena.length[frame]!;
    chunk.channel = this.#frames!.channels[index]!;
    chunk.frameId = id;
    chunk.checksum = arena.csumState[frame] as Checksum;
    chunk.frameBytes = frameBytes;
    chunk.gsoSize = arena.gsoSize[frame]!;
    // A frame that is whole in one chunk has its headers there.
    const copyBytes = frameBytes > list.chunkBytes ? this.#admission.copyBytes : 0;
    if (this.#copiesEcn) this.#frameEcn = this.#admission.ecnOf(frame);
    if (offset === 0 && list.isOpen && !this.#startsHere(frameBytes, chunk.gsoSize)) list.isOpen = false;
    let slot = frame;
    let at = arena.offset[frame]! + offset;
    this.#parity?.begin(list.counter);
    for (let isDone = false; !isDone;) {
      if (!list.begin(index, offset, id, this.#frameEcn)) return false;
      const pieces = this.#pieces(frameBytes - offset, chunk.gsoSize);
      const room = pieces > 1 ? pieces * list.chunkBytes : list.leftBytes - CHUNK_HEADER_BYTES;
      chunk.offset = offset;
      chunk.payloadBytes = Math.min(room, frameBytes - offset);
      if (pieces > 1) list.cut(pieces);
      offset += chunk.payloadBytes;
      isDone = offset === frameBytes && chunk.payloadBytes + copyBytes <= room;
      chunk.copyBytes = isDone ? copyBytes : 0;
      list.addChunk(chunk, index);
      for (let left = chunk.payloadBytes; left > 0;) {
        for (; at >= SLOT_BYTES; at -= SLOT_BYTES) slot = arena.next[slot]!;
        const n = Math.min(left, SLOT_BYTES - at);
        list.addEntry(slot * SLOT_BYTES + at, n);
        at += n;
        left -= n;
      }
      if (chunk.copyBytes > 0) list.addEntry(arena.start(frame), copyBytes);
      if (!isDone || pieces > 1) list.isOpen = false;
    }
    this.#parity?.add(frameBytes);
    return true;
  }

  /** How many pieces the datagram just begun has: several when it is new, and the frame worth it. */
  #pieces(leftBytes: number, gsoSize: number): number {
    const { chunkBytes, chunks } = this.#list;
    if (this.#longPieces === 1 || chunks > 0 || leftBytes <= chunkBytes) return 1;
    if (gsoSize === 0 && leftBytes < MIN_LONG_PIECES * chunkBytes) return 1;
    return Math.min(this.#longPieces, Math.ceil(leftBytes / chunkBytes));
  }

  /** Whether a frame begins in what is left of the open datagram. */
  #startsHere(frameBytes: number, gsoSize: number): boolean {
    const { chunkBytes, ecn, leftBytes } = this.#list;
    if (this.#frameEcn !== ecn) return false;
    if (CHUNK_HEADER_BYTES + frameBytes <= leftBytes) return true;
    if (frameBytes <= chunkBytes || gsoSize > 0) return false;
    return leftBytes >= CHUNK_HEADER_BYTES + MIN_CUT_BYTES;
  }

  #takeFrameId(): number {
    const id = this.#nextFrameId;
    this.#nextFrameId = (id + 1) >>> 0;
    return id;
  }

  // --- a frame that was sent in part ---------------------------------------------------------------------------------

  /** Whether the frame at `index` is the one to go on with. If it is not, the caller has dropped that one. */
  #isHeld(frames: FrameBatch, index: number): boolean {
    if (frames.ids[index] === this.#heldFrame && frames.channels[index] === this.#heldChannel) return true;
    this.#arena.release(this.#heldFrame);
    this.#heldFrame = -1;
    return false;
  }

  /** Keeps where datagram `datagram` would have begun, if that is within a frame; lets go of what was held before. */
  #hold(index: number, datagram: number): void {
    const before = this.#heldFrame;
    const offset = this.#list.firstOffset[datagram]!;
    this.#heldFrame = -1;
    if (offset > 0) {
      this.#heldFrame = this.#frames!.ids[index]!;
      this.#heldChannel = this.#frames!.channels[index]!;
      this.#heldId = this.#list.firstId[datagram]! >>> 0;
      this.#heldOffset = offset;
      this.#heldFate = this.#fate[index - this.#from]!;
      this.#arena.retain(this.#heldFrame);
    }
    if (before !== -1) this.#arena.release(before);
  }
}

function requireInteger(what: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${what} of a tunnel must be ${min} … ${max}, not ${value}`);
  }
}
