/**
 * A program of a peer's that runs as long as it is measured, in namespaces of a network of Luthier's: when the benchmark
 * is killed, `down` of that network ends it with them.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { execArguments, type Entrance } from '../../control/exec.js';
import { LuthierError } from '../../model/errors.js';

/** Until it is left to the end of its namespaces. */
const GRACE_MS = 2_000;
/** Of what it prints, so much is kept: its last words. */
const KEPT_CHARACTERS = 1 << 16;

export class Daemon {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #exited: Promise<unknown>;
  #said = '';
  #failure: Error | undefined;
  #pid: number | undefined;
  #ending = false;

  /** Its standard input stays open: there are programs that end with it. */
  constructor(entrance: Entrance, argv: readonly string[], env: Readonly<Record<string, string>>) {
    this.#name = argv[0]!;
    const { file, args } = execArguments(entrance, argv);
    // A group of its own: a terminal's ^C is for the benchmark, which ends this when it has stopped measuring.
    const child = spawn(file, args, { env: { ...entrance.env, ...env }, stdio: 'pipe', detached: true });
    const keep = (text: string): void => {
      this.#said = (this.#said + text).slice(-KEPT_CHARACTERS);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.stdin.on('error', () => undefined);
    this.#child = child;
    this.#exited = once(child, 'close').then(
      ([code, signal]) => (this.#failure = this.#ended(signal === null ? `status ${code as number}` : String(signal))),
      (cause: unknown) => (this.#failure = this.#ended(String(cause))),
    );
  }

  /** Told once, when it has ended by itself. */
  onEnd(listener: (failure: Error) => void): void {
    void this.#exited.then(() => {
      if (!this.#ending) listener(this.#failure!);
    });
  }

  /** The program itself, below the `nsrun` that entered the namespaces for it. */
  async pid(): Promise<number> {
    while (this.#pid === undefined) {
      this.throwIfEnded();
      this.#pid = childOf(this.#child.pid!);
      if (this.#pid === undefined) await sleep(1);
    }
    return this.#pid;
  }

  /** What it has printed; the end of it. */
  get said(): string {
    return this.#said;
  }

  throwIfEnded(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** `nsrun` passes it on. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(): Promise<void> {
    this.#ending = true;
    if (this.#failure !== undefined) return;
    this.kill('SIGTERM');
    await Promise.race([this.#exited, sleep(GRACE_MS, undefined, { ref: false })]);
  }

  #ended(how: string): Error {
    const words = this.#said.trim().split('\n').slice(-3).join('\n  ');
    return new LuthierError('E_BENCH', `${this.#name} ended: ${how}`, words === '' ? {} : { hint: words });
  }
}

/** proc(5), /proc/PID/stat: the fourth field is the parent; the second, in parentheses, may have any character. */
function childOf(parent: number): number | undefined {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) return Number(entry);
    } catch {
      // it ended meanwhile
    }
  }
  return undefined;
}
