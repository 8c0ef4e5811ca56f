/**
 * A switch process with two engines is to its users as one with a single one: hosts of one switch in both, a tunnel, a link
 * from engine to engine; captures, `set`, events, changes and a killed switch process.
 */
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { gone, processId } from '../../control/process.js';
import { engineThreads } from '../../control/realtime.js';
import { loadText } from '../../control/scenario/index.js';
import type { NetworkState } from '../../model/messages.js';
import { Conversation } from './conversation.js';
import { Bench, run } from './machine.js';

const HERE = ['h1', 'h2', 'h3', 'h4'];

/** h1 … are on machine a, `far` is on b; x and y are joined by a link alone. So h1 and h4 are in two engines, as x and y are. */
const scenario = (hosts: readonly string[] = HERE): string => `
name: engines
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  x: { kind: host, machine: a }
  y: { kind: host, machine: a }
${hosts.map((name) => `  ${name}: { kind: host, machine: a }\n`).join('')}
  far: { kind: host, machine: b }
links:
${hosts.map((name) => `  - { endpoints: [${name}, s1] }\n`).join('')}
  - { endpoints: [far, s1] }
  - { endpoints: [x, y] }
`;

describe.skipIf(availableParallelism() < 2)('two engines (skipped where there is one processor)', () => {
  let bench: Bench;

  beforeAll(() => {
    bench = new Bench();
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const agent = (): Promise<AgentClient> => AgentClient.connect(bench.paths);
  const state = async (): Promise<NetworkState> => (await agent()).network('engines');
  const processOf = async (machine: string): Promise<NetworkState['switchProcesses'][number]> =>
    (await state()).switchProcesses.find((one) => one.machine === machine)!;
  const ping = (from: string, to: string): Promise<string> =>
    bench.ok('exec', from, '--', 'ping', '-4', '-q', '-c3', '-i0.05', '-W5', to);

  it('has all hosts reach each other, and shows them as one switch', async () => {
    await bench.ok('up', bench.scenario('engines', scenario()), '--engines', '2');
    for (const from of [...HERE, 'far']) for (const to of [...HERE, 'far']) if (from !== to) await ping(from, to);
    await ping('x', 'y');
    const { pid, state: switched } = await processOf('a');
    expect(engineThreads(pid)).toHaveLength(2);
    const { nodes, linkStates, drops } = await state();
    const macs = new Map(nodes.flatMap(({ name, ports }) => ports.map(({ mac }) => [mac, name] as const)));
    const known = switched!.bridges[0]!.fdb.map(({ mac, link }) => `${macs.get(mac)} ${link}`);
    expect(known.filter((entry) => entry.startsWith('h')).sort()).toEqual(HERE.map((name) => `${name} ${name}--s1`));
    expect(known.filter((entry) => entry.startsWith('far'))).toHaveLength(1);
    for (const { name, forwardPackets, reversePackets } of linkStates)
      expect([name, forwardPackets > 0, reversePackets > 0]).toEqual([name, true, true]);
    expect(switched!.devices.map(({ name }) => name).filter((name) => !name.startsWith('tap:'))).toEqual(['udp:b']);
    expect(Object.keys(drops).filter((reason) => !['noPort', 'noKey'].includes(reason))).toEqual([]);
  }, 120_000);

  it('captures at ports of both, every frame once', async () => {
    for (const [port, peer] of [
      ['h1', 'h4'],
      ['h4', 'h1'],
      ['x', 'y'],
    ] as const) {
      const file = bench.path(`${port}.pcapng`);
      const over = new AbortController();
      const captured = bench.luthier('capture', `${port}:eth0`, '-w', file, '-c', '20').finally(() => {
        over.abort();
      });
      while (!over.signal.aborted) await ping(port, peer);
      expect(await captured).toMatchObject({ code: 0 });
      const fields = ['-T', 'fields', '-e', 'icmp.type', '-e', 'icmp.ident', '-e', 'icmp.seq'];
      const { stdout } = await run('tshark', ['-r', file, '-Y', 'icmp', ...fields]);
      const frames = stdout.trim().split('\n');
      expect(frames.length).toBeGreaterThan(6);
      expect(new Set(frames).size).toBe(frames.length);
    }
  }, 120_000);

  it('changes links of both, and of one that is in both, now and in time', async () => {
    const leastRttMs = async (from: string, to: string): Promise<number> =>
      Number(/= ([\d.]+)\//.exec(await ping(from, to))![1]);
    for (const port of ['h1:eth0', 'h4:eth0']) await bench.ok('set', port, 'delay=20ms');
    expect(await leastRttMs('h1', 'h4')).toBeGreaterThanOrEqual(80);
    for (const port of ['h1:eth0', 'h4:eth0']) await bench.ok('set', port, 'delay=none');
    expect(await leastRttMs('h1', 'h4')).toBeLessThan(80);
    for (const port of ['h1:eth0', 'h4:eth0']) await bench.ok('set', port, 'delay=1ms');
    await bench.ok('set', 'x:eth0', 'delay=20ms');
    expect(await leastRttMs('x', 'y')).toBeGreaterThanOrEqual(40);
    const carriers = (): Promise<string[]> =>
      Promise.all(['x', 'y'].map((node) => bench.ok('exec', node, '--', 'cat', '/sys/class/net/eth0/carrier')));
    await bench.ok('link', 'down', 'x:eth0');
    expect(await carriers()).toEqual(['0\n', '0\n']);
    await bench.ok('link', 'up', 'x:eth0');
    expect(await carriers()).toEqual(['1\n', '1\n']);
    const links = ['--link', 'h1--s1', '--link', 'h4--s1'];
    const { code, stderr } = await bench.luthier('record', '-m', 'a', ...links, '--seconds', '1');
    expect([code, stderr]).toEqual([1, expect.stringContaining('in several engines')]);
    // Whether they were kept is the machine's affair.
    const { stdout } = await bench.luthier('verdict', '--json');
    expect((JSON.parse(stdout) as { verdict: unknown }).verdict).toBeDefined();
    const forwards = new Map((await state()).linkStates.map(({ name, forward }) => [name, forward]));
    expect(forwards.get('x--y')).toEqual({ delay: '20ms' });
    const counted = (await processOf('a')).state!.links;
    expect(counted.find(({ name }) => name === 'x--y')!.forwardEmulation!.timed).toBeGreaterThan(0);
  }, 120_000);

  it('leaves a TCP connection alone when hosts come and go, and when the switch process is killed', async () => {
    const talks = [
      await Conversation.between(await agent(), 'engines', 'h1', 'h4'),
      await Conversation.between(await agent(), 'engines', 'h2', 'far'),
    ];
    const goOn = (): Promise<unknown> => Promise.all(talks.map((talk) => talk.goesOn()));
    for (const hosts of [[...HERE, 'n1', 'n2', 'n3'], [...HERE.filter((name) => name !== 'h3'), 'n2'], HERE]) {
      await (await agent()).up(loadText(scenario(hosts), 'engines.yaml'), { engines: 2 });
      await goOn();
      for (const host of hosts) await ping(host, host === 'h1' ? 'h2' : 'h1');
    }
    const { pid } = await processOf('a');
    const killed = processId(pid)!;
    process.kill(pid, 'SIGKILL');
    expect(await gone(killed, 10_000)).toBe(true);
    await goOn();
    await expect.poll(async () => (await processOf('a')).state, { timeout: 30_000 }).toBeDefined();
    expect(engineThreads((await processOf('a')).pid)).toHaveLength(2);
    await ping('h3', 'far');
    for (const talk of talks) await talk.end();
    await bench.ok('down', 'engines');
  }, 240_000);

  it('does events at their times in both', async () => {
    const events = `
events:
  - { at: 300ms, link: h1--s1, set: { delay: 10ms } }
  - { at: 300ms, link: h4--s1, set: { delay: 20ms } }
  - { at: 400ms, link: x--y, set: { state: down } }
`;
    await bench.ok('up', bench.scenario('engines', scenario() + events), '--engines', '2');
    const done = async (): Promise<number[]> =>
      (await (await agent()).events('engines')).map(({ doneNs }) => doneNs ?? 0);
    await expect.poll(async () => (await done()).every((at) => at > 0), { timeout: 30_000 }).toBe(true);
    expect((await done()).map((ns) => ns >= 300e6)).toEqual([true, true, true]);
    const rtt = await ping('h1', 'h4');
    expect(Number(/= ([\d.]+)\//.exec(rtt)![1])).toBeGreaterThanOrEqual(60);
  }, 120_000);

  it.each(['0', '100000', 'two'])('refuses --engines %s and says what there may be', async (engines) => {
    const { code, stderr } = await bench.luthier('up', bench.scenario('none', scenario()), '--engines', engines);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--engines is')]);
  });
});
