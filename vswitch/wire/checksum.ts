/**
 * The Internet checksum (RFC 1071): over plain bytes and over frames in the arena, whose parts may begin at odd
 * positions. A "sum" here is the folded one's complement sum, 0 … 0xffff, not yet complemented. A frame whose checksum
 * is `partial` carries in its checksum field the sum of the pseudo-header, as Linux leaves it (CHECKSUM_PARTIAL,
 * include/linux/skbuff.h). Called by segmentation, capture, TAPs and the tunnel's sender.
 */
import { Checksum, SLOT_BYTES, type Arena } from '../arena.js';
import { get16, put16 } from './bytes.js';
import type { FrameHeaders } from './headers.js';
import { IPV4_SOURCE_AT, IPV6_SOURCE_AT } from './ip.js';

/** Words that a 31-bit integer certainly holds the sum of. */
const BLOCK_BYTES = 2 * 32768;

function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** The sum of two sums. */
export function addSums(a: number, b: number): number {
  return fold(a + b);
}

/** The sum of `lengthBytes` from `at`, as 16-bit big-endian words; an odd last byte is followed by a zero. */
export function sumBytes(bytes: Uint8Array, at: number, lengthBytes: number): number {
  let total = 0;
  const end = at + lengthBytes;
  const evenEnd = end - (lengthBytes & 1);
  while (at < evenEnd) {
    const stop = Math.min(evenEnd, at + BLOCK_BYTES);
    let sum = 0;
    for (; at < stop; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
    total = fold(total + fold(sum));
  }
  return at < end ? fold(total + (bytes[at]! << 8)) : total;
}

/** The sum of a frame's bytes `from` … its end. */
export function sumFrame(arena: Arena, frame: number, from: number): number {
  let slot = frame;
  let at = arena.offset[frame]! + from;
  let left = arena.length[frame]! - from;
  while (at >= SLOT_BYTES && left > 0) {
    at -= SLOT_BYTES;
    slot = arena.next[slot]!;
  }
  let total = 0;
  let odd = false;
  while (left > 0) {
    const n = Math.min(left, SLOT_BYTES - at);
    const sum = sumBytes(arena.bytes, slot * SLOT_BYTES + at, n);
    // RFC 1071 §2 (B): a part that begins at an odd position counts with its bytes swapped.
    total = fold(total + (odd ? ((sum & 0xff) << 8) | (sum >>> 8) : sum));
    odd = odd !== ((n & 1) === 1);
    left -= n;
    at = 0;
    slot = arena.next[slot]!;
  }
  return total;
}

/** The checksum of plain bytes, as it stands in a header: 0 … 0xffff. */
export function internetChecksum(bytes: Uint8Array, at: number, lengthBytes: number): number {
  return ~sumBytes(bytes, at, lengthBytes) & 0xffff;
}

/** The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1) of the frame at `at`, for this many TCP or UDP bytes. */
export function pseudoHeaderSum(bytes: Uint8Array, at: number, headers: FrameHeaders, transportBytes: number): number {
  const ip = at + headers.network;
  const addresses =
    headers.version === 4 ? sumBytes(bytes, ip + IPV4_SOURCE_AT, 8) : sumBytes(bytes, ip + IPV6_SOURCE_AT, 32);
  return fold(addresses + headers.protocol + transportBytes);
}

/**
 * What a partial checksum becomes, given the sum from `csumStart` on, checksum field included. Zero is written as
 * 0xffff, its other form, as skb_checksum_help does (net/core/dev.c): in UDP, zero would mean "no checksum".
 */
function completed(sum: number): number {
  const checksum = ~sum & 0xffff;
  return checksum === 0 ? 0xffff : checksum;
}

/** Completes the partial checksum of a frame in plain bytes: `csumStart` from its start, `csumOffset` from there. */
export function completeChecksum(bytes: Uint8Array, csumStart: number, csumOffset: number): void {
  put16(bytes, csumStart + csumOffset, completed(sumBytes(bytes, csumStart, bytes.byteLength - csumStart)));
}

/**
 * Whether the checksum field that `csumStart` and `csumOffset` name lies within the frame and in its first slot, where
 * all headers are. Any program in a host may say otherwise (PACKET_VNET_HDR, net/packet/af_packet.c).
 */
export function hasChecksumField(arena: Arena, frame: number): boolean {
  const end = arena.csumStart[frame]! + arena.csumOffset[frame]! + 2;
  return end <= arena.length[frame]! && end <= SLOT_BYTES - arena.offset[frame]!;
}

/**
 * The same for a frame in the arena with a `partial` checksum; it is `unknown` afterwards. False, and nothing is done,
 * when the frame has no such field.
 */
export function completeFrameChecksum(arena: Arena, frame: number): boolean {
  if (!hasChecksumField(arena, frame)) return false;
  const field = arena.start(frame) + arena.csumStart[frame]! + arena.csumOffset[frame]!;
  put16(arena.bytes, field, completed(sumFrame(arena, frame, arena.csumStart[frame]!)));
  arena.csumState[frame] = Checksum.unknown;
  return true;
}

/** Whether the TCP or UDP checksum of a whole packet in plain bytes is right (tests, capture). */
export function checksumIsRight(frame: Uint8Array, headers: FrameHeaders): boolean {
  const transportBytes = frame.byteLength - headers.transport;
  const isAbsent = headers.protocol === 17 && get16(frame, headers.transport + headers.checksumOffset) === 0;
  const sum = sumBytes(frame, headers.transport, transportBytes);
  return isAbsent || addSums(sum, pseudoHeaderSum(frame, 0, headers, transportBytes)) === 0xffff;
}
