/**
 * The `virtio_net_hdr` before each frame of a TAP that has one: what the kernel says of a frame's checksum and segments,
 * read into the arena's fields, and derived anew from them on the way out. A header is never copied from one to the
 * other: what a guest or a peer wrote into one never reaches a kernel.
 *
 *   offset  bytes  field         (linux/virtio_net.h; little-endian)
 *   0       1      flags         1 NEEDS_CSUM, 2 DATA_VALID
 *   1       1      gso_type      0 none, 1 TCPv4, 4 TCPv6, 5 UDP_L4; 0x80 ECN on top of TCP
 *   2       2      hdr_len       bytes of all headers
 *   4       2      gso_size      payload bytes per segment
 *   6       2      csum_start
 *   8       2      csum_offset
 *   10      2      num_buffers   not used by TAPs
 *
 * Called by `tap.ts`, per frame.
 */
import { type Arena, Checksum, SLOT_BYTES } from '../arena.js';
import { hasChecksumField } from '../wire/checksum.js';
import { FrameHeaders } from '../wire/headers.js';
import { IpProtocol } from '../wire/ip.js';
import { TCP_FLAGS_AT, TcpFlag } from '../wire/transport.js';

const HEADER_BYTES = 12;
const HEADER_WORDS = HEADER_BYTES / 4;
const FLAGS = 0;
const GSO_TYPE = 1;
const HDR_LEN = 2;
const GSO_SIZE = 4;

const NEEDS_CSUM = 1;
const DATA_VALID = 2;

const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
const GSO_ECN = 0x80;

export class VnetHeaders {
  readonly #arena: Arena;
  readonly #vnet: Uint8Array;
  /** The same memory: three words a header. */
  readonly #words: Uint32Array;
  readonly #headers: FrameHeaders;

  /** `vnet`: the array that the addon reads and writes, one header per frame of a batch. */
  constructor(arena: Arena, vnet: Uint8Array) {
    this.#arena = arena;
    this.#vnet = vnet;
    this.#words = new Uint32Array(vnet.buffer, vnet.byteOffset, vnet.byteLength >> 2);
    this.#headers = new FrameHeaders();
  }

  /**
   * Header `index` of the batch is what the kernel says of `frame`. False: it cannot be, for the checksum's place is not
   * in the frame's headers; the kernel passes on what a program in the host wrote there.
   */
  read(index: number, frame: number): boolean {
    if (this.readPlain(index, frame)) return true;
    const at = index * HEADER_BYTES;
    const flags = this.#vnet[at + FLAGS]!;
    if ((flags & NEEDS_CSUM) !== 0) {
      this.#readPartial(index, frame);
      if (!hasChecksumField(this.#arena, frame)) return false;
    } else if ((flags & DATA_VALID) !== 0) {
      this.#arena.csumState[frame] = Checksum.valid;
    }
    if (this.#vnet[at + GSO_TYPE] !== GSO_NONE) this.#arena.gsoSize[frame] = this.#get16(at + GSO_SIZE);
    return true;
  }

  /** The same, where that is nothing, or that the checksum is to be completed; false: it says more, or what cannot be. Calls nothing. */
  readPlain(index: number, frame: number): boolean {
    const said = this.#words[index * HEADER_WORDS]! & 0xffff;
    if (said === 0) return true;
    if (said !== NEEDS_CSUM) return false;
    this.#readPartial(index, frame);
    return hasChecksumField(this.#arena, frame);
  }

  #readPartial(index: number, frame: number): void {
    const { csumOffset, csumStart, csumState } = this.#arena;
    csumState[frame] = Checksum.partial;
    csumStart[frame] = this.#words[index * HEADER_WORDS + 1]! >>> 16;
    csumOffset[frame] = this.#words[index * HEADER_WORDS + 2]! & 0xffff;
  }

  /**
   * Writes header `index` for `frame`. False: it is a super-frame of a kind that cannot be told to a kernel, or one that
   * disagrees with its own headers about its checksum.
   */
  write(index: number, frame: number): boolean {
    this.writePlain(index, frame);
    return this.#arena.gsoSize[frame] === 0 || this.#writeSegmentation(index * HEADER_BYTES, frame);
  }

  /** The same for a frame that is no super-frame. Calls nothing. */
  writePlain(index: number, frame: number): void {
    const { csumOffset, csumStart, csumState } = this.#arena;
    const words = this.#words;
    const word = index * HEADER_WORDS;
    const state = csumState[frame];
    const isPartial = state === Checksum.partial;
    words[word] = isPartial ? NEEDS_CSUM : state === Checksum.valid ? DATA_VALID : 0;
    words[word + 1] = isPartial ? csumStart[frame]! << 16 : 0;
    words[word + 2] = isPartial ? csumOffset[frame]! : 0;
  }

  /**
   * The kind of the super-frame that header `index` was written for, where every kernel takes it that knows the kind: a
   * number from 1 to 7. 0 where the frame is none, or has no partial checksum, which a kernel may refuse for that.
   */
  kindAt(index: number): number {
    const at = index * HEADER_BYTES;
    return this.#vnet[at + FLAGS] === NEEDS_CSUM ? this.#vnet[at + GSO_TYPE]! & ~GSO_ECN : 0;
  }

  /** The kind of a super-frame, 0 where it has none. */
  kindOf(frame: number): number {
    return this.#parse(frame) ? this.#kind() : 0;
  }

  #parse(frame: number): boolean {
    const { bytes, offset, length } = this.#arena;
    return this.#headers.parse(bytes, this.#arena.start(frame), Math.min(length[frame]!, SLOT_BYTES - offset[frame]!));
  }

  #kind(): number {
    if (this.#headers.protocol !== IpProtocol.tcp) return GSO_UDP_L4;
    return this.#headers.version === 4 ? GSO_TCPV4 : GSO_TCPV6;
  }

  #writeSegmentation(at: number, frame: number): boolean {
    const { bytes, length, gsoSize, csumState, csumStart, csumOffset } = this.#arena;
    const headers = this.#headers;
    if (!this.#parse(frame)) return false;
    // One segment: the kernel would have nothing to cut, and drop it (tcp_gso_segment).
    if (length[frame]! <= headers.payload + gsoSize[frame]!) return true;
    if (csumState[frame] === Checksum.partial) {
      if (csumStart[frame] !== headers.transport || csumOffset[frame] !== headers.checksumOffset) return false;
    }
    let type = this.#kind();
    // CWR is for the first segment alone: the kernel must know (SKB_GSO_TCP_ECN).
    const isTcp = headers.protocol === IpProtocol.tcp;
    const flagsAt = this.#arena.start(frame) + headers.transport + TCP_FLAGS_AT;
    if (isTcp && (bytes[flagsAt]! & TcpFlag.cwr) !== 0) type |= GSO_ECN;
    this.#vnet[at + GSO_TYPE] = type;
    this.#put16(at + HDR_LEN, headers.payload);
    this.#put16(at + GSO_SIZE, gsoSize[frame]!);
    return true;
  }

  #get16(at: number): number {
    return this.#vnet[at]! | (this.#vnet[at + 1]! << 8);
  }

  #put16(at: number, value: number): void {
    this.#vnet[at] = value & 0xff;
    this.#vnet[at + 1] = value >>> 8;
  }
}
