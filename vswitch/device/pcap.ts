/**
 * A device that plays a capture file and writes another one: golden tests, replay. Frames come when the clock has reached
 * their time (`startUnixNs` is when it was 0); what is sent is written with the clock's time, checksums completed.
 *
 * Files are classic pcap: read in either byte order, micro- or nanoseconds; written little-endian with nanoseconds. The
 * input is read as it grows, so that one device may read what another writes.
 *
 *   file     0 u32 magic, 4 u16 2, 6 u16 4, 8 i32 0, 12 u32 0, 16 u32 snaplen, 20 u32 link type (1: Ethernet)
 *   record   0 u32 seconds, 4 u32 micro- or nanoseconds, 8 u32 bytes that follow, 12 u32 length of the frame
 *            (draft-ietf-opsawg-pcap)
 *
 * Not for a hot path: it reads and writes synchronously and allocates per frame.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { StateError } from '../../model/errors.js';
import { Checksum, type FrameBatch, MAX_FRAME_BYTES } from '../arena.js';
import { DropReason } from '../drops.js';
import { completeChecksum } from '../wire/checksum.js';
import { type DeviceContext, exceedsMtu, type PortDevice } from './device.js';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET = 1;

export interface PcapOptions {
  /** Frames to receive; without, none come. */
  readonly input?: string;
  /** Where frames that are sent are written; without, they are forgotten. */
  readonly output?: string;
  /** Seconds since 1970 when the clock was 0; 0 by default, as in files made for tests. */
  readonly startUnixSeconds?: number;
  readonly mtuBytes?: number;
}

interface PcapRecord {
  readonly nowNs: number;
  /** Fewer than the frame had, when the capture cut it. */
  readonly bytes: Uint8Array;
  readonly frameBytes: number;
}

export class PcapDevice implements PortDevice {
  readonly mtuBytes: number;
  readonly batchSize = 64;
  readonly fd = -1;
  readonly #context: DeviceContext;
  readonly #startUnixSeconds: number;
  #input: PcapReader | undefined;
  #output: PcapWriter | undefined;
  /** Read, but not due yet. */
  #next: PcapRecord | undefined;

  /** Throws a StateError when the input is no pcap of Ethernet, or a file cannot be opened. */
  constructor(context: DeviceContext, options: PcapOptions) {
    this.mtuBytes = options.mtuBytes ?? 65521;
    this.#context = context;
    this.#startUnixSeconds = options.startUnixSeconds ?? 0;
    this.#output = options.output === undefined ? undefined : new PcapWriter(options.output);
    this.#input = options.input === undefined ? undefined : new PcapReader(options.input, this.#startUnixSeconds);
    this.#next = undefined;
  }

  get nextNs(): number {
    return this.#next?.nowNs ?? Infinity;
  }

  rxBatch(out: FrameBatch): number {
    const { arena, clock, drops, index } = this.#context;
    const most = Math.min(this.batchSize, out.capacity - out.count);
    let received = 0;
    while (received < most) {
      this.#next ??= this.#input?.next();
      if (this.#next === undefined || this.#next.nowNs > clock.nowNs()) break;
      const { bytes, frameBytes } = this.#next;
      this.#next = undefined;
      const isWhole = bytes.byteLength === frameBytes && frameBytes > 0;
      const frame = isWhole ? arena.write(bytes) : -1;
      if (frame === -1) {
        drops.drop(isWhole ? DropReason.arenaFull : DropReason.malformed, -1, index);
        continue;
      }
      out.push(frame, 0);
      received++;
    }
    return received;
  }

  txBatch(frames: FrameBatch, from: number): number {
    const { arena, drops, index } = this.#context;
    for (let i = from; i < frames.count; i++) {
      const frame = frames.ids[i]!;
      if (exceedsMtu(arena, frame, this.mtuBytes)) drops.drop(DropReason.tooLong, frame, index);
      else if (!this.#write(frame)) drops.drop(DropReason.deviceError, frame, index);
      arena.release(frame);
    }
    return frames.count - from;
  }

  poll(): void {
    // A frame that is due comes out of the rxBatch that follows.
  }

  close(): void {
    this.#input?.close();
    this.#output?.close();
    this.#input = undefined;
    this.#output = undefined;
    this.#next = undefined;
  }

  #write(frame: number): boolean {
    const { arena, clock } = this.#context;
    const bytes = arena.read(frame);
    if (arena.csumState[frame] === Checksum.partial) {
      completeChecksum(bytes, arena.csumStart[frame]!, arena.csumOffset[frame]!);
    }
    return this.#output?.write(bytes, clock.nowNs(), this.#startUnixSeconds) ?? true;
  }
}

class PcapReader {
  readonly #path: string;
  readonly #fd: number;
  readonly #startUnixSeconds: number;
  /** Of the next record; 0 until the file's header was there to be read. */
  #position: number;
  #littleEndian: boolean;
  #fractionNs: number;

  constructor(path: string, startUnixSeconds: number) {
    this.#path = path;
    this.#fd = openSync(path, 'r');
    this.#startUnixSeconds = startUnixSeconds;
    this.#position = 0;
    this.#littleEndian = true;
    this.#fractionNs = 1;
    try {
      this.#readFileHeader();
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Undefined while there is no further record, or it is not there as a whole. */
  next(): PcapRecord | undefined {
    if (this.#position === 0 && !this.#findFileHeader()) return undefined;
    const header = this.#read(this.#position, RECORD_HEADER_BYTES);
    if (header === undefined) return undefined;
    const capturedBytes = header.getUint32(8, this.#littleEndian);
    const data = this.#read(this.#position + RECORD_HEADER_BYTES, Math.min(capturedBytes, MAX_FRAME_BYTES + 1));
    if (data === undefined) return undefined;
    this.#position += RECORD_HEADER_BYTES + capturedBytes;
    const seconds = header.getUint32(0, this.#littleEndian) - this.#startUnixSeconds;
    return {
      nowNs: seconds * 1e9 + header.getUint32(4, this.#littleEndian) * this.#fractionNs,
      bytes: new Uint8Array(data.buffer).subarray(0, Math.min(capturedBytes, MAX_FRAME_BYTES)),
      frameBytes: header.getUint32(12, this.#littleEndian),
    };
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** On the data path nothing is thrown: a file that turns out to be something else gives no frames. */
  #findFileHeader(): boolean {
    try {
      return this.#readFileHeader();
    } catch {
      return false;
    }
  }

  /** False while the file is too short to have one. */
  #readFileHeader(): boolean {
    const header = this.#read(0, FILE_HEADER_BYTES);
    if (header === undefined) return false;
    this.#littleEndian = isPcapMagic(header.getUint32(0, true));
    const magic = header.getUint32(0, this.#littleEndian);
    if (!isPcapMagic(magic)) throw new StateError(`${this.#path} is not a classic pcap file`);
    const linkType = header.getUint32(20, this.#littleEndian) & 0xffff;
    if (linkType !== ETHERNET) throw new StateError(`${this.#path} has frames of link type ${linkType}, not Ethernet`);
    this.#fractionNs = magic === MAGIC_NANOSECONDS ? 1 : 1000;
    this.#position = FILE_HEADER_BYTES;
    return true;
  }

  #read(position: number, byteLength: number): DataView | undefined {
    const bytes = new Uint8Array(byteLength);
    return readSync(this.#fd, bytes, 0, byteLength, position) === byteLength ? new DataView(bytes.buffer) : undefined;
  }
}

function isPcapMagic(magic: number): boolean {
  return magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS;
}

class PcapWriter {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
    const header = new DataView(new ArrayBuffer(FILE_HEADER_BYTES));
    header.setUint32(0, MAGIC_NANOSECONDS, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, MAX_FRAME_BYTES, true);
    header.setUint32(20, ETHERNET, true);
    writeSync(this.#fd, header);
  }

  /** False when the file system refuses. */
  write(bytes: Uint8Array, nowNs: number, startUnixSeconds: number): boolean {
    const record = new Uint8Array(RECORD_HEADER_BYTES + bytes.byteLength);
    const header = new DataView(record.buffer);
    const seconds = Math.floor(nowNs / 1e9);
    header.setUint32(0, startUnixSeconds + seconds, true);
    header.setUint32(4, Math.round(nowNs - seconds * 1e9), true);
    header.setUint32(8, bytes.byteLength, true);
    header.setUint32(12, bytes.byteLength, true);
    record.set(bytes, RECORD_HEADER_BYTES);
    try {
      return writeSync(this.#fd, record) === record.byteLength;
    } catch {
      return false;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
