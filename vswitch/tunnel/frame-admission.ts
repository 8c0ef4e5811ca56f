/**
 * Whether a frame may go through a tunnel, and what the datagrams must have of it: the receiver derives from its headers
 * where a checksum stands, so a frame of which it could not is completed here. Called by `sender.ts`.
 */
import { Checksum, MAX_FRAME_BYTES, SLOT_BYTES, type Arena } from '../arena.js';
import { exceedsMtu } from '../device/device.js';
import { DropReason } from '../drops.js';
import { completeFrameChecksum } from '../wire/checksum.js';
import { Ecn, getEcn, ipHeaderAt } from '../wire/ecn.js';
import { ETHERNET_BYTES } from '../wire/ethernet.js';
import { FrameHeaders } from '../wire/headers.js';
import { MAX_HEADER_COPY_BYTES, TUNNEL_MTU_BYTES } from './wire.js';

export class FrameAdmission {
  /** Of the frame just admitted: bytes of the header copy that its last chunk gets, if it is cut. */
  copyBytes: number;
  readonly #arena: Arena;
  readonly #headers: FrameHeaders;

  constructor(arena: Arena) {
    this.copyBytes = 0;
    this.#arena = arena;
    this.#headers = new FrameHeaders();
  }

  /** Returns -1, or why a frame cannot be sent. */
  admit(frame: number): number {
    const arena = this.#arena;
    const frameBytes = arena.length[frame]!;
    const gsoSize = arena.gsoSize[frame]!;
    this.copyBytes = 0;
    if (frameBytes < ETHERNET_BYTES) return DropReason.malformed;
    if (frameBytes > MAX_FRAME_BYTES || exceedsMtu(arena, frame, TUNNEL_MTU_BYTES)) return DropReason.tooLong;
    if (arena.csumState[frame] !== Checksum.partial) return gsoSize > 0 ? DropReason.malformed : -1;
    const contiguous = Math.min(frameBytes, SLOT_BYTES - arena.offset[frame]!);
    const isDerivable =
      this.#headers.parse(arena.bytes, arena.start(frame), contiguous) &&
      this.#headers.transport === arena.csumStart[frame] &&
      this.#headers.checksumOffset === arena.csumOffset[frame];
    if (gsoSize > 0) {
      if (!isDerivable || frameBytes <= this.#headers.payload) return DropReason.malformed;
      if (this.#headers.payload <= MAX_HEADER_COPY_BYTES) this.copyBytes = this.#headers.payload;
    } else if (!isDerivable) {
      // The receiver could not find the checksum (an inner one, of a tunnel within the guest), so it is completed here;
      // even when others hold the frame: bytes and state change together, and say the same as before.
      if (!completeFrameChecksum(arena, frame)) return DropReason.malformed;
    }
    return -1;
  }

  /** Of its IP header. */
  ecnOf(frame: number): Ecn {
    const { bytes, length, offset } = this.#arena;
    const at = this.#arena.start(frame);
    const ip = ipHeaderAt(bytes, at, Math.min(length[frame]!, SLOT_BYTES - offset[frame]!));
    return ip === -1 ? Ecn.notEct : getEcn(bytes, ip);
  }
}
