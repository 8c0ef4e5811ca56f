/** A network whose agent, switch, keeper and hosts all run on the native part built under ASan and UBSan. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkState } from '../../model/messages.js';
import { Bench, LUTHIER, ROOT, run, type Result } from './machine.js';

const WITH_ASAN = join(ROOT, 'scripts/with-asan');
let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const luthier = (...args: string[]): Promise<Result> => run(WITH_ASAN, [LUTHIER, ...args], { env: bench.env });

it('carries traffic over two machines without a report', async () => {
  const file = bench.scenario(
    'asan',
    `
name: asan
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, subnet6: "fd00::/64" }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`,
  );
  expect(await luthier('up', file)).toMatchObject({ code: 0 });
  const state = (JSON.parse(await bench.ok('inspect', '--json', 'asan')) as { network: NetworkState }).network;
  for (const { pid } of state.switchProcesses) expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).toContain('libasan');

  const server = spawn(LUTHIER, ['exec', 'h2', '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
  const served = once(server, 'close');
  await once(server.stdout, 'data');
  await bench.ok('exec', 'h1', '--', 'iperf3', '-c', 'h2', '-n', '20M');
  await served;
  await bench.ok('exec', 'h1', '--', 'ping', '-6', '-c3', '-i0.1', '-s', '8000', 'h2');

  const logs = readdirSync(bench.env.LUTHIER_STATE_DIR!, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.name.endsWith('.log'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  expect(logs.length).toBeGreaterThan(2);
  expect(logs.join('\n')).not.toMatch(/Sanitizer|runtime error/);
  expect(await luthier('down', 'asan')).toMatchObject({ code: 0 });
});
