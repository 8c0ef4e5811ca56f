/** A frame out of a link, as plain data: what `exportState` gives, and another engine takes with an arena and a clock of its own. */
import { type Arena, Checksum } from '../arena.js';

export interface HeldFrame {
  readonly bytes: Uint8Array;
  readonly gsoSize: number;
  readonly csumState: Checksum;
  readonly csumStart: number;
  readonly csumOffset: number;
  /** As `entries.ts` has them; times as from now. */
  readonly wireBytes: number;
  readonly segments: number;
  readonly cameNs: number;
  readonly atNs: number;
}

/** What is of the frame alone. */
export type FrameData = Pick<HeldFrame, 'bytes' | 'gsoSize' | 'csumState' | 'csumStart' | 'csumOffset'>;

export function readFrame(arena: Arena, frame: number): FrameData {
  return {
    bytes: arena.read(frame),
    gsoSize: arena.gsoSize[frame]!,
    csumState: arena.csumState[frame]! as Checksum,
    csumStart: arena.csumStart[frame]!,
    csumOffset: arena.csumOffset[frame]!,
  };
}

/** A frame of the caller's; -1 where the arena is full. */
export function writeFrame(arena: Arena, { bytes, gsoSize, csumState, csumStart, csumOffset }: FrameData): number {
  const frame = arena.write(bytes);
  if (frame === -1) return -1;
  arena.gsoSize[frame] = gsoSize;
  arena.csumState[frame] = csumState;
  arena.csumStart[frame] = csumStart;
  arena.csumOffset[frame] = csumOffset;
  return frame;
}
