/**
 * What a stranger on the way between two machines sees: nothing, unless the scenario says so. And that keys are there again
 * whatever was restarted.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import { gone, processId } from '../../control/process.js';
import type { NetworkState, TunnelState } from '../../model/messages.js';
import { native } from '../../native/binding.js';
import { processesOnRecord } from '../chaos/victims.js';
import { agentPidOf, Bench, LUTHIER, speaks } from './machine.js';
import { replaceKeysEachSecond } from './rekeying.js';

/** In the payload of pings; ping takes at most 16 bytes. */
const PATTERN = Buffer.from('read me if u can');
/** Several pings and their answers. */
const ENOUGH_BYTES = 2_000;
/** Why a sealed tunnel drops what another would not. */
const OF_KEYS = ['noKey', 'unsealed', 'unknownEpoch', 'replayed', 'notAuthentic', 'keySpent'];

const scenario = (seal: string): string => `
name: sealing
machines: [a, b]
${seal}
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const inspect = async (): Promise<NetworkState> => (await AgentClient.connect(bench.paths)).network('sealing');
const tunnels = async (): Promise<(readonly TunnelState[] | undefined)[]> =>
  (await inspect()).switchProcesses.map(({ state }) => state?.tunnels);
const up = (seal = ''): Promise<string> => bench.ok('up', bench.scenario('sealing', scenario(seal)));
const ping = (...options: string[]): Promise<string> =>
  bench.ok('exec', 'h1', '--', 'ping', '-c3', '-i0.2', '-w20', ...options, '10.0.0.2');

/** Pings with the pattern as they pass between the machines, as one that stands there would record them. */
async function overheard(): Promise<Buffer> {
  const [journal] = journalFiles(bench.paths);
  const machine = processesOnRecord(journal!).find(({ role }) => role === 'machine:a')!;
  const enter = [
    '-t',
    String(machine.id.pid),
    '-n',
    ...(process.getuid!() === 0 ? [] : ['-U', '--preserve-credentials']),
  ];
  const file = bench.path('overheard.pcapng');
  const dump = spawn('nsenter', [...enter, 'tshark', '-q', '-i', 'eth0', '-f', 'udp', '-w', file]);
  let said = '';
  const closed = once(dump, 'close');
  dump.stderr.on('data', (data: Buffer) => (said += data.toString()));
  await expect.poll(() => said, { timeout: 20_000 }).toContain('Capturing on');
  // It says so a moment before it does.
  await expect
    .poll(
      async () => {
        await ping('-p', PATTERN.toString('hex'), '-s', '400');
        return statSync(file).size;
      },
      { timeout: 30_000 },
    )
    .toBeGreaterThan(ENOUGH_BYTES);
  dump.kill('SIGINT');
  await closed;
  return readFileSync(file);
}

/** Below the agent's folder: what there is, and what it says. */
function recordedFiles(): { file: string; mode: number; text: string }[] {
  const directory = bench.paths.state;
  return readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    if (!entry.isFile()) return [];
    const file = join(entry.parentPath, entry.name);
    return [{ file, mode: statSync(file).mode & 0o777, text: readFileSync(file, 'latin1') }];
  });
}

it('seals what passes between machines, by itself', async () => {
  await up();
  for (const own of await tunnels()) expect(own).toMatchObject([{ state: 'sealed' }]);
  // By what doctor says seals here: a confined switch finds the library as we do.
  const { library } = native.aeadFind();
  for (const { pid } of (await inspect()).switchProcesses)
    expect(readFileSync(`/proc/${pid}/maps`, 'utf8').includes('libIPSec_MB')).toBe(library === 'ipsec-mb');
  expect((await overheard()).includes(PATTERN)).toBe(false);
});

it('keeps private keys in files of their owner, and tells them nobody', async () => {
  const files = recordedFiles();
  const secret = files.filter(({ text }) => text.includes('PRIVATE KEY'));
  expect(secret.map(({ file }) => basename(file)).sort()).toEqual(['identity@a.pem', 'identity@b.pem']);
  expect(secret.map(({ mode }) => mode)).toEqual([0o600, 0o600]);
  const keys = secret.map(({ text }) => text.split('\n')[1]!);
  const told = [
    ...files.filter(({ file }) => !file.endsWith('.pem')).map(({ text }) => text),
    await bench.ok('inspect', '--json', 'sealing'),
  ].join('\n');
  for (const key of keys) expect(told).not.toContain(key);
});

it('has keys again when both switch processes, and when the agent and one of them, were killed', async () => {
  for (const withAgent of [false, true]) {
    const before = await inspect();
    const switches = before.switchProcesses.map(({ pid }) => pid);
    const victims = withAgent ? [agentPidOf(bench.directory)!, switches[0]!] : switches;
    const ids = victims.map((pid) => processId(pid)!);
    for (const pid of victims) process.kill(pid, 'SIGKILL');
    for (const id of ids) expect(await gone(id, 10_000)).toBe(true);
    await expect
      .poll(async () => (await tunnels()).map((own) => own?.[0]?.state), { timeout: 20_000 })
      .toEqual(['sealed', 'sealed']);
    expect(await ping()).not.toContain(' 0 received');
    const after = await inspect();
    expect(after.nodes.map(({ pid }) => pid)).toEqual(before.nodes.map(({ pid }) => pid));
  }
});

it('replaces keys under load, and loses nothing by it', async () => {
  await replaceKeysEachSecond(bench.paths);
  await expect
    .poll(async () => (await tunnels()).map((own) => own?.[0]?.state), { timeout: 20_000 })
    .toEqual(['sealed', 'sealed']);
  const before = await inspect();
  const server = spawn(LUTHIER, ['exec', 'h2', '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
  const served = once(server, 'close');
  await speaks(server);
  const client = spawn(LUTHIER, ['exec', 'h1', '--', 'iperf3', '-J', '-t300', '-c', 'h2'], { env: bench.env });
  let said = '';
  client.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(client, 'close');
  const rekeys = async (): Promise<number> => Math.min(...(await tunnels()).map((own) => own?.[0]?.rekeys ?? 0));
  const enough = 3 + Math.max(...before.switchProcesses.map(({ state }) => state!.tunnels[0]!.rekeys ?? 0));
  await expect.poll(rekeys, { timeout: 60_000 }).toBeGreaterThanOrEqual(enough);
  client.kill('SIGINT');
  await Promise.all([ended, served]);
  const { intervals } = JSON.parse(said) as { intervals: { sum: { bytes: number; seconds: number } }[] };
  // A second each, but for what may be left over at the end.
  const whole = intervals.filter(({ sum }) => sum.seconds > 0.5);
  expect(whole.length).toBeGreaterThan(0);
  expect(whole.filter(({ sum }) => sum.bytes === 0)).toEqual([]);
  const after = await inspect();
  for (const reason of OF_KEYS) expect([reason, after.drops[reason]]).toEqual([reason, before.drops[reason]]);
});

it('leaves it out where the scenario says so, and says that it does', async () => {
  const told = JSON.parse(await bench.ok('up', '--json', bench.scenario('sealing', scenario('seal: none')))) as {
    notices: { message: string }[];
    network: { seal: string };
  };
  expect(told.notices.map(({ message }) => message).join()).toContain('can be read');
  expect(told.network.seal).toBe('none');
  expect(await bench.ok('ls')).toContain('sealing is not sealed');
  expect(await tunnels()).toMatchObject([
    [{ name: 'udp:b', peer: 'b', state: 'unsealed' }],
    [{ name: 'udp:a', peer: 'a', state: 'unsealed' }],
  ]);
  expect(recordedFiles().some(({ text }) => text.includes('PRIVATE KEY'))).toBe(false);
  expect((await overheard()).includes(PATTERN)).toBe(true);

  await up();
  for (const own of await tunnels()) expect(own).toMatchObject([{ state: 'sealed' }]);
  expect(await ping()).toContain('3 received');
});
