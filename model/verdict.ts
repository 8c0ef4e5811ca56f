/**
 * Whether a run was what its scenario asked for, and what that is judged by. Counted by the switch processes (`GET /state`)
 * and the agent, judged by `control/verdict.ts`. docs/verdict.md says what each of them means.
 */

/** A frame that leaves an emulated link this much after it was due counts as late. */
export const LATE_NS = 200_000;

/**
 * Of one direction of a link that is or was emulated, since its switch process knows the link. Packets are those on a wire;
 * a frame may be several of them.
 */
export interface EmulationCounters {
  /** Packets, as was asked for. */
  readonly lost: number;
  readonly corrupted: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Dropped by the queue, for its limit or by its discipline; marked instead. */
  readonly queueDropped: number;
  readonly marked: number;
  /** Packets dropped for want of memory: nobody asked for it. */
  readonly overloaded: number;
  /** Frames that left, and those of them that left later than `LATE_NS` after they were due. */
  readonly timed: number;
  readonly late: number;
  /** Frames by how late they left: first 0 ns, then the n-th 2ⁿ⁻¹ ns and more, below 2ⁿ; up to the last that has any. */
  readonly lateness: readonly number[];
}

/**
 * A time of which every second was hard for the machine. Of those that are long ago, several may be told as one: what is
 * between them was not hard.
 */
export interface Strain {
  /** CLOCK_MONOTONIC of the machine */
  readonly fromNs: number;
  readonly toNs: number;
  /** How much of it was hard. */
  readonly hardNs: number;
  /** Of that, how long the engine's thread could have run, and another one did. Told by a switch process. */
  readonly engineWaitNs: number;
  /** Of that, how long all processors were busy: their average. Told by the agent. */
  readonly busyNs: number;
  /** Frames that left emulated links, and those of them that were late. Told by a switch process. */
  readonly timed: number;
  readonly late: number;
}

/** `GET /networks/NAME/verdict`: what `luthier verdict --json` prints under `verdict`. */
export interface Verdict {
  readonly network: string;
  /** Nothing happened that would not have happened on the links that were asked for, as far as it can be known. */
  readonly faithful: boolean;
  /** Why not; empty where it was. */
  readonly reasons: readonly Finding[];
  /** What else is worth knowing: it disproves nothing. */
  readonly notes: readonly Finding[];
  /** Of links that are emulated, those on which something has passed. */
  readonly directions: readonly DirectionVerdict[];
}

export interface Finding {
  readonly code:
    | 'late'
    | 'overload'
    | 'tap-drops'
    | 'tunnel-drops'
    | 'tunnel-time'
    | 'strain'
    | 'compensation'
    | 'arrivals'
    | 'unknown'
    | 'nothing-asked';
  /** `link h1--s1`, `tap:h1:eth0`, `tunnel a–b`, `host CPU` … */
  readonly where: string;
  readonly message: string;
  /** What would make it faithful. */
  readonly hint?: string;
}

export interface DirectionVerdict extends Omit<EmulationCounters, 'lateness'> {
  readonly link: string;
  readonly from: string;
  readonly to: string;
  /** So late half, 99 % and 99.9 % of the frames were, and the last one, at most: exact to a factor of two. */
  readonly lateNs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
}
