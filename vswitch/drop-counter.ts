/**
 * The engine's `DropSink`: counts a drop by reason and at the port that it happened at, and writes it to the flight
 * recorder. Every drop in an engine passes here.
 *
 * `where` is the index of a port, or `whereLink(index)` of a link, or NOWHERE.
 */
import type { Clock } from '../model/clock.js';
import type { Arena } from './arena.js';
import type { DropReason, DropSink } from './drops.js';
import type { FlightRecorder } from './flight-recorder.js';
import { PortField, Telemetry } from './telemetry.js';

export const NOWHERE = -1;

export function whereLink(index: number): number {
  return -2 - index;
}

/** The link's index, when `where` is one; else negative. */
export function linkOf(where: number): number {
  return -2 - where;
}

export class DropCounter implements DropSink {
  /** What is dropped at a port is on its way out of it; else it came in. `port.ts` says so around `txBatch`. */
  outgoing: boolean;
  /** Frames and their bytes dropped on their way out, ever: `port.ts` reads the difference over a `txBatch`. */
  outgoingFrames: number;
  outgoingBytes: number;
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #recorder: FlightRecorder;

  constructor(arena: Arena, clock: Clock, telemetry: Telemetry, recorder: FlightRecorder) {
    this.outgoing = false;
    this.outgoingFrames = 0;
    this.outgoingBytes = 0;
    this.#arena = arena;
    this.#clock = clock;
    this.#telemetry = telemetry;
    this.#recorder = recorder;
  }

  drop(reason: DropReason, frame: number, where: number): void {
    const { drops, ports } = this.#telemetry;
    drops[reason]!++;
    if (where >= 0) {
      const field = this.outgoing ? PortField.txDropped : PortField.rxDropped;
      ports[Telemetry.portBase(where) + field]!++;
    }
    if (this.outgoing && frame !== -1) {
      this.outgoingFrames++;
      this.outgoingBytes += this.#arena.length[frame]!;
    }
    this.#recorder.record(this.#clock.nowNs(), reason, where, this.#arena, frame);
  }
}
