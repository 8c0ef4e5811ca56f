/** A `DropSink` that remembers what was dropped, for tests. */
import { DROP_REASONS, type DropReason, type DropSink } from '../../vswitch/drops.js';

export class RecordingSink implements DropSink {
  readonly reasons: (typeof DROP_REASONS)[number][] = [];

  drop(reason: DropReason): void {
    this.reasons.push(DROP_REASONS[reason]!);
  }
}
