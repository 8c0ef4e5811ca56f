/**
 * One round: a small network, a few commands upon it, and processes killed at random moments while they work. Whatever
 * happens, three things hold:
 *
 *   - every command ends, with success or with an error of ours that says something;
 *   - a network that `ls` calls running, runs: its hosts reach each other;
 *   - `down` succeeds, and nothing is left.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentClient } from '../../control/client.js';
import { execute } from '../../control/exec.js';
import { answers } from '../../control/agent-socket.js';
import { agentSocket, type Paths } from '../../control/paths.js';
import { gone, processId } from '../../control/process.js';
import { agentEnvironment } from '../../control/user-namespace.js';
import { LuthierError } from '../../model/errors.js';
import type { NetworkSummary } from '../../model/messages.js';
import { agentPidOf, whatIsLeft, type Census } from '../e2e/census.js';
import { LUTHIER, QUICK } from '../e2e/command.js';
import type { Random } from './random.js';
import { smallNetwork, type SmallNetwork } from './scenarios.js';
import { kill, pickVictim } from './victims.js';

const NAME = 'chaos';
/** Far more than anything takes: what takes longer hangs. */
const HANGS_MS = 60_000;
/** A switch that was killed is back in half a second, on a busy machine in a few. */
const REACHES_MS = 30_000;

const WATCH_MS = 1_000;
/** A client has the server's last word long before. */
const HEARS_MS = 5_000;
const TRAFFIC = ['-n', '4M', '--connect-timeout', '300'];

/** What a round must not show. */
export class Violation extends Error {}

type Outcome = 'done' | LuthierError;

export class Round {
  /** What was done, in order, for people. */
  readonly story: string[] = [];
  /** Milliseconds of each part. */
  readonly spent = new Map<string, number>();
  readonly #random: Random;
  readonly #directory: string;
  readonly #paths: Paths;
  readonly #engines: number;
  #network: SmallNetwork;
  #kills = 0;

  /** `engines`: of each switch process. */
  constructor(random: Random, directory: string, paths: Paths, engines: number) {
    this.#random = random;
    this.#directory = directory;
    this.#paths = paths;
    this.#engines = engines;
    this.#network = smallNetwork(NAME, random);
  }

  async play(before: Census): Promise<void> {
    await this.#operate('up');
    const count = this.#random.int(1, 3);
    for (let i = 0; i < count; i++)
      await this.#operate(this.#random.pick(['up', 'change', 'down', 'use', 'use', 'race']));
    await this.#timed('end', () => this.#end(before));
  }

  async #operate(operation: 'up' | 'change' | 'down' | 'use' | 'race'): Promise<void> {
    if (operation === 'change') this.#network = smallNetwork(NAME, this.#random);
    const calm = this.#kills === 0;
    // Drawn before anything runs, so that a seed repeats them whatever time things take.
    const kills = this.#random.pick([0, 0, 1, 1, 1, 2]);
    const plans = Array.from({ length: kills }, () => ({
      ms: this.#random.int(0, 400),
      agentFirst: this.#random.chance(0.8),
    }));
    const byCommand = this.#random.chance(0.2);
    const over = new AbortController();
    const killers = plans.map((plan) => this.#kill(plan, over.signal));
    const outcome = await this.#timed(operation, () => this.#ends(operation, this.#perform(operation, byCommand)));
    over.abort();
    await Promise.all(killers);
    this.story.push(`${operation}${byCommand ? ' (command)' : ''}: ${outcome === 'done' ? 'done' : outcome.message}`);
    if (calm && this.#kills === 0 && outcome !== 'done')
      throw new Violation(`${operation} failed though nothing was killed: ${outcome.message}`);
    await this.#timed('check', () => this.#check());
  }

  #perform(operation: string, byCommand: boolean): Promise<unknown> {
    switch (operation) {
      case 'up':
      case 'change':
        return byCommand
          ? this.#command('up', this.#file(), '--no-compensation', '--engines', String(this.#engines))
          : this.#up();
      case 'down':
        return byCommand ? this.#command('down', '--all') : this.#down();
      case 'race':
        return Promise.allSettled([this.#up(), this.#down(), this.#up()]).then((results) => {
          for (const result of results) if (result.status === 'rejected') requireOurs('race', result.reason);
        });
      default:
        return this.#use();
    }
  }

  async #up(): Promise<void> {
    const switches = { ...QUICK, memoryBytes: QUICK.memoryBytes * this.#engines, engines: this.#engines };
    await (await AgentClient.connect(this.#paths)).up(this.#network.scenario, switches);
  }

  async #down(): Promise<void> {
    const agent = await AgentClient.tryConnect(this.#paths);
    for (const { name } of (await agent?.networks()) ?? []) await agent?.down(name);
  }

  /** Some TCP between two hosts; nothing where there are none. */
  async #use(): Promise<void> {
    const agent = await AgentClient.tryConnect(this.#paths);
    const [network] = (await agent?.networks()) ?? [];
    if (agent === undefined || network?.status !== 'running') return;
    const { nodes } = await agent.network(NAME);
    const [first, second] = nodes.filter(({ kind }) => kind === 'host');
    if (first === undefined || second === undefined) return;
    const address = second.ports[0]!.addresses[0]!.split('/')[0]!;
    const stop = new AbortController();
    const run = async (host: string, ...argv: string[]): Promise<void> => {
      const access = await agent.access(NAME, host);
      await execute(access, ['iperf3', ...argv], { signal: stop.signal }).catch((cause: unknown) => {
        if (!stop.signal.aborted) throw cause;
      });
    };
    const watching = this.#watch(stop.signal);
    // The one ends with the other. A server whose host was killed says nothing any more, and the client waits for it.
    const server = run(second.name, '-s', '-1').finally(() => sleep(HEARS_MS, undefined, { signal: stop.signal }));
    try {
      await Promise.race([server.catch(() => undefined), run(first.name, '-c', address, ...TRAFFIC)]);
    } finally {
      stop.abort();
      await server.catch(() => undefined);
    }
    await watching;
  }

  /**
   * As people do who wonder why nothing moves: where both the agent and a switch were killed, it is the next command that
   * has the one started, and with it the other.
   */
  async #watch(over: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(WATCH_MS, undefined, { signal: over }).catch(() => undefined);
      if (over.aborted) return;
      await AgentClient.connect(this.#paths).catch((cause: unknown) => requireOurs('ls', cause));
    }
  }

  /** `luthier …` as people run it; a process that can be killed. */
  async #command(...args: string[]): Promise<void> {
    const env = agentEnvironment(this.#paths, process.env);
    const child = spawn(LUTHIER, [...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (data: Buffer) => (said += data.toString()));
    const [status] = (await once(child, 'close')) as [number | null];
    const text = said.trim().split('\n').slice(-2).join(' ');
    if (status !== 0) throw new LuthierError('E_COMMAND', status === null ? 'the command was killed' : text);
  }

  #file(): string {
    const file = join(this.#directory, 'chaos.yaml');
    writeFileSync(file, this.#network.text);
    return file;
  }

  /** After so long, once an agent is there to be disturbed: it takes a while to start. */
  async #kill({ ms, agentFirst }: { ms: number; agentFirst: boolean }, over: AbortSignal): Promise<void> {
    while (agentFirst && !over.aborted && !(await answers(agentSocket(this.#paths)))) await sleep(5);
    await sleep(ms, undefined, { signal: over }).catch(() => undefined);
    const victim = pickVictim(this.#directory, this.#paths, this.#random);
    if (victim === undefined || !kill(victim)) return;
    this.#kills++;
    await gone(victim.id, HANGS_MS);
    this.story.push(`killed ${victim.role} (pid ${victim.id.pid}) ${over.aborted ? 'afterwards' : `after ${ms} ms`}`);
  }

  /** Its outcome; throws where it hangs, or fails with anything that is no error of ours. */
  async #ends(operation: string, work: Promise<unknown>): Promise<Outcome> {
    const timer = new AbortController();
    const hangs = sleep(HANGS_MS, undefined, { signal: timer.signal }).then(() => {
      throw new Violation(`${operation} hangs: nothing for ${HANGS_MS / 1000} s`);
    });
    hangs.catch(() => undefined);
    try {
      await Promise.race([work, hangs]);
      return 'done';
    } catch (cause) {
      return requireOurs(operation, cause);
    } finally {
      timer.abort();
    }
  }

  /** What `ls` says is so. */
  async #check(): Promise<void> {
    const [network, ...more] = await this.#settled();
    if (more.length > 0) throw new Violation(`there are ${more.length + 1} networks: ${JSON.stringify(more)}`);
    if (network === undefined) return;
    this.story.push(`ls: ${network.status}${network.broken === undefined ? '' : ` (${network.broken.join('; ')})`}`);
    if (network.status === 'running') await this.#requireReach();
    else if (this.#kills === 0) throw new Violation(`${network.status} though nothing was killed`);
  }

  /** Once nothing is under way any more: a command that was killed leaves its agent at work for a moment. */
  async #settled(): Promise<NetworkSummary[]> {
    const deadline = performance.now() + HANGS_MS;
    for (;;) {
      const agent = await AgentClient.tryConnect(this.#paths);
      const networks = (await agent?.networks()) ?? [];
      if (networks.every(({ status }) => status !== 'starting' && status !== 'stopping')) return networks;
      if (performance.now() > deadline) throw new Violation(`still under way: ${JSON.stringify(networks)}`);
      await sleep(20);
    }
  }

  async #requireReach(): Promise<void> {
    const agent = await AgentClient.connect(this.#paths);
    const { nodes } = await agent.network(NAME);
    const hosts = nodes.filter(({ kind }) => kind === 'host');
    const [from, to] = [hosts[0], hosts.at(-1)];
    if (from === undefined || to === undefined) return;
    const access = await agent.access(NAME, from.name);
    const address = to.ports[0]!.addresses[0]!.split('/')[0]!;
    const deadline = performance.now() + REACHES_MS;
    for (;;) {
      const { code, stdout, stderr } = await execute(access, ['ping', '-c1', '-i0.1', '-w1', address], {});
      if (code === 0) return;
      const [network] = await agent.networks();
      if (network?.status !== 'running') return;
      if (performance.now() > deadline)
        throw new Violation(`it runs, says ls, but ${from.name} does not reach ${to.name}: ${stdout} ${stderr}`);
    }
  }

  async #end(before: Census): Promise<void> {
    const outcome = await this.#ends('the last down', this.#down());
    if (outcome !== 'done') throw new Violation(`the last down failed: ${outcome.message}`);
    // An agent that has nothing to do ends after a moment; told to, it ends at once.
    const agent = processId(agentPidOf(this.#directory) ?? 0);
    if (agent !== undefined) {
      process.kill(agent.pid, 'SIGTERM');
      if (!(await gone(agent, HANGS_MS))) throw new Violation(`the agent (pid ${agent.pid}) does not end`);
    }
    // As `down --all` does.
    await AgentClient.removeStaleFiles(this.#paths);
    const left = Object.entries(await whatIsLeft(before, this.#directory)).filter(([, list]) => list.length > 0);
    if (left.length > 0) throw new Violation(`left behind: ${JSON.stringify(Object.fromEntries(left))}`);
  }

  async #timed<T>(part: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.spent.set(part, (this.spent.get(part) ?? 0) + performance.now() - started);
    }
  }
}

/** An error that tells people something; anything else is a bug of ours. */
function requireOurs(operation: string, cause: unknown): LuthierError {
  if (cause instanceof LuthierError && cause.code !== 'E_INTERNAL') return cause;
  if (cause instanceof Violation) throw cause;
  throw new Violation(`${operation} failed with no error of ours: ${(cause as Error).stack ?? String(cause)}`);
}
