/**
 * Keeps a running network whole: a switch process, the keeper or the namespace of a machine that ended is there again a
 * moment later. The descriptors of a switch process are held by the keeper, so that hosts see no carrier change; those of
 * the keeper are opened again. A host that ended stays ended, as nobody knows what ran in it: the next `up` makes it
 * again. What is to be said a second time (`announceAgain`) is said here too: not while somebody works on the network, nor
 * once it is gone.
 *
 * It holds a connection to each switch process's control socket, which the kernel closes when the process ends: so an
 * agent that adopted a network notices it just as the one that made it. The process itself closes a silent connection
 * once a minute (`http.Server.headersTimeout`); then another is opened. What has no such socket is looked at every now
 * and then, as nothing stands still without it.
 */
import { createConnection, type Socket } from 'node:net';
import { announceAgain } from './actions/hosts.js';
import type { LiveNetwork } from './live.js';
import { LOOK_MS, untilLookMs } from './look.js';
import { mend } from './operations.js';
import { inWords, needsMending, tendedLosses } from './repair.js';

/** What ends this often within a minute will do so again: the network is left `broken`, the logs say why. */
const MAX_REPAIRS = 5;
const WINDOW_MS = 60_000;
/** Between a connection's end and the next look: a process that is ending has closed its sockets before it is gone. */
const PAUSE_MS = 20;

export class Supervisor {
  readonly #live: LiveNetwork;
  /** Another agent may have taken over, unnoticed but for this. */
  readonly #isInCharge: () => boolean;
  readonly #log: (message: string) => void;
  /** By machine. */
  readonly #connections = new Map<string, Socket>();
  readonly #repairs: number[] = [];
  readonly #watch: Promise<void>;
  #stopped = false;
  /** Somebody was to be woken who was not asleep: the next pause ends at once. */
  #isWoken = false;
  #endPause: (() => void) | undefined;
  /** A repair under way, and work that none may begin beside. */
  #repair: Promise<boolean> | undefined;
  #work: Promise<unknown> | undefined;

  constructor(live: LiveNetwork, isInCharge: () => boolean, log: (message: string) => void) {
    this.#live = live;
    this.#isInCharge = isInCharge;
    this.#log = log;
    this.#watch = this.#tend();
  }

  /**
   * Does what takes a moment while nothing is mended: whoever starts a process again tells it what the record says, and
   * that is about to change. One at a time.
   */
  async between<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.#repair !== undefined) await this.#repair;
    const done = work();
    // Who asked for it is told that it failed; who waits here only wants it over.
    this.#work = done.catch(() => undefined);
    try {
      return await done;
    } finally {
      this.#work = undefined;
    }
  }

  /** Resolves when no repair is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#watch;
    for (const connection of this.#connections.values()) connection.destroy();
  }

  async #tend(): Promise<void> {
    this.#live.isTended = true;
    try {
      await this.#run();
    } finally {
      this.#live.isTended = false;
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      while (this.#work !== undefined) await this.#work;
      if (needsMending(this.#live)) {
        if (!this.#isInCharge()) return;
        this.#repair = this.#mend().finally(() => (this.#repair = undefined));
        if (!(await this.#repair)) return;
      } else {
        for (const [machine] of this.#live.switches()) this.#connect(machine);
        await this.#announceAgain();
        await this.#pause(untilLookMs());
      }
    }
  }

  async #announceAgain(): Promise<void> {
    if (this.#live.announced.size === 0 || !this.#isInCharge()) return;
    try {
      await announceAgain(this.#live);
    } catch (cause) {
      // Others forget what is wrong by themselves, in half a minute.
      this.#log(`network ${this.#live.header.name}: not announced again: ${(cause as Error).message}`);
    }
  }

  /** False when it has been tried too often. */
  async #mend(): Promise<boolean> {
    const { name } = this.#live.header;
    const now = performance.now();
    while (this.#repairs.length > 0 && now - this.#repairs[0]! > WINDOW_MS) this.#repairs.shift();
    if (this.#repairs.length === MAX_REPAIRS) {
      this.#log(`network ${name}: mended ${MAX_REPAIRS} times in a minute: left as it is`);
      return false;
    }
    this.#repairs.push(now);
    const what = inWords({ ...tendedLosses(this.#live), nodes: new Set() }).join(', ');
    try {
      await mend(this.#live, { onProgress: () => undefined, log: this.#log });
      this.#log(`network ${name}: mended: ${what}`);
    } catch (cause) {
      this.#log(`network ${name}: could not be mended: ${what}: ${(cause as Error).message}`);
      await this.#pause(LOOK_MS);
    }
    return true;
  }

  /** Its end cuts the pause short. Nothing is ever said on the connection. */
  #connect(machine: string): void {
    if (this.#connections.has(machine)) return;
    const connection = createConnection(this.#live.switchSocket(machine));
    this.#connections.set(machine, connection);
    // What went wrong does not matter: the process is looked at next.
    connection.on('error', () => undefined);
    connection.resume();
    connection.once('close', () => {
      this.#connections.delete(machine);
      setTimeout(() => {
        this.#wake();
      }, PAUSE_MS);
    });
  }

  #wake(): void {
    if (this.#endPause === undefined) this.#isWoken = true;
    else this.#endPause();
  }

  async #pause(ms: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#endPause = undefined;
    }
    this.#isWoken = false;
  }
}
