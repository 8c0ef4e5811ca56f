/**
 * Random kills: rounds of `up`, changed `up`, `down` and traffic, while processes of ours are killed with SIGKILL at
 * random moments. After each round nothing may be left, and bystanders may not have noticed anything.
 *
 *   npx tsx test/chaos/chaos.ts --rounds 200 --seed 1
 *   npx tsx test/chaos/chaos.ts --minutes 60 --engines 2
 *   npx tsx test/chaos/chaos.ts --seed 1 --from 17 --rounds 1     that round again, as far as timing allows
 *
 * Works as root and as an ordinary user; needs the build. Exit status 1 with the first violation: what it leaves is left
 * to be looked at.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pathsFrom } from '../../control/paths.js';
import { census } from '../e2e/census.js';
import { Bundle } from './bundle.js';
import { Bystanders } from './bystanders.js';
import { Random } from './random.js';
import { Round, Violation } from './round.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    from: { type: 'string' },
    engines: { type: 'string' },
  },
});
const seed = Number(values.seed ?? 1);
const first = Number(values.from ?? 1);
const engines = Number(values.engines ?? 1);
const rounds = values.rounds === undefined ? (values.minutes === undefined ? 200 : Infinity) : Number(values.rounds);
const untilMs = values.minutes === undefined ? Infinity : performance.now() + Number(values.minutes) * 60_000;

const directory = mkdtempSync(join(tmpdir(), 'lt-chaos-'));
const paths = pathsFrom(
  { LUTHIER_RUNTIME_DIR: join(directory, 'run'), LUTHIER_STATE_DIR: join(directory, 'state') },
  process.getuid!(),
);

async function play(bystanders: Bystanders): Promise<boolean> {
  const before = census();
  const started = performance.now();
  const spent = new Map<string, number>();
  let played = 0;
  for (let n = first; n < first + rounds && performance.now() < untilMs; n++, played++) {
    const round = new Round(new Random(seed * 1_000_003 + n), directory, paths, engines);
    const roundStarted = performance.now();
    try {
      await round.play(before);
      const harm = await bystanders.harm();
      if (harm.length > 0) throw new Violation(`bystanders were harmed: ${harm.join('; ')}`);
    } catch (cause) {
      console.log(`round ${n} FAILED: ${cause instanceof Violation ? cause.message : String((cause as Error).stack)}`);
      for (const line of round.story) console.log(`  ${line}`);
      const again = `--seed ${seed} --from ${n} --rounds 1 --engines ${engines}`;
      console.log(`  again: npx tsx test/chaos/chaos.ts ${again}   (in ${directory})`);
      return false;
    }
    for (const [part, ms] of round.spent) spent.set(part, (spent.get(part) ?? 0) + ms);
    console.log(`round ${n} (${Math.round(performance.now() - roundStarted)} ms): ${round.story.join(' | ')}`);
  }
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const parts = [...spent].map(([part, ms]) => `${part} ${seconds(ms)}`).join(', ');
  console.log(`${played} rounds with seed ${seed} in ${seconds(performance.now() - started)}: ${parts}`);
  const { beats, longestGapMs } = await bystanders.end();
  console.log(`the bystander's connection: ${beats} beats of 20 ms, the longest gap ${longestGapMs} ms`);
  return true;
}

using bundle = await Bundle.of('heartbeat');
await using bystanders = await Bystanders.start(bundle);
if (await play(bystanders)) rmSync(directory, { recursive: true, force: true });
else process.exitCode = 1;
