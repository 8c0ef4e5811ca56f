/**
 * What `luthier bench` reports: `bench` in its JSON (docs/json.md). Every series has one value a pair, in the order in
 * which they were measured, so that values of two arms with the same index were measured side by side.
 */

/** A median with an interval that holds the true one with at least 95 % probability, where there are enough pairs. */
export interface Estimate {
  readonly median: number;
  /** Absent below six pairs: no interval of order statistics then reaches 95 %. */
  readonly interval?: readonly [low: number, high: number];
}

export interface BenchReport {
  readonly name: 'lan' | 'tunnel' | 'peers';
  /** ISO 8601 */
  readonly began: string;
  readonly ms: number;
  readonly machine: MachineFacts;
  readonly pairs: number;
  /** Of each transfer and each series of pings. */
  readonly phaseSeconds: number;
  readonly arms: readonly ArmReport[];
  readonly cases: readonly CaseReport[];
  /** Of `bench peers`: Luthier beside each, and beside the best of each pair. */
  readonly comparisons?: readonly ComparisonReport[];
  /** Peers that were to be measured and could not be. */
  readonly absent?: readonly AbsentReport[];
}

export interface AbsentReport {
  readonly name: string;
  readonly title: string;
  readonly reason: string;
  /** The command that brings it, where it is not installed. */
  readonly install?: string;
}

export interface MachineFacts {
  readonly cpus: number;
  readonly cpuModel: string;
  readonly kernel: string;
  readonly node: string;
}

/** One of the networks that are compared. */
export interface ArmReport {
  readonly name: string;
  readonly title: string;
  /** The one that the others are compared with. */
  readonly isReference: boolean;
  /** Made by a program that people use in Luthier's place. */
  readonly isPeer?: true;
  /** Of that program. */
  readonly version?: string;
  /** By which its tunnel is sealed. */
  readonly algorithm?: string;
  /** Of its processes, after the measurements; absent for the kernel, which has none. */
  readonly rssBytes?: number;
  /** CPU that its processes take while nothing is sent, as a share of one core. */
  readonly idleCores?: number;
}

/** What was measured on one underlay; `bench lan` has one case, without an underlay. */
export interface CaseReport {
  /** What its networks join, where a report has several kinds: `one switch`, `two machines`. */
  readonly title?: string;
  /** Name of the arm that the others are compared with. */
  readonly reference: string;
  readonly underlay?: UnderlayName;
  readonly tcp: readonly TcpReport[];
  readonly rtt: readonly RttReport[];
  /** Only of `bench peers`. */
  readonly udp?: readonly UdpReport[];
}

/**
 * How the underlay treats a datagram of several segments: passes it on uncut, as veth does by itself; or its sender cuts
 * it, as most network cards make it be, and the receiver puts segments together again (GRO) or does not.
 */
export type UnderlayName = 'uncut' | 'cut-gro' | 'cut';

export interface TcpReport {
  readonly streams: number;
  readonly arms: readonly {
    readonly arm: string;
    /** Payload that arrived. */
    readonly rateBps: readonly number[];
    /** Busy time of the whole machine's processors, sender, receiver and kernel included, for 10⁹ bytes of payload. */
    readonly cpuSecondsPerGB: readonly number[];
    /** Of this, what the arm's own processes took. */
    readonly ownCpuSecondsPerGB?: readonly number[];
    /** Quotients by the reference's, pair by pair; absent in the reference. */
    readonly rateRatio?: Estimate;
    readonly cpuRatio?: Estimate;
  }[];
}

export interface RttReport {
  /** TCP streams that went the same way meanwhile; 0 is idle. */
  readonly loadStreams: number;
  readonly arms: readonly {
    readonly arm: string;
    readonly sent: number;
    readonly received: number;
    /** Over the answers of all pairs. */
    readonly p50Us: number;
    readonly p99Us: number;
    readonly p999Us: number;
    /** Difference of the medians to the reference's, pair by pair; absent in the reference. */
    readonly addedP50Us?: Estimate;
    readonly p50Ratio?: Estimate;
  }[];
}

/** Datagrams of 18 bytes, frames of 64 with their FCS, each sent as a packet of its own. */
export interface UdpReport {
  /** As many as the sender can send; or the highest rate found at which at most 0.1 % is lost, and no queue fills; 0 where none was. */
  readonly offered: 'full' | 'lossless';
  readonly arms: readonly {
    readonly arm: string;
    readonly sentPps: readonly number[];
    readonly deliveredPps: readonly number[];
    /** Of what was delivered, to the reference's, pair by pair; absent in the reference, and where that has a 0. */
    readonly rateRatio?: Estimate;
  }[];
}

export interface ComparisonReport {
  readonly arm: string;
  /** Where there are several: the best of them, pair by pair. */
  readonly others: readonly string[];
  /** Quotients of the arm's rate by theirs. */
  readonly tcp: readonly { readonly streams: number; readonly rateRatio: Estimate }[];
  /** Without those of a peer that has a 0. */
  readonly udp: readonly { readonly offered: UdpReport['offered']; readonly rateRatio: Estimate }[];
}
