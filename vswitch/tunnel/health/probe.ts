/**
 * What stands in a probe datagram (type 2), read and written. `docs/wire-format.md` is the specification. All integers are
 * big-endian.
 *
 *   offset  bytes  type  field
 *        0      1  u8    kind: 1 request, 2 reply
 *        1      1  u8    flags: none yet, zero
 *        2      2  u16   packet length: of the request's IP packet, all headers included
 *        4      8  u64   time: the requester's clock when it asked, in nanoseconds
 *       12      8  u64   sent: datagrams that the requester had sent when it asked
 *       20      8  u64   of a request: buffer, what the requester's socket holds unread; zero: it does not say
 *                        of a reply: received, datagrams that the replier had received when it was asked
 *
 * A reply repeats the first three of its request, so the requester has nothing to remember. Called by `tunnel-health.ts`.
 */
import { get16, get64, put16, put64 } from '../../wire/bytes.js';

export const PROBE_BYTES = 28;

export const ProbeKind = { request: 1, reply: 2 } as const;

export class Probe {
  kind = 0;
  packetBytes = 0;
  timeNs = 0;
  sent = 0;
  /** Of a request. */
  bufferBytes = 0;
  /** Of a reply. */
  received = 0;

  /** False when it is none of ours; what follows it, up to `lengthBytes`, is padding. */
  parse(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    if (lengthBytes < PROBE_BYTES || bytes[at + 1] !== 0) return false;
    this.kind = bytes[at]!;
    this.packetBytes = get16(bytes, at + 2);
    this.timeNs = get64(bytes, at + 4);
    this.sent = get64(bytes, at + 12);
    const value = get64(bytes, at + 20);
    const isRequest = this.kind === ProbeKind.request;
    this.bufferBytes = isRequest ? value : 0;
    this.received = isRequest ? 0 : value;
    return isRequest || this.kind === ProbeKind.reply;
  }

  emit(bytes: Uint8Array, at: number): void {
    bytes[at] = this.kind;
    bytes[at + 1] = 0;
    put16(bytes, at + 2, this.packetBytes);
    put64(bytes, at + 4, this.timeNs);
    put64(bytes, at + 12, this.sent);
    put64(bytes, at + 20, this.kind === ProbeKind.request ? this.bufferBytes : this.received);
  }
}
