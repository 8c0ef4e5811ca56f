/**
 * Who follows a direction of a link: told in a breath what comes into it and what becomes of each frame. For what looks at
 * an engine in virtual time (`simulate/`), which may allocate, and for recordings (`recording/link-recordings.ts`), which
 * must not; nobody follows where `LinkDirection.observer` is null.
 */
import type { LinkProperties } from '../model/emulation.js';
import type { DropReason } from './drops.js';

/** Offsets within the times of a frame that leaves an emulated direction: `Emulator.given`. */
export const GivenTime = {
  /** When it came into the link; what was cut from a super-frame or is a copy, when that came. */
  came: 0,
  /** When the link lets it go, however late the engine gets to it. */
  due: 1,
} as const;

export interface LinkObserver {
  /** Sent into the direction; nothing was done to it yet. `given` has as of when, where it is emulated and up. */
  came(frame: number, given: Float64Array | null): void;
  /** `given` has its times; null where nothing is emulated and frames pass at once. */
  left(frame: number, given: Float64Array | null): void;
  /** -1: a segment of a super-frame that is no frame of its own. */
  dropped(reason: DropReason, frame: number): void;
  /** The direction is like this from now on. Told before what waits is dropped, where it goes down. */
  changed(properties: LinkProperties): void;
  /** The link is taken away, with what is in it: nothing more is told. */
  gone(): void;
}
