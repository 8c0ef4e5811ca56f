/** From samples to the report: medians, intervals, and ratios to the reference. Pure. */
import type {
  ArmReport,
  CaseReport,
  ComparisonReport,
  Estimate,
  RttReport,
  TcpReport,
  UdpReport,
} from '../model/bench.js';
import type { CaseSamples, IdleSample, RttSample, TcpSample, UdpSample } from './run.js';
import type { Arm } from './stage.js';
import { estimate, median, quantile } from './statistics.js';

type ArmFacts = Pick<Arm, 'name' | 'title' | 'isReference' | 'isPeer' | 'version' | 'algorithm'>;
type ArmNames = readonly ArmFacts[];

export function armReports(arms: ArmNames, idle: readonly IdleSample[]): ArmReport[] {
  return arms.map(({ name, title, isReference, isPeer, version, algorithm }) => {
    const sample = idle.find(({ arm }) => arm === name);
    return {
      name,
      title,
      isReference,
      ...(isPeer === undefined ? {} : { isPeer }),
      ...(version === undefined ? {} : { version }),
      ...(algorithm === undefined ? {} : { algorithm }),
      ...(sample === undefined ? {} : { rssBytes: sample.rssBytes, idleCores: sample.cores }),
    };
  });
}

export function caseReport(arms: ArmNames, { underlay, tcp, rtt, udp }: CaseSamples, title?: string): CaseReport {
  const reference = arms.find(({ isReference }) => isReference)!.name;
  const names = arms.map(({ name }) => name);
  return {
    ...(title === undefined ? {} : { title }),
    reference,
    ...(underlay === undefined ? {} : { underlay }),
    tcp: distinct(tcp.map(({ streams }) => streams)).map((streams) => {
      const ofArm = grouped(tcp.filter((sample) => sample.streams === streams));
      return tcpReport(streams, names, reference, ofArm);
    }),
    rtt: distinct(rtt.map(({ loadStreams }) => loadStreams)).map((loadStreams) => {
      const ofArm = grouped(rtt.filter((sample) => sample.loadStreams === loadStreams));
      return rttReport(loadStreams, names, reference, ofArm);
    }),
    ...(udp.length === 0 ? {} : { udp: OFFERED.map((offered) => udpReport(offered, names, reference, udp)) }),
  };
}

const OFFERED = ['lossless', 'full'] as const;

/** Luthier's arms beside peers of the same case: each, and the best of each pair. Peers seal: so does what is beside them. */
export function comparisonReports(arms: ArmNames, cases: readonly CaseReport[]): ComparisonReport[] {
  const isOf = (kind: (arm: ArmFacts) => boolean, name: string): boolean =>
    arms.some((arm) => arm.name === name && kind(arm));
  return cases.flatMap((results) => {
    const names = results.tcp[0]?.arms.map(({ arm }) => arm) ?? [];
    const peers = names.filter((name) => isOf(({ isPeer }) => isPeer === true, name));
    const ours = names.filter((name) => isOf(({ isPeer, isReference }) => !isPeer && !isReference, name));
    const sealed = ours.filter((name) => isOf(({ algorithm }) => algorithm !== undefined, name));
    const groups = [...peers.map((name) => [name]), ...(peers.length > 1 ? [peers] : [])];
    return (sealed.length > 0 ? sealed : ours).flatMap((arm) =>
      groups.map((others) => comparison(arm, others, results)),
    );
  });
}

function comparison(arm: string, others: readonly string[], { tcp, udp = [] }: CaseReport): ComparisonReport {
  return {
    arm,
    others,
    tcp: tcp.map(({ streams, arms }) => {
      const rates = (name: string): readonly number[] => arms.find((one) => one.arm === name)!.rateBps;
      return { streams, rateRatio: ratio(rates(arm), bestOf(others.map(rates))) };
    }),
    udp: udp.flatMap(({ offered, arms }) => {
      const rates = (name: string): readonly number[] => arms.find((one) => one.arm === name)!.deliveredPps;
      const best = bestOf(others.map(rates));
      return best.includes(0) ? [] : [{ offered, rateRatio: ratio(rates(arm), best) }];
    }),
  };
}

/** Pair by pair. */
function bestOf(series: readonly (readonly number[])[]): number[] {
  return series[0]!.map((_, pair) => Math.max(...series.map((values) => values[pair]!)));
}

function tcpReport(
  streams: number,
  names: readonly string[],
  reference: string,
  ofArm: (arm: string) => readonly TcpSample[],
): TcpReport {
  const rates = (arm: string): number[] => ofArm(arm).map(({ rateBps }) => rateBps);
  const cpu = (arm: string): number[] => ofArm(arm).map(({ cpuSecondsPerGB }) => cpuSecondsPerGB);
  return {
    streams,
    arms: names.map((arm) => {
      const own = ofArm(arm).map(({ ownCpuSecondsPerGB }) => ownCpuSecondsPerGB);
      return {
        arm,
        rateBps: rates(arm),
        cpuSecondsPerGB: cpu(arm),
        ...(own.some((value) => value > 0) ? { ownCpuSecondsPerGB: own } : {}),
        ...(arm === reference
          ? {}
          : { rateRatio: ratio(rates(arm), rates(reference)), cpuRatio: ratio(cpu(arm), cpu(reference)) }),
      };
    }),
  };
}

function rttReport(
  loadStreams: number,
  names: readonly string[],
  reference: string,
  ofArm: (arm: string) => readonly RttSample[],
): RttReport {
  const medians = (arm: string): number[] => ofArm(arm).map(({ us }) => median(us));
  return {
    loadStreams,
    arms: names.map((arm) => {
      const samples = ofArm(arm);
      const us = samples.flatMap((sample) => sample.us);
      const [mine, theirs] = [medians(arm), medians(reference)];
      return {
        arm,
        sent: samples.reduce((sum, { sent }) => sum + sent, 0),
        received: us.length,
        p50Us: quantile(us, 0.5),
        p99Us: quantile(us, 0.99),
        p999Us: quantile(us, 0.999),
        ...(arm === reference
          ? {}
          : { addedP50Us: estimate(mine.map((value, i) => value - theirs[i]!)), p50Ratio: ratio(mine, theirs) }),
      };
    }),
  };
}

function udpReport(
  offered: UdpReport['offered'],
  names: readonly string[],
  reference: string,
  samples: readonly UdpSample[],
): UdpReport {
  const ofArm = grouped(samples.filter((sample) => sample.offered === offered));
  const delivered = (arm: string): number[] => ofArm(arm).map(({ deliveredPps }) => deliveredPps);
  const theirs = delivered(reference);
  return {
    offered,
    arms: names.map((arm) => ({
      arm,
      sentPps: ofArm(arm).map(({ sentPps }) => sentPps),
      deliveredPps: delivered(arm),
      ...(arm === reference || theirs.includes(0) ? {} : { rateRatio: ratio(delivered(arm), theirs) }),
    })),
  };
}

function ratio(mine: readonly number[], theirs: readonly number[]): Estimate {
  return estimate(mine.map((value, i) => value / theirs[i]!));
}

function distinct(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

function grouped<Sample extends { readonly arm: string }>(
  samples: readonly Sample[],
): (arm: string) => readonly Sample[] {
  return (arm) => samples.filter((sample) => sample.arm === arm);
}
