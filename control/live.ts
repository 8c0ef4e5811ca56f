/**
 * A network that is being made, runs, or is being removed: its journal, and the connections through which its processes
 * are reached. Everything here can be had again from the journal and the sockets, which is how an agent adopts.
 */
import type { Network } from '../model/network.js';
import { StateError } from '../model/errors.js';
import { KeeperClient } from '../native/keeper.js';
import type { Journal, JournalHeader } from './journal.js';
import type { NetworkPaths } from './paths.js';
import type { ProcessId } from './process.js';
import { SwitchClient } from './switch-process.js';

export class LiveNetwork {
  readonly journal: Journal;
  readonly paths: NetworkPaths;
  /** Added to the environment of switch processes. */
  readonly switchEnv: Readonly<Record<string, string>>;
  #keeper: KeeperClient | undefined;

  constructor(journal: Journal, paths: NetworkPaths, switchEnv: Readonly<Record<string, string>>) {
    this.journal = journal;
    this.paths = paths;
    this.switchEnv = switchEnv;
  }

  get header(): JournalHeader {
    return this.journal.state.header;
  }

  get network(): Network {
    return this.header.network;
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
    const index = this.network.machines.findIndex(({ name }) => name === machine);
    return this.paths.switchSocket(index);
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
