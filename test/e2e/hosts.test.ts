/** Hosts: names longer than an interface's, commands, limits, links without a switch, routers in a row, static routes. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkState } from '../../model/messages.js';
import { Bench, isRoot } from './machine.js';

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const inspect = async (name: string): Promise<NetworkState> =>
  (JSON.parse(await bench.ok('inspect', '--json', name)) as { network: NetworkState }).network;

it('tells apart names that are equal in their first fifteen bytes', async () => {
  const file = bench.scenario(
    'long',
    `
name: long
nodes:
  a-very-long-switch-name-1: { kind: switch, subnet: 10.0.0.0/24 }
  a-very-long-host-name-1: { kind: host }
  a-very-long-host-name-2: { kind: host }
links:
  - { endpoints: [a-very-long-host-name-1, a-very-long-switch-name-1] }
  - { endpoints: [a-very-long-host-name-2, a-very-long-switch-name-1] }
`,
  );
  await bench.ok('up', file);
  await bench.ok('exec', 'a-very-long-host-name-1', '--', 'ping', '-c1', '-W20', 'a-very-long-host-name-2');
  await bench.ok('down', file);
});

it('crosses three routers in a row, on links without a switch, in both families', async () => {
  const file = bench.scenario(
    'row',
    `
name: row
nodes:
  h1: { kind: host }
  r1: { kind: router }
  r2: { kind: router }
  r3: { kind: router }
  h2: { kind: host }
links:
  - { endpoints: [h1, r1] }
  - { endpoints: [r1, r2] }
  - { endpoints: [r2, r3] }
  - { endpoints: [r3, h2] }
`,
  );
  await bench.ok('up', file);
  await bench.ok('exec', 'h1', '--', 'ping', '-4', '-c1', '-W20', 'h2');
  await bench.ok('exec', 'h1', '--', 'ping', '-6', '-c1', '-W20', 'h2');
  const hops = (await bench.ok('exec', 'h1', '--', 'traceroute', '-n', '-q1', '-w20', 'h2'))
    .trim()
    .split('\n')
    .slice(1);
  expect(hops).toHaveLength(4);
  await bench.ok('down', 'row');
});

it('joins the parts of a switch that spans three machines', async () => {
  const file = bench.scenario(
    'span',
    `
name: span
machines: [a, b, c]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
  h3: { kind: host, machine: c }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
  - { endpoints: [h3, s1] }
`,
  );
  await bench.ok('up', file);
  for (const [from, to] of [
    ['h1', 'h2'],
    ['h2', 'h3'],
    ['h3', 'h1'],
  ] as const) {
    // Neither lost nor doubled.
    expect(await bench.answers(from, to, 2, '-i0.1')).toEqual([1, 2]);
  }
  await bench.ok('down', 'span');
});

it('runs commands, keeps what they print, notices how they end', async () => {
  const file = bench.scenario(
    'commands',
    `
name: commands
nodes:
  done: { kind: host, command: [sh, -c, 'echo "hello from $(hostname)"; echo $GREETING; exit 3'], env: { GREETING: hi } }
  killed: { kind: host, command: [sh, -c, 'kill -KILL $$'] }
  runs: { kind: host, command: [sleep, "1000"] }
links:
  - { endpoints: [done, runs] }
`,
  );
  await bench.ok('up', file);
  const commands = async (): Promise<Record<string, unknown>> =>
    Object.fromEntries((await inspect('commands')).nodes.map(({ name, command }) => [name, command]));
  await expect.poll(commands).toMatchObject({
    done: { status: 'exited', code: 3 },
    killed: { status: 'signalled', code: 9 },
    runs: { status: 'running' },
  });
  expect(await bench.ok('logs', 'done')).toBe('hello from done\nhi\n');
  await bench.ok('down', 'commands');
});

const LIMITS = `
name: limits
nodes:
  h1: { kind: host, cpu: 0.2, memory: 64MiB }
  h2: { kind: host }
links:
  - { endpoints: [h1, h2] }
`;

it.runIf(isRoot)('enforces cpu and memory (as root: only root may make cgroups)', async () => {
  const file = bench.scenario('limits', LIMITS);
  await bench.ok('up', file);
  // 64 MiB are not enough for 200 MB: the kernel ends the command.
  const greedy = await bench.luthier('exec', 'h1', '--', 'node', '-e', 'Buffer.alloc(200e6, 1); console.log("had it")');
  expect(greedy.stdout).not.toContain('had it');
  expect(greedy.code).not.toBe(0);
  const free = await bench.luthier('exec', 'h2', '--', 'node', '-e', 'Buffer.alloc(200e6, 1); console.log("had it")');
  expect(free.stdout).toContain('had it');
  // A fifth of a core: what a busy loop consumed, over the time it ran. Without a limit it depends on who else runs. Over some
  // seconds: time for which a virtual machine was away counts as consumed, too, and more than a tenth of a second at once.
  const share = async (node: string): Promise<number> => {
    const loop = `TIMEFORMAT='%R %U %S'; time timeout 3 sh -c 'while :; do :; done'`;
    const [real, user, system] = (await bench.luthier('exec', node, '--', 'bash', '-c', loop)).stderr.trim().split(' ').map(Number) as [number, number, number]; // prettier-ignore
    return (user + system) / real;
  };
  expect(await share('h1')).toBeLessThan(0.3);
  expect(await bench.ok('exec', 'h2', '--', 'cat', '/proc/self/cgroup')).not.toContain('luthier');
  await bench.ok('down', 'limits');
});

it.skipIf(isRoot)('says once that cpu and memory are not enforced without root, and runs', async () => {
  const file = bench.scenario('limits', LIMITS);
  const { code, stderr } = await bench.luthier('up', file);
  expect(code).toBe(0);
  expect(stderr.match(/^note: .*$/gm)).toEqual([
    'note: without root, cpu and memory of h1 are not limited: they may take all of this machine',
  ]);
  await bench.ok('exec', 'h1', '--', 'ping', '-c1', '-W20', 'h2');
  // The file is what runs, as far as it can.
  expect(await bench.ok('up', file)).toContain('already');
  await bench.ok('down', 'limits');
});
