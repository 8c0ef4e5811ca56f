/**
 * Frames that a kernel left unfinished, as they had no wire to pass: over a veth, or a bridge of them, Linux encapsulates
 * without completing the inner checksum and without cutting a TCP super-frame (NETIF_F_GSO_ENCAP_ALL), and a UDP socket gets
 * them so, as single datagrams of up to 64 KiB, with nothing that says so (vnet_hdr is a TAP's alone).
 *
 * The frame itself says it: the checksum field holds the sum of the pseudo-header (CHECKSUM_PARTIAL). A complete checksum
 * is that too once in 65536 frames, and is the same when it is completed again: the sum over a segment with the right
 * checksum in it is the one that its absence gives. So nobody has to be asked. Called by `vxlan.ts`, for each frame.
 *
 * How long the segments were to be is not said. They become as long as the MTU allows, which is what a sender on the LAN
 * has; TCP minds neither. Of UDP, where a datagram is not to be cut elsewhere, none comes here: see `udp_configure` in
 * native/udp.c.
 */
import { type Arena, Checksum, SLOT_BYTES } from '../arena.js';
import { exceedsMtu } from '../device/device.js';
import { get16 } from '../wire/bytes.js';
import { pseudoHeaderSum } from '../wire/checksum.js';
import { FrameHeaders } from '../wire/headers.js';
import { IPV4_TOTAL_LENGTH_AT, IPV6_BYTES, IPV6_PAYLOAD_LENGTH_AT, IpProtocol } from '../wire/ip.js';

export class UnfinishedFrames {
  readonly #arena: Arena;
  readonly #mtuBytes: number;
  readonly #headers: FrameHeaders;

  constructor(arena: Arena, mtuBytes: number) {
    this.#arena = arena;
    this.#mtuBytes = mtuBytes;
    this.#headers = new FrameHeaders();
  }

  /** Says of a frame that has just come, alone and by itself, what is still to be done to it. */
  mark(frame: number): void {
    const arena = this.#arena;
    const headers = this.#headers;
    const { bytes } = arena;
    const at = arena.start(frame);
    const frameBytes = arena.length[frame]!;
    if (!headers.parse(bytes, at, Math.min(frameBytes, SLOT_BYTES - arena.offset[frame]!))) return;
    const ip = at + headers.network;
    const packetBytes =
      headers.version === 4
        ? get16(bytes, ip + IPV4_TOTAL_LENGTH_AT)
        : IPV6_BYTES + get16(bytes, ip + IPV6_PAYLOAD_LENGTH_AT);
    // What is padded, or cut, has been on a wire.
    if (headers.network + packetBytes !== frameBytes) return;
    const sum = pseudoHeaderSum(bytes, at, headers, frameBytes - headers.transport);
    if (get16(bytes, at + headers.transport + headers.checksumOffset) !== sum) return;
    arena.csumState[frame] = Checksum.partial;
    arena.csumStart[frame] = headers.transport;
    arena.csumOffset[frame] = headers.checksumOffset;
    if (headers.protocol !== IpProtocol.tcp || !exceedsMtu(arena, frame, this.#mtuBytes)) return;
    const segmentBytes = this.#mtuBytes - (headers.payload - headers.network);
    if (segmentBytes > 0) arena.gsoSize[frame] = segmentBytes;
  }
}
