/** A network whose agent, switch, keeper and hosts all run on the native part built under ASan and UBSan. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { engineThreads } from '../../control/realtime.js';
import type { NetworkState } from '../../model/messages.js';
import { Bench, LUTHIER, ROOT, run, speaks, type Result } from './machine.js';

const WITH_ASAN = join(ROOT, 'scripts/with-asan');
let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const luthier = (...args: string[]): Promise<Result> => run(WITH_ASAN, [LUTHIER, ...args], { env: bench.env });

/** h1, h2 are on machine a, and h3 is on b: with two engines, h1 and h2 are in two. */
const scenario = (...more: string[]): string => `
name: asan
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, subnet6: "fd00::/64" }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: a }
  h3: { kind: host, machine: b }
${more.map((host) => `  ${host}: { kind: host, machine: a }\n`).join('')}
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
  - { endpoints: [h3, s1] }
${more.map((host) => `  - { endpoints: [${host}, s1] }\n`).join('')}
`;

async function talk(from: string, to: string): Promise<void> {
  const server = spawn(LUTHIER, ['exec', to, '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
  const served = once(server, 'close');
  await speaks(server);
  await bench.ok('exec', from, '--', 'iperf3', '-c', to, '-n', '20M');
  await served;
  await bench.ok('exec', from, '--', 'ping', '-6', '-c3', '-i0.1', '-s', '8000', to);
}

const processes = async (): Promise<NetworkState['switchProcesses']> =>
  (JSON.parse(await bench.ok('inspect', '--json', 'asan')) as { network: NetworkState }).network.switchProcesses;

it.each([1, 2])(
  'carries traffic over two machines without a report: engines %i',
  async (engines) => {
    expect(await luthier('up', bench.scenario('asan', scenario()), '--engines', String(engines))).toMatchObject({
      code: 0,
    });
    for (const { pid } of await processes()) {
      expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).toContain('libasan');
      expect(engineThreads(pid)).toHaveLength(engines);
    }
    await talk('h1', 'h2');
    await talk('h1', 'h3');

    // What passes while links are changed and followed, hosts come and go, and a switch process has to begin again.
    await bench.ok('set', 'h1--s1', 'delay=1ms', 'loss=1%');
    await bench.ok('set', 'h2--s1', 'rate=100mbit');
    const recorded = bench.luthier('record', '-m', 'a', '-w', bench.path('asan.jsonl'), '--seconds', '1');
    await bench.ok('exec', 'h2', '--', 'ping', '-q', '-c50', '-i0.02', '-w60', 'h1');
    expect(await recorded).toMatchObject({ code: 0 });
    for (const more of [['h4'], []])
      expect(await luthier('up', bench.scenario('asan', scenario(...more)))).toMatchObject({ code: 0 });
    const [{ pid }] = (await processes()) as [NetworkState['switchProcesses'][number]];
    process.kill(pid, 'SIGKILL');
    await expect
      .poll(async () => (await processes()).every((its) => its.pid !== pid && its.state !== undefined), {
        timeout: 30_000,
      })
      .toBe(true);
    await talk('h2', 'h3');

    const logs = readdirSync(bench.env.LUTHIER_STATE_DIR!, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.name.endsWith('.log'))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
    expect(logs.length).toBeGreaterThan(2);
    expect(logs.join('\n')).not.toMatch(/Sanitizer|runtime error/);
    expect(await luthier('down', 'asan')).toMatchObject({ code: 0 });
  },
  300_000,
);
