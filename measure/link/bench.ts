/**
 * `luthier bench link`: builds the stage, measures the parts that were asked for, takes it down whatever happens, reports.
 *
 *   const report = await benchLink(place, extentOf(parts, isFull), { signal, onStep });
 */
import type { LinkBenchReport, LinkPart } from '../../model/bench-link.js';
import { machineFacts } from '../bench.js';
import type { Program } from '../programs.js';
import type { Place } from '../stage.js';
import { transfer } from '../traffic.js';
import { measureChanges } from './change.js';
import { measureJitter, type JitterExtent } from './jitter.js';
import { measureMachineLateness } from './machine-lateness.js';
import { measureMemory } from './memory.js';
import { measureCost, measureGoodput, measureUdp, type GoodputExtent, type UdpExtent } from './rates.js';
import { measureBusy, measureDelays, type RttExtent } from './rtt.js';
import { LinkStage } from './stage.js';

/** A part is measured where its extent is there. */
export interface LinkExtent {
  readonly rtt?: RttExtent;
  readonly busy?: RttExtent;
  readonly jitter?: JitterExtent;
  readonly tcp?: GoodputExtent;
  readonly udp?: UdpExtent;
  readonly cost?: { readonly seconds: number };
  readonly change?: number;
  readonly memory?: { readonly links: number; readonly settleSeconds?: number };
}

export interface LinkConduct {
  readonly signal: AbortSignal;
  readonly onStep: (what: string) => void;
}

const PROGRAMS: Readonly<Record<LinkPart, readonly Program[]>> = {
  rtt: ['ping', 'dumpcap'],
  busy: ['ping', 'dumpcap'],
  jitter: ['ping', 'dumpcap'],
  tcp: ['iperf3'],
  udp: ['iperf3', 'tc'],
  cost: ['iperf3'],
  change: [],
  memory: [],
};

export function programsOf(parts: readonly LinkPart[]): Program[] {
  return [...new Set(parts.flatMap((part) => PROGRAMS[part]))];
}

export async function benchLink(
  place: Place,
  { rtt, busy, jitter, tcp, udp, cost, change, memory }: LinkExtent,
  { signal, onStep }: LinkConduct,
): Promise<LinkBenchReport> {
  const began = new Date();
  const begin = performance.now();
  try {
    await using stage = await LinkStage.build(place, signal);
    const parts = {
      ...(rtt && (await measureRtt(place, stage, rtt, { signal, onStep }))),
      ...(busy && { busy: await measureBusy(stage, busy, signal, onStep) }),
      ...(jitter && { jitter: await measureJitter(stage, jitter, signal, onStep) }),
      ...(tcp && { tcp: await measureGoodput(stage, tcp, signal, onStep) }),
      ...(udp && { udp: await measureUdp(stage, udp, signal, onStep) }),
      ...(cost && { cost: await (await warm(stage, signal), measureCost(stage, cost, signal, onStep)) }),
      ...(change && { change: await (onStep('changes'), measureChanges(stage, change, signal)) }),
      ...(memory && { memory: await (onStep('memory of idle links'), measureMemory(place, memory, signal)) }),
    };
    const ms = Math.round(performance.now() - begin);
    return { name: 'link', began: began.toISOString(), ms, machine: machineFacts(), ...parts };
  } catch (cause) {
    // What it was that ^C ended is of no interest.
    signal.throwIfAborted();
    throw cause;
  }
}

async function measureRtt(
  place: Place,
  stage: LinkStage,
  extent: RttExtent,
  { signal, onStep }: LinkConduct,
): Promise<Pick<LinkBenchReport, 'compensationNs' | 'machineLateness' | 'rtt'>> {
  onStep('how late the machine itself is');
  const machineLateness = await measureMachineLateness(extent.pings, signal);
  await using uncompensated = await LinkStage.build(place, signal, { compensation: false });
  const rtt = await measureDelays({ stage, uncompensated }, extent, signal, onStep);
  return { compensationNs: await stage.compensationNs(), machineLateness, rtt };
}

/** Code is compiled, and neighbours are resolved: what happens once is nobody's cost. */
async function warm(stage: LinkStage, signal: AbortSignal): Promise<void> {
  await transfer(stage.ours, { streams: 1, seconds: 1 }, signal);
}
