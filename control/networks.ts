/**
 * The networks of one agent: bringing them up all or nothing, taking them down, and adopting what an agent before left.
 * One operation at a time on each network; several networks at once.
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { LuthierError, StateError } from '../model/errors.js';
import type { NetworkSummary, Progress } from '../model/messages.js';
import type { Network } from '../model/network.js';
import { netnsNodes } from '../vrouter/router.js';
import { ACTIONS } from './actions.js';
import type { AgentOptions } from './agent-options.js';
import { attainableWithoutRoot, readReceiveBufferLimit } from './attainable.js';
import { capacityProblems, demandOf, foresee } from './capacity.js';
import { Journal, journalFiles, type JournalHeader, type OnRecord } from './journal.js';
import { LiveNetwork } from './live.js';
import type { Scenario } from './load.js';
import { readMachineLimits } from './machine-limits.js';
import { NetworkPaths, type Paths } from './paths.js';
import { ACTION_KINDS, actionTitle, planUp, sameNetwork, type Action } from './plan.js';
import { SWITCH_UIDS } from './privileges.js';
import { bootId, isAlive } from './process.js';
import { resolve } from './resolve.js';
import { Supervisor } from './supervisor.js';

export type OnProgress = (progress: Progress) => void;

/** In a user namespace of one user there is no other. */
const ROOTLESS_UID = 0;

export interface UpRequest {
  readonly scenario: Scenario;
  /** Where the scenario came from, for people. */
  readonly file?: string | undefined;
  /** Frame memory of each switch process. */
  readonly memoryBytes: number;
}

/** An operation in progress. */
interface Operation {
  readonly kind: 'up' | 'down';
  readonly abort: AbortController;
  /** Resolves when it is over, whatever came of it. */
  readonly ended: Promise<void>;
}

export class Networks {
  readonly #paths: Paths;
  /** All that have a record: running ones, and those that are being made or removed. */
  readonly #live = new Map<string, LiveNetwork>();
  readonly #operations = new Map<string, Operation>();
  readonly #supervisors = new Map<string, Supervisor>();
  readonly #log: (message: string) => void;
  readonly #switchEnv: Readonly<Record<string, string>>;
  readonly #rootless: boolean;
  readonly #onRecord: OnRecord | undefined;

  constructor({ paths, log, switchEnv, rootless, onRecord }: AgentOptions) {
    this.#paths = paths;
    this.#log = log;
    this.#switchEnv = switchEnv;
    this.#rootless = rootless;
    this.#onRecord = onRecord;
  }

  /** Nothing is left to do for an agent when this is 0. */
  get size(): number {
    return new Set([...this.#live.keys(), ...this.#operations.keys()]).size;
  }

  /**
   * Takes over what is recorded: running networks are adopted, unfinished operations undone or completed. One that
   * cannot be taken over does not keep the others from it.
   */
  async adopt(): Promise<void> {
    for (const file of journalFiles(this.#paths)) {
      try {
        await this.#adopt(file);
      } catch (cause) {
        this.#log(`cannot take over ${file}: ${text(cause)}`);
      }
    }
  }

  list(): NetworkSummary[] {
    return [...this.#live.values()].map((live) => summary(live)).sort((a, b) => a.name.localeCompare(b.name));
  }

  get(name: string): LiveNetwork {
    const live = this.#live.get(name);
    if (live !== undefined) return live;
    const names = [...this.#live.keys()].sort().join(', ');
    throw new StateError(`no network '${name}' runs`, {
      hint: names === '' ? 'bring one up: luthier up FILE' : `running: ${names}`,
    });
  }

  /** All or nothing: when a step fails or `abort` is called, what was made is removed before the error is thrown. */
  async up(request: UpRequest, onProgress: OnProgress, abort: AbortController): Promise<void> {
    const { name } = request.scenario.raw;
    await this.#exclusively(name, 'up', abort, async () => {
      const running = this.#live.get(name);
      if (running === undefined) await this.#create(request, onProgress, abort.signal);
      else this.#confirm(running, this.#resolve(request.scenario, running.network, onProgress), onProgress);
    });
  }

  /** Interrupts an `up` that is under way; a `down` is left to complete. */
  abort(name: string): void {
    const operation = this.#operations.get(name);
    if (operation?.kind === 'up') operation.abort.abort();
  }

  /** A network that is coming up is interrupted first; one that is going down already is waited for. */
  async down(name: string, onProgress: OnProgress): Promise<void> {
    const started = performance.now();
    const other = this.#operations.get(name);
    if (other !== undefined) {
      this.abort(name);
      await other.ended;
    }
    // Its roll-back, or the other `down`, may have removed it meanwhile: then there is nothing to do.
    const live = other === undefined ? this.get(name) : this.#live.get(name);
    if (live !== undefined) {
      await this.#exclusively(name, 'down', new AbortController(), async () => {
        live.journal.append({ op: 'status', status: 'stopping' });
        await this.#remove(live, onProgress);
      });
    }
    onProgress({ type: 'done', ms: performance.now() - started, summary: `${name} is gone` });
  }

  async #create(request: UpRequest, onProgress: OnProgress, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const { scenario, file, memoryBytes } = request;
    const network = this.#resolve(scenario, undefined, onProgress);
    const limits = readMachineLimits(this.#paths.runtime);
    foresee(capacityProblems(demandOf(network, memoryBytes), limits), (notice) => {
      onProgress({ type: 'notice', ...notice });
    });
    const number = this.#freeNumber(network.name);
    const plan = planUp(network, number);
    const header: JournalHeader = {
      luthier: 1,
      boot: bootId(),
      name: network.name,
      number,
      uid: this.#freeUid(network.name),
      ...(file === undefined ? {} : { file }),
      since: new Date().toISOString(),
      memoryBytes,
      network,
    };
    const journal = Journal.create(new NetworkPaths(this.#paths, number).journal, header, this.#onRecord);
    const live = this.#open(journal, number);
    this.#live.set(network.name, live);
    onProgress({ type: 'plan', steps: plan.map(actionTitle) });
    await this.#perform(live, plan, onProgress, signal);
    this.#supervise(live);
    const { hosts, switches, links } = summary(live);
    const what = `${network.name}: ${hosts} hosts, ${switches} switches, ${links} links`;
    onProgress({ type: 'done', ms: performance.now() - started, summary: what });
  }

  /** `up` of what runs already. */
  #confirm(live: LiveNetwork, wanted: Network, onProgress: OnProgress): void {
    const { name } = live.header;
    const again = `luthier down ${name}, then up again`;
    const reasons = problems(live);
    if (reasons.length > 0) throw new StateError(`network '${name}' is broken: ${reasons.join('; ')}`, { hint: again });
    if (!sameNetwork(live.network, wanted))
      throw new StateError(`network '${name}' runs already, and the scenario has changed since`, {
        hint: `changing a running network is not built yet: ${again}`,
      });
    onProgress({ type: 'plan', steps: [] });
    onProgress({ type: 'done', ms: 0, summary: `${name} runs already` });
  }

  async #perform(
    live: LiveNetwork,
    plan: readonly Action[],
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<void> {
    let doing = 'begin';
    try {
      for (const [index, action] of plan.entries()) {
        const title = actionTitle(action);
        doing = `step ${index + 1} of ${plan.length} (${title})`;
        const started = performance.now();
        if (signal.aborted) throw new StateError('interrupted');
        onProgress({ type: 'step', index, title, status: 'start' });
        live.journal.append({ op: 'make', action: action.kind });
        await applyAction(live, action);
        onProgress({ type: 'step', index, title, status: 'done', ms: performance.now() - started });
      }
      live.journal.append({ op: 'status', status: 'running' });
    } catch (cause) {
      this.#log(`network ${live.header.name}: ${doing} failed: ${text(cause)}`);
      const hint = cause instanceof LuthierError ? cause.hint : undefined;
      await this.#remove(live, onProgress);
      throw new LuthierError(
        cause instanceof LuthierError ? cause.code : 'E_INTERNAL',
        `${doing} failed, and what was made has been removed: ${text(cause)}`,
        { cause, ...(hint === undefined ? {} : { hint }) },
      );
    }
  }

  /**
   * Undoes in reverse what the journal says was begun, then forgets the network. What cannot be undone does not keep the
   * rest from it; the network then stays on record, and the next `down` tries again.
   */
  async #remove(live: LiveNetwork, onProgress: OnProgress): Promise<void> {
    const { name } = live.header;
    await this.#supervisors.get(name)?.stop();
    this.#supervisors.delete(name);
    const kinds = ACTION_KINDS.filter((kind) => live.journal.state.actions.has(kind)).reverse();
    const titles = kinds.flatMap((kind) => UNDO_TITLES[kind] ?? []);
    onProgress({ type: 'plan', steps: titles });
    const failures: string[] = [];
    for (const kind of kinds) {
      const title = UNDO_TITLES[kind];
      const index = title === undefined ? -1 : titles.indexOf(title);
      const started = performance.now();
      if (title !== undefined) onProgress({ type: 'step', index, title, status: 'start' });
      try {
        await ACTIONS[kind].undo(live);
      } catch (cause) {
        failures.push(`${title ?? kind}: ${text(cause)}`);
        continue;
      }
      if (title !== undefined)
        onProgress({ type: 'step', index, title, status: 'undone', ms: performance.now() - started });
    }
    if (failures.length > 0)
      throw new StateError(`network '${name}' could not be removed whole: ${failures.join('; ')}`, {
        hint: `try again: luthier down ${name}`,
      });
    live.journal.remove();
    this.#live.delete(name);
  }

  async #adopt(file: string): Promise<void> {
    const journal = Journal.open(file, this.#onRecord);
    if (journal === undefined) {
      rmSync(dirname(file), { recursive: true, force: true });
      return;
    }
    const { header, status } = journal.state;
    const live = this.#open(journal, header.number);
    this.#live.set(header.name, live);
    if (header.boot !== bootId()) {
      this.#log(`network ${header.name} ran before the machine was restarted: nothing of it is left, forgotten`);
      await ACTIONS.limits.undo(live);
      rmSync(live.paths.runtime, { recursive: true, force: true });
      journal.remove();
      this.#live.delete(header.name);
    } else if (status === 'running') {
      this.#log(`adopted network ${header.name}`);
      this.#supervise(live);
    } else {
      this.#log(`network ${header.name}: its ${status === 'starting' ? 'up' : 'down'} was interrupted, removing it`);
      journal.append({ op: 'status', status: 'stopping' });
      await this.#remove(live, () => undefined);
    }
  }

  #supervise(live: LiveNetwork): void {
    this.#supervisors.set(live.header.name, new Supervisor(live, this.#log));
  }

  async #exclusively(
    name: string,
    kind: Operation['kind'],
    abort: AbortController,
    work: () => Promise<void>,
  ): Promise<void> {
    const other = this.#operations.get(name);
    if (other !== undefined)
      throw new StateError(`network '${name}' is busy: another '${other.kind}' of it is under way`, {
        hint: 'wait until it has ended, then try again',
      });
    const done = work();
    const ended = done.then(
      () => undefined,
      () => undefined,
    );
    this.#operations.set(name, { kind, abort, ended });
    try {
      await done;
    } finally {
      this.#operations.delete(name);
    }
  }

  /** What the scenario comes to here; what it lacks for want of root is told. */
  #resolve(scenario: Scenario, running: Network | undefined, onProgress: OnProgress): Network {
    const wanted = resolve(scenario, running);
    if (!this.#rootless) return wanted;
    const { network, notices } = attainableWithoutRoot(wanted, readReceiveBufferLimit());
    for (const notice of notices) onProgress({ type: 'notice', ...notice });
    return network;
  }

  #open(journal: Journal, number: number): LiveNetwork {
    return new LiveNetwork(journal, new NetworkPaths(this.#paths, number), this.#switchEnv);
  }

  /** The same at each `up` of a name; the next free one where two names collide. */
  #freeNumber(name: string): number {
    const taken = new Set([...this.#live.values()].map(({ header }) => header.number));
    let number = fnv1a(name);
    while (number === 0 || taken.has(number) || existsSync(new NetworkPaths(this.#paths, number).journal))
      number = (number + 1) >>> 0;
    return number;
  }

  /** Not that of another network, of this agent or (but for a chance of 2⁻²⁸) of one with another state folder. */
  #freeUid(name: string): number {
    if (this.#rootless) return ROOTLESS_UID;
    const { first, count } = SWITCH_UIDS;
    const taken = new Set([...this.#live.values()].map(({ header }) => header.uid));
    let offset = fnv1a(`${this.#paths.state}/${name}`) >>> 4;
    while (taken.has(first + offset)) offset = (offset + 1) & (count - 1);
    return first + offset;
  }
}

/** What `down` shows; kinds that undo nothing are not mentioned. */
const UNDO_TITLES: Partial<Record<Action['kind'], string>> = {
  forwarding: 'end the switch processes',
  hosts: 'end the hosts',
  underlay: 'remove the underlay',
  limits: 'remove the limits',
  keeper: 'end the keeper',
};

function applyAction(live: LiveNetwork, action: Action): Promise<void> | void {
  // The table is indexed by the action's own kind, which the compiler cannot see.
  const handler = ACTIONS[action.kind] as { apply(live: LiveNetwork, action: Action): Promise<void> | void };
  return handler.apply(live, action);
}

export function summary(live: LiveNetwork): NetworkSummary {
  const { header, network } = live;
  const { status: recorded } = live.journal.state;
  const reasons = problems(live);
  const count = (kind: string): number => network.nodes.filter((node) => node.kind === kind).length;
  return {
    name: header.name,
    status: recorded !== 'running' || reasons.length === 0 ? recorded : 'broken',
    ...(reasons.length === 0 ? {} : { broken: reasons }),
    machines: network.machines.length,
    hosts: count('host'),
    switches: count('switch'),
    routers: count('router'),
    links: network.links.length,
    ...(header.file === undefined ? {} : { file: header.file }),
    since: header.since,
  };
}

/** Why a running network is broken, in words; empty when it is whole. */
export function problems(live: LiveNetwork): string[] {
  if (live.journal.state.status !== 'running') return [];
  const dead: string[] = [];
  if (!isAlive(live.process('keeper'))) dead.push('the keeper has ended');
  for (const { name } of netnsNodes(live.network))
    if (!isAlive(live.process(`host:${name}`))) dead.push(`${name} has lost its init, and everything that ran in it`);
  for (const [machine, id] of live.processes('switch:'))
    if (!isAlive(id))
      dead.push(`the switch process of machine ${machine} has ended (${live.paths.switchLog(machine)})`);
  return dead;
}

function fnv1a(data: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(data)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
