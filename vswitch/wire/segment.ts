/**
 * Software segmentation: what the kernel would send for a TCP or UDP super-frame, to the byte. The reference is
 * net/ipv4/tcp_offload.c (tcp_gso_segment), net/ipv4/udp_offload.c (__udp_gso_segment), net/ipv4/af_inet.c
 * (inet_gso_segment) and net/ipv6/ip6_offload.c (ipv6_gso_segment).
 *
 *   super-frame   [headers][   gsoSize   |   gsoSize   |   gsoSize   | rest ]
 *   segments      [headers'][gsoSize]  [headers'][gsoSize]  …  [headers'][rest]
 *
 * A run of neighbouring segments is a super-frame again. `writeRunHeaders` turns a copy of the super-frame's headers into
 * those of a run: used for single segments here, and by `segmenter.ts` for runs in the arena.
 */
import { get16, get32, put16, put32 } from './bytes.js';
import { internetChecksum, pseudoHeaderSum, sumBytes } from './checksum.js';
import { FrameHeaders } from './headers.js';
import {
  IPV4_CHECKSUM_AT,
  IPV4_ID_AT,
  IPV4_TOTAL_LENGTH_AT,
  IPV6_BYTES,
  IPV6_PAYLOAD_LENGTH_AT,
  IpProtocol,
} from './ip.js';
import { TCP_FLAGS_AT, TCP_SEQUENCE_AT, TcpFlag, UDP_LENGTH_AT } from './transport.js';

/** How many segments a super-frame of this much payload has. */
export function segmentCount(payloadBytes: number, gsoSize: number): number {
  return Math.ceil(payloadBytes / gsoSize);
}

/**
 * Rewrites the super-frame's headers at `at` into those of the run that begins with segment `first` and has
 * `payloadBytes`; `isLast` when it ends where the super-frame does. The transport checksum becomes partial: the sum of
 * the new pseudo-header.
 */
export function writeRunHeaders(
  bytes: Uint8Array,
  at: number,
  headers: FrameHeaders,
  gsoSize: number,
  first: number,
  payloadBytes: number,
  isLast: boolean,
): void {
  const ip = at + headers.network;
  const transport = at + headers.transport;
  if (headers.version === 4) {
    put16(bytes, ip + IPV4_TOTAL_LENGTH_AT, headers.payload - headers.network + payloadBytes);
    // One packet, one identification (inet_gso_segment; a TAP cannot say SKB_GSO_TCP_FIXEDID).
    put16(bytes, ip + IPV4_ID_AT, get16(bytes, ip + IPV4_ID_AT) + first);
    put16(bytes, ip + IPV4_CHECKSUM_AT, 0);
    put16(bytes, ip + IPV4_CHECKSUM_AT, internetChecksum(bytes, ip, headers.transport - headers.network));
  } else {
    put16(bytes, ip + IPV6_PAYLOAD_LENGTH_AT, headers.payload - headers.network - IPV6_BYTES + payloadBytes);
  }
  const transportBytes = headers.payload - headers.transport + payloadBytes;
  if (headers.protocol === IpProtocol.tcp) {
    put32(bytes, transport + TCP_SEQUENCE_AT, get32(bytes, transport + TCP_SEQUENCE_AT) + first * gsoSize);
    // RFC 3168 §6.1.2: CWR is said once, so only on the first; FIN and PSH belong behind the last byte.
    let flags = bytes[transport + TCP_FLAGS_AT]!;
    if (first > 0) flags &= ~TcpFlag.cwr;
    if (!isLast) flags &= ~(TcpFlag.fin | TcpFlag.psh);
    bytes[transport + TCP_FLAGS_AT] = flags;
  } else {
    put16(bytes, transport + UDP_LENGTH_AT, transportBytes);
  }
  put16(bytes, transport + headers.checksumOffset, pseudoHeaderSum(bytes, at, headers, transportBytes));
}

/**
 * The wire frames of a super-frame, checksums completed. Null when it is not TCP or UDP, or has no payload: then it
 * cannot be segmented. Allocates: for captures and tests; `segmenter.ts` is for a breath.
 */
export function segmentFrame(frame: Uint8Array, gsoSize: number): Uint8Array[] | null {
  const headers = new FrameHeaders();
  if (!headers.parse(frame, 0, frame.byteLength)) return null;
  const payloadBytes = frame.byteLength - headers.payload;
  if (payloadBytes === 0) return null;
  const count = segmentCount(payloadBytes, gsoSize);
  const segments: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const from = headers.payload + i * gsoSize;
    const part = frame.subarray(from, Math.min(frame.byteLength, from + gsoSize));
    const segment = new Uint8Array(headers.payload + part.byteLength);
    segment.set(frame.subarray(0, headers.payload));
    segment.set(part, headers.payload);
    writeRunHeaders(segment, 0, headers, gsoSize, i, part.byteLength, i === count - 1);
    completeSegment(segment, headers);
    segments.push(segment);
  }
  return segments;
}

function completeSegment(segment: Uint8Array, headers: FrameHeaders): void {
  const sum = sumBytes(segment, headers.transport, segment.byteLength - headers.transport);
  put16(segment, headers.transport + headers.checksumOffset, segmentChecksum(sum, headers.protocol));
}

/**
 * The checksum of a segment, given the sum from its transport header on, that of the pseudo-header included. Unlike
 * skb_checksum_help, tcp_gso_segment leaves a zero in TCP; __udp_gso_segment writes CSUM_MANGLED_0 in UDP.
 */
export function segmentChecksum(sum: number, protocol: number): number {
  const checksum = ~sum & 0xffff;
  return checksum === 0 && protocol === IpProtocol.udp ? 0xffff : checksum;
}
