/**
 * What `luthier bench link` reports: `bench` in its JSON (docs/json.md). docs/commands.md says how each part is measured;
 * a part that was not asked for is absent.
 */
import type { MachineFacts } from './bench.js';

export const LINK_PARTS = ['rtt', 'busy', 'jitter', 'tcp', 'udp', 'cost', 'change', 'memory'] as const;
export type LinkPart = (typeof LINK_PARTS)[number];

/** How much later than a moment it was seen, in real time where that is allowed. */
export interface MachineLateness {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

export interface LinkBenchReport {
  readonly name: 'link';
  /** ISO 8601 */
  readonly began: string;
  readonly ms: number;
  readonly machine: MachineFacts;
  /** What links of the switch process leave out of their delays (docs/emulation.md); with `rtt`. */
  readonly compensationNs?: number;
  /** Of a thread that has nothing to do but to be there at a moment; with `rtt`. */
  readonly machineLateness?: MachineLateness;
  readonly rtt?: readonly DelayReport[];
  /** The same beside programs that keep every processor busy. */
  readonly busy?: readonly DelayReport[];
  readonly jitter?: readonly JitterReport[];
  readonly tcp?: readonly GoodputReport[];
  readonly udp?: readonly UdpRateReport[];
  readonly cost?: CostReport;
  readonly change?: ChangeReport;
  readonly memory?: MemoryReport;
}

/** Round trips of one way between two hosts, user to user (`ping -U`). */
export interface RttSeries {
  readonly sent: number;
  readonly received: number;
  readonly meanUs: number;
  readonly sigmaUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  /** From the first host's interface to the second's, by the kernel's stamps. */
  readonly oneWayMeanUs: number;
  readonly oneWaySigmaUs: number;
}

/** How far single round trips are from the reference's mean and twice the delay. */
export interface RttError {
  /** With their signs; the others are of absolute differences. One way: from the reference's mean and the delay. */
  readonly meanUs: number;
  readonly oneWayMeanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  /** The same of round trips from and to the first host's interface, which ping's own wake-up is no part of. */
  readonly interfaceMeanUs: number;
  readonly interfaceP50Us: number;
  readonly interfaceP99Us: number;
}

export interface DelayReport {
  /** Of each direction. */
  readonly delayNs: number;
  readonly intervalSeconds: number;
  /** Over a kernel bridge. */
  readonly reference: RttSeries;
  /** Over a switch of ours, nothing emulated. */
  readonly plain: RttSeries;
  readonly emulated: RttSeries;
  /** By a switch process that leaves nothing out of delays; absent where the delay is 0, as nothing can be, and from `busy`. */
  readonly uncompensated?: RttSeries;
  readonly error: RttError;
  readonly uncompensatedError?: RttError;
  /** The same of the reference itself, and of the plain switch: what the machine and the engine have of it. */
  readonly referenceError: RttError;
  readonly plainError: RttError;
}

/** Delays of one direction, drawn at random. */
export interface JitterReport {
  readonly distribution: 'uniform' | 'normal' | 'pareto' | 'paretonormal';
  readonly delayNs: number;
  readonly jitterNs: number;
  /** Ascending, of each ping, less the median of those without emulation. */
  readonly oneWayUs: readonly number[];
  readonly meanUs: number;
  readonly sigmaUs: number;
  /** Largest distance of the distribution function to that of theory (Kolmogorov and Smirnov). */
  readonly distance: number;
  /** What chance alone exceeds once in a hundred times. */
  readonly bound: number;
}

export interface GoodputReport {
  readonly rateBps: number;
  readonly segments: 'auto' | 'wire';
  readonly seconds: number;
  readonly expectedBps: number;
  readonly goodputBps: number;
  /** Of the expectation: 0.01 is 1 % more. */
  readonly error: number;
}

export interface UdpRateReport {
  readonly rateBps: number;
  readonly frameBytes: number;
  readonly seconds: number;
  /** Of frames without FCS that reached the switch, and the second host. */
  readonly offeredBps: number;
  readonly deliveredBps: number;
  /** Of `rateBps`. */
  readonly error: number;
  /** By the kernel's token bucket filter (tbf) on a veth. */
  readonly tbfDeliveredBps: number;
  readonly tbfError: number;
}

export interface CostReport {
  readonly rateBps: number;
  readonly delayNs: number;
  readonly plain: TransferCost;
  readonly emulated: TransferCost;
  /** Emulated to plain. */
  readonly cpuRatio: number;
  readonly ownCpuRatio: number;
}

export interface TransferCost {
  readonly goodputBps: number;
  /** Of the switch process and the two programs for 10⁹ bytes of frames; of this, the switch process’s. */
  readonly cpuSecondsPerGB: number;
  readonly ownCpuSecondsPerGB: number;
}

/** From a change's sending to the agent's socket until its engine has applied it, and until the agent has `answered`. */
export interface ChangeReport extends ChangeTimes {
  readonly changes: number;
  readonly answered: ChangeTimes;
}

export interface ChangeTimes {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

export interface MemoryReport {
  readonly links: number;
  readonly plainRssBytes: number;
  readonly emulatedRssBytes: number;
  readonly bytesPerLink: number;
}
