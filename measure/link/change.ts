/** Part `change`: how long it takes from a change's sending to the agent's socket until its engine has applied it. */
import type { ChangeReport } from '../../model/bench-link.js';
import { quantile } from '../statistics.js';
import type { LinkStage } from './stage.js';

/** Connections are made and code is compiled. */
const UNCOUNTED = 20;

export async function measureChanges(stage: LinkStage, changes: number, signal: AbortSignal): Promise<ChangeReport> {
  const ms: number[] = [];
  for (let i = -UNCOUNTED; i < changes; i++) {
    signal.throwIfAborted();
    const begin = performance.now();
    // Each is another delay than the one before.
    await stage.change({ delay: `${10 + (Math.abs(i) % 50)}ms` });
    if (i >= 0) ms.push(performance.now() - begin);
  }
  await stage.emulate({});
  return { changes, p50Ms: quantile(ms, 0.5), p99Ms: quantile(ms, 0.99), mostMs: Math.max(...ms) };
}
