/**
 * Keeps the switch processes of a running network alive: one that ended is started again, with the descriptors that the
 * keeper holds and the configuration it had.
 *
 * It holds a connection to each process's control socket, which the kernel closes when the process ends: so an agent that
 * adopted a network notices it just as the one that made it, and an idle network costs no processor time. The process
 * itself closes a silent connection once a minute (`http.Server.headersTimeout`); then another is opened.
 */
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { restartSwitch } from './actions.js';
import type { LiveNetwork } from './live.js';
import { isAlive } from './process.js';

/** A process that ends this often within a minute will do so again: the network is left `broken`, its log says why. */
const MAX_RESTARTS = 5;
const WINDOW_MS = 60_000;
/** Between a connection's end and the next look: a process that is ending has closed its sockets before it is gone. */
const PAUSE_MS = 20;

export class Supervisor {
  readonly #live: LiveNetwork;
  readonly #log: (message: string) => void;
  readonly #connections = new Set<Socket>();
  readonly #watches: Promise<void>[];
  #stopped = false;

  constructor(live: LiveNetwork, log: (message: string) => void) {
    this.#live = live;
    this.#log = log;
    this.#watches = live.processes('switch:').map(([machine]) => this.#watch(machine));
  }

  /** Resolves when no restart is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(this.#watches);
  }

  async #watch(machine: string): Promise<void> {
    const restarts: number[] = [];
    while (!this.#stopped) {
      const id = this.#live.process(`switch:${machine}`);
      if (isAlive(id)) {
        await this.#connectionEnded(this.#live.switchSocket(machine));
        await sleep(PAUSE_MS);
        continue;
      }
      const name = `the switch process of ${this.#live.header.name} on machine ${machine}`;
      const now = performance.now();
      while (restarts.length > 0 && now - restarts[0]! > WINDOW_MS) restarts.shift();
      if (restarts.length === MAX_RESTARTS) {
        this.#log(`${name} ended ${MAX_RESTARTS} times in a minute: left as it is`);
        return;
      }
      restarts.push(now);
      try {
        await restartSwitch(this.#live, machine);
        this.#log(`${name} ended (pid ${id.pid}) and was started again`);
      } catch (cause) {
        this.#log(`${name} ended (pid ${id.pid}) and could not be started again: ${(cause as Error).message}`);
      }
    }
  }

  /** Resolves when the process has closed a connection to this socket, or takes none. */
  #connectionEnded(path: string): Promise<void> {
    return new Promise((resolve) => {
      const connection = createConnection(path);
      this.#connections.add(connection);
      // What went wrong does not matter: the process is looked at next. Nothing is ever said on the connection.
      connection.on('error', () => undefined);
      connection.resume();
      connection.once('close', () => {
        this.#connections.delete(connection);
        resolve();
      });
    });
  }
}
