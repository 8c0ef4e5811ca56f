/** Part `change`: how long it takes from a change's sending to the agent's socket until its engine has applied it, and until the agent has answered. */
import type { ChangeReport } from '../../model/bench-link.js';
import { StateError } from '../../model/errors.js';
import { quantile } from '../statistics.js';
import type { LinkStage } from './stage.js';

/** Connections are made and code is compiled. */
const UNCOUNTED = 20;

export async function measureChanges(stage: LinkStage, changes: number, signal: AbortSignal): Promise<ChangeReport> {
  const doneMs: number[] = [];
  const answeredMs: number[] = [];
  for (let i = -UNCOUNTED; i < changes; i++) {
    signal.throwIfAborted();
    // CLOCK_MONOTONIC, as the engine's answer.
    const begunNs = Number(process.hrtime.bigint());
    // Each is another delay than the one before.
    const doneNs = await stage.change({ delay: `${10 + (Math.abs(i) % 50)}ms` });
    const answeredNs = Number(process.hrtime.bigint());
    if (doneNs === undefined) throw new StateError('the switch process that is measured has ended');
    if (i < 0) continue;
    doneMs.push((doneNs - begunNs) / 1e6);
    answeredMs.push((answeredNs - begunNs) / 1e6);
  }
  await stage.emulate({});
  return { changes, ...timesOf(doneMs), answered: timesOf(answeredMs) };
}

function timesOf(ms: readonly number[]): { p50Ms: number; p99Ms: number; mostMs: number } {
  return { p50Ms: quantile(ms, 0.5), p99Ms: quantile(ms, 0.99), mostMs: Math.max(...ms) };
}
