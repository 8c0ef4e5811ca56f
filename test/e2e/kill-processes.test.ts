/** Each process of a network is killed while a TCP connection runs through it; then all at once; then the machine restarts. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import { loadText } from '../../control/scenario/index.js';
import { gone, processId } from '../../control/process.js';
import { canRaiseEngines, engineThreads } from '../../control/realtime.js';
import type { NetworkState, NetworkSummary } from '../../model/messages.js';
import { Bundle } from '../chaos/bundle.js';
import { processesOnRecord } from '../chaos/victims.js';
import { agentPidOf, Bench, LUTHIER, QUICK, speaks } from './machine.js';

const SCENARIO = loadText(
  `
name: killed
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`,
  'killed.yaml',
);
const PORT = '7000';

let bench: Bench;
let bundle: Bundle;

beforeAll(async () => {
  bundle = await Bundle.of('heartbeat');
  bench = new Bench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  bundle[Symbol.dispose]();
});

const agent = (): Promise<AgentClient> => AgentClient.connect(bench.paths);
const state = async (): Promise<NetworkState> => (await agent()).network('killed');
const listed = async (): Promise<NetworkSummary[]> => (await agent()).networks();
const up = async (): Promise<void> => (await agent()).up(SCENARIO, QUICK);

async function kill(...pids: readonly number[]): Promise<void> {
  const ids = pids.map((pid) => processId(pid)!);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  for (const id of ids) expect(await gone(id, 30_000)).toBe(true);
}

const until = (condition: () => Promise<boolean>, message: string): Promise<void> =>
  expect.poll(condition, { timeout: 30_000, message }).toBe(true);

/** sched(7), proc_pid_stat(5): field 41. */
const SCHED_OTHER = 0;
const SCHED_RR = 2;
function policyOf(thread: number): number {
  const stat = readFileSync(`/proc/${thread}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
}

interface Inside {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  readonly said: () => string;
  readonly closed: Promise<unknown>;
}

/** A program in a host. */
function inside(node: string, ...argv: string[]): Inside {
  const child = spawn(LUTHIER, ['exec', node, '--', ...argv], { env: bench.env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  return { child, said: () => said, closed: once(child, 'close') };
}

async function ended({ child, closed }: Inside, signal?: NodeJS.Signals): Promise<void> {
  if (signal !== undefined) child.kill(signal);
  await closed;
}

it('a connection outlives switches and agent, and no host sees its carrier change', async () => {
  await up();
  const before = await state();
  const monitors = ['h1', 'h2'].map((node) => inside(node, 'ip', 'monitor', 'link'));
  const server = inside('h2', process.execPath, bundle.file('heartbeat'), 'serve', PORT);
  await speaks(server.child);
  const heart = inside('h1', process.execPath, bundle.file('heartbeat'), 'connect', '10.0.0.2', PORT);
  await speaks(heart.child);

  // A switch process alone; the other; then the agent, and a switch with it while nobody is there to start it again.
  for (const machine of ['a', 'b']) {
    await kill(before.switchProcesses.find((process) => process.machine === machine)!.pid);
    await until(async () => {
      const { status, switchProcesses } = await state();
      return status === 'running' && switchProcesses.every((process) => process.state !== undefined);
    }, `the switch process of ${machine} is there again`);
  }
  const after = await state();
  // The engines in their place come before all else again, where that can be had.
  const policy = canRaiseEngines() ? SCHED_RR : SCHED_OTHER;
  await expect
    .poll(() => after.switchProcesses.map(({ pid }) => policyOf(engineThreads(pid)[0]!)), { timeout: 30_000 })
    .toEqual([policy, policy]);
  await kill(agentPidOf(bench.directory)!);
  expect(await listed()).toEqual([expect.objectContaining({ name: 'killed', status: 'running' })]);
  await kill(agentPidOf(bench.directory)!, after.switchProcesses[0]!.pid);
  await until(async () => (await listed())[0]!.status === 'running', 'agent and switch process are there again');

  await bench.reach('h1', '10.0.0.2');
  await ended(heart, 'SIGTERM');
  const { beats, longestGapMs } = JSON.parse(heart.said().trim().split('\n').at(-1)!) as Record<string, number>;
  console.log(`one TCP connection: ${beats} beats of 20 ms, at most ${longestGapMs} ms without one`);
  await ended(server);
  for (const monitor of monitors) {
    await ended(monitor, 'SIGTERM');
    expect(monitor.said()).toBe('');
  }
  const now = await state();
  expect(now.nodes.map(({ pid }) => pid)).toEqual(before.nodes.map(({ pid }) => pid));
  await (await agent()).down('killed');
  await bench.nothingLeft();
});

it('an iperf3 run goes on while the switch process it runs through is killed', async () => {
  await up();
  const server = inside('h2', 'iperf3', '-s', '-1', '--forceflush');
  await speaks(server.child);
  const client = inside('h1', 'iperf3', '-c', '10.0.0.2', '-t', '300', '-i', '0.1', '-J');
  const goesOn = (): Promise<void> =>
    until(
      async () => (await state()).linkStates.find(({ name }) => name === 'h1--s1')!.forwardBytes > 1e6,
      'a megabyte has passed',
    );
  await goesOn();
  const { pid } = (await state()).switchProcesses[0]!;
  await kill(pid);
  // Another process counts from 0.
  await until(async () => {
    const [now] = (await state()).switchProcesses;
    return now!.pid !== pid && now!.state !== undefined;
  }, 'another switch process is there');
  await goesOn();
  await ended(client, 'SIGINT');
  await ended(server);
  const { intervals } = JSON.parse(client.said()) as { intervals: { sum: { bytes: number; seconds: number } }[] };
  let [stall, longest] = [0, 0];
  for (const { sum } of intervals) {
    stall = sum.bytes === 0 ? stall + sum.seconds : 0;
    longest = Math.max(longest, stall);
  }
  console.log(`iperf3 over a killed switch process: at most ${longest.toFixed(1)} s without a byte (goal 2)`);
  await (await agent()).down('killed');
  await bench.nothingLeft();
});

it('all of them at once: what is broken is said, and goes', async () => {
  await up();
  await kill(agentPidOf(bench.directory)!, ...processesOnRecord(journalFiles(bench.paths)[0]!).map(({ id }) => id.pid));
  const [broken] = await listed();
  expect(broken).toMatchObject({ name: 'killed', status: 'broken' });
  expect(broken!.broken!.join()).toContain('h1');
  await (await agent()).down('killed');
  await bench.nothingLeft();
});

it('after a restart of the machine nothing of it is believed to run, and up starts afresh', async () => {
  await up();
  const [file] = journalFiles(bench.paths);
  // What a power cut leaves: the record of another boot, and nothing else.
  await kill(agentPidOf(bench.directory)!, ...processesOnRecord(file!).map(({ id }) => id.pid));
  const [header, ...entries] = readFileSync(file!, 'utf8').split('\n');
  const earlier = { ...(JSON.parse(header!) as object), boot: '00000000-0000-0000-0000-000000000000' };
  writeFileSync(file!, [JSON.stringify(earlier), ...entries].join('\n'));
  await up();
  expect(await listed()).toEqual([expect.objectContaining({ name: 'killed', status: 'running' })]);
  await (await agent()).down('killed');
  await bench.nothingLeft();
});
