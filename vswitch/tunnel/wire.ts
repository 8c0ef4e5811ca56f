/**
 * What a tunnel datagram looks like: the two headers, read and written. `docs/wire-format.md` is the specification, with
 * drawings and reasons; this file is its tables. All integers are big-endian.
 *
 *   [ UDP ][ datagram header ][ chunk header | payload | header copy ] … [ padding ][ seal ]
 *                20 bytes           18 bytes
 *
 * Header objects are made once and parsed into again and again. Called by `sender.ts` and `receiver.ts`.
 */
import { ETHERNET_BYTES } from '../wire/ethernet.js';
import { Checksum, MAX_FRAME_BYTES } from '../arena.js';
import { get16, get24, get32, put16, put24, put32 } from '../wire/bytes.js';

export const WIRE_VERSION = 1;

export const DatagramType = {
  /** Chunks of frames. */
  frames: 0,
  /** A piece of the handshake that gives keys: sealed while there are some, else open, as what is in it protects itself. */
  handshake: 1,
  /** Of the tunnel's health: `health/probe.ts`. */
  probe: 2,
  /** What brings back others that were lost: `fec/`. */
  parity: 3,
} as const;

/**
 *   offset  bytes  type  field
 *        0      1  u8    version
 *        1      1  u8    type
 *        2      1  u8    flags: none yet, zero
 *        3      1  u8    lane
 *        4      4  u32   network number
 *        8      4  u32   epoch; 0: not sealed
 *       12      8  u64   counter
 */
export const DATAGRAM_HEADER_BYTES = 20;
export const NETWORK_AT = 4;

/**
 *   offset  bytes  type  field
 *        0      2  u16   channel; 0: no chunk, padding up to the seal
 *        2      2  u16   payload length
 *        4      4  u32   frame id
 *        8      1  u8    flags: bits 0 and 1 the checksum state, the others zero
 *        9      3  u24   frame length
 *       12      1  u8    header copy length
 *       13      3  u24   byte offset of the payload in the frame
 *       16      2  u16   gsoSize
 */
export const CHUNK_HEADER_BYTES = 18;

export const UDP_HEADER_BYTES = 8;
/** Bounds the frames that one datagram can make, and the entries of its scatter list. */
export const MAX_CHUNKS = 64;
/** The tag of AES-256-GCM and of ChaCha20-Poly1305, at the end of a sealed datagram. */
export const TAG_BYTES = 16;
/** What the one byte of its length can say; longer headers (long IPv6 extensions) are not copied. */
export const MAX_HEADER_COPY_BYTES = 255;
/** RFC 8200 §5. It also bounds how many chunks the longest frame has. */
export const MIN_PATH_MTU_BYTES = 1280;
export const MAX_PATH_MTU_BYTES = 65535;
/** Largest payload of a UDP datagram over IPv4, which bounds a segmented send as well. */
export const MAX_SEND_BYTES = 65535 - UDP_HEADER_BYTES - 20;
/** No tunnel datagram says more of one frame: a longer frame's IP packet could not say its own length. */
export const TUNNEL_MTU_BYTES = 65535 - ETHERNET_BYTES;

/**
 * Of an underlay packet, the bytes that are no frame's when one chunk fills it. `ipHeaderBytes` is 20 or 40, `tagBytes`
 * the seal's. All arithmetic on the tunnel's MTU is this.
 */
export function tunnelOverheadBytes(ipHeaderBytes: number, tagBytes: number): number {
  return ipHeaderBytes + UDP_HEADER_BYTES + DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES + tagBytes;
}

export class DatagramHeader {
  type = 0;
  lane = 0;
  network = 0;
  epoch = 0;
  counterHigh = 0;
  counterLow = 0;

  /** False when it is none of ours: too short, another version, flags that we do not know. */
  parse(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    if (lengthBytes < DATAGRAM_HEADER_BYTES || bytes[at] !== WIRE_VERSION || bytes[at + 2] !== 0) return false;
    this.type = bytes[at + 1]!;
    this.lane = bytes[at + 3]!;
    this.network = get32(bytes, at + 4);
    this.epoch = get32(bytes, at + 8);
    this.counterHigh = get32(bytes, at + 12);
    this.counterLow = get32(bytes, at + 16);
    return true;
  }

  emit(bytes: Uint8Array, at: number): void {
    bytes[at] = WIRE_VERSION;
    bytes[at + 1] = this.type;
    bytes[at + 2] = 0;
    bytes[at + 3] = this.lane;
    put32(bytes, at + 4, this.network);
    put32(bytes, at + 8, this.epoch);
    put32(bytes, at + 12, this.counterHigh);
    put32(bytes, at + 16, this.counterLow);
  }

  /** On by `count` (below 2³²). 2⁶⁴ datagrams are not sent in any lifetime, so it never wraps. */
  advance(count: number): void {
    const low = this.counterLow + count;
    if (low > 0xffff_ffff) this.counterHigh = (this.counterHigh + 1) >>> 0;
    this.counterLow = low >>> 0;
  }
}

export class ChunkHeader {
  channel = 0;
  payloadBytes = 0;
  frameId = 0;
  checksum: Checksum = Checksum.unknown;
  frameBytes = 0;
  copyBytes = 0;
  offset = 0;
  gsoSize = 0;

  /**
   * Reads the chunk header at `at`; `leftBytes` is what the datagram has from there. False when it breaks a rule of the
   * format; payload and header copy are within the datagram when it does not.
   */
  parse(bytes: Uint8Array, at: number, leftBytes: number): boolean {
    if (leftBytes < CHUNK_HEADER_BYTES) return false;
    const flags = bytes[at + 8]!;
    this.channel = get16(bytes, at);
    this.payloadBytes = get16(bytes, at + 2);
    this.frameId = get32(bytes, at + 4);
    this.checksum = flags as Checksum;
    this.frameBytes = get24(bytes, at + 9);
    this.copyBytes = bytes[at + 12]!;
    this.offset = get24(bytes, at + 13);
    this.gsoSize = get16(bytes, at + 16);
    return flags <= Checksum.valid && this.#isConsistent() && this.bytes <= leftBytes;
  }

  emit(bytes: Uint8Array, at: number): void {
    put16(bytes, at, this.channel);
    put16(bytes, at + 2, this.payloadBytes);
    put32(bytes, at + 4, this.frameId);
    bytes[at + 8] = this.checksum;
    put24(bytes, at + 9, this.frameBytes);
    bytes[at + 12] = this.copyBytes;
    put24(bytes, at + 13, this.offset);
    put16(bytes, at + 16, this.gsoSize);
  }

  /** Header, payload and header copy. */
  get bytes(): number {
    return CHUNK_HEADER_BYTES + this.payloadBytes + this.copyBytes;
  }

  /** The frame is whole in this one chunk. */
  get isWhole(): boolean {
    return this.payloadBytes === this.frameBytes;
  }

  #isConsistent(): boolean {
    if (this.frameBytes < ETHERNET_BYTES || this.frameBytes > MAX_FRAME_BYTES) return false;
    if (this.channel === 0 || this.offset + this.payloadBytes > this.frameBytes) return false;
    if (this.payloadBytes === 0 && this.copyBytes === 0) return false;
    // virtio 1.2 §5.1.6.2: a frame that is still to be segmented has a checksum that is still to be completed.
    if (this.gsoSize > 0) return this.checksum === Checksum.partial && this.copyBytes <= this.frameBytes;
    return this.copyBytes === 0;
  }
}
