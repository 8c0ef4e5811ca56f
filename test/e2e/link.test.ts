/** `link up|down`: carrier at the interfaces of a link's ends, which stays as it was set whatever is killed meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkState } from '../../model/messages.js';
import { Bench, LUTHIER, run, speaks } from './machine.js';

let bench: Bench;
let file: string;

beforeAll(async () => {
  bench = new Bench();
  file = bench.scenario(
    'cables',
    `
name: cables
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, machine: a }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: a }
  h3: { kind: host, machine: b }
  h4: { kind: host, machine: a }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
  - { endpoints: [h3, s1] }
  - { endpoints: [h3, h4], name: direct }
`,
  );
  await bench.ok('up', file);
});
afterAll(() => bench[Symbol.asyncDispose]());

const carrier = async (node: string, port = 'eth0'): Promise<string> =>
  (await bench.ok('exec', node, '--', 'cat', `/sys/class/net/${port}/carrier`)).trim();
const inspect = async (): Promise<NetworkState> =>
  (JSON.parse(await bench.ok('inspect', '--json')) as { network: NetworkState }).network;
const states = async (): Promise<Record<string, string>> =>
  Object.fromEntries((await inspect()).linkStates.map(({ name, state }) => [name, state]));

it('takes carrier from the hosts at both ends, over machines too, and from no other', async () => {
  expect(await bench.ok('link', 'down', 'direct')).toBe('cables: direct is down\n');
  expect([await carrier('h3', 'eth1'), await carrier('h4')]).toEqual(['0', '0']);
  await bench.ok('link', 'down', 'h1:eth0');
  expect([await carrier('h1'), await carrier('h2'), await carrier('h3')]).toEqual(['0', '1', '1']);
  expect(await states()).toEqual({ 'h1--s1': 'down', 'h2--s1': 'up', 'h3--s1': 'up', direct: 'down' });
  expect((await bench.luthier('exec', 'h2', '--', 'ping', '-c1', '-W1', 'h1')).code).toBe(1);
  await bench.reach('h2', 'h3');
});

it('stays so when the switch process is killed', async () => {
  const before = (await inspect()).switchProcesses.find(({ machine }) => machine === 'a')!.pid;
  process.kill(before, 'SIGKILL');
  await bench.reach('h2', 'h3');
  expect((await inspect()).switchProcesses.find(({ machine }) => machine === 'a')!.pid).not.toBe(before);
  expect([await carrier('h1'), await carrier('h2'), await carrier('h4')]).toEqual(['0', '1', '0']);
});

it('gives it back, by link and by port, and an up says again what the file says', async () => {
  await bench.ok('link', 'up', 'cables/h1');
  expect(await carrier('h1')).toBe('1');
  await bench.reach('h1', 'h3');
  expect(await states()).toMatchObject({ 'h1--s1': 'up', direct: 'down' });
  expect(await bench.ok('up', '--plan', file)).toMatch(/~ link direct\n\s+state: down → up/);
  await bench.ok('up', file);
  expect([await carrier('h3', 'eth1'), await carrier('h4')]).toEqual(['1', '1']);
});

it('has a host that is back say where it is, and once more, to those who believe something else', async () => {
  // Before anybody listens: when it was back the time before, it said so twice as well, and may have yet to.
  await bench.ok('link', 'down', 'h1--s1');
  const file = bench.path('heard.pcapng');
  const capture = spawn(LUTHIER, ['capture', 'h2:eth0', '-w', file], { env: bench.env });
  const ended = once(capture, 'close');
  await speaks(capture, 'stderr');
  const { mac, addresses } = (await inspect()).nodes.find(({ name }) => name === 'h1')!.ports[0]!;
  const address = addresses[0]!.split('/')[0]!;
  const wrong = ['neigh', 'replace', address, 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'stale'];
  await bench.ok('exec', 'h2', '--', 'ip', ...wrong);
  await bench.ok('link', 'up', 'h1--s1');
  // Neither of the two has anything to say to the other.
  const known = (): Promise<string> => bench.ok('exec', 'h2', '--', 'ip', 'neigh', 'show', address);
  await expect.poll(known).toContain(mac);
  const heard = async (): Promise<number> => {
    const filter = `arp.isgratuitous && arp.src.proto_ipv4 == ${address}`;
    const { stdout } = await run('tshark', ['-r', file, '-Y', filter, '-T', 'fields', '-e', 'arp.src.hw_mac']);
    return stdout.split('\n').filter((line) => line === mac).length;
  };
  await expect.poll(heard, { timeout: 30_000 }).toBe(2);
  capture.kill('SIGINT');
  await ended;
});

it('gives a link back though a host of the LAN has lost its init, and the others say where they are', async () => {
  await bench.ok('link', 'down', 'h1--s1');
  const { nodes } = await inspect();
  const { pid, ports } = nodes.find(({ name }) => name === 'h1')!;
  const address = ports[0]!.addresses[0]!.split('/')[0]!;
  process.kill(pid!, 'SIGKILL');
  await expect.poll(() => bench.ok('ls')).toContain('broken');
  expect(await bench.ok('link', 'up', 'h1--s1')).toBe('cables: h1--s1 is up\n');
  await bench.ok('link', 'down', 'h3--s1');
  await bench.ok('link', 'up', 'h3--s1');
  await bench.reach('h2', 'h3');
  await bench.ok('up', file);
  await bench.reach('h2', address);
});

it('takes the network down while hosts are still to be announced, and nothing is said of what is gone', async () => {
  await bench.ok('link', 'down', 'h1--s1');
  await bench.ok('link', 'up', 'h1--s1');
  await bench.ok('down', 'cables');
  await bench.nothingLeft();
  await bench.ok('up', file);
});

it('refuses what is no link, with the nearest name', async () => {
  const wrong = await bench.luthier('link', 'down', 'h1--s2');
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('h1--s1') as unknown });
  expect((await bench.luthier('link', 'sideways', 'h1--s1')).code).toBe(2);
});
