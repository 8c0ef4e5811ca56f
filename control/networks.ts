/**
 * The networks of one agent: which there are, and who may do what to them when. One operation at a time on each network;
 * several networks at once. Adopts what an agent before left.
 */
import { existsSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StateError } from '../model/errors.js';
import type { NetworkSummary, PlanReport } from '../model/messages.js';
import type { Network } from '../model/network.js';
import type { RawLinkProperties } from '../model/scenario.js';
import { removeAllLimits } from './actions/hosts.js';
import type { AgentOptions } from './agent-options.js';
import { attainableWithoutRoot, readReceiveBufferLimit } from './attainable.js';
import { requireEngines } from './engine-count.js';
import { capacityProblems, demandOf, foresee, type Demand } from './capacity.js';
import { EventWatch } from './event-watch.js';
import { Journal, journalFiles, type JournalHeader, type OnRecord } from './journal.js';
import { type ChangedLink, changeByHand, startClock, tellEvents } from './link-changes.js';
import { LiveNetwork } from './live.js';
import type { Scenario } from './scenario/index.js';
import { readMachineLimits } from './machine-limits.js';
import { change, create, finish, remove, type Conduct, type OnProgress } from './operations.js';
import { NetworkPaths, type Paths } from './paths.js';
import { previewOf } from './preview.js';
import { ProcessorWatch } from './processor-watch.js';
import { SWITCH_UIDS } from './privileges.js';
import { bootId } from './process.js';
import { lossesOf } from './repair.js';
import { isEmulated, networkVerdict } from './run.js';
import { resolve } from './scenario/index.js';
import { summary } from './summary.js';
import { Supervisor } from './supervisor.js';

export type { OnProgress } from './operations.js';

const UNSEALED = {
  message: 'seal: none: what passes between the machines can be read, changed and forged by whoever is on its way',
  hint: 'leave "seal" out of the scenario, but for measuring',
};

/** In a user namespace of one user there is no other. */
const ROOTLESS_UID = 0;

export interface UpRequest {
  readonly scenario: Scenario;
  /** Where the scenario came from, for people. */
  readonly file?: string | undefined;
  /** Frame memory of each switch process. */
  readonly memoryBytes: number;
  /** Of each switch process. */
  readonly engines: number;
  /** Whether their links leave out of delays what they take themselves. */
  readonly compensation: boolean;
}

/** An operation in progress. */
interface Operation {
  readonly kind: 'up' | 'down' | 'link';
  readonly abort: AbortController;
  /** Resolves when it is over, whatever came of it. */
  readonly ended: Promise<void>;
}

export class Networks {
  /** For verdicts; looked at by `agent.ts`. */
  readonly processors = new ProcessorWatch();
  readonly #paths: Paths;
  /** All that have a record: running ones, and those that are being made or removed. */
  readonly #live = new Map<string, LiveNetwork>();
  readonly #operations = new Map<string, Operation>();
  readonly #supervisors = new Map<string, Supervisor>();
  readonly #watches = new Map<string, EventWatch>();
  readonly #unreadable: string[] = [];
  #isInCharge = (): boolean => true;
  readonly #log: (message: string) => void;
  /** What processes inside are given. */
  readonly #inside: Pick<AgentOptions, 'switchEnv' | 'home'>;
  readonly #rootless: boolean;
  readonly #onRecord: OnRecord | undefined;

  constructor({ paths, log, switchEnv, home, rootless, onRecord }: AgentOptions) {
    this.#paths = paths;
    this.#log = log;
    this.#inside = { switchEnv, home };
    this.#rootless = rootless;
    this.#onRecord = onRecord;
  }

  /** Nothing is left to do for an agent when this is 0. */
  get size(): number {
    const alive = [...this.#live].filter(([, live]) => !live.isLost).map(([name]) => name);
    return new Set([...alive, ...this.#operations.keys()]).size;
  }

  /**
   * Takes over what is recorded: running networks are adopted, unfinished operations undone or completed. One that
   * cannot be taken over does not keep the others from it. `isInCharge`: no other agent has taken our place since.
   */
  async adopt(isInCharge: () => boolean): Promise<void> {
    this.#isInCharge = isInCharge;
    for (const file of journalFiles(this.#paths)) {
      try {
        await this.#adopt(file);
      } catch (cause) {
        this.#unreadable.push(text(cause));
        this.#log(`cannot take over ${file}: ${text(cause)}`);
      }
    }
  }

  list(): NetworkSummary[] {
    return [...this.#live.values()].map((live) => summary(live)).sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Why there are records that could not be read: what they tell of is not touched. */
  get unreadable(): readonly string[] {
    return this.#unreadable;
  }

  /** On record; lost ones too. */
  has(name: string): boolean {
    return this.#live.has(name);
  }

  get(name: string): LiveNetwork {
    const live = this.#live.get(name);
    if (live?.isLost === true)
      throw new StateError(`network '${name}' is lost: the machine was restarted since it came up`, {
        hint: `luthier up ${live.header.file ?? 'FILE'} starts it afresh, luthier down ${name} forgets it`,
      });
    if (live !== undefined) return live;
    const names = [...this.#live.keys()].sort().join(', ');
    throw new StateError(`no network '${name}' runs`, {
      hint: names === '' ? 'bring one up: luthier up FILE' : `running: ${names}`,
    });
  }

  /**
   * Brings a network up, or changes the one that runs into what is asked for. All or nothing: when a step fails or `abort`
   * is called, it is taken back before the error is thrown.
   */
  async up(request: UpRequest, onProgress: OnProgress, abort: AbortController): Promise<void> {
    const { name } = request.scenario.raw;
    requireEngines(request.engines, request.memoryBytes);
    while (this.#linkChange(name) !== undefined) await this.#linkChange(name);
    await this.#exclusively(name, 'up', abort, async () => {
      const running = this.#live.get(name);
      const conduct = { onProgress, log: this.#log, signal: abort.signal };
      if (running === undefined || running.isLost) {
        running?.journal.remove();
        this.#live.delete(name);
        await this.#create(request, conduct);
      } else {
        await this.#unsupervised(running, () => this.#change(running, request, conduct));
      }
    });
  }

  /** What `up` would do. */
  preview(scenario: Scenario): PlanReport {
    const { name } = scenario.raw;
    const running = this.#live.get(name);
    const from = running === undefined || running.isLost ? undefined : running.network;
    const resolved = this.#resolve(scenario, from, () => undefined);
    const to = running === undefined || from === undefined ? resolved : running.now(resolved);
    return previewOf(from, to, from === undefined ? undefined : lossesOf(running!));
  }

  /**
   * Changes a link in place, in both directions or the one that leaves the node `from`, until it is changed again: by hand,
   * an event, or an `up`. Those who change links of a network do so one after the other.
   */
  async changeLink(name: string, link: string, set: RawLinkProperties, from?: string): Promise<ChangedLink> {
    const live = this.get(name);
    while (this.#linkChange(name) !== undefined) await this.#linkChange(name);
    let changed: ChangedLink | undefined;
    await this.#exclusively(name, 'link', new AbortController(), async () => {
      const { status } = live.journal.state;
      if (status !== 'running')
        throw new StateError(`network '${name}' is ${summary(live).status}`, {
          hint: `bring it to an end: luthier up ${live.header.file ?? 'FILE'}`,
        });
      changed = await this.#supervisors.get(name)!.between(() => changeByHand(live, link, set, from));
    });
    return changed!;
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
      while (this.#linkChange(name) !== undefined) await this.#linkChange(name);
    }
    // Its roll-back, or the other `down`, may have removed it meanwhile: then there is nothing to do.
    const live = this.#live.get(name) ?? (other === undefined ? this.get(name) : undefined);
    if (live !== undefined) {
      await this.#exclusively(name, 'down', new AbortController(), async () => {
        if (!live.isLost) {
          if (live.journal.state.status === 'running' && isEmulated(live))
            onProgress({ type: 'verdict', verdict: await networkVerdict(live, this.processors.read()) });
          await this.#stopSupervising(name);
          try {
            live.journal.append({ op: 'status', status: 'stopping' });
          } catch (cause) {
            // It runs on, and is kept whole as before.
            this.#supervise(live);
            throw cause;
          }
        }
        await this.#remove(live, { onProgress, log: this.#log });
      });
    }
    onProgress({ type: 'done', ms: performance.now() - started, summary: `${name} is gone` });
  }

  async #create(request: UpRequest, conduct: Conduct): Promise<void> {
    const { scenario, file, memoryBytes, engines, compensation } = request;
    const started = performance.now();
    const network = this.#resolve(scenario, undefined, conduct.onProgress);
    const { name } = network;
    this.#foresee(demandOf(network, memoryBytes, engines), undefined, conduct);
    const number = this.#freeNumber(name);
    const header: JournalHeader = {
      luthier: 1,
      boot: bootId(),
      name,
      number,
      uid: this.#freeUid(name),
      ...(file === undefined ? {} : { file }),
      since: new Date().toISOString(),
      memoryBytes,
      engines,
      compensation,
      network,
    };
    const journal = Journal.create(new NetworkPaths(this.#paths, number).journal, header, this.#onRecord);
    const live = this.#open(journal, number);
    this.#live.set(name, live);
    try {
      await create(live, conduct);
    } finally {
      if (!live.journal.isOpen) this.#live.delete(name);
    }
    this.#supervise(live);
    const { hosts, switches, links } = summary(live);
    const what = `${name}: ${hosts} hosts, ${switches} switches, ${links} links`;
    conduct.onProgress({ type: 'done', ms: performance.now() - started, summary: what });
  }

  async #change(live: LiveNetwork, request: UpRequest, conduct: Conduct): Promise<void> {
    const started = performance.now();
    const { scenario, file, memoryBytes, engines, compensation } = request;
    const { name } = live.header;
    // Left by one that could not be ended when it failed.
    await finish(live, conduct);
    const network = this.#resolve(scenario, live.network, conduct.onProgress);
    const demands = [network, live.network].map((of) => demandOf(of, memoryBytes, engines));
    this.#foresee(demands[0]!, demands[1], conduct);
    const wanted = { network, ...(file === undefined ? {} : { file }), memoryBytes, engines, compensation };
    const changed = await change(live, wanted, conduct);
    const text = changed ? `${name} is what was asked for` : `${name} runs already`;
    conduct.onProgress({ type: 'done', ms: changed ? performance.now() - started : 0, summary: text });
  }

  async #remove(live: LiveNetwork, conduct: Conduct): Promise<void> {
    await remove(live, conduct);
    this.#live.delete(live.header.name);
  }

  async #adopt(file: string): Promise<void> {
    const journal = Journal.open(file, this.#onRecord);
    if (journal === undefined) {
      // The header is on disk before anything is made.
      const runtime = join(this.#paths.runtime, basename(dirname(file)));
      if (existsSync(runtime))
        throw new StateError(
          `the record ${file} has lost its first line, and ${runtime} shows that its network came up`,
        );
      rmSync(dirname(file), { recursive: true, force: true });
      return;
    }
    const { header, status } = journal.state;
    const conduct = { onProgress: () => undefined, log: this.#log };
    const live = this.#open(journal, header.number);
    this.#live.set(header.name, live);
    if (live.isLost) {
      this.#log(`network ${header.name} ran before the machine was restarted: nothing of it is left`);
      await removeAllLimits(live);
      rmSync(live.paths.runtime, { recursive: true, force: true });
    } else if (status === 'running' || status === 'changing' || status === 'clearing') {
      if (header.zero === undefined) await startClock(live);
      if (status !== 'running') {
        this.#log(
          `network ${header.name}: its change was interrupted, ${status === 'clearing' ? 'completing' : 'taking back'} it`,
        );
        await finish(live, conduct);
      }
      await this.#resumeEvents(live);
      this.#log(`adopted network ${header.name}`);
      this.#supervise(live);
    } else {
      this.#log(`network ${header.name}: its ${status === 'starting' ? 'up' : 'down'} was interrupted, removing it`);
      journal.append({ op: 'status', status: 'stopping' });
      await this.#remove(live, conduct);
    }
  }

  /** Links that were changed when the agent before ended: what is on record, their switch processes may not know. */
  async #resumeEvents(live: LiveNetwork): Promise<void> {
    try {
      await tellEvents(live, live.journal.state.changedLinks);
    } catch (cause) {
      this.#log(`network ${live.header.name}: its links may not be what they should: ${text(cause)}`);
    }
  }

  #supervise(live: LiveNetwork): void {
    this.#supervisors.set(live.header.name, new Supervisor(live, this.#isInCharge, this.#log));
    this.#watches.set(live.header.name, new EventWatch(live, this.#isInCharge, this.#log));
  }

  async #stopSupervising(name: string): Promise<void> {
    await this.#watches.get(name)?.stop();
    this.#watches.delete(name);
    await this.#supervisors.get(name)?.stop();
    this.#supervisors.delete(name);
  }

  /**
   * Changes of links take a moment: whatever else is to be done waits for the one under way, in the order in which it was
   * asked. Who has waited asks again, and begins at once where there is none: another may have waited too.
   */
  #linkChange(name: string): Promise<void> | undefined {
    const operation = this.#operations.get(name);
    return operation?.kind === 'link' ? operation.ended : undefined;
  }

  /** Nobody else works on a network that is worked on. */
  async #unsupervised(live: LiveNetwork, work: () => Promise<void>): Promise<void> {
    await this.#stopSupervising(live.header.name);
    try {
      await work();
    } finally {
      this.#supervise(live);
    }
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

  /** Throws CapacityError where the machine cannot hold what is wanted beside what runs. */
  #foresee(wanted: Demand, running: Demand | undefined, { onProgress }: Conduct): void {
    foresee(capacityProblems(wanted, readMachineLimits(this.#paths.runtime), running), (notice) => {
      onProgress({ type: 'notice', ...notice });
    });
  }

  /** What the scenario comes to here; what it lacks for want of root is told. */
  #resolve(scenario: Scenario, running: Network | undefined, onProgress: OnProgress): Network {
    const wanted = resolve(scenario, running);
    if (wanted.seal === 'none' && wanted.machines.length > 1) onProgress({ type: 'notice', ...UNSEALED });
    if (!this.#rootless) return wanted;
    const { network, notices } = attainableWithoutRoot(wanted, readReceiveBufferLimit());
    for (const notice of notices) onProgress({ type: 'notice', ...notice });
    return network;
  }

  #open(journal: Journal, number: number): LiveNetwork {
    return new LiveNetwork(journal, new NetworkPaths(this.#paths, number), this.#inside);
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

function fnv1a(data: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(data)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
