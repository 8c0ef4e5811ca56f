/**
 * The agent is killed before and after every change of a network's record: of `up`, of `down`, and of the recovery from
 * either. Whatever it was doing, the next command finds all of the network or nothing of it.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { execute } from '../../control/exec.js';
import { loadText } from '../../control/scenario/index.js';
import { journalFiles } from '../../control/journal.js';
import { gone, processId } from '../../control/process.js';
import { startAgentProgram } from '../chaos/agent-program.js';
import { Bundle } from '../chaos/bundle.js';
import { processesOnRecord } from '../chaos/victims.js';
import { agentPidOf, Bench, isRoot, QUICK } from './machine.js';

/** Every kind of action: two machines and so an underlay and a tunnel, a router, a command, a limit. */
const SCENARIO = loadText(
  `
name: steps
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  s2: { kind: switch, subnet: 10.0.2.0/24, machine: b }
  r1: { kind: router, machine: a }
  h1: { kind: host, machine: a, command: [sleep, infinity] }
  h2: { kind: host, machine: b, cpu: 0.5 }
links:
  - { endpoints: [r1, s1] }
  - { endpoints: [r1, s2] }
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s2] }
`,
  'steps.yaml',
);
/** A machine, a switch, hosts, ports, links and a limit less and more; another command; an address that changes. */
const CHANGED = loadText(
  `
name: steps
machines: [a, c]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  s3: { kind: switch, subnet: 10.0.3.0/24, machine: c }
  r1: { kind: router, machine: a }
  h1: { kind: host, machine: a, command: [sleep, "100000"], memory: 64MiB }
  h3: { kind: host, machine: c }
links:
  - { endpoints: [{ node: r1, address: 10.0.1.77/24 }, s1] }
  - { endpoints: [r1, s3] }
  - { endpoints: [h1, s1] }
  - { endpoints: [h3, s3] }
`,
  'steps.yaml',
);
/** Far more than anything takes: each test is many ups, downs or recoveries. */
const HANGS_MS = 1_200_000;
/**
 * What is on record after a step is what is before the next one; they differ by what is made in between. So in CI, where all
 * of this runs as root and as an ordinary user, root's agents die before each step, and the user's after each.
 * KILL_STEPS=all: at both, as anywhere else.
 */
const isShared = process.env.CI !== undefined && process.env.KILL_STEPS !== 'all';

interface Step {
  readonly when: 'before' | 'after';
  /** Of the record, among all of its agent. */
  readonly index: number;
  readonly what: string;
}

function isOurs({ when, what }: Step): boolean {
  if (!isShared) return true;
  // An ordinary user has none of these.
  const isRoots = /^(?:cgroup|lifted) /.test(what);
  return when === (isRoot ? 'before' : 'after') || isRoots;
}

let bench: Bench;
let bundle: Bundle;
let records: string;
/** The pid of the last agent that was to die. */
let dying = 0;

beforeAll(async () => {
  bundle = await Bundle.of('dying-agent');
  bench = new Bench();
  records = bench.path('records');
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  bundle[Symbol.dispose]();
});
beforeEach(() => {
  rmSync(records, { force: true });
});

/** A client of an agent that dies at this step (or as `dying-agent.ts` has it); without one, it lives on. */
async function agentThatDies(step?: Step | string): Promise<AgentClient> {
  const at = typeof step === 'object' ? `${step.when}:${step.index}` : step;
  const dies: Record<string, string> = at === undefined ? {} : { LUTHIER_TEST_DIES: at };
  dying = await startAgentProgram(bundle.file('dying-agent'), bench.paths, { LUTHIER_TEST_RECORDS: records, ...dies });
  return AgentClient.connect(bench.paths);
}

const up = (agent: AgentClient): Promise<void> => agent.up(SCENARIO, QUICK);
const down = (agent: AgentClient): Promise<void> => agent.down('steps');

/** What the agents have recorded since `records` was removed. */
function stepsSoFar(): Step[] {
  const lines = readFileSync(records, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [, when, index, what] = /^(before|after) (\d+) (.*)$/.exec(line)!;
    return { when: when as Step['when'], index: Number(index), what: what! };
  });
}

function lastOnRecord(): string | undefined {
  const [record] = journalFiles(bench.paths);
  return readFileSync(record!, 'utf8').trimEnd().split('\n').at(-1);
}

/** As `ls` asks. An agent that finds nothing ends after a moment: told to, it ends at once. */
async function networksLeft(): Promise<string[]> {
  const networks = (await (await AgentClient.tryConnect(bench.paths))?.networks()) ?? [];
  if (networks.length === 0) {
    const agent = processId(agentPidOf(bench.directory) ?? 0);
    if (agent !== undefined) {
      process.kill(agent.pid, 'SIGTERM');
      expect(await gone(agent, 30_000)).toBe(true);
    }
    await bench.nothingLeft();
  }
  return networks.map(({ name, status }) => `${name} ${status}`);
}

/** The agent that is there, or that was to die and lives. Networks go on. */
async function endAgent(): Promise<void> {
  const agent = (processId(agentPidOf(bench.directory) ?? 0) ?? processId(dying))!;
  process.kill(agent.pid, 'SIGTERM');
  expect(await gone(agent, 30_000)).toBe(true);
}

async function dyingAgentIsGone(): Promise<void> {
  const agent = processId(dying);
  if (agent !== undefined) expect(await gone(agent, 30_000)).toBe(true);
}

async function expectReach(agent: AgentClient, host: string, what: string): Promise<void> {
  const access = await agent.access('steps', 'h1');
  // Its kernel, or the router's, may say that nobody is there while a switch process is on its way.
  const ping = async (): Promise<number> => (await execute(access, ['ping', '-c1', '-i0.2', '-w5', host], {})).code;
  await expect.poll(ping, { timeout: 60_000, message: what }).toBe(0);
}

it(
  'of an up: leaves nothing behind, or all once it has recorded that it runs',
  async () => {
    await up(await agentThatDies());
    const steps = stepsSoFar();
    await down(await AgentClient.connect(bench.paths));
    // Without root there are no limits to record.
    expect(steps.length).toBeGreaterThan(isRoot ? 40 : 36);
    // That another `up` gets as far as the step after each is shown by the next turn, and the last is complete.
    for (const step of steps.filter(isOurs)) {
      const agent = await agentThatDies(step);
      // An agent that died before it said a word is not noticed: the client has asked another one, which did it.
      const done = await up(agent).then(
        () => true,
        (cause: unknown) => {
          expect(String(cause)).toContain('the agent ended before it was done');
          return false;
        },
      );
      const runs = done || step === steps.at(-1);
      expect(await networksLeft(), `${step.when} ${step.what}`).toEqual(runs ? ['steps running'] : []);
      if (runs) await down(await AgentClient.connect(bench.paths));
    }
  },
  HANGS_MS,
);

it(
  'of a change: the network is as it was before it counts, and as it is to be from then on',
  async () => {
    await up(await agentThatDies());
    rmSync(records);
    await endAgent();
    const change = (agent: AgentClient): Promise<void> => agent.up(CHANGED, QUICK);
    await change(await agentThatDies());
    const steps = stepsSoFar();
    const counts = steps.findIndex(({ when, what }) => when === 'after' && what.startsWith('commit'));
    expect(counts).toBeGreaterThan(20);
    await up(await AgentClient.connect(bench.paths));
    const pid = (await (await AgentClient.connect(bench.paths)).access('steps', 'h1')).pid;
    for (const [index, step] of steps.entries()) {
      if (!isOurs(step)) continue;
      await endAgent();
      const done = await change(await agentThatDies(step)).then(
        () => true,
        (cause: unknown) => {
          expect(String(cause)).toContain('the agent ended before it was done');
          return false;
        },
      );
      const agent = await AgentClient.connect(bench.paths);
      const { status, nodes } = await agent.network('steps');
      const other = nodes.some(({ name }) => name === 'h3') ? 'h3' : 'h2';
      // As above, another agent may have done it.
      expect(other, `${step.when} ${step.what}`).toBe(done || index >= counts ? 'h3' : 'h2');
      expect(status).toBe('running');
      const access = await agent.access('steps', 'h1');
      expect(access.pid).toBe(pid);
      await expectReach(agent, other, `${step.when} ${step.what}`);
      const { command } = (await agent.network('steps')).nodes.find(({ name }) => name === 'h1')!;
      expect(command).toEqual({ argv: ['sleep', other === 'h2' ? 'infinity' : '100000'], status: 'running' });
      await up(agent);
    }
    await down(await AgentClient.connect(bench.paths));
    await bench.nothingLeft();
  },
  HANGS_MS,
);

it(
  'of a repair: the next agent completes it',
  async () => {
    await up(await agentThatDies());
    /** Has an agent find that the keeper is gone, and with it the switch processes' way to their descriptors. */
    const repairing = async (step?: Step): Promise<void> => {
      await endAgent();
      const [record] = journalFiles(bench.paths);
      const keeper = processesOnRecord(record!).find(({ role }) => role === 'keeper')!.id;
      process.kill(keeper.pid, 'SIGKILL');
      await agentThatDies(step);
    };
    rmSync(records);
    await repairing();
    await expect.poll(() => existsSync(records) && stepsSoFar().at(-1)!.what, { timeout: 30_000 }).toMatch(/^whole/);
    // What is there and not on record is the same as in an up. In CI each takes every other step.
    const made = stepsSoFar().filter(({ when }) => when === 'after');
    const steps = made.filter((_, index) => !isShared || index % 2 === (isRoot ? 0 : 1));
    for (const step of steps) {
      await repairing(step);
      await dyingAgentIsGone();
      await expectReach(await AgentClient.connect(bench.paths), 'h2', `${step.when} ${step.what}`);
      // The switch processes that were there may have had that pass, before they were replaced.
      await expect.poll(lastOnRecord, { timeout: 60_000 }).toBe('{"op":"whole"}');
    }
    await down(await AgentClient.connect(bench.paths));
    await bench.nothingLeft();
  },
  HANGS_MS,
);

it(
  'of a change, and a host is killed as well: the next agent makes it again, or the one after',
  async () => {
    await up(await agentThatDies());
    rmSync(records);
    const change = (agent: AgentClient): Promise<void> => agent.up(CHANGED, QUICK);
    await endAgent();
    await change(await agentThatDies());
    const made = stepsSoFar().filter(({ when }) => when === 'after');
    await up(await AgentClient.connect(bench.paths));
    for (const what of ['ports', 'addresses', 'forwarding']) {
      await endAgent();
      await expect(
        change(await agentThatDies(made.find((step) => step.what.startsWith(`make {"action":"${what}"`)))),
      ).rejects.toThrow();
      const [record] = journalFiles(bench.paths);
      const host = processesOnRecord(record!).find(({ role }) => role === 'host:r1')!.id;
      process.kill(host.pid, 'SIGKILL');
      expect(await gone(host, 30_000)).toBe(true);
      // The agent that takes it back is killed once the host is there again, and is nothing but there.
      rmSync(records);
      await agentThatDies('after:made {"processes":{"host:r1"');
      await dyingAgentIsGone();
      await expectReach(await AgentClient.connect(bench.paths), 'h2', what);
    }
    await down(await AgentClient.connect(bench.paths));
    await bench.nothingLeft();
  },
  HANGS_MS,
);

it(
  'of a down: the next command completes it, once it has recorded that it goes',
  async () => {
    await up(await agentThatDies());
    const before = stepsSoFar().length;
    await down(await AgentClient.connect(bench.paths));
    for (const step of stepsSoFar().slice(before).filter(isOurs)) {
      const agent = await agentThatDies(step);
      await up(agent);
      // Its client has another agent complete it.
      await down(agent);
      expect(await networksLeft(), `${step.when} ${step.what}`).toEqual([]);
    }
  },
  HANGS_MS,
);

it(
  'of the recovery from an up that was interrupted: the one after recovers',
  async () => {
    await up(await agentThatDies());
    const half = stepsSoFar().find(({ when, what }) => when === 'after' && what.includes('forwarding'))!;
    await down(await AgentClient.connect(bench.paths));
    const interrupted = async (): Promise<void> => {
      await expect(up(await agentThatDies(half))).rejects.toThrow('the agent ended before it was done');
      rmSync(records);
    };
    await interrupted();
    await agentThatDies();
    expect(await networksLeft()).toEqual([]);
    for (const step of stepsSoFar().filter(isOurs)) {
      await interrupted();
      await agentThatDies(step);
      expect(await networksLeft(), `${step.when} ${step.what}`).toEqual([]);
    }
    expect(existsSync(bench.paths.state)).toBe(false);
  },
  HANGS_MS,
);
