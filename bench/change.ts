/**
 * How long a change of a link takes: from the moment at which a client sends it to the agent's socket until the agent
 * answers, which it does once the engine has applied it (`luthier bench link --only change` tells both moments apart). What of it is not the agent's is the way there and back: the same
 * client's question for the list of networks is printed beside it.
 *
 *   npx tsx bench/change.ts [CHANGES]      as an ordinary user or root; takes the network that it makes down again
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient } from '../control/client.js';
import { pathsFrom } from '../control/paths.js';
import { loadText } from '../control/scenario/index.js';

const HOSTS = 50;
const changes = Number(process.argv[2] ?? 500);

const directory = mkdtempSync(join(tmpdir(), 'luthier-bench-'));
Object.assign(process.env, {
  LUTHIER_RUNTIME_DIR: join(directory, 'run'),
  LUTHIER_STATE_DIR: join(directory, 'state'),
});
const agent = await AgentClient.connect(pathsFrom(process.env, process.getuid!()));
const hosts = Array.from({ length: HOSTS }, (_, i) => `h${i}`);
const scenario = loadText(
  [
    'name: bench-change',
    'nodes:',
    '  s1: { kind: switch, subnet: 10.0.0.0/16 }',
    ...hosts.map((name) => `  ${name}: { kind: host }`),
    'links:',
    ...hosts.map((name) => `  - { endpoints: [${name}, s1] }`),
  ].join('\n'),
  'bench-change.yaml',
);

try {
  await agent.up(scenario);
  const change = (i: number): Promise<unknown> =>
    agent.setLink('bench-change', `h${i % HOSTS}--s1`, { delay: `${10 + (i % 50)}ms` });
  for (let i = 0; i < 50; i++) await change(i);
  const listing = await timed(() => agent.networks());
  const changing = await timed(change);
  console.log(`${changes} changes of one link of ${HOSTS}, ms          p50     p99     most`);
  console.log(`agent's socket → agent has answered         ${row(changing)}`);
  console.log(`the same client's GET /networks             ${row(listing)}`);
} finally {
  await agent.down('bench-change');
  rmSync(directory, { recursive: true, force: true });
}

async function timed(work: (i: number) => Promise<unknown>): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < changes; i++) {
    const started = performance.now();
    await work(i);
    took.push(performance.now() - started);
  }
  return took.sort((a, b) => a - b);
}

function row(sorted: readonly number[]): string {
  const at = (ratio: number): number => sorted[Math.min(sorted.length - 1, Math.floor(ratio * sorted.length))]!;
  return [at(0.5), at(0.99), sorted.at(-1)!].map((ms) => ms.toFixed(2).padStart(7)).join(' ');
}
