/** Counts what comes into a direction of a link, and what of it the engine's counters do not tell. */
import { DropReason } from '../vswitch/drops.js';
import { GivenTime, type LinkObserver } from '../vswitch/link-observer.js';
import { DelayHistogram } from './delay-histogram.js';

export class Tally implements LinkObserver {
  framesIn = 0;
  /** By a link that is down, or for their length; in links that are not emulated also for their number. */
  refused = 0;
  readonly delays = new DelayHistogram();

  came(): void {
    this.framesIn++;
  }

  left(_frame: number, given: Float64Array | null): void {
    this.delays.add(given === null ? 0 : given[GivenTime.due]! - given[GivenTime.came]!);
  }

  dropped(reason: DropReason): void {
    if (reason === DropReason.linkDown || reason === DropReason.mtuExceeded || reason === DropReason.queueFull)
      this.refused++;
  }

  changed(): void {
    // A table has no column for it.
  }

  gone(): void {
    // Nor for this.
  }
}
