/**
 * Where the headers of a TCP or UDP frame stand. One object is made once and parsed into again and again: `parse` takes
 * (bytes, at) and allocates nothing. It is how a receiver derives what the tunnel's wire format does not carry.
 * Called by the tunnel (checksum offsets, salvage), by segmentation and by capture.
 */
import { get16 } from './bytes.js';
import { EtherType, etherTypeAt } from './ethernet.js';
import {
  IPV4_FRAGMENT_AT,
  IPV4_FRAGMENT_MASK,
  IPV4_MIN_BYTES,
  IPV4_PROTOCOL_AT,
  IPV6_BYTES,
  IPV6_NEXT_HEADER_AT,
  IpProtocol,
  isSkippableExtension,
} from './ip.js';
import { TCP_CHECKSUM_AT, TCP_DATA_OFFSET_AT, TCP_MIN_BYTES, UDP_BYTES, UDP_CHECKSUM_AT } from './transport.js';

/** As many extension headers as net/ipv6/exthdrs.c takes by default (IP6_DEFAULT_MAX_HBH_OPTS_CNT). */
const MAX_EXTENSIONS = 8;

export class FrameHeaders {
  /** 4 or 6. */
  version = 0;
  /** IpProtocol.tcp or IpProtocol.udp. */
  protocol = 0;
  /** From the frame's start to the IP header. */
  network = 0;
  /** From the frame's start to the TCP or UDP header: where checksumming starts. */
  transport = 0;
  /** From the frame's start to the payload: bytes of all headers. */
  payload = 0;
  /** From the TCP or UDP header to its checksum. */
  checksumOffset = 0;

  /**
   * Reads the frame at `at`, of which `lengthBytes` stand there in a row. False when it is not an unfragmented TCP or
   * UDP packet with all its headers within them; the fields are then undefined.
   */
  parse(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    const typeAt = etherTypeAt(bytes, at, lengthBytes);
    if (typeAt === -1) return false;
    this.network = typeAt + 2;
    const type = get16(bytes, at + typeAt);
    if (type === EtherType.ipv4) return this.#parseIpv4(bytes, at, lengthBytes);
    return type === EtherType.ipv6 && this.#parseIpv6(bytes, at, lengthBytes);
  }

  #parseIpv4(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    const ip = at + this.network;
    if (this.network + IPV4_MIN_BYTES > lengthBytes || bytes[ip]! >>> 4 !== 4) return false;
    const headerBytes = (bytes[ip]! & 15) * 4;
    if (headerBytes < IPV4_MIN_BYTES || (get16(bytes, ip + IPV4_FRAGMENT_AT) & IPV4_FRAGMENT_MASK) !== 0) return false;
    this.version = 4;
    this.protocol = bytes[ip + IPV4_PROTOCOL_AT]!;
    this.transport = this.network + headerBytes;
    return this.#parseTransport(bytes, at, lengthBytes);
  }

  #parseIpv6(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    const ip = at + this.network;
    if (this.network + IPV6_BYTES > lengthBytes || bytes[ip]! >>> 4 !== 6) return false;
    let next = bytes[ip + IPV6_NEXT_HEADER_AT]!;
    let transport = this.network + IPV6_BYTES;
    for (let extensions = 0; isSkippableExtension(next); extensions++) {
      if (extensions === MAX_EXTENSIONS || transport + 8 > lengthBytes) return false;
      next = bytes[at + transport]!;
      transport += (bytes[at + transport + 1]! + 1) * 8;
    }
    this.version = 6;
    this.protocol = next;
    this.transport = transport;
    return this.#parseTransport(bytes, at, lengthBytes);
  }

  #parseTransport(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    if (this.protocol === IpProtocol.udp) {
      this.checksumOffset = UDP_CHECKSUM_AT;
      this.payload = this.transport + UDP_BYTES;
      return this.payload <= lengthBytes;
    }
    if (this.protocol !== IpProtocol.tcp || this.transport + TCP_MIN_BYTES > lengthBytes) return false;
    const headerBytes = (bytes[at + this.transport + TCP_DATA_OFFSET_AT]! >>> 4) * 4;
    this.checksumOffset = TCP_CHECKSUM_AT;
    this.payload = this.transport + headerBytes;
    return headerBytes >= TCP_MIN_BYTES && this.payload <= lengthBytes;
  }
}
