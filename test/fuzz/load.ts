/**
 * Reads random texts until the time is up, each time with other seeds, and prints what the worst of them took. A text that
 * throws anything but `ScenarioError`, or takes more than 2 s, is printed and ends it.
 *
 *   npx tsx test/fuzz/load.ts [SECONDS] [SEED]
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { loadText, resolve } from '../../control/scenario/index.js';
import { ScenarioError } from '../../model/errors.js';
import { scenarioText } from './scenario-text.js';

const LONGEST_MS = 2_000;
const seconds = Number(process.argv[2] ?? 60);
let seed = Number(process.argv[3] ?? Date.now() % 1e9);

const text = scenarioText(readFileSync(new URL('../../scenarios/two-lans/scenario.yaml', import.meta.url), 'utf8'));
const until = performance.now() + seconds * 1000;
let texts = 0;
let right = 0;
let worstMs = 0;
console.log(`first seed ${seed}`);
for (; performance.now() < until; seed++) {
  for (const candidate of fc.sample(text, { seed, numRuns: 200 })) {
    const started = performance.now();
    try {
      resolve(loadText(candidate, 'fuzz.yaml'));
      right++;
    } catch (error) {
      if (!(error instanceof ScenarioError)) fail(candidate, String(error));
    }
    const ms = performance.now() - started;
    worstMs = Math.max(worstMs, ms);
    if (ms > LONGEST_MS) fail(candidate, `it took ${ms} ms`);
    texts++;
  }
}
const rssMiB = process.resourceUsage().maxRSS / 1024;
console.log(
  `${texts} texts, ${right} of them right; at most ${worstMs.toFixed(1)} ms; peak RSS ${rssMiB.toFixed(0)} MiB`,
);

function fail(candidate: string, why: string): never {
  console.log(`seed ${seed}: ${why}\n${JSON.stringify(candidate)}`);
  process.exit(1);
}
