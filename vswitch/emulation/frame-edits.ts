/**
 * Changes to a single packet on an emulated link. A frame that others hold as well (a flood) is copied first. Nothing
 * allocates but in the arena.
 */
import { type Arena, Checksum, HEADROOM_BYTES, SLOT_BYTES } from '../arena.js';
import { copyChain } from '../wire/chain.js';
import { completeFrameChecksum } from '../wire/checksum.js';
import { Ecn, getEcn, ipHeaderAt, setEcn } from '../wire/ecn.js';

/** The frame, or a copy of it that is the caller's alone, in whose place the reference was given up; -1 where the arena is full. */
export function exclusive(arena: Arena, frame: number): number {
  if (arena.refs[frame] === 1) return frame;
  const copy = arena.alloc(arena.length[frame]!);
  if (copy === -1) return -1;
  copyChain(arena, frame, arena.offset[frame]!, copy, HEADROOM_BYTES, arena.length[frame]!);
  arena.gsoSize[copy] = arena.gsoSize[frame]!;
  arena.csumState[copy] = arena.csumState[frame]!;
  arena.csumStart[copy] = arena.csumStart[frame]!;
  arena.csumOffset[copy] = arena.csumOffset[frame]!;
  arena.release(frame);
  return copy;
}

/**
 * Flips one bit of a frame that is the caller's alone: `bit` counts from its first byte's highest. Its checksum is what
 * was right before, so that the receiver finds it wrong.
 */
export function flipBit(arena: Arena, frame: number, bit: number): void {
  if (arena.csumState[frame] === Checksum.partial) completeFrameChecksum(arena, frame);
  arena.csumState[frame] = Checksum.unknown;
  let slot = frame;
  let at = arena.offset[frame]! + (bit >>> 3);
  for (; at >= SLOT_BYTES; at -= SLOT_BYTES) slot = arena.next[slot]!;
  arena.bytes[slot * SLOT_BYTES + at]! ^= 0x80 >>> (bit & 7);
}

/** Whether a frame's transport understands ECN: Not-ECT does not, nor does what is no IP packet. */
export function understandsEcn(arena: Arena, frame: number): boolean {
  const ip = ipAt(arena, frame);
  return ip !== -1 && getEcn(arena.bytes, ip) !== Ecn.notEct;
}

/** Marks a frame that is the caller's alone, and that understands it. */
export function markCongestion(arena: Arena, frame: number): void {
  setEcn(arena.bytes, ipAt(arena, frame), Ecn.ce);
}

function ipAt(arena: Arena, frame: number): number {
  const inFirstSlot = Math.min(arena.length[frame]!, SLOT_BYTES - arena.offset[frame]!);
  return ipHeaderAt(arena.bytes, arena.start(frame), inFirstSlot);
}
