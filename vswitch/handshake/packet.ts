/**
 * What the handshake says in one datagram of type `handshake`, behind the datagram's header. `docs/wire-format.md` is the
 * specification, with the conversation drawn.
 *
 *   offset  bytes  type  field
 *        0      1  u8    kind
 *        1      3        zero
 *        4      8        attempt: the initiator's random name for it; zeros in a `please`
 *       12      8        cookie: zeros until the responder has given it
 *       20      4  u32   offset of the data in the sender's stream
 *       24      4  u32   bytes of the receiver's stream that have come, without a gap
 *       28      …        data, in pieces only
 */
import { get32, put32 } from '../wire/bytes.js';

export const PacketKind = {
  /** Responder to initiator: begin an attempt. Longest of all, so that what it causes is not more than it cost. */
  please: 0,
  /** Responder to initiator: what to say to prove that it hears us. */
  cookie: 1,
  /** A piece of the stream, an acknowledgement, or both. */
  piece: 2,
  /** The attempt has failed at the sender. */
  close: 3,
} as const;
export type PacketKind = (typeof PacketKind)[keyof typeof PacketKind];

export const PACKET_HEADER_BYTES = 28;
/** Fits the least path MTU of IPv6 (1280) with all headers around it, and sealed. */
export const MAX_PACKET_BYTES = 1184;
export const MAX_DATA_BYTES = MAX_PACKET_BYTES - PACKET_HEADER_BYTES;
export const ATTEMPT_BYTES = 8;
export const COOKIE_BYTES = 8;

const ATTEMPT_AT = 4;
const COOKIE_AT = 12;
const OFFSET_AT = 20;
const ACKNOWLEDGED_AT = 24;

export interface Packet {
  readonly kind: PacketKind;
  readonly attempt: Uint8Array;
  readonly cookie: Uint8Array;
  readonly offset: number;
  readonly acknowledged: number;
  readonly data: Uint8Array;
}

export const NO_ATTEMPT = new Uint8Array(ATTEMPT_BYTES);
export const NO_COOKIE = new Uint8Array(COOKIE_BYTES);
const NO_DATA = new Uint8Array(0);

/** Undefined where it is none of ours. What is returned shares memory with `payload`. */
export function parsePacket(payload: Uint8Array): Packet | undefined {
  const { byteLength } = payload;
  if (byteLength < PACKET_HEADER_BYTES || byteLength > MAX_PACKET_BYTES) return undefined;
  if ((payload[1]! | payload[2]! | payload[3]!) !== 0) return undefined;
  const kind = payload[0]!;
  const data = payload.subarray(PACKET_HEADER_BYTES);
  if (kind > PacketKind.close) return undefined;
  if (kind === PacketKind.please && byteLength !== MAX_PACKET_BYTES) return undefined;
  if ((kind === PacketKind.cookie || kind === PacketKind.close) && data.byteLength !== 0) return undefined;
  return {
    kind: kind as PacketKind,
    attempt: payload.subarray(ATTEMPT_AT, ATTEMPT_AT + ATTEMPT_BYTES),
    cookie: payload.subarray(COOKIE_AT, COOKIE_AT + COOKIE_BYTES),
    offset: get32(payload, OFFSET_AT),
    acknowledged: get32(payload, ACKNOWLEDGED_AT),
    data: kind === PacketKind.piece ? data : NO_DATA,
  };
}

export function emitPacket({ kind, attempt, cookie, offset, acknowledged, data }: Packet): Uint8Array {
  const bytes = new Uint8Array(kind === PacketKind.please ? MAX_PACKET_BYTES : PACKET_HEADER_BYTES + data.byteLength);
  bytes[0] = kind;
  bytes.set(attempt, ATTEMPT_AT);
  bytes.set(cookie, COOKIE_AT);
  put32(bytes, OFFSET_AT, offset);
  put32(bytes, ACKNOWLEDGED_AT, acknowledged);
  bytes.set(data, PACKET_HEADER_BYTES);
  return bytes;
}

/** A packet that says nothing but its kind, of an attempt. */
export function bare(kind: PacketKind, attempt: Uint8Array, cookie: Uint8Array): Packet {
  return { kind, attempt, cookie, offset: 0, acknowledged: 0, data: NO_DATA };
}
