/**
 * What measurements run on: networks side by side, each between two hosts, one of them the reference. `lan-stage.ts` and
 * `tunnel-stage.ts` build one each.
 *
 * All hosts are hosts of networks of Luthier's, those of the kernel's arms too: these have no link of ours, and are joined
 * by interfaces that are made in their namespaces and end with them. So whatever becomes of the benchmark, its networks
 * are on record, and `down` removes all there is of it.
 */
import { readFileSync } from 'node:fs';
import type { AgentClient, UpOptions } from '../control/client.js';
import type { Entrance } from '../control/exec.js';
import { journalFiles, readJournal } from '../control/journal.js';
import { parseScenario } from '../control/scenario/index.js';
import { capture, runBatch } from '../control/native-tools.js';
import type { Paths } from '../control/paths.js';
import { isMachineRoot } from '../control/privileges.js';
import type { ProcessId } from '../control/process.js';
import type { AbsentReport, UnderlayName } from '../model/bench.js';
import { StateError } from '../model/errors.js';
import type { NodeAccess, SwitchState, TunnelState } from '../model/messages.js';
import type { RawScenario } from '../model/scenario.js';
import type { Way } from './traffic.js';

/** One of the networks that are compared. */
export interface Arm {
  readonly name: string;
  readonly title: string;
  readonly isReference: boolean;
  /** Made by a program that people use in Luthier's place (peers/). */
  readonly isPeer?: true;
  /** Of that program. */
  readonly version?: string;
  /** By which its tunnel is sealed. */
  readonly algorithm?: string;
  readonly way: Way;
  /** Its processes: those that run because it does. The kernel's arms have none. */
  readonly processes: readonly number[];
  /** Of these, those that forward. */
  readonly switches: readonly number[];
}

export interface Stage extends AsyncDisposable {
  /** Where there are several. */
  readonly title?: string;
  /** The reference first. */
  readonly arms: readonly Arm[];
  /** One after the other; undefined where there is none. */
  readonly underlays: readonly (UnderlayName | undefined)[];
  setUnderlay(name: UnderlayName): Promise<void>;
}

/** What one run measures, stage by stage. */
export interface Stages extends AsyncDisposable {
  readonly stages: readonly Stage[];
  /** What was to be measured and cannot be. */
  readonly absent?: readonly AbsentReport[];
  /** Aborted when something ends that is measured; its reason tells what. */
  readonly failure?: AbortSignal;
}

export function alone(stage: Stage): Stages {
  return { stages: [stage], [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() };
}

/** Who makes networks, where they are on record, and where programs are looked for, as PATH says it. */
export interface Place {
  readonly agent: AgentClient;
  readonly paths: Paths;
  readonly path: string;
}

/** A network that was brought up for the benchmark; disposing takes it down. */
export class StageNetwork implements AsyncDisposable {
  readonly name: string;
  readonly #agent: AgentClient;
  readonly #env: Readonly<Record<string, string>>;
  readonly #processes: ReadonlyMap<string, ProcessId>;

  private constructor(name: string, { agent, paths, path }: Place) {
    this.name = name;
    this.#agent = agent;
    this.#env = { PATH: path, LC_ALL: 'C' };
    this.#processes = recordedProcesses(paths, name);
  }

  /** Throws where one of that name runs: it would be changed into this one. */
  static async up(
    place: Place,
    raw: RawScenario,
    signal: AbortSignal,
    options: Pick<UpOptions, 'compensation'> = {},
  ): Promise<StageNetwork> {
    const { name } = raw;
    const { agent } = place;
    if ((await agent.networks()).some((network) => network.name === name))
      throw new StateError(`a network ${name} runs already: of another benchmark, or of one that was killed`, {
        hint: `take it down first: luthier down ${name}`,
      });
    await agent.up(parseScenario(raw), { signal, ...options });
    return new StageNetwork(name, place);
  }

  /** The process by its role: `host:h1`, `machine:a`, `underlay`, `keeper`, `switch:a`. */
  process(role: string): ProcessId {
    const id = this.#processes.get(role);
    if (id === undefined) throw new StateError(`network ${this.name} has no process ${role}: it was changed meanwhile`);
    return id;
  }

  /** Programs in this host are found where the caller finds them. */
  async access(node: string): Promise<NodeAccess> {
    const access = await this.#agent.access(this.name, node);
    return { ...access, env: { ...access.env, ...this.#env } };
  }

  /** Where one of its processes is: a machine, say, which is no node. */
  inside(role: string): Entrance {
    return { ...this.process(role), cgroups: [], env: this.#env };
  }

  /** Both ends of every tunnel. */
  async tunnels(): Promise<TunnelState[]> {
    return (await this.switchStates()).flatMap(({ tunnels }) => tunnels);
  }

  /** Of its switch processes that answer. */
  async switchStates(): Promise<SwitchState[]> {
    const { switchProcesses } = await this.#agent.network(this.name);
    return switchProcesses.flatMap(({ state }) => state ?? []);
  }

  /** Output of a program in the namespaces of one of its processes. */
  output(role: string, argv: readonly string[]): Promise<string> {
    return capture(this.process(role), argv, this.#env);
  }

  /** All that run for this network, the agent included. */
  get processes(): readonly number[] {
    const agent = parentOf(this.process('keeper').pid);
    return [...this.#processes.values()].map(({ pid }) => pid).concat(agent > 1 ? [agent] : []);
  }

  get switches(): readonly number[] {
    return [...this.#processes].flatMap(([role, { pid }]) => (role.startsWith('switch:') ? [pid] : []));
  }

  /** Runs `ip` commands in namespaces of this network, as `nsrun batch` takes them; `section` starts one. */
  configure(lines: readonly string[]): Promise<void> {
    return runBatch(lines, isMachineRoot() ? undefined : this.process('keeper'));
  }

  /** The line that says where the following ones take effect. */
  section(role: string): string {
    const { pid, start } = this.process(role);
    return `@${pid}:${start}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#agent.down(this.name);
  }
}

function recordedProcesses(paths: Paths, name: string): ReadonlyMap<string, ProcessId> {
  for (const file of journalFiles(paths)) {
    const state = readJournal(file);
    if (state?.header.name === name) return state.processes;
  }
  throw new StateError(`network ${name} has no record in ${paths.state}`);
}

/** The agent starts the keeper; when it was killed since, the first process is the keeper's parent. */
function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}
