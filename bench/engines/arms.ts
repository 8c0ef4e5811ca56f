/**
 * The same network with one engine and with more, at once, in an agent's folders of their own: what `engines.ts` and `lanes.ts`
 * measure in turns. Its hosts are on one switch, 10.0.0.0/24, in the order of their addresses.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient } from '../../control/client.js';
import { pathsFrom } from '../../control/paths.js';
import { loadText } from '../../control/scenario/index.js';
import { transfer, type Way } from '../../measure/traffic.js';

const TICKS_PER_SECOND = 100;
const never = new AbortController().signal;

export interface Arm {
  readonly name: string;
  readonly engines: number;
}

export interface Sample {
  readonly gbps: number;
  /** Of all switch processes. */
  readonly cpuSecondsPerGb: number;
}

export class Arms implements AsyncDisposable {
  readonly arms: readonly Arm[];
  readonly #agent: AgentClient;
  readonly #directory: string;
  readonly #hosts: readonly string[];

  private constructor(agent: AgentClient, directory: string, arms: readonly Arm[], hosts: readonly string[]) {
    this.arms = arms;
    this.#agent = agent;
    this.#directory = directory;
    this.#hosts = hosts;
  }

  /** `scenario` gives the text for a name. */
  static async up(arms: readonly Arm[], hosts: readonly string[], scenario: (name: string) => string): Promise<Arms> {
    const directory = mkdtempSync(join(tmpdir(), 'luthier-bench-'));
    Object.assign(process.env, {
      LUTHIER_RUNTIME_DIR: join(directory, 'run'),
      LUTHIER_STATE_DIR: join(directory, 'state'),
    });
    const agent = await AgentClient.connect(pathsFrom(process.env, process.getuid!()));
    const all = new Arms(agent, directory, arms, hosts);
    try {
      for (const { engines, name } of arms) await agent.up(loadText(scenario(name), `${name}.yaml`), { engines });
      return all;
    } catch (error) {
      await all[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** In turn one way round, in the next the other. */
  inTurn(turn: number): readonly Arm[] {
    return turn % 2 === 0 ? this.arms : this.arms.toReversed();
  }

  async way(network: string, from: string, to: string): Promise<Way> {
    const address = `10.0.0.${1 + this.#hosts.indexOf(to)}`;
    return { from: await this.#agent.access(network, from), to: await this.#agent.access(network, to), address };
  }

  /** TCP between all these pairs at once. */
  async measure(network: string, pairs: readonly (readonly [string, string])[], seconds: number): Promise<Sample> {
    const pids = (await this.#agent.network(network)).switchProcesses.map(({ pid }) => pid);
    const ways = await Promise.all(pairs.map(([from, to]) => this.way(network, from, to)));
    const before = cpuSeconds(pids);
    const moved = await Promise.all(ways.map((one) => transfer(one, { streams: 1, seconds }, never)));
    const bytes = moved.reduce((sum, one) => sum + one.bytes, 0);
    const gbps = moved.reduce((sum, one) => sum + (8e-9 * one.bytes) / one.seconds, 0);
    return { gbps, cpuSecondsPerGb: (cpuSeconds(pids) - before) / (bytes / 1e9) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One that was not brought up, by an error that is told, cannot be taken down.
    for (const { name } of this.arms) await this.#agent.down(name).catch(() => undefined);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Of all threads; proc_pid_stat(5), fields 14 and 15. */
function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }, 0);
}
