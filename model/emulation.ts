/**
 * What one direction of a link does to frames, resolved: every default filled in, in the smallest units. docs/emulation.md
 * says what each of them means to the bit. Made by `control/scenario/` from what a person wrote, applied by
 * `vswitch/emulation/`, and plain JSON in between.
 *
 *   frame ─► mtu ─► queue ─► rate or trace ─► lost, corrupted, doubled? ─► delay and jitter ─► out
 *                   waits    serialises        drawn for each segment        in flight
 */

/** Of one direction of a link. */
export interface LinkProperties {
  /** `down`: no frame passes. Interfaces at the ends of a link lose their carrier when both directions are down. */
  readonly state: 'up' | 'down';
  /** Absent: frames pass at once, all of them, as they are. */
  readonly emulation?: Emulation;
}

/** Of a direction that is emulated and does nothing to frames. */
export const NO_EMULATION: Emulation = {
  overheadBytes: 0,
  delayNs: 0,
  duplicateRatio: 0,
  reorderRatio: 0,
  corruptRatio: 0,
  queue: { discipline: 'drop-tail', limit: { unit: 'bytes', bytes: 65_536 } },
  segments: 'auto',
};

/** `down`: nothing passes either way, and interfaces at its ends have no carrier. */
export function linkState(link: { readonly forward: LinkProperties; readonly reverse: LinkProperties }): 'up' | 'down' {
  return link.forward.state === 'down' && link.reverse.state === 'down' ? 'down' : 'up';
}

/** Whether either direction of a link does something to frames, or will. */
export function isEmulated(link: {
  readonly forward: LinkProperties;
  readonly reverse: LinkProperties;
  readonly later?: readonly { readonly forward: LinkProperties; readonly reverse: LinkProperties }[] | undefined;
}): boolean {
  return [link, ...(link.later ?? [])].some(
    ({ forward, reverse }) => forward.emulation !== undefined || reverse.emulation !== undefined,
  );
}

/** Bounds of what a direction can be asked for: docs/scenario.md has them, with their reasons. */
export const MIN_RATE_BPS = 1000;
export const MAX_RATE_BPS = 100e9;
export const MAX_DELAY_NS = 3600e9;
export const MAX_QUEUE_PACKETS = 2 ** 20;
export const MAX_QUEUE_BYTES = 2 ** 30;
export const MAX_FLOWS = 65_536;
/** Below, a queue’s own work would take longer than the packets that it is for. */
export const MIN_UPDATE_NS = 1e6;
export const MIN_QUANTUM_BYTES = 256;
/** Of PIE's alpha and beta. */
export const MAX_GAIN = 1000;
export const MAX_LOSS_STATES = 64;
/** Numbers in a trace or a distribution, and in all of a network's together. */
export const MAX_RECORDED = 2 ** 20;
/** After time zero. */
export const MAX_EVENT_NS = 30 * 24 * 3600e9;

/** A direction that passes on what comes. */
export const PLAIN: LinkProperties = { state: 'up' };

export interface Emulation {
  /** Bits of frames and their overhead per second; absent: no limit, and nothing ever waits. */
  readonly rateBps?: number;
  /** Instead of a rate: name of one of the network's `traces`. */
  readonly trace?: string;
  /** Beside each frame: preamble, start delimiter, FCS and gap, or nothing. */
  readonly overheadBytes: 0 | 24;
  readonly delayNs: number;
  /** Absent: the delay is the same for all. */
  readonly jitter?: Jitter;
  /** Absent: none is lost. */
  readonly loss?: LossModel;
  readonly duplicateRatio: number;
  /** Of segments that go without the delay, past those in flight. */
  readonly reorderRatio: number;
  readonly corruptRatio: number;
  readonly queue: Queue;
  /** Longest packet that passes, without the Ethernet header: on links between switches. Absent: any. */
  readonly mtuBytes?: number;
  /** `wire`: every segment of a super-frame is a frame of its own. `auto`: where the difference can be seen. */
  readonly segments: 'auto' | 'wire';
}

export interface Jitter {
  /** Standard deviation of the delay; for `uniform` the half-width. */
  readonly jitterNs: number;
  /** One of the shapes, or the name of one of the network's `distributions`. Its mean is the delay. */
  readonly distribution: 'uniform' | 'normal' | 'pareto' | 'paretonormal' | { readonly table: string };
  /** Of the normal variable under one segment's jitter with that of the segment before (Gaussian copula). 0 … 1 */
  readonly correlationRatio: number;
}

/** Ratios and chances are per segment. */
export type LossModel =
  | {
      readonly model: 'random';
      readonly lossRatio: number;
      /** Of one segment's fate with the next one's: the autocorrelation at lag 1 of lost (1) and not lost (0). */
      readonly correlationRatio: number;
    }
  | {
      readonly model: 'gilbert-elliott';
      readonly toBadRatio: number;
      readonly toGoodRatio: number;
      readonly badLossRatio: number;
      readonly goodLossRatio: number;
    }
  /** A Markov chain that begins in the first state: a segment is lost by the state it finds, which then changes. */
  | {
      readonly model: 'states';
      readonly states: readonly {
        readonly lossRatio: number;
        /** Chances of each state to be the next one; their sum is 1. */
        readonly nextRatios: readonly number[];
      }[];
    };

/** How much may wait; what is being serialised and what is in flight does not count. */
export type QueueLimit =
  | { readonly unit: 'packets'; readonly packets: number }
  | {
      readonly unit: 'bytes';
      readonly bytes: number;
      /** Nobody wrote it: it is what `defaultLimit` gives, and goes with the rate when that is changed. */
      readonly byDefault?: true;
    }
  /** As many bytes as the rate of the moment passes in that time. */
  | { readonly unit: 'time'; readonly durationNs: number };

/**
 * Which of the waiting segments go on, and when one is dropped or marked. Beyond `limit` the newest is dropped; by FQ-CoDel
 * half of the longest queue's, from its head (RFC 8290 §4.1).
 */
export type Queue =
  | { readonly discipline: 'drop-tail'; readonly limit: QueueLimit }
  /** Floyd and Jacobson 1993, with ECN by RFC 3168; the average is over bytes that wait. */
  | {
      readonly discipline: 'red';
      readonly limit: QueueLimit;
      readonly minBytes: number;
      readonly maxBytes: number;
      /** Chance of a mark where the average has reached `maxBytes`. */
      readonly markRatio: number;
      /** Of a new value in the average. */
      readonly weightRatio: number;
      readonly ecn: boolean;
    }
  /** RFC 8289 */
  | {
      readonly discipline: 'codel';
      readonly limit: QueueLimit;
      readonly targetNs: number;
      readonly intervalNs: number;
      readonly ecn: boolean;
    }
  /** RFC 8290 */
  | {
      readonly discipline: 'fq-codel';
      readonly limit: QueueLimit;
      readonly targetNs: number;
      readonly intervalNs: number;
      readonly flows: number;
      readonly quantumBytes: number;
      readonly ecn: boolean;
    }
  /** RFC 8033 */
  | {
      readonly discipline: 'pie';
      readonly limit: QueueLimit;
      readonly targetNs: number;
      readonly updateNs: number;
      readonly alpha: number;
      readonly beta: number;
      readonly maxBurstNs: number;
      readonly ecn: boolean;
    };

/** Recordings that emulations name, so that links which share one carry it once. */
export interface EmulationInputs {
  /**
   * Mahimahi's packet-delivery traces: the milliseconds at which 1504 bytes may pass, ascending; the last one is also the
   * period after which it begins again.
   */
  readonly traces: Readonly<Record<string, readonly number[]>>;
  /** Quantiles at equal distances, ascending, with mean 0 and standard deviation 1. */
  readonly distributions: Readonly<Record<string, readonly number[]>>;
}

export const NO_INPUTS: EmulationInputs = { traces: {}, distributions: {} };
