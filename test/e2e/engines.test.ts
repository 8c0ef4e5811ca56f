/**
 * A switch process with two engines is to its users as one with a single one: hosts of one switch in both, a tunnel, a link
 * from engine to engine; captures, recordings, `set`, events, changes and a killed switch process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { gone, processId } from '../../control/process.js';
import { journalFiles } from '../../control/journal.js';
import { processesOnRecord } from '../chaos/victims.js';
import { engineThreads } from '../../control/realtime.js';
import { loadText } from '../../control/scenario/index.js';
import type { NetworkState } from '../../model/messages.js';
import { Conversation } from './conversation.js';
import { Bench, LUTHIER, run, speaks } from './machine.js';
import { replaceKeysEachSecond } from './rekeying.js';

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

const THERE = ['g1', 'g2', 'g3', 'g4'];

/** Hosts of both engines of two machines, on one switch; and two with a link of their own. */
const twoMachines = `
name: engines
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
${HERE.map((name) => `  ${name}: { kind: host, machine: a }\n`).join('')}
${THERE.map((name) => `  ${name}: { kind: host, machine: b }\n`).join('')}
  h4b: { kind: host, machine: a }
  g4b: { kind: host, machine: b }
links:
${[...HERE, ...THERE].map((name) => `  - { endpoints: [${name}, s1] }\n`).join('')}
  - { endpoints: [h4b, g4b] }
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
    bench.ok('exec', from, '--', 'ping', '-4', '-q', '-c3', '-i0.05', '-w60', to);

  /** One after the other, by one command. */
  const pingAll = (from: string, ...to: string[]): Promise<string> => {
    const script = 'for to; do ping -4 -q -c3 -i0.05 -w60 $to || exit; done';
    return bench.ok('exec', from, '--', 'sh', '-c', script, 'sh', ...to);
  };

  /** Until these send frames on these lanes between the machines, and no others. */
  async function expectLanes(lanes: readonly string[]): Promise<void> {
    const [journal] = journalFiles(bench.paths);
    const machine = processesOnRecord(journal!).find(({ role }) => role === 'machine:a')!;
    const own = process.getuid!() === 0 ? [] : ['-U', '--preserve-credentials'];
    const shark = ['tshark', '-l', '-i', 'eth0', '-f', 'udp', '-T', 'fields', '-e', 'ip.src', '-e', 'udp.payload'];
    const dump = spawn('nsenter', ['-t', String(machine.id.pid), '-n', ...own, ...shark]);
    const closed = once(dump, 'close');
    const seen = new Set<string>();
    createInterface(dump.stdout).on('line', (line) => {
      const [source, payload = ''] = line.split('\t');
      const [, type, , lane] = Buffer.from(payload.slice(0, 8), 'hex');
      if (type === 0) seen.add(`${source} lane ${lane}`);
    });
    await expect.poll(() => [...seen].sort(), { timeout: 60_000 }).toEqual(lanes);
    dump.kill('SIGINT');
    await closed;
    expect([...seen].sort()).toEqual(lanes);
  }

  it('has all hosts reach each other, and shows them as one switch', async () => {
    await bench.ok('up', bench.scenario('engines', scenario()), '--engines', '2');
    const all = [...HERE, 'far'];
    for (const from of all) await pingAll(from, ...all.filter((to) => to !== from));
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
    await expect.poll(() => leastRttMs('h1', 'h4')).toBeLessThan(80);
    for (const port of ['h1:eth0', 'h4:eth0']) await bench.ok('set', port, 'delay=1ms');
    await bench.ok('set', 'x:eth0', 'delay=20ms');
    expect(await leastRttMs('x', 'y')).toBeGreaterThanOrEqual(40);
    const carriers = (): Promise<string[]> =>
      Promise.all(['x', 'y'].map((node) => bench.ok('exec', node, '--', 'cat', '/sys/class/net/eth0/carrier')));
    await bench.ok('link', 'down', 'x:eth0');
    expect(await carriers()).toEqual(['0\n', '0\n']);
    await bench.ok('link', 'up', 'x:eth0');
    expect(await carriers()).toEqual(['1\n', '1\n']);
    // Whether they were kept is the machine's affair.
    const { stdout } = await bench.luthier('verdict', '--json');
    expect((JSON.parse(stdout) as { verdict: unknown }).verdict).toBeDefined();
    const forwards = new Map((await state()).linkStates.map(({ name, forward }) => [name, forward]));
    expect(forwards.get('x--y')).toEqual({ delay: '20ms' });
    const counted = (await processOf('a')).state!.links;
    expect(counted.find(({ name }) => name === 'x--y')!.forwardEmulation!.timed).toBeGreaterThan(0);
  }, 120_000);

  it('records links of both, as one engine would: replayed to the nanosecond', async () => {
    const to = bench.path('run.jsonl');
    const recorder = spawn(LUTHIER, ['record', '-m', 'a', '-w', to], {
      env: bench.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const recorded = once(recorder, 'close');
    await speaks(recorder, 'stderr');
    await ping('h1', 'h4');
    await ping('x', 'y');
    recorder.kill('SIGINT');
    expect(await recorded).toEqual([0, null]);
    const frames = readFileSync(to, 'utf8')
      .split('\n')
      .filter((line) => line.includes('"came":'));
    const links = frames.map((line) => (JSON.parse(line) as { link: string }).link);
    expect([...new Set(links)].sort()).toEqual(['h1--s1', 'h4--s1', 'x--y']);
    const replayed = await bench.ok('simulate', bench.scenario('engines', scenario()), '--replay', to);
    expect(replayed).toMatch(/\nas recorded, to the nanosecond: \d+ outcomes\n$/);
  }, 60_000);

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
    expect(await gone(killed, 30_000)).toBe(true);
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

  it('sends to another machine from each engine, sealed, and what comes from each is opened there', async () => {
    await bench.ok('up', bench.scenario('engines', twoMachines), '--engines', '2');
    const client = await agent();
    const talks = await Promise.all(HERE.map((host, i) => Conversation.between(client, 'engines', host, THERE[i]!)));
    for (const { state: switched } of (await state()).switchProcesses)
      expect(switched!.tunnels).toMatchObject([{ state: 'sealed' }]);
    // Each pair talks all the time.
    await expectLanes(['100.64.0.1 lane 0', '100.64.0.1 lane 1', '100.64.0.2 lane 0', '100.64.0.2 lane 1']);
    await Promise.all(HERE.map((host, i) => Promise.all([ping(host, THERE[i]!), ping(THERE[i]!, host)])));
    // A link of two hosts alone, whose emulation is at the engine of either.
    await bench.ok('set', 'h4b:eth0', 'delay=20ms');
    expect(Number(/= ([\d.]+)\//.exec(await ping('h4b', 'g4b'))![1])).toBeGreaterThanOrEqual(20);
    await Promise.all(talks.map((talk) => talk.goesOn()));
    const processes = (await state()).switchProcesses;
    for (const { pid } of processes) {
      const killed = processId(pid)!;
      process.kill(pid, 'SIGKILL');
      expect(await gone(killed, 30_000)).toBe(true);
      await Promise.all(talks.map((talk) => talk.goesOn()));
    }
    await replaceKeysEachSecond(bench.paths);
    const rekeys = async (): Promise<number> =>
      Math.min(...(await state()).switchProcesses.map((one) => one.state?.tunnels[0]?.rekeys ?? 0));
    await expect.poll(rekeys, { timeout: 60_000 }).toBeGreaterThanOrEqual(3);
    // But for copies of what was flooded that have nowhere to go: hosts do say something of their own.
    const drops = async (): Promise<Record<string, number>> => {
      const { hairpin, noPort, ...others } = (await state()).drops;
      return others;
    };
    const before = await drops();
    const enough = 3 + (await rekeys());
    await expect.poll(rekeys, { timeout: 60_000 }).toBeGreaterThanOrEqual(enough);
    await Promise.all(talks.map((talk) => talk.goesOn()));
    // Nothing for want of a key, and nothing that was sealed wrongly or twice.
    expect(await drops()).toEqual(before);
    for (const talk of talks) await talk.end();
    // At the beginning, what nobody could seal or open yet, or had a peer that was killed and is taken for dead.
    const early = ['noKey', 'unknownEpoch', 'linkDown'];
    expect(Object.keys(before).filter((reason) => !early.includes(reason))).toEqual([]);
    await bench.ok('down', 'engines');
  }, 240_000);

  it.each(['0', '100000', 'two'])('refuses --engines %s and says what there may be', async (engines) => {
    const { code, stderr } = await bench.luthier('up', bench.scenario('none', scenario()), '--engines', engines);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--engines is')]);
  });
});
