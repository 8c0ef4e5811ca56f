/**
 * From frames to datagrams, for one lane of one tunnel: a scatter list, no copies. Headers stand in slots of the arena that
 * are the sender's own; payload is named where it lies.
 *
 *   iov      (headers)(payload)(payload) (headers)(payload)(header)(payload) …     pairs: offset in the arena, bytes
 *   lengths      3                            4                              …     entries per datagram
 *   cuts         0                            0                              …
 *
 * With segmented sends, the pieces of a frame that are alike are named as one long datagram, which the addon cuts
 * (native/udp-send.c): so a super-frame costs here what a small frame does.
 *
 *   iov      (headers)(payload of 44 pieces)(payload of …)(header copy)
 *   lengths      4
 *   cuts      1434
 *
 * How frames are cut and packed:
 *  - A frame that fits an empty datagram is never cut. Small ones share a datagram with what is behind them in the batch;
 *    nothing ever waits for more to come.
 *  - A frame that does not fit is cut where the datagram is full: a full chunk first, then the rest, and the rest shares
 *    its datagram with what follows. So ten frames of 1514 bytes over a path of 1500 make 11 datagrams, where halves
 *    would make 20, and all but the last are equally long, as UDP_SEGMENT wants them.
 *  - A super-frame begins a datagram of its own, so that its chunks lie at the same places in each.
 *  - A datagram has the ECN field of the frames in it (RFC 6040 §4.1, normal mode), so a frame with another begins one too.
 *
 * Use, in this order: `pack`, then send datagrams 0 … n-1, `fail` for each that could not be sent, `finish(sent)`. A frame
 * of which only some datagrams went out stays with the caller, and the sender holds a reference to it: when the same
 * frame comes first in the next batch, it goes on where it stopped. Called by `udp.ts` and `dgram.ts`.
 */
import { Checksum, MAX_FRAME_BYTES, MAX_FRAME_SLOTS, SLOT_BYTES, type Arena, type FrameBatch } from '../arena.js';
import { exceedsMtu, type DeviceContext } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { completeFrameChecksum } from '../wire/checksum.js';
import { Ecn, getEcn, ipHeaderAt } from '../wire/ecn.js';
import { ETHERNET_BYTES } from '../wire/ethernet.js';
import { FrameHeaders } from '../wire/headers.js';
import { HELD_PER_BYTE, HELD_PER_DATAGRAM } from './burst-bound.js';
import {
  CHUNK_HEADER_BYTES,
  ChunkHeader,
  DATAGRAM_HEADER_BYTES,
  DatagramHeader,
  DatagramType,
  MAX_CHUNKS,
  MAX_HEADER_COPY_BYTES,
  MAX_PATH_MTU_BYTES,
  MAX_SEND_BYTES,
  MIN_PATH_MTU_BYTES,
  TUNNEL_MTU_BYTES,
  UDP_HEADER_BYTES,
  tunnelOverheadBytes,
} from './wire.js';

/** A super-frame of 64 KiB makes 46 at a path MTU of 1500. */
export const MAX_DATAGRAMS = 128;
const MAX_FRAMES = 1024;
/** 16 KiB of headers: 128 datagrams of one chunk need 5, some 800 small frames fill them. */
const HEADER_SLOTS = 8;
/** A frame is begun in what is left of a datagram only when at least this much of it goes there. */
const MIN_CUT_BYTES = 256;
/** Fewer pieces are not worth a long datagram, whose last piece no other frame can share. */
const MIN_LONG_PIECES = 4;
/** Of one segmented send: UDP_MAX_SEGMENTS of kernels before 6.9. */
const MAX_LONG_PIECES = 64;
/** Headers, a payload that touches every slot of the longest frame, the header copy. */
const MAX_CHUNK_ENTRIES = 1 + (MAX_FRAME_SLOTS + 1) + 1;

export interface TunnelSenderOptions {
  readonly networkNumber: number;
  readonly lane: number;
  readonly pathMtuBytes: number;
  /** 20 or 40. */
  readonly ipHeaderBytes: number;
  /** Out: see the file's head. At least `2 * MAX_CHUNK_ENTRIES` long, and `MAX_DATAGRAMS`. */
  readonly iov: Int32Array;
  readonly lengths: Int32Array;
  /**
   * Out, as long as `lengths`, where segmented sends can be had: of a long datagram, that is cut on its way out, the payload
   * bytes of each piece; 0 of any other.
   */
  readonly cuts?: Int32Array;
  /** Out, as long as `lengths`, where it can be had: the ECN field that a datagram's IP header gets. */
  readonly ecn?: Uint8Array;
  /** RFC 6040 §4.1 and §4.3; in compatibility mode it is Not-ECT always. Normal by default. */
  readonly ecnMode?: 'normal' | 'compatibility';
  /** Bytes that each datagram grows by when it is sealed: 0 by default. */
  readonly tagBytes?: number;
}

export class TunnelSender {
  /** Datagrams of frames that went out, ever, by `finish`. */
  sentDatagrams: number;
  /** Of each datagram of the current pack: bytes of a receive buffer that it takes, at most (`burst-bound.ts`). */
  readonly heldBytes: Int32Array;
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #iov: Int32Array;
  readonly #lengths: Int32Array;
  readonly #cuts: Int32Array | undefined;
  readonly #ecn: Uint8Array | undefined;
  readonly #copiesEcn: boolean;
  readonly #ipHeaderBytes: number;
  readonly #tagBytes: number;
  /** Of `heldBytes`, what each datagram takes beside its chunks. */
  readonly #pieceBytes: number;
  /** Payload bytes of a datagram that has one chunk. */
  #chunkBytes: number;
  /** Pieces of a long datagram at most; 1: there are none. */
  #longPieces: number;
  readonly #headerSlots: Int32Array;
  readonly #header: DatagramHeader;
  readonly #chunk: ChunkHeader;
  readonly #headers: FrameHeaders;

  // Per datagram of the current pack, and one more for where it ended: the first frame in it, as an index of the batch,
  // that frame's id on the wire, and from which byte on. And the last frame in it.
  readonly #firstIndex: Int32Array;
  readonly #firstId: Int32Array;
  readonly #firstOffset: Int32Array;
  readonly #lastIndex: Int32Array;
  /** `counter` when it began: a long datagram takes as many as it has pieces. */
  readonly #firstCounter: Float64Array;
  /** Per frame of the current pack: 0, or 1 + the reason why it will be counted as dropped. */
  readonly #fate: Uint8Array;

  #frames: FrameBatch | null;
  #from: number;
  #datagrams: number;
  #entries: number;
  #isOpen: boolean;
  #leftBytes: number;
  /** Of the open datagram, and of the frame that is being placed. */
  #openEcn: Ecn;
  #frameEcn: Ecn;
  #chunks: number;
  #headerSlot: number;
  #headerAt: number;
  #nextFrameId: number;
  /** Of the frame just admitted: bytes of the header copy that its last chunk gets, if it is cut. */
  #copyBytes: number;

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
    if (ipHeaderBytes !== 20 && ipHeaderBytes !== 40) throw new RangeError(`IP header of ${ipHeaderBytes} bytes`);
    if (options.iov.length < 2 * MAX_CHUNK_ENTRIES || options.lengths.length < MAX_DATAGRAMS) {
      throw new RangeError('the scatter list of a tunnel has no room for a datagram');
    }
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#iov = options.iov;
    this.#lengths = options.lengths;
    this.#cuts = options.cuts;
    this.#ecn = options.ecn;
    this.#copiesEcn = options.ecn !== undefined && options.ecnMode !== 'compatibility';
    this.#ipHeaderBytes = ipHeaderBytes;
    this.#tagBytes = options.tagBytes ?? 0;
    this.#pieceBytes = HELD_PER_DATAGRAM + HELD_PER_BYTE * (DATAGRAM_HEADER_BYTES + this.#tagBytes);
    this.#chunkBytes = 0;
    this.#longPieces = 1;
    this.#headerSlots = new Int32Array(HEADER_SLOTS).fill(-1);
    this.#header = new DatagramHeader();
    this.#header.network = networkNumber;
    this.#header.lane = lane;
    this.#chunk = new ChunkHeader();
    this.#headers = new FrameHeaders();
    this.#firstIndex = new Int32Array(MAX_DATAGRAMS + 1);
    this.#firstId = new Int32Array(MAX_DATAGRAMS + 1);
    this.#firstOffset = new Int32Array(MAX_DATAGRAMS + 1);
    this.#lastIndex = new Int32Array(MAX_DATAGRAMS);
    this.#firstCounter = new Float64Array(MAX_DATAGRAMS + 1);
    this.sentDatagrams = 0;
    this.heldBytes = new Int32Array(MAX_DATAGRAMS);
    this.#fate = new Uint8Array(MAX_FRAMES);
    this.#frames = null;
    this.#from = 0;
    this.#datagrams = 0;
    this.#entries = 0;
    this.#isOpen = false;
    this.#leftBytes = 0;
    this.#openEcn = Ecn.notEct;
    this.#frameEcn = Ecn.notEct;
    this.#chunks = 0;
    this.#headerSlot = 0;
    this.#headerAt = 0;
    this.#nextFrameId = 0;
    this.#copyBytes = 0;
    this.#heldFrame = -1;
    this.#heldChannel = 0;
    this.#heldId = 0;
    this.#heldOffset = 0;
    this.#heldFate = 0;
    for (let i = 0; i < HEADER_SLOTS; i++) {
      const slot = this.#arena.takeSlot();
      if (slot === -1) {
        this.close();
        throw new RangeError('the arena has no room for the headers of a tunnel');
      }
      this.#headerSlots[i] = slot;
    }
    this.pathMtuBytes = pathMtuBytes;
  }

  /** From the next `pack` on; what was sent of a frame stays sent, whatever the path MTU was. 1280 … 65535 */
  set pathMtuBytes(bytes: number) {
    requireInteger('path MTU', bytes, MIN_PATH_MTU_BYTES, MAX_PATH_MTU_BYTES);
    this.#chunkBytes = bytes - tunnelOverheadBytes(this.#ipHeaderBytes, this.#tagBytes);
    if (this.#cuts === undefined) return;
    const pieceBytes = bytes - this.#ipHeaderBytes - UDP_HEADER_BYTES;
    this.#longPieces = Math.min(MAX_LONG_PIECES, Math.floor(MAX_SEND_BYTES / pieceBytes));
  }

  /** In the header of all datagrams from the next `pack` on. */
  set epoch(epoch: number) {
    this.#header.epoch = epoch;
  }

  get pathMtuBytes(): number {
    return this.#chunkBytes + tunnelOverheadBytes(this.#ipHeaderBytes, this.#tagBytes);
  }

  /** Writes the header of a datagram that somebody else makes, the next of this lane. */
  emitHeader(type: number, at: number): void {
    const header = this.#header;
    header.type = type;
    header.emit(this.#arena.bytes, at);
    header.type = DatagramType.frames;
    header.advance(1);
  }

  /** Datagrams that were begun so far. */
  get counter(): number {
    return this.#header.counterHigh * 2 ** 32 + this.#header.counterLow;
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
    this.#frames = frames;
    this.#from = from;
    this.#datagrams = 0;
    this.#entries = 0;
    this.#isOpen = false;
    this.#headerSlot = 0;
    this.#headerAt = 0;
    const end = Math.min(frames.count, from + MAX_FRAMES);
    let index = from;
    if (this.#heldFrame !== -1 && index < end && this.#isHeld(frames, index)) {
      this.#fate[0] = this.#heldFate;
      this.#admit(this.#heldFrame);
      if (!this.#place(index, this.#heldOffset, this.#heldId)) return this.#datagrams;
      index++;
    }
    for (; index < end; index++) {
      const refusal = this.#admit(frames.ids[index]!);
      this.#fate[index - from] = refusal + 1;
      if (refusal === -1 && !this.#place(index, 0, this.#takeFrameId())) return this.#datagrams;
    }
    this.#mark(this.#datagrams, end, 0, 0);
    return this.#datagrams;
  }

  /** Datagram `datagram` could not be sent and is not tried again: all that it has a part of is lost. */
  fail(datagram: number, reason: DropReason): void {
    const last = this.#lastIndex[datagram]!;
    this.sentDatagrams -= this.#firstCounter[datagram + 1]! - this.#firstCounter[datagram]!;
    for (let i = this.#firstIndex[datagram]! - this.#from; i <= last - this.#from; i++) {
      if (this.#fate[i] === 0) this.#fate[i] = reason + 1;
    }
  }

  /**
   * Datagrams 0 … `done - 1` were sent or failed. Releases the frames that are through, counts those that were dropped;
   * returns how many that were, from `from` on.
   */
  finish(done: number): number {
    const frames = this.#frames!;
    const index = this.#firstIndex[done]!;
    this.sentDatagrams += this.#firstCounter[done]! - this.#firstCounter[0]!;
    for (let i = this.#from; i < index; i++) {
      const frame = frames.ids[i]!;
      const fate = this.#fate[i - this.#from]!;
      if (fate !== 0) this.#drops.drop((fate - 1) as DropReason, frame, this.#port);
      this.#arena.release(frame);
    }
    this.#hold(index, done);
    this.#frames = null;
    return index - this.#from;
  }

  /** Gives back the slots of its headers, and the frame that it holds. Idempotent. */
  close(): void {
    if (this.#heldFrame !== -1) this.#arena.release(this.#heldFrame);
    this.#heldFrame = -1;
    for (let i = 0; i < HEADER_SLOTS; i++) {
      if (this.#headerSlots[i] !== -1) this.#arena.returnSlot(this.#headerSlots[i]!);
      this.#headerSlots[i] = -1;
    }
  }

  // --- frames --------------------------------------------------------------------------------------------------------

  /** Returns -1, or why a frame cannot be sent. */
  #admit(frame: number): number {
    const arena = this.#arena;
    const frameBytes = arena.length[frame]!;
    const gsoSize = arena.gsoSize[frame]!;
    this.#copyBytes = 0;
    if (frameBytes < ETHERNET_BYTES) return DropReason.malformed;
    if (frameBytes > MAX_FRAME_BYTES || exceedsMtu(arena, frame, TUNNEL_MTU_BYTES)) return DropReason.tooLong;
    if (arena.csumState[frame] !== Checksum.partial) return gsoSize > 0 ? DropReason.malformed : -1;
    const contiguous = Math.min(frameBytes, SLOT_BYTES - arena.offset[frame]!);
    const isDerivable =
      this.#headers.parse(arena.bytes, arena.start(frame), contiguous) &&
      this.#headers.transport === arena.csumStart[frame] &&
      this.#headers.checksumOffset === arena.csumOffset[frame];
    if (gsoSize > 0) {
      if (!isDerivable || frameBytes <= this.#headers.payload) return DropReason.malformed;
      if (this.#headers.payload <= MAX_HEADER_COPY_BYTES) this.#copyBytes = this.#headers.payload;
    } else if (!isDerivable) {
      // The receiver could not find the checksum (an inner one, of a tunnel within the guest), so it is completed here;
      // even when others hold the frame: bytes and state change together, and say the same as before.
      if (!completeFrameChecksum(arena, frame)) return DropReason.malformed;
    }
    return -1;
  }

  /**
   * Adds the frame at `index`, just admitted, from byte `offset` on. False when the list is full before its end: where it
   * goes on is marked.
   */
  #place(index: number, offset: number, id: number): boolean {
    const arena = this.#arena;
    const frame = this.#frames!.ids[index]!;
    const chunk = this.#chunk;
    const frameBytes = arena.length[frame]!;
    chunk.channel = this.#frames!.channels[index]!;
    chunk.frameId = id;
    chunk.checksum = arena.csumState[frame] as Checksum;
    chunk.frameBytes = frameBytes;
    chunk.gsoSize = arena.gsoSize[frame]!;
    // A frame that is whole in one chunk has its headers there.
    const copyBytes = frameBytes > this.#chunkBytes ? this.#copyBytes : 0;
    if (this.#copiesEcn) this.#frameEcn = this.#ecnOf(frame);
    if (offset === 0 && this.#isOpen && !this.#startsHere(frameBytes, chunk.gsoSize)) this.#isOpen = false;
    let slot = frame;
    let at = arena.offset[frame]! + offset;
    for (let isDone = false; !isDone;) {
      if (!this.#begin(index, offset, id)) return false;
      const pieces = this.#pieces(frameBytes - offset, chunk.gsoSize);
      const room = pieces > 1 ? pieces * this.#chunkBytes : this.#leftBytes - CHUNK_HEADER_BYTES;
      chunk.offset = offset;
      chunk.payloadBytes = Math.min(room, frameBytes - offset);
      if (pieces > 1) {
        this.#cuts![this.#datagrams - 1] = this.#chunkBytes;
        this.#header.advance(pieces - 1);
      }
      offset += chunk.payloadBytes;
      isDone = offset === frameBytes && chunk.payloadBytes + copyBytes <= room;
      chunk.copyBytes = isDone ? copyBytes : 0;
      this.#addHeader();
      for (let left = chunk.payloadBytes; left > 0;) {
        for (; at >= SLOT_BYTES; at -= SLOT_BYTES) slot = arena.next[slot]!;
        const n = Math.min(left, SLOT_BYTES - at);
        this.#addEntry(slot * SLOT_BYTES + at, n);
        at += n;
        left -= n;
      }
      if (chunk.copyBytes > 0) this.#addEntry(arena.start(frame), copyBytes);
      this.#leftBytes -= chunk.bytes;
      this.heldBytes[this.#datagrams - 1]! += HELD_PER_BYTE * chunk.bytes + (pieces - 1) * this.#pieceBytes;
      this.#chunks++;
      this.#lastIndex[this.#datagrams - 1] = index;
      if (!isDone || pieces > 1) this.#isOpen = false;
    }
    return true;
  }

  /** How many pieces the datagram just begun has: several when it is new, and the frame worth it. */
  #pieces(leftBytes: number, gsoSize: number): number {
    if (this.#longPieces === 1 || this.#chunks > 0 || leftBytes <= this.#chunkBytes) return 1;
    if (gsoSize === 0 && leftBytes < MIN_LONG_PIECES * this.#chunkBytes) return 1;
    return Math.min(this.#longPieces, Math.ceil(leftBytes / this.#chunkBytes));
  }

  #ecnOf(frame: number): Ecn {
    const { bytes, length, offset } = this.#arena;
    const at = this.#arena.start(frame);
    const ip = ipHeaderAt(bytes, at, Math.min(length[frame]!, SLOT_BYTES - offset[frame]!));
    return ip === -1 ? Ecn.notEct : getEcn(bytes, ip);
  }

  /** Whether a frame begins in what is left of the open datagram. */
  #startsHere(frameBytes: number, gsoSize: number): boolean {
    if (this.#frameEcn !== this.#openEcn) return false;
    if (CHUNK_HEADER_BYTES + frameBytes <= this.#leftBytes) return true;
    if (frameBytes <= this.#chunkBytes || gsoSize > 0) return false;
    return this.#leftBytes >= CHUNK_HEADER_BYTES + MIN_CUT_BYTES;
  }

  #takeFrameId(): number {
    const id = this.#nextFrameId;
    this.#nextFrameId = (id + 1) >>> 0;
    return id;
  }

  // --- datagrams -----------------------------------------------------------------------------------------------------

  /** Sees that a chunk can be added: opens a datagram when none is. False, and marked, when the list is full. */
  #begin(index: number, offset: number, id: number): boolean {
    const isNew = !this.#isOpen || this.#chunks === MAX_CHUNKS;
    const headerBytes = isNew ? DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES : CHUNK_HEADER_BYTES;
    const isFull =
      (isNew && this.#datagrams === MAX_DATAGRAMS) ||
      2 * (this.#entries + MAX_CHUNK_ENTRIES) > this.#iov.length ||
      !this.#hasHeaderRoom(headerBytes);
    if (isFull || isNew) this.#mark(this.#datagrams, index, offset, id);
    if (isFull) return false;
    if (!isNew) return true;
    this.#lengths[this.#datagrams] = 0;
    if (this.#cuts !== undefined) this.#cuts[this.#datagrams] = 0;
    if (this.#ecn !== undefined) this.#ecn[this.#datagrams] = this.#frameEcn;
    this.#openEcn = this.#frameEcn;
    this.heldBytes[this.#datagrams] = this.#pieceBytes;
    this.#datagrams++;
    this.#isOpen = true;
    this.#chunks = 0;
    this.#leftBytes = CHUNK_HEADER_BYTES + this.#chunkBytes;
    const at = this.#headerSlots[this.#headerSlot]! * SLOT_BYTES + this.#headerAt;
    this.#header.emit(this.#arena.bytes, at);
    this.#header.advance(1);
    this.#headerAt += DATAGRAM_HEADER_BYTES;
    this.#addEntry(at, DATAGRAM_HEADER_BYTES);
    return true;
  }

  /** Datagram `datagram` begins with the frame at `index`, from `offset` on. */
  #mark(datagram: number, index: number, offset: number, id: number): void {
    this.#firstIndex[datagram] = index;
    this.#firstOffset[datagram] = offset;
    this.#firstId[datagram] = id;
    this.#firstCounter[datagram] = this.counter;
  }

  #hasHeaderRoom(bytes: number): boolean {
    if (this.#headerAt + bytes <= SLOT_BYTES) return true;
    if (this.#headerSlot + 1 === HEADER_SLOTS) return false;
    this.#headerSlot++;
    this.#headerAt = 0;
    return true;
  }

  #addHeader(): void {
    const at = this.#headerSlots[this.#headerSlot]! * SLOT_BYTES + this.#headerAt;
    this.#chunk.emit(this.#arena.bytes, at);
    this.#headerAt += CHUNK_HEADER_BYTES;
    this.#addEntry(at, CHUNK_HEADER_BYTES);
  }

  /** Adds an entry to the last datagram, or makes its last entry longer where the bytes follow each other. */
  #addEntry(at: number, bytes: number): void {
    const iov = this.#iov;
    const datagram = this.#datagrams - 1;
    const last = 2 * (this.#entries - 1);
    if (this.#lengths[datagram]! > 0 && iov[last]! + iov[last + 1]! === at) {
      iov[last + 1]! += bytes;
      return;
    }
    iov[last + 2] = at;
    iov[last + 3] = bytes;
    this.#entries++;
    this.#lengths[datagram]!++;
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
    const offset = this.#firstOffset[datagram]!;
    this.#heldFrame = -1;
    if (offset > 0) {
      this.#heldFrame = this.#frames!.ids[index]!;
      this.#heldChannel = this.#frames!.channels[index]!;
      this.#heldId = this.#firstId[datagram]! >>> 0;
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
