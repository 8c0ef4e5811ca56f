/**
 * A network that is being made, runs, or is being removed: its journal, and the connections through which its processes
 * are reached. Everything here can be had again from the journal and the sockets, which is how an agent adopts.
 */
import type { Machine, Network } from '../model/network.js';
import { StateError } from '../model/errors.js';
import { KeeperClient } from '../native/keeper.js';
import type { AgentOptions } from './agent-options.js';
import type { Journal, JournalHeader } from './journal.js';
import type { NetworkPaths } from './paths.js';
import { bootId, type ProcessId } from './process.js';
import { advance } from './schedule.js';
import { SwitchClient } from './switch-process.js';

export class LiveNetwork {
  readonly journal: Journal;
  readonly paths: NetworkPaths;
  /** Added to the environment of switch processes. */
  readonly switchEnv: Readonly<Record<string, string>>;
  /** HOME of what runs in hosts. */
  readonly home: string;
  /** It ran before the machine was restarted: only its record is left. */
  readonly isLost: boolean;
  /** A supervisor mends what ends of it. */
  isTended = false;
  /** Hosts that have announced themselves, and when they are to do so once more, by `performance.now()`. */
  readonly announced = new Map<string, number>();
  /** Of which the kernel has been asked to write down when hosts send (`actions/arrivals.ts`). */
  readonly watchedMachines = new Set<string>();
  #keeper: KeeperClient | undefined;
  #network: Network | undefined;
  #recorded: Network | undefined;

  constructor(journal: Journal, paths: NetworkPaths, { switchEnv, home }: Pick<AgentOptions, 'switchEnv' | 'home'>) {
    this.journal = journal;
    this.paths = paths;
    this.switchEnv = switchEnv;
    this.home = home;
    this.isLost = this.header.boot !== bootId();
  }

  get header(): JournalHeader {
    return this.journal.state.header;
  }

  /** What counts, as it is now: while a change is being made, still what ran before. */
  get network(): Network {
    const { network: recorded } = this.header;
    // What is on record is advanced once, and from then on what came of it.
    if (this.#recorded !== recorded) this.#network = this.#recorded = recorded;
    return (this.#network = this.now(this.#network!));
  }

  /** The same with the moment that it is of: an event that comes due a moment later is not in it, and comes after it. */
  get present(): { readonly network: Network; readonly nowNs: number } {
    const { network: before, nowNs } = this;
    return { network: nowNs === -Infinity ? before : advance(before, nowNs), nowNs };
  }

  /** A network of which the record says what it was, with what events have made of it since. */
  now(network: Network): Network {
    return this.header.zero === undefined ? network : advance(network, this.nowNs);
  }

  /** Since time zero. Of a network that has none yet, nothing is due. */
  get nowNs(): number {
    const { zero } = this.header;
    return zero === undefined ? -Infinity : Number(process.hrtime.bigint()) - zero.monotonicNs;
  }

  /** All networks that parts may be there of: two during a change. */
  get networks(): readonly Network[] {
    const { header, change } = this.journal.state;
    return change === undefined ? [header.network] : [change.header.network, change.from];
  }

  /** Connects at first use. */
  get keeper(): KeeperClient {
    this.#keeper ??= KeeperClient.connect(this.paths.keeperSocket);
    return this.#keeper;
  }

  closeKeeper(): void {
    this.#keeper?.close();
    this.#keeper = undefined;
  }

  switchOf(machine: string): SwitchClient {
    return new SwitchClient(this.switchSocket(machine), machine);
  }

  switchSocket(machine: string): string {
    return this.paths.switchSocket(this.machine(machine).id);
  }

  machine(name: string): Machine {
    const machine = this.networks.flatMap(({ machines }) => machines).find((candidate) => candidate.name === name);
    if (machine === undefined) throw new StateError(`network ${this.header.name} has no machine ${name}`);
    return machine;
  }

  /** The process that was made for a role, `keeper`, `switch:a`, `host:h1`; undefined when none was made yet. */
  processOf(role: string): ProcessId | undefined {
    return this.journal.state.processes.get(role);
  }

  /** The same, where there must be one. */
  process(role: string): ProcessId {
    const id = this.processOf(role);
    if (id === undefined) throw new StateError(`network ${this.header.name} has no process '${role}'`);
    return id;
  }

  /** The switch processes that were made for machines of the network, in the order of these. */
  switches(): [string, ProcessId][] {
    return this.network.machines.flatMap(({ name }): [string, ProcessId][] => {
      const id = this.processOf(`switch:${name}`);
      return id === undefined ? [] : [[name, id]];
    });
  }

  /** Roles that start with `prefix`, without it. */
  processes(prefix: string): [string, ProcessId][] {
    return [...this.journal.state.processes]
      .filter(([role]) => role.startsWith(prefix))
      .map(([role, id]) => [role.slice(prefix.length), id]);
  }
}

/** The network namespace of a process, for `setns` and `tapOpen`. */
export function netnsOf(pid: number): string {
  return `/proc/${pid}/ns/net`;
}
