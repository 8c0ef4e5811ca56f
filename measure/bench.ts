/**
 * `luthier bench`: builds a stage, measures on it, takes it down whatever happens, and reports.
 *
 *   const report = await bench('lan', async (signal) => alone(await lanStage(place, options, signal)), extent, …);
 */
import { cpus, release } from 'node:os';
import type { BenchReport, CaseReport, MachineFacts } from '../model/bench.js';
import { armReports, caseReport, comparisonReports } from './report.js';
import { measureCase, measureIdle, type Extent, type OnStep } from './run.js';
import type { Stages } from './stage.js';

export interface Conduct {
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
}

export async function bench(
  name: BenchReport['name'],
  build: (signal: AbortSignal) => Promise<Stages>,
  extent: Extent,
  { signal, onStep }: Conduct,
): Promise<BenchReport> {
  const began = new Date();
  const begin = performance.now();
  await using theatre = await build(signal);
  const { stages, absent = [], failure } = theatre;
  const arms = stages.flatMap((stage) => stage.arms);
  const ending = failure === undefined ? signal : AbortSignal.any([signal, failure]);
  const cases: CaseReport[] = [];
  try {
    for (const stage of stages)
      for (const underlay of stage.underlays) {
        const samples = await measureCase(stage, underlay, extent, onStep, ending);
        cases.push(caseReport(stage.arms, samples, stage.title));
      }
    const idle = await measureIdle(arms, extent, onStep, ending);
    const comparisons = comparisonReports(arms, cases);
    return {
      name,
      began: began.toISOString(),
      ms: Math.round(performance.now() - begin),
      machine: machineFacts(),
      pairs: extent.pairs,
      phaseSeconds: extent.phaseSeconds,
      arms: armReports(arms, idle),
      cases,
      ...(comparisons.length === 0 ? {} : { comparisons }),
      ...(absent.length === 0 ? {} : { absent }),
    };
  } catch (cause) {
    // What it was that ^C ended is of no interest.
    signal.throwIfAborted();
    // Nor what failed because a program that is measured had ended.
    failure?.throwIfAborted();
    throw cause;
  }
}

export function machineFacts(): MachineFacts {
  const all = cpus();
  return {
    cpus: all.length,
    cpuModel: all[0]?.model.trim() ?? 'unknown',
    kernel: release(),
    node: process.version,
  };
}
