/**
 * Links change in place: by `luthier set` and by events, over two machines, while a ping and a TCP connection run through
 * them and the agent and switch processes are killed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { gone, processId } from '../../control/process.js';
import { loadText } from '../../control/scenario/index.js';
import type { EventState, LinkSettings, NetworkState } from '../../model/messages.js';
import { Conversation } from './conversation.js';
import { agentPidOf, Bench, LUTHIER } from './machine.js';

const scenario = (events = ''): string => `
name: changing
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, machine: a }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
${events}`;

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const agent = (): Promise<AgentClient> => AgentClient.connect(bench.paths);
const up = async (events?: string): Promise<void> => (await agent()).up(loadText(scenario(events), 'changing.yaml'));
const inspect = async (): Promise<NetworkState> => (await agent()).network('changing');
const linkOf = async (name: string): Promise<NetworkState['linkStates'][number]> =>
  (await inspect()).linkStates.find((link) => link.name === name)!;
const events = async (): Promise<EventState[]> => (await agent()).events('changing');
const carrier = async (node: string): Promise<string> =>
  (await bench.ok('exec', node, '--', 'cat', '/sys/class/net/eth0/carrier')).trim();

async function kill(pid: number): Promise<void> {
  const id = processId(pid)!;
  process.kill(pid, 'SIGKILL');
  expect(await gone(id, 10_000)).toBe(true);
}

/** The least is the links' and the machine's; what is above is the machine's. */
async function leastRttMs(): Promise<number> {
  const text = await bench.ok('exec', 'h1', '--', 'ping', '-q', '-c5', '-i0.05', '-w20', 'h2');
  return Number(/= ([\d.]+)\//.exec(text)![1]);
}

it('changes the round trip of a running ping, and no answer is lost', async () => {
  await up();
  const child = spawn(LUTHIER, ['exec', 'h1', '--', 'ping', '-i0.02', 'h2'], { env: bench.env });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  const ended = once(child, 'close');
  const rtts = (): number[] => [...text.matchAll(/time=([\d.]+)/g)].map(([, ms]) => Number(ms));
  await expect.poll(() => rtts().length, { timeout: 30_000 }).toBeGreaterThan(10);
  expect(await bench.ok('set', 'h1:eth0', 'delay=60ms')).toBe('changing: h1--s1\n  both ways: delay=60ms\n');
  // All that are sent from now on; what this ping says of those that were on their way may be read later.
  expect(await leastRttMs()).toBeGreaterThanOrEqual(120);
  const changed = rtts().length;
  await expect.poll(() => rtts().length, { timeout: 30_000 }).toBeGreaterThan(changed + 30);
  expect(Math.min(...rtts().slice(-30))).toBeGreaterThanOrEqual(120);
  expect(await bench.ok('set', 'h1--s1', 'delay=none', '--from', 's1')).toContain('s1 → h1:eth0: as a cable');
  child.kill('SIGINT');
  await ended;
  const numbers = [...text.matchAll(/icmp_seq=(\d+)/g)].map(([, number]) => Number(number));
  expect(new Set(numbers).size).toBe(Math.max(...numbers));
}, 120_000);

it('says when it was done, by the clock that all processes have', async () => {
  const begunNs = process.hrtime.bigint();
  const { doneMonotonicNs } = JSON.parse(await bench.ok('set', 'h2--s1', 'delay=1ms', '--json')) as LinkSettings;
  const doneNs = BigInt(Math.round(doneMonotonicNs!));
  expect([doneNs > begunNs, doneNs < process.hrtime.bigint()]).toEqual([true, true]);
}, 60_000);

it('is as it was set when the agent and the switch processes were killed, until an up says what the file says', async () => {
  await bench.ok('set', 'h1--s1', 'delay=40ms', 'loss=none');
  await bench.ok('set', 'h2--s1', 'delay=30ms', '--from', 'h2');
  const before = await linkOf('h2--s1');
  expect(before).toMatchObject({ ends: ['h2:eth0', 's1'], forward: { delay: '30ms' }, reverse: {} });
  await kill(agentPidOf(bench.directory)!);
  expect(await linkOf('h2--s1')).toMatchObject({ forward: { delay: '30ms' }, reverse: {} });
  for (const { pid } of (await inspect()).switchProcesses) await kill(pid);
  await bench.reach('h1', 'h2');
  expect(await leastRttMs()).toBeGreaterThanOrEqual(110);
  await up();
  expect(await linkOf('h2--s1')).toMatchObject({ forward: {}, reverse: {} });
  await expect.poll(leastRttMs).toBeLessThan(110);
}, 120_000);

it('leaves a TCP connection alive, whatever is set while it talks', async () => {
  const talk = await Conversation.between(await agent(), 'changing', 'h1', 'h2');
  for (const set of [
    { delay: '30ms', jitter: '5ms' },
    { rate: '1mbit' },
    { state: 'down' },
    { state: 'up' },
  ] as const) {
    await (await agent()).setLink('changing', 'h1--s1', set);
    if (!('state' in set) || set.state === 'up') await talk.goesOn();
  }
  await Promise.all(
    [10, 20, 30, 40].map(async (ms) => (await agent()).setLink('changing', 'h2--s1', { delay: `${ms}ms` })),
  );
  await talk.goesOn();
  await talk.end();
  await bench.ok('down', 'changing');
}, 120_000);

it('does events at their times, also while there is no agent, and a killed switch process has what came of them', async () => {
  await bench.ok('down', '--all');
  await up(`events:
  - { at: 1500ms, link: h1--s1, from: h1, set: { delay: 10ms } }
  - { at: 2s, link: h2--s1, set: { state: down } }
  - { at: 4s, link: h2--s1, set: { state: up } }
  - { at: 4s, link: h1--s1, set: { loss: 0% } }
`);
  await kill(agentPidOf(bench.directory)!);
  await new Promise((resolve) => setTimeout(resolve, 4500));
  await expect.poll(async () => (await inspect()).schedule, { timeout: 20_000 }).toEqual({ events: 4, done: 4 });
  const done = await events();
  for (const { atNs, doneNs } of done) expect(doneNs).toBeGreaterThanOrEqual(atNs);
  // By the process's own clock: an agent that looked at four and a half seconds is not what it was told by.
  expect(done[0]!.doneNs! - done[0]!.atNs).toBeLessThan(2e9);
  expect(readFileSync(`${bench.paths.state}/agent.log`, 'utf8')).toMatch(
    /event: h2--s1 state=down: due 2\.000000 s, done [23]\./,
  );
  expect(await carrier('h2')).toBe('1');
  for (const { pid } of (await inspect()).switchProcesses) await kill(pid);
  await expect.poll(async () => (await linkOf('h1--s1')).forward, { timeout: 20_000 }).toEqual({ delay: '10ms' });
  await bench.reach('h1', 'h2');
  expect(await leastRttMs()).toBeGreaterThanOrEqual(10);
  expect((await events()).map(({ doneNs }) => doneNs)).toEqual(done.map(({ doneNs }) => doneNs));
}, 120_000);

it('goes on with the same clock when the file has other events: those of the past have come, others come', async () => {
  const zero = (await inspect()).zero;
  const upWithDownAt = (at: string): Promise<void> =>
    up(`events:
  - { at: 1s, link: h2--s1, from: h2, set: { delay: 20ms } }
  - { at: ${at}, link: h2--s1, set: { state: down } }
`);
  await upWithDownAt('1h');
  expect((await inspect()).zero).toBe(zero);
  expect(await linkOf('h2--s1')).toMatchObject({ state: 'up', forward: { delay: '20ms' }, reverse: {} });
  expect(await linkOf('h1--s1')).toMatchObject({ forward: {}, reverse: {} });
  await upWithDownAt(`${Math.ceil((Date.now() - Date.parse(zero!)) / 1000) + 2}s`);
  expect((await inspect()).zero).toBe(zero);
  await expect.poll(async () => (await linkOf('h2--s1')).state, { timeout: 30_000 }).toBe('down');
  await expect.poll(async () => (await inspect()).schedule, { timeout: 20_000 }).toEqual({ events: 2, done: 2 });
  expect(await bench.ok('inspect', '--events')).toMatch(/1s {2}h2--s1 {2}h2 +delay=20ms/);
}, 120_000);

it('refuses what cannot be, with what to do, and changes nothing', async () => {
  const before = await inspect();
  for (const [args, what] of [
    [['h9--s1', 'delay=1ms'], 'h1--s1'],
    [['h1--s1', 'delay=10'], '10ms'],
    [['h1--s1', 'delya=10ms'], 'delay'],
    [['h1--s1', 'delay'], 'KEY=VALUE'],
    [['h1--s1', 'loss=120%'], '120%'],
    [['h1--s1', 'reorder=1%'], 'delay'],
    [['h1--s1', 'delay=1ms', '--from', 'h2'], 'h1'],
    [['h1--s1'], 'key=value'],
  ] as const) {
    const { code, stderr } = await bench.luthier('set', ...args);
    expect([args, code, stderr]).toEqual([args, 2, expect.stringContaining(what)]);
  }
  expect((await inspect()).linkStates.map(({ forward, reverse }) => [forward, reverse])).toEqual(
    before.linkStates.map(({ forward, reverse }) => [forward, reverse]),
  );
  await bench.ok('down', 'changing');
}, 120_000);

it('refuses a change that an event which is still to come would contradict', async () => {
  await up(`events: [{ at: 1h, link: h1--s1, set: { delay: none } }]`);
  const { code, stderr } = await bench.luthier('set', 'h1--s1', 'delay=10ms', 'jitter=1ms');
  expect([code, stderr]).toEqual([2, expect.stringContaining('an event that is still to come')]);
  expect(await linkOf('h1--s1')).toMatchObject({ forward: {}, reverse: {} });
}, 60_000);
