/**
 * One vswitch process: how it is started (confined: no capability, a uid of its network's own, no network, a view of
 * the file system with little more than its code) and talked to.
 *
 * It inherits fd 3, its listening control socket, and fd 4, a connection to the keeper that may only `get` this
 * machine's descriptors. Agent and switch can each be restarted: whoever comes connects to the same socket again.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';
import { native, packageDirectory } from '../native/binding.js';
import { KeeperClient } from '../native/keeper.js';
import { LuthierError } from '../model/errors.js';
import type {
  DoneChange,
  DropRecord,
  ScheduledLink,
  SwitchConfig,
  SwitchIdentity,
  SwitchState,
  TunnelState,
} from '../model/messages.js';
import { openStream, requestJson, type StreamEnd } from './http.js';
import { nsrunPath } from './native-tools.js';
import { openLatencyRequests } from './processors.js';

/** Where the confined process sees the package's folder. */
const APP_DIRECTORY = '/tmp/app';
const CONTROL_FD = 3;
const KEEPER_FD = 4;
/** Where it hears that it is on record. */
const RECORDED_FD = 5;
/** From here on one for each engine, where there are any (`processors.ts`). */
const FIRST_LATENCY_FD = 6;

export interface SwitchStart {
  readonly machine: string;
  readonly uid: number;
  readonly socket: string;
  readonly keeperSocket: string;
  readonly logFile: string;
  readonly memoryBytes: number;
  readonly engines: number;
  /** Whether its links leave out of delays what it takes itself. */
  readonly compensation: boolean;
  /** Added to its environment: how a sanitizer's build is chosen. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Starts the process and returns at once; the first `SwitchClient.configure` waits for it. It does nothing until
 * `onStarted` has returned, and ends when we are killed before: so every one that runs is on record.
 */
export function startSwitch(start: SwitchStart, onStarted: (pid: number) => void): void {
  rmSync(start.socket, { force: true });
  const listening = native.unixListen(start.socket, 16);
  const keeper = KeeperClient.connect(start.keeperSocket);
  const log = openSync(start.logFile, 'a', 0o600);
  const opened = openLatencyRequests(start.engines);
  const latencyFds = typeof opened === 'string' ? [] : opened;
  try {
    keeper.restrict(`${start.machine}/`);
    const child = spawn(
      nsrunPath,
      [
        'confine',
        ...['--uid', String(start.uid), '--gid', String(start.uid)],
        ...['--app', packageDirectory, '--exe', process.execPath],
        ...['--keep', String(CONTROL_FD), '--keep', String(KEEPER_FD), '--await', String(RECORDED_FD)],
        ...latencyFds.flatMap((_, i) => ['--keep', String(FIRST_LATENCY_FD + i)]),
        '--',
        // The engine allocates nothing while it runs; small heaps keep the idle process small.
        '--max-semi-space-size=1',
        `${APP_DIRECTORY}/dist/bin/vswitch.js`,
        ...['--memory', String(start.memoryBytes), '--engines', String(start.engines)],
        ...(start.compensation ? [] : ['--no-compensation']),
        ...(latencyFds.length === 0 ? [] : ['--latency-fds']),
      ],
      {
        cwd: '/',
        detached: true,
        env: { LANG: 'C', NODE_ENV: 'production', ...insideView(start.env) },
        stdio: ['ignore', log, log, listening, keeper.fd, 'pipe', ...latencyFds],
      },
    );
    if (child.pid === undefined) throw new LuthierError('E_SWITCH', `cannot start ${nsrunPath}`);
    // Its end is noticed by `supervisor.ts`, whoever started it.
    child.once('error', () => undefined);
    child.unref();
    const recorded = (child.stdio as readonly unknown[])[RECORDED_FD] as Writable;
    // A process that has ended already is no concern of this write.
    recorded.on('error', () => undefined);
    try {
      onStarted(child.pid);
      recorded.end('.');
    } catch (cause) {
      recorded.destroy();
      throw cause;
    }
  } finally {
    closeSync(log);
    for (const fd of latencyFds) closeSync(fd);
    keeper.close();
    native.close(listening);
  }
}

export class SwitchClient {
  readonly #socket: string;
  readonly #remote: string;

  constructor(socket: string, machine: string) {
    this.#socket = socket;
    this.#remote = `the switch of machine ${machine}`;
  }

  /** Resolves when it has applied the configuration. The first one waits for the process to come up and warm up. */
  async configure(config: SwitchConfig): Promise<void> {
    await requestJson({ ...this.#to('PUT', '/config'), body: config, timeoutMs: 20_000 });
  }

  /** Changes links of its configuration in place, all at once; by CLOCK_MONOTONIC when that was done. */
  async setLinks(links: readonly ScheduledLink[]): Promise<number> {
    const answer = await requestJson<{ doneNs: number }>({
      ...this.#to('PUT', '/links'),
      body: links,
      timeoutMs: 5_000,
    });
    return answer.doneNs;
  }

  /** Changes that were due later and were done, all but the first `after` of its life. */
  changes(after: number): Promise<DoneChange[]> {
    return requestJson({ ...this.#to('GET', `/changes?after=${after}`), timeoutMs: 5_000 });
  }

  /** Who it is, for the tunnels of the configurations that follow. */
  async identify(identity: SwitchIdentity): Promise<void> {
    await requestJson({ ...this.#to('PUT', '/identity'), body: identity, timeoutMs: 20_000 });
  }

  /** Its tunnels, when all that are to be sealed are, or nothing has come of it for ten seconds. */
  settledTunnels(): Promise<TunnelState[]> {
    return requestJson(this.#to('GET', '/tunnels'));
  }

  state(): Promise<SwitchState> {
    return requestJson({ ...this.#to('GET', '/state'), timeoutMs: 5_000 });
  }

  drops(): Promise<DropRecord[]> {
    return requestJson({ ...this.#to('GET', '/drops'), timeoutMs: 5_000 });
  }

  /** pcapng, until `end`. */
  capture(device: string, end: StreamEnd): Promise<IncomingMessage> {
    return openStream({ ...this.#to('GET', `/capture?device=${encodeURIComponent(device)}`), ...end });
  }

  /** A recording of its emulated links, or of those named, line by line until `end`. */
  record(links: readonly string[], end: StreamEnd): Promise<IncomingMessage> {
    const query = new URLSearchParams(links.map((link): [string, string] => ['link', link])).toString();
    return openStream({ ...this.#to('GET', `/recording?${query}`), ...end });
  }

  #to<M extends 'GET' | 'PUT'>(method: M, path: string): { socket: string; method: M; path: string; remote: string } {
    return { socket: this.#socket, method, path, remote: this.#remote };
  }
}

/** Paths below the package's folder, as the confined process sees them. */
function insideView(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, value.replaceAll(packageDirectory, APP_DIRECTORY)]),
  );
}
