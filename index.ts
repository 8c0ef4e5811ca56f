/**
 * The package's entry: virtual internets from TypeScript.
 *
 *   import { load, up } from 'luthier';
 *   await using net = await up(load('scenario.yaml'));
 *   const { stdout } = await net.node('h1').exec(['ping', '-c1', 'h3']);
 *   await net.link('h1--s1').set({ delay: '20ms' });
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentClient, type UpOptions } from './control/client.js';
import { execute, type ExecOptions, type ExecResult } from './control/exec.js';
import type { Scenario } from './control/scenario/index.js';
import { pathsFrom, type Paths } from './control/paths.js';
import { refuseUnsupported } from './control/unsupported.js';
import { eventKey } from './control/schedule.js';
import { LuthierError, UsageError } from './model/errors.js';
import type { EventState, LinkSettings, NetworkState, NodeState, TraceReport } from './model/messages.js';
import type { RawLinkProperties as LinkProperties } from './model/scenario.js';
import type { Verdict } from './model/verdict.js';

export { load, loadText, type Scenario } from './control/scenario/index.js';
export type { ExecOptions, ExecResult } from './control/exec.js';
export type { UpOptions } from './control/client.js';
export type {
  EventState,
  LinkSettings,
  NetworkState,
  NodeState,
  Notice,
  Progress,
  TraceReport,
} from './model/messages.js';
export type { RawLinkProperties as LinkProperties } from './model/scenario.js';
export type { DirectionVerdict, Finding, Verdict } from './model/verdict.js';
export * from './model/errors.js';

/** What happens in a running network: a host's command ended, a link's state changed, or an event of its scenario came. */
export type NetworkEvent =
  | {
      readonly type: 'exit';
      readonly node: string;
      readonly status: 'exited' | 'signalled' | 'lost';
      readonly code?: number;
    }
  | { readonly type: 'link'; readonly link: string; readonly state: 'up' | 'down' }
  /** An event of the scenario has happened: when it was due (`atNs`) and when it was done, both since time zero. */
  | ({ readonly type: 'event' } & DoneEvent);

type DoneEvent = EventState & { readonly doneNs: number };

/** How often `events` looks, in milliseconds. */
const EVENT_PERIOD_MS = 200;

/** A running network. `await using` takes it down at the end of its scope. */
export class RunningNetwork implements AsyncDisposable {
  readonly name: string;
  readonly #agent: AgentClient;

  constructor(name: string, agent: AgentClient) {
    this.name = name;
    this.#agent = agent;
  }

  node(name: string): RunningNode {
    return new RunningNode(this.name, name, this.#agent);
  }

  /** By its name: `h1--s1` where the scenario gives it no other. */
  link(name: string): RunningLink {
    return new RunningLink(this.name, name, this.#agent);
  }

  inspect(): Promise<NetworkState> {
    return this.#agent.network(this.name);
  }

  /** Whether its links did what was asked of them, since it came up; and if not, why. */
  verdict(): Promise<Verdict> {
    return this.#agent.verdict(this.name);
  }

  /** The way of a frame, without sending one. */
  trace(from: string, to: string): Promise<TraceReport> {
    return this.#agent.trace(this.name, from, to);
  }

  /** From now on, until `signal` aborts or the network is gone. */
  async *events(signal?: AbortSignal): AsyncGenerator<NetworkEvent> {
    let before = await this.inspect();
    const told = new Set((await this.#done()).map(eventKey));
    while (signal?.aborted !== true) {
      await sleep(EVENT_PERIOD_MS);
      let now: NetworkState;
      try {
        now = await this.inspect();
      } catch (cause) {
        if (cause instanceof LuthierError && cause.code === 'E_STATE') return; // the network is gone
        throw cause;
      }
      yield* changes(before, now);
      for (const event of now.schedule?.done === before.schedule?.done ? [] : await this.#done()) {
        if (told.has(eventKey(event))) continue;
        told.add(eventKey(event));
        yield { type: 'event', ...event };
      }
      before = now;
    }
  }

  /** Events of the scenario that have happened. */
  async #done(): Promise<DoneEvent[]> {
    return (await this.#agent.events(this.name)).filter((event) => event.doneNs !== undefined) as DoneEvent[];
  }

  /** Idempotent: a network that is gone already stays gone. */
  async down(): Promise<void> {
    const agent = await AgentClient.tryConnect(ownPaths());
    const running = (await agent?.networks()) ?? [];
    if (running.some(({ name }) => name === this.name)) await agent?.down(this.name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }
}

/** A host or router of a running network. */
export class RunningNode {
  readonly name: string;
  readonly #network: string;
  readonly #agent: AgentClient;

  constructor(network: string, name: string, agent: AgentClient) {
    this.#network = network;
    this.name = name;
    this.#agent = agent;
  }

  /**
   * Runs a command inside and collects what it printed. `code` is its exit status, 128 + n when signal n ended it,
   * 126 or 127 when it could not be started; it does not throw for those.
   */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return execute(await this.#agent.access(this.#network, this.name), argv, options);
  }

  /** Its ports, addresses, counters, and what became of its command. */
  async inspect(): Promise<NodeState> {
    const state = await this.#agent.network(this.#network);
    return state.nodes.find(({ name }) => name === this.name)!;
  }
}

/** A link of a running network. */
export class RunningLink {
  readonly name: string;
  readonly #network: string;
  readonly #agent: AgentClient;

  constructor(network: string, name: string, agent: AgentClient) {
    this.#network = network;
    this.name = name;
    this.#agent = agent;
  }

  /**
   * Changes it now, in place: both directions, or the one that leaves the node `from`. What is not named stays, `none` takes
   * a property away. Resolves when the switches do it, with what each direction does from now on, and since when
   * (`doneMonotonicNs`); UsageError for what cannot be, and nothing has changed.
   */
  set(properties: LinkProperties, { from }: { readonly from?: string } = {}): Promise<LinkSettings> {
    return this.#agent.setLink(this.#network, this.name, properties, from);
  }

  /** Its state, properties and counters. */
  async inspect(): Promise<NetworkState['linkStates'][number]> {
    const { linkStates } = await this.#agent.network(this.#network);
    const found = linkStates.find(({ name }) => name === this.name);
    if (found === undefined) throw new UsageError(`network '${this.#network}' has no link '${this.name}'`);
    return found;
  }
}

/** Brings a scenario up; throws, and leaves nothing behind, when any part of it fails. */
export async function up(scenario: Scenario, options: UpOptions = {}): Promise<RunningNetwork> {
  refuseUnsupported(scenario);
  const agent = await AgentClient.connect(ownPaths());
  await agent.up(scenario, options);
  return new RunningNetwork(scenario.raw.name, agent);
}

function ownPaths(): Paths {
  return pathsFrom(process.env, process.getuid!());
}

function* changes(before: NetworkState, now: NetworkState): Generator<NetworkEvent> {
  for (const { name, command } of now.nodes) {
    const was = before.nodes.find((node) => node.name === name)?.command;
    if (command === undefined || command.status === 'running' || was?.status === command.status) continue;
    const { status, code } = command;
    yield { type: 'exit', node: name, status, ...(code === undefined ? {} : { code }) };
  }
  for (const { name, state } of now.linkStates)
    if (before.linkStates.find((link) => link.name === name)?.state !== state)
      yield { type: 'link', link: name, state };
}
