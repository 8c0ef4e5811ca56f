/** What `luthier simulate --json` prints: docs/json.md. Made by `simulate/`. */

export interface SimulationReport {
  readonly network: string;
  readonly seed: number;
  /** Virtual time that passed. */
  readonly durationNs: number;
  /** Streams of frames between hosts. */
  readonly flows: number;
  /** Changes of links by the scenario's events. */
  readonly changes: number;
  /** Each link twice, forward and reverse, in the scenario's order. */
  readonly directions: readonly SimulatedDirection[];
}

/**
 * What came of the frames that were sent into a direction of a link:
 * `framesIn` + `duplicated` = `frames` + `lost` + `queueDropped` + `overloaded` + `refused` + `held`.
 */
export interface SimulatedDirection {
  readonly link: string;
  readonly from: string;
  readonly to: string;
  readonly framesIn: number;
  /** Out of it; bytes without FCS, and as a rate over the whole time. */
  readonly frames: number;
  readonly bytes: number;
  readonly rateBps: number;
  readonly lost: number;
  /** By the queue's limit or discipline. */
  readonly queueDropped: number;
  readonly duplicated: number;
  readonly corrupted: number;
  readonly reordered: number;
  readonly marked: number;
  /** The engine had no memory for them. */
  readonly overloaded: number;
  /** The link was down, or they were longer than its `mtu`. */
  readonly refused: number;
  /** Still in it at the end. */
  readonly held: number;
  /** From into the link to out of it; absent where no frame came out. */
  readonly delay?: SimulatedDelay;
}

/** Mean and greatest are exact, quantiles to 0.8 %. */
export interface SimulatedDelay {
  readonly meanNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly maxNs: number;
}

/** What `luthier simulate --replay --json` prints. */
export interface ReplayReport {
  readonly network: string;
  readonly seed: number;
  readonly durationNs: number;
  /** That came into links. */
  readonly frames: number;
  /** What became of them as it was recorded, and how many of these came out the same. */
  readonly outcomes: number;
  readonly same: number;
  /** The first one that is not, in words; absent where all are. */
  readonly difference?: string;
  readonly directions: readonly SimulatedDirection[];
}
