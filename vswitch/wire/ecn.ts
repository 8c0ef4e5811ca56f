/**
 * Explicit Congestion Notification (RFC 3168 §5): two bits of the IP header, in which a router that is congested says so
 * to senders that said they understand. Called by the tunnel, which carries them from one header to another.
 *
 *   IPv4  offset  bits  field                        IPv6  offset  bits  field
 *              1   7-2  DSCP                                     0   3-0  traffic class: DSCP, upper four bits
 *              1   1-0  ECN                                      1   7-6  DSCP, lower two
 *                                                                1   5-4  ECN
 *                                                                1   3-0  flow label
 */
import { get16, put16 } from './bytes.js';
import { EtherType, etherTypeAt } from './ethernet.js';
import { IPV4_CHECKSUM_AT, IPV4_MIN_BYTES, IPV6_BYTES } from './ip.js';

/** RFC 3168 §5, figure 1. */
export const Ecn = {
  /** Its transport does not understand ECN: congestion is told by loss. */
  notEct: 0,
  ect1: 1,
  ect0: 2,
  /** Congestion was experienced. */
  ce: 3,
} as const;
export type Ecn = (typeof Ecn)[keyof typeof Ecn];

const V6_SHIFT = 4;

/**
 * Where the IP header of the frame at `at` begins, counted as `at` is; -1 when it is no IP packet, or its header (without
 * options) is not within the `lengthBytes` that stand there in a row.
 */
export function ipHeaderAt(bytes: Uint8Array, at: number, lengthBytes: number): number {
  const typeAt = etherTypeAt(bytes, at, lengthBytes);
  if (typeAt === -1) return -1;
  const ip = at + typeAt + 2;
  const type = get16(bytes, at + typeAt);
  const isWhole =
    (type === EtherType.ipv4 && typeAt + 2 + IPV4_MIN_BYTES <= lengthBytes && bytes[ip]! >>> 4 === 4) ||
    (type === EtherType.ipv6 && typeAt + 2 + IPV6_BYTES <= lengthBytes && bytes[ip]! >>> 4 === 6);
  return isWhole ? ip : -1;
}

/** Of the IP header at `ip`. */
export function getEcn(bytes: Uint8Array, ip: number): Ecn {
  const shift = bytes[ip]! >>> 4 === 6 ? V6_SHIFT : 0;
  return ((bytes[ip + 1]! >>> shift) & 3) as Ecn;
}

/** Writes it, and keeps the IPv4 header's checksum as right, or as wrong, as it was. */
export function setEcn(bytes: Uint8Array, ip: number, ecn: Ecn): void {
  const shift = bytes[ip]! >>> 4 === 6 ? V6_SHIFT : 0;
  const before = get16(bytes, ip);
  bytes[ip + 1] = (bytes[ip + 1]! & ~(3 << shift)) | (ecn << shift);
  if (shift === 0)
    put16(bytes, ip + IPV4_CHECKSUM_AT, updated(get16(bytes, ip + IPV4_CHECKSUM_AT), before, get16(bytes, ip)));
}

/** A checksum after a word of what it covers has changed: RFC 1624 §3, equation 3. */
function updated(checksum: number, before: number, after: number): number {
  const sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
  const once = (sum & 0xffff) + (sum >>> 16);
  return ~((once & 0xffff) + (once >>> 16)) & 0xffff;
}
