/**
 * `luthier bench`: builds a stage, measures on it, takes it down whatever happens, and reports.
 *
 *   const report = await bench('lan', (signal) => lanStage(place, options, signal), extent, { signal, onStep });
 */
import { cpus, release } from 'node:os';
import type { BenchReport, MachineFacts } from '../model/bench.js';
import { armReports, caseReport } from './report.js';
import { measureCase, measureIdle, type CaseSamples, type Extent, type OnStep } from './run.js';
import type { Stage } from './stage.js';

export interface Conduct {
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
}

export async function bench(
  name: BenchReport['name'],
  build: (signal: AbortSignal) => Promise<Stage>,
  extent: Extent,
  { signal, onStep }: Conduct,
): Promise<BenchReport> {
  const began = new Date();
  const begin = performance.now();
  await using stage = await build(signal);
  const cases: CaseSamples[] = [];
  try {
    for (const underlay of stage.underlays) cases.push(await measureCase(stage, underlay, extent, onStep, signal));
    const idle = await measureIdle(stage, extent, onStep, signal);
    return {
      name,
      began: began.toISOString(),
      ms: Math.round(performance.now() - begin),
      machine: machineFacts(),
      pairs: extent.pairs,
      phaseSeconds: extent.phaseSeconds,
      arms: armReports(stage.arms, idle),
      cases: cases.map((samples) => caseReport(stage.arms, samples)),
    };
  } catch (cause) {
    // What it was that ^C ended is of no interest.
    signal.throwIfAborted();
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
