/** From samples to the report: medians, intervals, and ratios to the reference. Pure. */
import type { ArmReport, CaseReport, Estimate, RttReport, TcpReport } from '../model/bench.js';
import type { CaseSamples, IdleSample, RttSample, TcpSample } from './run.js';
import type { Arm } from './stage.js';
import { estimate, median, quantile } from './statistics.js';

type ArmNames = readonly Pick<Arm, 'name' | 'title' | 'isReference' | 'algorithm'>[];

export function armReports(arms: ArmNames, idle: readonly IdleSample[]): ArmReport[] {
  return arms.map(({ name, title, isReference, algorithm }) => {
    const sample = idle.find(({ arm }) => arm === name);
    const own = sample === undefined ? {} : { rssBytes: sample.rssBytes, idleCores: sample.cores };
    return { name, title, isReference, ...(algorithm === undefined ? {} : { algorithm }), ...own };
  });
}

export function caseReport(arms: ArmNames, { underlay, tcp, rtt }: CaseSamples): CaseReport {
  const reference = arms.find(({ isReference }) => isReference)!.name;
  const names = arms.map(({ name }) => name);
  return {
    ...(underlay === undefined ? {} : { underlay }),
    tcp: distinct(tcp.map(({ streams }) => streams)).map((streams) => {
      const ofArm = grouped(tcp.filter((sample) => sample.streams === streams));
      return tcpReport(streams, names, reference, ofArm);
    }),
    rtt: distinct(rtt.map(({ loadStreams }) => loadStreams)).map((loadStreams) => {
      const ofArm = grouped(rtt.filter((sample) => sample.loadStreams === loadStreams));
      return rttReport(loadStreams, names, reference, ofArm);
    }),
  };
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
