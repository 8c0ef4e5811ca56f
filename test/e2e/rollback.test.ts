/** All or nothing; and what happens when processes are killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkState } from '../../model/messages.js';
import { agentPidOf, Bench, LUTHIER } from './machine.js';

const lan = (name: string, hosts: number): string =>
  [
    `name: ${name}`,
    'nodes:',
    '  s1: { kind: switch, subnet: 10.0.0.0/16 }',
    ...Array.from({ length: hosts }, (_, i) => `  h${i + 1}: { kind: host }`),
    'links:',
    ...Array.from({ length: hosts }, (_, i) => `  - { endpoints: [h${i + 1}, s1] }`),
  ].join('\n');

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const inspect = async (name: string): Promise<NetworkState> =>
  (JSON.parse(await bench.ok('inspect', '--json', name)) as { network: NetworkState }).network;

const agentPid = (): number | undefined => agentPidOf(bench.directory);

it('removes what was made when a step fails, and says which and why', async () => {
  const file = bench.scenario('many', lan('many', 30).replace('kind: host', 'kind: host, command: [/no/such/program]'));
  const result = await bench.luthier('up', file);
  expect(result.code).toBe(1);
  expect(result.stderr).toMatch(/step \d+ of \d+ \(.*\) failed/);
  expect(result.stderr).toContain('/no/such/program');
  await bench.nothingLeft();
});

it('removes what was made when ^C interrupts it', async () => {
  const file = bench.scenario('interrupted', lan('interrupted', 200));
  const child = spawn(LUTHIER, ['up', file], { env: bench.env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  child.stdout.once('data', () => child.kill('SIGINT'));
  child.stderr.once('data', () => child.kill('SIGINT'));
  expect(await ended).not.toBe(0);
  await bench.nothingLeft();
});

it('goes on without its agent, and the next command adopts it', async () => {
  await bench.ok('up', bench.scenario('adopted', lan('adopted', 2)));
  process.kill(agentPid()!, 'SIGKILL');
  const { networks } = JSON.parse(await bench.ok('ls', '--json')) as { networks: { name: string; status: string }[] };
  expect(networks).toEqual([expect.objectContaining({ name: 'adopted', status: 'running' })]);
  await bench.reach('h1', 'h2');
  await bench.ok('down', 'adopted');
  await bench.nothingLeft();
});

it('rolls back an up whose agent was killed, whenever that was', async () => {
  // Limits too: a cgroup cannot be removed while a forgotten process is in it.
  const file = bench.scenario(
    'killed',
    lan('killed', 20).replace('h3: { kind: host }', 'h3: { kind: host, memory: 64MiB }'),
  );
  for (const delayMs of [0, 20, 40, 60, 80, 100, 150, 200, 400]) {
    const child = spawn(LUTHIER, ['up', file], { env: bench.env, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('close', resolve));
    let pid: number | undefined;
    while ((pid = agentPid()) === undefined && child.exitCode === null) await sleep(2);
    await sleep(delayMs);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    await ended;
    await bench.ok('down', '--all');
    await bench.nothingLeft();
  }
});

it('starts a switch process again that was killed, with its TAPs, while hosts see no carrier change', async () => {
  await bench.ok('up', bench.scenario('mended', lan('mended', 2)));
  const before = await inspect('mended');
  const monitor = spawn(LUTHIER, ['exec', 'h1', '--', 'ip', 'monitor', 'link'], { env: bench.env });
  const ended = once(monitor, 'close');
  let changes = '';
  monitor.stdout.on('data', (data: Buffer) => (changes += data.toString()));
  await bench.reach('h1', 'h2');
  // It has begun once it tells of what we change.
  await expect
    .poll(async () => {
      await bench.ok('exec', 'h1', '--', 'ip', 'link', 'set', 'dev', 'lo', 'alias', 'ours');
      return changes;
    })
    .toContain('lo:');
  process.kill(before.switchProcesses[0]!.pid, 'SIGKILL');
  await bench.reach('h1', 'h2');
  const after = await inspect('mended');
  expect(after.status).toBe('running');
  expect(after.switchProcesses[0]!.pid).not.toBe(before.switchProcesses[0]!.pid);
  expect(changes).not.toContain('eth0');
  monitor.kill();
  await ended;
  await bench.ok('down', 'mended');
  await bench.nothingLeft();
});

it('says why a network is broken when a host was killed, and makes it again when asked', async () => {
  const file = bench.scenario('broken', lan('broken', 3));
  await bench.ok('up', file);
  const before = await inspect('broken');
  const pidOf = ({ nodes }: NetworkState, host: string): number => nodes.find(({ name }) => name === host)!.pid!;
  process.kill(pidOf(before, 'h1'), 'SIGKILL');
  await expect.poll(async () => (await inspect('broken')).status).toBe('broken');
  expect((await inspect('broken')).broken!.join()).toContain('h1');
  await bench.reach('h2', 'h3');
  await bench.ok('up', file);
  const after = await inspect('broken');
  expect(after.status).toBe('running');
  expect(pidOf(after, 'h2')).toBe(pidOf(before, 'h2'));
  await bench.reach('h2', 'h1');
  await bench.ok('down', 'broken');
  await bench.nothingLeft();
});

it('starts a keeper again that was killed, and takes everything down with it', async () => {
  await bench.ok('up', bench.scenario('kept', lan('kept', 2)));
  const { nodes } = await inspect('kept');
  const init = nodes.find(({ name }) => name === 'h1')!.pid!;
  process.kill(Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${init}/status`, 'utf8'))![1]), 'SIGKILL');
  await expect.poll(() => readFileSync(bench.path('state/agent.log'), 'utf8')).toContain('mended: the keeper');
  expect((await inspect('kept')).status).toBe('running');
  await bench.reach('h1', 'h2');
  await bench.ok('down', 'kept');
  await bench.nothingLeft();
});

it('lists what cannot be read of its records beside what can, and touches none of it', async () => {
  await bench.ok('up', bench.scenario('whole', lan('whole', 2)));
  process.kill(agentPid()!, 'SIGKILL');
  const record = bench.path('state/0000abcd/journal.jsonl');
  mkdirSync(dirname(record));
  writeFileSync(record, 'this is no record\n');
  const { networks, unreadable } = JSON.parse(await bench.ok('ls', '--json')) as {
    networks: { name: string }[];
    unreadable: string[];
  };
  expect(networks.map(({ name }) => name)).toEqual(['whole']);
  expect(unreadable).toEqual([expect.stringContaining('0000abcd')]);
  expect(await bench.ok('ls')).toMatch(/not shown: .*0000abcd/);
  expect(readFileSync(bench.path('state/agent.log'), 'utf8')).toContain('0000abcd');
  await bench.ok('down', 'whole');
  expect(readFileSync(record, 'utf8')).toBe('this is no record\n');
  rmSync(dirname(record), { recursive: true });
});

it('does nothing when the network runs already as it is wanted', async () => {
  const file = bench.scenario('same', lan('same', 2));
  await bench.ok('up', file);
  expect(await bench.ok('up', file)).toContain('already');
  await bench.ok('down', 'same');
});
