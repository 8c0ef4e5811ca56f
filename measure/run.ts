/**
 * Measures the arms of a stage in turn, pair by pair: within a pair each phase is done on one arm right after the other,
 * and the first of them changes from pair to pair. What else the machine does then meets all arms alike, and cancels in
 * the ratios. Called by `bench.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UnderlayName } from '../model/bench.js';
import { busySeconds, cpuSeconds, rssBytes } from './accounting.js';
import type { Arm, Stage } from './stage.js';
import { flood, highestLossless, type SmallFramesExtent } from './small-frames.js';
import { roundTrips, transfer } from './traffic.js';

export interface Extent {
  readonly pairs: number;
  /** Of each transfer and each series of pings. */
  readonly phaseSeconds: number;
  /** Of a transfer on each arm before the first pair; 0 for none. */
  readonly warmUpSeconds: number;
  /** How long nothing is sent before and while the idle network's CPU is measured. */
  readonly settleSeconds: number;
  readonly idleSeconds: number;
  /** Left out where it is undefined. */
  readonly smallFrames?: SmallFramesExtent;
}

export interface TcpSample {
  readonly arm: string;
  readonly streams: number;
  readonly rateBps: number;
  readonly cpuSecondsPerGB: number;
  readonly ownCpuSecondsPerGB: number;
}

export interface RttSample {
  readonly arm: string;
  /** 0: idle. */
  readonly loadStreams: number;
  readonly sent: number;
  /** One for each answer. */
  readonly us: readonly number[];
}

export interface UdpSample {
  readonly arm: string;
  readonly offered: 'full' | 'lossless';
  readonly sentPps: number;
  readonly deliveredPps: number;
}

/** What was measured on one underlay, in the order in which it was. */
export interface CaseSamples {
  readonly underlay: UnderlayName | undefined;
  readonly tcp: readonly TcpSample[];
  readonly rtt: readonly RttSample[];
  readonly udp: readonly UdpSample[];
}

export interface IdleSample {
  readonly arm: string;
  readonly rssBytes: number;
  /** CPU, as a share of one core. */
  readonly cores: number;
}

/** Told before each pair, and before the idle networks are measured. */
export type OnStep = (step: PairStep | 'idle') => void;

export interface PairStep {
  /** Of the stage, where there are several. */
  readonly title: string | undefined;
  readonly underlay: UnderlayName | undefined;
  readonly pair: number;
}

const LOAD_STREAMS = 4;
/** The load is at its full rate before the first ping goes, and still when the last one does. */
const LOAD_MARGIN_SECONDS = 0.25;

export async function measureCase(
  stage: Stage,
  underlay: UnderlayName | undefined,
  { pairs, phaseSeconds, warmUpSeconds, smallFrames }: Extent,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<CaseSamples> {
  if (underlay !== undefined) await stage.setUnderlay(underlay);
  const tcp: TcpSample[] = [];
  const rtt: RttSample[] = [];
  const udp: UdpSample[] = [];
  // Neighbours are resolved, code is compiled, TCP has its metrics: what happens once is not measured.
  if (warmUpSeconds > 0)
    for (const arm of stage.arms) await transfer(arm.way, { streams: LOAD_STREAMS, seconds: warmUpSeconds }, signal);
  for (let pair = 0; pair < pairs; pair++) {
    onStep({ title: stage.title, underlay, pair });
    const arms = rotated(stage.arms, pair);
    for (const arm of arms) {
      const trips = await roundTrips(arm.way, { seconds: phaseSeconds }, signal);
      rtt.push({ arm: arm.name, loadStreams: 0, ...trips });
    }
    for (const arm of arms) tcp.push(await measuredTransfer(arm, 1, phaseSeconds, signal));
    for (const arm of arms) {
      const [sample, trips] = await loadedRoundTrips(arm, phaseSeconds, signal);
      tcp.push(sample);
      rtt.push({ arm: arm.name, loadStreams: LOAD_STREAMS, ...trips });
    }
    if (smallFrames !== undefined)
      for (const arm of arms) udp.push(...(await measuredFloods(arm, smallFrames, signal)));
  }
  return { underlay, tcp, rtt, udp };
}

/** Of all arms that have processes, at the same time. */
export async function measureIdle(
  all: readonly Arm[],
  { settleSeconds, idleSeconds }: Extent,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<IdleSample[]> {
  const arms = all.filter(({ processes }) => processes.length > 0);
  const rss = arms.map(({ switches }) => rssBytes(switches));
  onStep('idle');
  await sleep(settleSeconds * 1000, undefined, { signal });
  const before = arms.map(({ processes }) => cpuSeconds(processes));
  const begin = performance.now();
  await sleep(idleSeconds * 1000, undefined, { signal });
  const seconds = (performance.now() - begin) / 1000;
  return arms.map(({ name, processes }, i) => {
    return { arm: name, rssBytes: rss[i]!, cores: (cpuSeconds(processes) - before[i]!) / seconds };
  });
}

async function measuredTransfer(arm: Arm, streams: number, seconds: number, signal: AbortSignal): Promise<TcpSample> {
  const [busy, own] = [busySeconds(), cpuSeconds(arm.switches)];
  const { bytes, seconds: taken } = await transfer(arm.way, { streams, seconds }, signal);
  const gigabytes = bytes / 1e9;
  return {
    arm: arm.name,
    streams,
    rateBps: (bytes * 8) / taken,
    cpuSecondsPerGB: (busySeconds() - busy) / gigabytes,
    ownCpuSecondsPerGB: (cpuSeconds(arm.switches) - own) / gigabytes,
  };
}

/** Pings beside the transfer: a hundred small packets a second take nothing of its rate that could be measured. */
async function loadedRoundTrips(
  arm: Arm,
  seconds: number,
  signal: AbortSignal,
): Promise<[TcpSample, Pick<RttSample, 'sent' | 'us'>]> {
  const pings = async (): Promise<Pick<RttSample, 'sent' | 'us'>> => {
    await sleep(LOAD_MARGIN_SECONDS * 1000, undefined, { signal });
    return roundTrips(arm.way, { seconds: seconds - 2 * LOAD_MARGIN_SECONDS }, signal);
  };
  return Promise.all([measuredTransfer(arm, LOAD_STREAMS, seconds, signal), pings()]);
}

async function measuredFloods(
  { name: arm, way }: Arm,
  { seconds, trialSeconds, trials }: SmallFramesExtent,
  signal: AbortSignal,
): Promise<UdpSample[]> {
  const full = await flood(way, { seconds }, signal);
  const best = await highestLossless(full, trials, (pps) => flood(way, { pps, seconds: trialSeconds }, signal));
  const { sentPps, deliveredPps } = best ?? { sentPps: 0, deliveredPps: 0 };
  return [
    { arm, offered: 'full', sentPps: full.sentPps, deliveredPps: full.deliveredPps },
    { arm, offered: 'lossless', sentPps, deliveredPps },
  ];
}

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
