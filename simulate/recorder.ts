/** Writes what comes into a direction of a link, and what becomes of it, into a recording. */
import type { Clock } from '../model/clock.js';
import type { LinkProperties } from '../model/emulation.js';
import { type Arena, Checksum } from '../vswitch/arena.js';
import { DROP_REASONS, type DropReason } from '../vswitch/drops.js';
import { GivenTime, type LinkObserver } from '../vswitch/link-observer.js';
import { type Cause, frameHash, type Outcome, type Way } from '../vswitch/recording/lines.js';

/** Where a recording goes: to a file, or to who compares it. */
export interface RecordingTarget {
  cause(cause: Cause): void;
  outcome(outcome: Outcome): void;
}

export class Recorder implements LinkObserver {
  readonly #target: RecordingTarget;
  readonly #of: Way;
  readonly #arena: Arena;
  readonly #clock: Clock;

  /** `arena` and `clock` are the engine's. */
  constructor(target: RecordingTarget, of: Way, arena: Arena, clock: Clock) {
    this.#target = target;
    this.#of = of;
    this.#arena = arena;
    this.#clock = clock;
  }

  came(frame: number, given: Float64Array | null): void {
    const { csumState, csumStart, csumOffset, gsoSize } = this.#arena;
    const isSuper = gsoSize[frame]! > 0;
    this.#target.cause({
      ...this.#of,
      at: given === null ? this.#clock.nowNs() : given[GivenTime.came]!,
      frame: {
        bytes: this.#arena.read(frame),
        ...(isSuper ? { gsoSize: gsoSize[frame]! } : {}),
        ...(csumState[frame] === Checksum.unknown
          ? {}
          : { checksum: [csumState[frame]!, csumStart[frame]!, csumOffset[frame]!] as const }),
      },
    });
  }

  left(frame: number, given: Float64Array | null): void {
    const nowNs = this.#clock.nowNs();
    this.#target.outcome({
      ...this.#of,
      at: given === null ? nowNs : given[GivenTime.due]!,
      since: given === null ? nowNs : given[GivenTime.came]!,
      left: this.#hashOf(frame),
    });
  }

  dropped(reason: DropReason, frame: number): void {
    this.#target.outcome({
      ...this.#of,
      dropped: DROP_REASONS[reason]!,
      frame: frame === -1 ? '' : this.#hashOf(frame),
    });
  }

  changed(changed: LinkProperties): void {
    this.#target.cause({ ...this.#of, at: this.#clock.nowNs(), changed });
  }

  gone(): void {
    // Links of a simulation stay.
  }

  #hashOf(frame: number): string {
    const { csumState, csumStart, csumOffset, gsoSize } = this.#arena;
    const checksum = [csumState[frame]!, csumStart[frame]!, csumOffset[frame]!] as const;
    return frameHash(this.#arena.read(frame), gsoSize[frame]!, checksum);
  }
}

/** Tells two what it is told. */
export class Both implements LinkObserver {
  readonly #first: LinkObserver;
  readonly #second: LinkObserver;

  constructor(first: LinkObserver, second: LinkObserver) {
    this.#first = first;
    this.#second = second;
  }

  came(frame: number, given: Float64Array | null): void {
    this.#first.came(frame, given);
    this.#second.came(frame, given);
  }

  left(frame: number, given: Float64Array | null): void {
    this.#first.left(frame, given);
    this.#second.left(frame, given);
  }

  dropped(reason: DropReason, frame: number): void {
    this.#first.dropped(reason, frame);
    this.#second.dropped(reason, frame);
  }

  changed(properties: LinkProperties): void {
    this.#first.changed(properties);
    this.#second.changed(properties);
  }

  gone(): void {
    this.#first.gone();
    this.#second.gone();
  }
}
