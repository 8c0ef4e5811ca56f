/**
 * Property tests try the same inputs at each run, so that a commit is judged by what it changed. To look for more:
 *
 *   FUZZ_RUNS=2000 npx vitest run --project unit control model      other inputs each time, so many for each property
 */
import fc from 'fast-check';

const runs = process.env.FUZZ_RUNS;
fc.configureGlobal(runs === undefined ? { seed: 1 } : { numRuns: Number(runs) });
