/**
 * Frames to VXLAN datagrams. A datagram is one frame behind a header that is the same for all of them, which stands once in
 * a slot of the arena; so a frame is neither moved nor written to, and may be other ports' too:
 *
 *   scatter list   [ header ][ frame …    ]   [ header ][ slot ][ slot ]   [ header ][ segment 0 ]   [ header ][ segment 1 ] …
 *
 * Nothing may be fragmented (RFC 7348 §4.3) and there is no other way to cut: a super-frame becomes its segments, copies
 * with their checksums completed, of which those alike leave in one segmented send (UDP_SEGMENT). Where the socket takes
 * only some of them, the rest is cut anew when it is writable.
 *
 *   stage ─► datagrams in the addon's arrays ─► (the caller sends them) ─► finish, or fail
 *
 * Called by `vxlan.ts`.
 */
import { type Arena, Checksum, type FrameBatch, MAX_FRAME_SLOTS, SLOT_BYTES } from '../arena.js';
import { exceedsMtu } from '../device/device.js';
import { IO_ENTRIES, type NativeIo } from '../device/native-io.js';
import { DropReason } from '../drops.js';
import { completeFrameChecksum } from '../wire/checksum.js';
import { Ecn, getEcn, ipHeaderAt } from '../wire/ecn.js';
import { Segmenter } from '../wire/segmenter.js';
import { putVxlanHeader, VXLAN_BYTES } from '../wire/vxlan.js';

/** As many as the addon takes in one call (MAX_PIECES of native/udp-send.c). */
const MAX_DATAGRAMS = 256;
/** Entries that the longest frame takes, with its header. */
const MOST_ENTRIES = MAX_FRAME_SLOTS + 1;
const NONE = -1;

export interface OutboundOptions {
  readonly vni: number;
  readonly mtuBytes: number;
  /** A bare slot, which stays the caller's. */
  readonly headerSlot: number;
}

export class Outbound {
  /** Staged. */
  datagrams: number;
  /** Why `stage` could not begin with the first frame. */
  refusal: DropReason;
  readonly #arena: Arena;
  readonly #io: NativeIo;
  readonly #mtuBytes: number;
  readonly #headerAt: number;
  readonly #segmenter: Segmenter;
  #entries: number;
  /** By datagram: its number among the segments of its frame; the copy that it is; 1 where it is its frame's last. */
  readonly #segments: Int32Array;
  readonly #copies: Int32Array;
  readonly #ends: Uint8Array;
  /** A super-frame of which only some segments have left, with a reference of ours; and the first one that has not. */
  #held: number;
  #heldFrom: number;

  constructor(io: NativeIo, { vni, mtuBytes, headerSlot }: OutboundOptions) {
    this.datagrams = 0;
    this.refusal = DropReason.malformed;
    this.#arena = io.arena;
    this.#io = io;
    this.#mtuBytes = mtuBytes;
    this.#headerAt = headerSlot * SLOT_BYTES;
    this.#segmenter = new Segmenter(io.arena);
    this.#entries = 0;
    this.#segments = new Int32Array(MAX_DATAGRAMS);
    this.#copies = new Int32Array(MAX_DATAGRAMS);
    this.#ends = new Uint8Array(MAX_DATAGRAMS);
    this.#held = NONE;
    this.#heldFrom = 0;
    putVxlanHeader(io.arena.bytes, this.#headerAt, vni);
  }

  /**
   * Stages frames `from` … `after - 1`: as many as there is room for, and up to the first that cannot be sent. False when
   * that is the first one: `refusal` says why, and the caller drops it.
   */
  stage(frames: FrameBatch, from: number, after: number): boolean {
    this.datagrams = 0;
    this.#entries = 0;
    if (this.#held !== frames.ids[from]) this.letGo();
    for (let i = from; i < after && this.#hasRoom; i++) {
      const frame = frames.ids[i]!;
      const isTaken = this.#arena.gsoSize[frame] === 0 ? this.#addWhole(frame) : this.#addSegments(frame);
      if (!isTaken) break;
    }
    return this.datagrams > 0;
  }

  /** The first `sent` datagrams have left. Returns how many frames have left whole; they stay the caller's. */
  finish(frames: FrameBatch, from: number, sent: number): number {
    for (let n = 0; n < this.datagrams; n++) {
      if (this.#copies[n] !== NONE) this.#arena.release(this.#copies[n]!);
    }
    let done = 0;
    for (let n = 0; n < sent; n++) done += this.#ends[n]!;
    if (sent === 0) return 0;
    if (this.#ends[sent - 1] === 1) this.letGo();
    else this.#hold(frames.ids[from + done]!, this.#segments[sent - 1]! + 1);
    return done;
  }

  /** Forgets what is left of a super-frame: the caller drops it. */
  letGo(): void {
    if (this.#held !== NONE) this.#arena.release(this.#held);
    this.#held = NONE;
    this.#heldFrom = 0;
  }

  #hold(frame: number, segment: number): void {
    if (this.#held !== frame) {
      this.letGo();
      this.#arena.retain(frame);
      this.#held = frame;
    }
    this.#heldFrom = segment;
  }

  get #hasRoom(): boolean {
    return this.datagrams < MAX_DATAGRAMS && this.#entries + MOST_ENTRIES <= IO_ENTRIES;
  }

  #addWhole(frame: number): boolean {
    const arena = this.#arena;
    if (exceedsMtu(arena, frame, this.#mtuBytes)) return this.#refuse(DropReason.tooLong);
    if (arena.csumState[frame] === Checksum.partial && !completeFrameChecksum(arena, frame))
      return this.#refuse(DropReason.malformed);
    this.#add(frame, this.#ecnOf(frame), 0, NONE, 1);
    return true;
  }

  /** False when nothing more can follow it now: it was not added, or not all of it. */
  #addSegments(frame: number): boolean {
    const arena = this.#arena;
    const segmenter = this.#segmenter;
    if (!segmenter.begin(frame, arena.gsoSize[frame]!, this.#knownBytes(frame)))
      return this.#refuse(DropReason.malformed);
    const ecn = this.#ecnOf(frame);
    const { segments } = segmenter;
    for (let i = this.#held === frame ? this.#heldFrom : 0; i < segments; i++) {
      if (!this.#hasRoom) return false;
      const copy = segmenter.run(i, i + 1);
      if (copy === -1) return this.#refuse(DropReason.arenaFull);
      if (exceedsMtu(arena, copy, this.#mtuBytes)) {
        arena.release(copy);
        return this.#refuse(DropReason.tooLong);
      }
      segmenter.complete(copy);
      this.#add(copy, ecn, i, copy, i === segments - 1 ? 1 : 0);
    }
    return true;
  }

  #refuse(reason: DropReason): false {
    this.refusal = reason;
    return false;
  }

  #add(frame: number, ecn: Ecn, segment: number, copy: number, end: number): void {
    const { cuts, ecn: ecns, iov, lengths } = this.#io;
    const n = this.datagrams++;
    const first = this.#entries;
    let entry = first;
    iov[2 * entry] = this.#headerAt;
    iov[2 * entry++ + 1] = VXLAN_BYTES;
    let left = this.#arena.length[frame]!;
    let start = this.#arena.start(frame);
    let room = SLOT_BYTES - this.#arena.offset[frame]!;
    for (let slot = frame; left > 0;) {
      const bytes = left < room ? left : room;
      iov[2 * entry] = start;
      iov[2 * entry++ + 1] = bytes;
      left -= bytes;
      slot = this.#arena.next[slot]!;
      start = slot * SLOT_BYTES;
      room = SLOT_BYTES;
    }
    this.#entries = entry;
    lengths[n] = entry - first;
    cuts[n] = 0;
    ecns[n] = ecn;
    this.#segments[n] = segment;
    this.#copies[n] = copy;
    this.#ends[n] = end;
  }

  /** RFC 6040 §4.1, normal mode, as Linux does it (vxlan_xmit_one): the outer header has what the inner one has. */
  #ecnOf(frame: number): Ecn {
    const { bytes } = this.#arena;
    const ip = ipHeaderAt(bytes, this.#arena.start(frame), this.#knownBytes(frame));
    return ip === -1 ? Ecn.notEct : getEcn(bytes, ip);
  }

  /** That stand in a row from the frame's start. */
  #knownBytes(frame: number): number {
    return Math.min(this.#arena.length[frame]!, SLOT_BYTES - this.#arena.offset[frame]!);
  }
}
