/**
 * What emulators of one engine share: beside the engine's own parts, the numbers that they remember and the entries that they
 * hold, and what is done with within one call, so that it needs to be there only once: two segmenters, and what a call tells.
 */
import type { Clock } from '../../model/clock.js';
import type { EmulationInputs } from '../../model/emulation.js';
import type { Arena } from '../arena.js';
import { MAX_LINKS } from '../limits.js';
import { Gauge, type Telemetry } from '../telemetry.js';
import { MAX_SEGMENTS, Segmenter } from '../wire/segmenter.js';
import { Entries } from './entries.js';
import type { QuantileTable } from './jitter.js';
import { Lateness } from './lateness.js';
import { Rows } from './rows.js';

export class EmulatorParts {
  readonly arena: Arena;
  /** The engine's clock: `[0]`. */
  readonly now: Float64Array;
  readonly telemetry: Telemetry;
  readonly entries: Entries;
  readonly rows: Rows;
  /** Of what comes, and of what is on the line: a run that is cut off may let the line begin with another, which is split. */
  readonly cutting: Segmenter;
  readonly splitting: Segmenter;
  /** What came, as it was cut. */
  readonly runs: Int32Array;
  /** `[0]`: nanoseconds that the engine itself takes, from the TAP that it reads to the one that it writes. */
  readonly compensationNs: Float64Array;
  /** Of the frame that `dequeue` gave last: its times (`GivenTime`). */
  readonly given: Float64Array;
  readonly lateness: Lateness;

  constructor(
    { arena, clock, telemetry }: { readonly arena: Arena; readonly clock: Clock; readonly telemetry: Telemetry },
    directions = 2 * MAX_LINKS,
    // A frame takes a slot at least, so that they are seldom what is missing.
    entries = new Entries(arena.slotCount),
  ) {
    this.arena = arena;
    this.now = clock.now;
    this.telemetry = telemetry;
    this.entries = entries;
    this.rows = new Rows(directions);
    this.cutting = new Segmenter(arena);
    this.splitting = new Segmenter(arena);
    this.runs = new Int32Array(MAX_SEGMENTS);
    this.compensationNs = telemetry.gauges.subarray(Gauge.compensationNs, Gauge.compensationNs + 1);
    this.given = new Float64Array(2);
    this.lateness = new Lateness({ clock, telemetry });
  }
}

/** What emulations of a network go by, beside their own properties: its seed, and the recordings that they name, as they are used. */
export interface NetworkInputs {
  readonly seed: number;
  readonly traces: EmulationInputs['traces'];
  readonly distributions: ReadonlyMap<string, QuantileTable>;
}
