/**
 * The datagrams of one `pack` of a sender, as they are being put together: a scatter list, no copies. Headers stand in slots
 * of the arena that are the list's own; payload is named where it lies.
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
 * Parity of datagrams that stand in front of it is named by its headers and by how many it is; the addon has its payload.
 *
 *   iov      (headers)
 *   lengths      1
 *   cuts        -3
 *
 * In this order: `reset`; for each chunk `begin`, `cut` where it is of several pieces, `addChunk`, `addEntry` for its
 * payload. Which frame a datagram began with is kept beside it, so that the sender knows what went out of which.
 * What goes into which datagram is decided in `sender.ts`, the only caller.
 */
import { MAX_FRAME_SLOTS, SLOT_BYTES, type Arena } from '../arena.js';
import { Ecn } from '../wire/ecn.js';
import { put16 } from '../wire/bytes.js';
import { HELD_PER_BYTE, HELD_PER_DATAGRAM } from './burst-bound.js';
import { PARITY_HEADER_BYTES, PARITY_OVERHEAD_BYTES } from './fec/parity.js';
import {
  CHUNK_HEADER_BYTES,
  type ChunkHeader,
  DATAGRAM_HEADER_BYTES,
  DatagramHeader,
  DatagramType,
  MAX_CHUNKS,
} from './wire.js';

/** A super-frame of 64 KiB makes 46 at a path MTU of 1500. */
export const MAX_DATAGRAMS = 128;
/** 16 KiB of headers: 128 datagrams of one chunk need 5, some 800 small frames fill them. */
const HEADER_SLOTS = 8;
/** Headers, a payload that touches every slot of the longest frame, the header copy. */
const MAX_CHUNK_ENTRIES = 1 + (MAX_FRAME_SLOTS + 1) + 1;

export interface DatagramListOptions {
  /** Out: see the file's head. At least `2 * MAX_CHUNK_ENTRIES` long, and `MAX_DATAGRAMS`. */
  readonly iov: Int32Array;
  readonly lengths: Int32Array;
  /**
   * Out, as long as `lengths`, where segmented sends can be had: of a long datagram, that is cut on its way out, the payload
   * bytes of each piece; of parity, minus the number of its datagrams; 0 of any other.
   */
  readonly cuts?: Int32Array;
  /** Out, as long as `lengths`, where it can be had: the ECN field that a datagram's IP header gets. */
  readonly ecn?: Uint8Array;
  /** Bytes that each datagram grows by when it is sealed: 0 by default. */
  readonly tagBytes?: number;
}

export class DatagramList {
  /** Of the next datagram. */
  readonly header: DatagramHeader;
  /** Payload bytes of a datagram that has one chunk. */
  chunkBytes: number;
  /** How many datagrams there are. */
  count: number;

  // Of the last datagram.
  /** More can be added to it. */
  isOpen: boolean;
  /** Bytes that fit it, chunk header included. */
  leftBytes: number;
  chunks: number;
  ecn: Ecn;

  // Per datagram, and one more for where the list ended.
  /** The first frame in it, as an index of the batch; that frame's id on the wire; and from which byte on. */
  readonly firstIndex: Int32Array;
  readonly firstId: Int32Array;
  readonly firstOffset: Int32Array;
  /** The header's counter when it began: a long datagram takes as many as it has pieces. */
  readonly firstCounter: Float64Array;
  /** The last frame in it. */
  readonly lastIndex: Int32Array;
  /** Bytes of a receive buffer that it takes, at most (`burst-bound.ts`). */
  readonly heldBytes: Int32Array;
  /** Parity datagrams that it stands for; 0: it has frames. */
  readonly parityRows: Uint8Array;

  readonly #arena: Arena;
  readonly #iov: Int32Array;
  readonly #lengths: Int32Array;
  readonly #cuts: Int32Array | undefined;
  readonly #ecn: Uint8Array | undefined;
  /** Of `heldBytes`, what each datagram takes beside its chunks. */
  readonly #pieceBytes: number;
  #entries: number;
  readonly #headerSlots: Int32Array;
  #headerSlot: number;
  #headerAt: number;

  constructor(arena: Arena, options: DatagramListOptions) {
    if (options.iov.length < 2 * MAX_CHUNK_ENTRIES || options.lengths.length < MAX_DATAGRAMS) {
      throw new RangeError('the scatter list of a tunnel has no room for a datagram');
    }
    this.header = new DatagramHeader();
    this.chunkBytes = 0;
    this.count = 0;
    this.isOpen = false;
    this.leftBytes = 0;
    this.chunks = 0;
    this.ecn = Ecn.notEct;
    this.firstIndex = new Int32Array(MAX_DATAGRAMS + 1);
    this.firstId = new Int32Array(MAX_DATAGRAMS + 1);
    this.firstOffset = new Int32Array(MAX_DATAGRAMS + 1);
    this.firstCounter = new Float64Array(MAX_DATAGRAMS + 1);
    this.lastIndex = new Int32Array(MAX_DATAGRAMS);
    this.heldBytes = new Int32Array(MAX_DATAGRAMS);
    this.parityRows = new Uint8Array(MAX_DATAGRAMS);
    this.#arena = arena;
    this.#iov = options.iov;
    this.#lengths = options.lengths;
    this.#cuts = options.cuts;
    this.#ecn = options.ecn;
    this.#pieceBytes = HELD_PER_DATAGRAM + HELD_PER_BYTE * (DATAGRAM_HEADER_BYTES + (options.tagBytes ?? 0));
    this.#entries = 0;
    this.#headerSlots = new Int32Array(HEADER_SLOTS).fill(-1);
    this.#headerSlot = 0;
    this.#headerAt = 0;
    for (let i = 0; i < HEADER_SLOTS; i++) {
      const slot = arena.takeSlot();
      if (slot === -1) {
        this.close();
        throw new RangeError('the arena has no room for the headers of a tunnel');
      }
      this.#headerSlots[i] = slot;
    }
  }

  /** Datagrams that were begun, ever. */
  get counter(): number {
    return this.header.counterHigh * 2 ** 32 + this.header.counterLow;
  }

  /** Empty again. */
  reset(): void {
    this.count = 0;
    this.isOpen = false;
    this.#entries = 0;
    this.#headerSlot = 0;
    this.#headerAt = 0;
  }

  /**
   * Sees that a chunk can be added: begins a datagram, of this ECN field, when none is open. Its first frame is then the one
   * at `index` of the batch, from `offset` on. False, and marked, when the list is full.
   */
  begin(index: number, offset: number, id: number, ecn: Ecn): boolean {
    const isNew = !this.isOpen || this.chunks === MAX_CHUNKS;
    const headerBytes = isNew ? DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES : CHUNK_HEADER_BYTES;
    const isFull =
      (isNew && this.count === MAX_DATAGRAMS) ||
      2 * (this.#entries + MAX_CHUNK_ENTRIES) > this.#iov.length ||
      !this.#hasHeaderRoom(headerBytes);
    if (isFull || isNew) this.mark(index, offset, id);
    if (isFull) return false;
    if (!isNew) return true;
    this.#lengths[this.count] = 0;
    if (this.#cuts !== undefined) this.#cuts[this.count] = 0;
    if (this.#ecn !== undefined) this.#ecn[this.count] = ecn;
    this.ecn = ecn;
    this.heldBytes[this.count] = this.#pieceBytes;
    this.parityRows[this.count] = 0;
    this.count++;
    this.isOpen = true;
    this.chunks = 0;
    this.leftBytes = CHUNK_HEADER_BYTES + this.chunkBytes;
    const at = this.#headerSlots[this.#headerSlot]! * SLOT_BYTES + this.#headerAt;
    this.header.emit(this.#arena.bytes, at);
    this.header.advance(1);
    this.#headerAt += DATAGRAM_HEADER_BYTES;
    this.addEntry(at, DATAGRAM_HEADER_BYTES);
    return true;
  }

  /** Whether parity can be added, and what follows it begins with the frame at `index`, from `offset` on: then it is marked. */
  beginParity(index: number, offset: number, id: number): boolean {
    this.isOpen = false;
    this.mark(index, offset, id);
    const isFull = this.count === MAX_DATAGRAMS || 2 * (this.#entries + 1) > this.#iov.length;
    return !isFull && this.#hasHeaderRoom(DATAGRAM_HEADER_BYTES + PARITY_HEADER_BYTES);
  }

  /** Adds `rows` parity datagrams of `datagrams` in a row, the first of which has the counter `first`. */
  addParity(rows: number, datagrams: number, first: number): void {
    const { bytes } = this.#arena;
    const at = this.#headerSlots[this.#headerSlot]! * SLOT_BYTES + this.#headerAt;
    const distance = this.counter - first;
    this.header.type = DatagramType.parity;
    this.header.emit(bytes, at);
    this.header.type = DatagramType.frames;
    this.header.advance(rows);
    bytes[at + DATAGRAM_HEADER_BYTES] = datagrams;
    bytes[at + DATAGRAM_HEADER_BYTES + 1] = 0;
    put16(bytes, at + DATAGRAM_HEADER_BYTES + 2, distance);
    this.#headerAt += DATAGRAM_HEADER_BYTES + PARITY_HEADER_BYTES;
    this.#lengths[this.count] = 0;
    this.#cuts![this.count] = -rows;
    this.#ecn![this.count] = Ecn.notEct;
    this.heldBytes[this.count] = rows * (this.#pieceBytes + HELD_PER_BYTE * (this.chunkBytes + PARITY_OVERHEAD_BYTES));
    this.parityRows[this.count] = rows;
    this.lastIndex[this.count] = this.firstIndex[this.count]! - 1;
    this.count++;
    this.addEntry(at, DATAGRAM_HEADER_BYTES + PARITY_HEADER_BYTES);
    this.mark(this.firstIndex[this.count - 1]!, this.firstOffset[this.count - 1]!, this.firstId[this.count - 1]!);
  }

  /** What follows the datagrams so far begins with the frame at `index`, from `offset` on. */
  mark(index: number, offset: number, id: number): void {
    this.firstIndex[this.count] = index;
    this.firstOffset[this.count] = offset;
    this.firstId[this.count] = id;
    this.firstCounter[this.count] = this.counter;
  }

  /** The datagram just begun is a long one, of so many pieces. */
  cut(pieces: number): void {
    this.#cuts![this.count - 1] = this.chunkBytes;
    this.heldBytes[this.count - 1]! += (pieces - 1) * this.#pieceBytes;
    this.header.advance(pieces - 1);
  }

  /** Begins a chunk, of the frame at `index`; the entries of its payload follow. */
  addChunk(chunk: ChunkHeader, index: number): void {
    const datagram = this.count - 1;
    const at = this.#headerSlots[this.#headerSlot]! * SLOT_BYTES + this.#headerAt;
    const chunkBytes = chunk.bytes;
    chunk.emit(this.#arena.bytes, at);
    this.#headerAt += CHUNK_HEADER_BYTES;
    this.addEntry(at, CHUNK_HEADER_BYTES);
    this.chunks++;
    this.leftBytes -= chunkBytes;
    this.heldBytes[datagram]! += HELD_PER_BYTE * chunkBytes;
    this.lastIndex[datagram] = index;
  }

  /** Adds an entry to the last datagram, or makes its last entry longer where the bytes follow each other. */
  addEntry(at: number, bytes: number): void {
    const iov = this.#iov;
    const datagram = this.count - 1;
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

  /** Gives back the slots of its headers. Idempotent. */
  close(): void {
    for (let i = 0; i < HEADER_SLOTS; i++) {
      if (this.#headerSlots[i] !== -1) this.#arena.returnSlot(this.#headerSlots[i]!);
      this.#headerSlots[i] = -1;
    }
  }

  #hasHeaderRoom(bytes: number): boolean {
    if (this.#headerAt + bytes <= SLOT_BYTES) return true;
    if (this.#headerSlot + 1 === HEADER_SLOTS) return false;
    this.#headerSlot++;
    this.#headerAt = 0;
    return true;
  }
}
