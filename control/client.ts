/**
 * How `cli/` and the API talk to the agent; it is started in the background where none runs and there is something for
 * it to do.
 *
 *   const agent = await AgentClient.connect(paths);
 *   await agent.up(load('scenario.yaml'), { onProgress: console.log });
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { LuthierError, RemoteError } from '../model/errors.js';
import type {
  DropRecord,
  EventState,
  LinkSettings,
  NetworkState,
  NetworkSummary,
  NodeAccess,
  PlanReport,
  Progress,
  TraceReport,
} from '../model/messages.js';
import type { RawLinkProperties } from '../model/scenario.js';
import type { Verdict } from '../model/verdict.js';
import { makeFolders, requireOwnFolders } from './folders.js';
import { lines, openStream, requestJson, type StreamEnd } from './http.js';
import { answers, closes, removeAgentFiles } from './agent-socket.js';
import { journalFiles } from './journal-files.js';
import type { Scenario } from './scenario/index.js';
import { agentLog, agentSocket, type Paths } from './paths.js';
import { gone, processId } from './process.js';

/** 64 MiB: 32 768 slots of 2 KiB. */
export const DEFAULT_MEMORY_BYTES = 64 << 20;
/** The longest that an agent may take to listen: the machine may be busy, the disk cold. */
const START_TIMEOUT_MS = 15_000;
/**
 * A process that was killed closes its connections first, and what it listens at a moment later: seconds, on a machine
 * that is busy. Meanwhile it can be connected to.
 */
const CLOSING_MS = 5000;
/** How often a request is made until an agent takes it up. */
const MOST_ASKED = 3;

export interface OperationOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

export interface UpOptions extends OperationOptions {
  /** Frame memory of each switch process. */
  readonly memoryBytes?: number;
  /** Threads of each switch process that forward frames: 1. */
  readonly engines?: number;
  /** Whether links leave out of their delays what the switch process takes itself; by default they do. */
  readonly compensation?: boolean;
}

export class AgentClient {
  readonly #paths: Paths;

  private constructor(paths: Paths) {
    this.#paths = paths;
  }

  /** Starts the agent where none runs. */
  static async connect(paths: Paths): Promise<AgentClient> {
    requireOwnFolders(paths);
    if (!(await answers(agentSocket(paths)))) await startAgent(paths);
    return new AgentClient(paths);
  }

  /** Undefined when no agent runs and none is needed: nothing is recorded that it could take over. */
  static async tryConnect(paths: Paths): Promise<AgentClient | undefined> {
    requireOwnFolders(paths);
    if (await answers(agentSocket(paths))) return new AgentClient(paths);
    return journalFiles(paths).length === 0 ? undefined : AgentClient.connect(paths);
  }

  /** Clears away what an agent that was killed left of itself. Does nothing while an agent runs or a network is recorded. */
  static async removeStaleFiles(paths: Paths): Promise<void> {
    if (!(await answers(agentSocket(paths))) && journalFiles(paths).length === 0) await removeAgentFiles(paths);
  }

  networks(): Promise<NetworkSummary[]> {
    return this.#get('/networks');
  }

  /** Why there are records that the agent could not read. */
  unreadable(): Promise<string[]> {
    return this.#get('/unreadable');
  }

  network(name: string): Promise<NetworkState> {
    return this.#get(`/networks/${encodeURIComponent(name)}`);
  }

  access(network: string, node: string): Promise<NodeAccess> {
    return this.#get(`/networks/${encodeURIComponent(network)}/nodes/${encodeURIComponent(node)}`);
  }

  drops(network: string): Promise<DropRecord[]> {
    return this.#get(`/networks/${encodeURIComponent(network)}/drops`);
  }

  /** Whether its links did what was asked of them, until now. */
  verdict(network: string): Promise<Verdict> {
    return this.#get(`/networks/${encodeURIComponent(network)}/verdict`);
  }

  trace(network: string, from: string, to: string): Promise<TraceReport> {
    const query = new URLSearchParams({ from, to }).toString();
    return this.#get(`/networks/${encodeURIComponent(network)}/trace?${query}`);
  }

  /** pcapng, chunk by chunk, until `end`. */
  async capture(network: string, node: string, port: string, end: StreamEnd): Promise<AsyncIterable<Uint8Array>> {
    const query = new URLSearchParams({ node, port }).toString();
    const path = `/networks/${encodeURIComponent(network)}/capture?${query}`;
    return openStream({ ...this.#agent, method: 'GET', path, ...end });
  }

  /**
   * A recording of the emulated links of one machine's switch process, of those named or of all, line by line until
   * `end`. docs/json.md has the lines.
   */
  async record(
    network: string,
    machine: string,
    links: readonly string[],
    end: StreamEnd,
  ): Promise<AsyncIterable<Uint8Array>> {
    const query = new URLSearchParams([
      ['machine', machine],
      ...links.map((link): [string, string] => ['link', link]),
    ]).toString();
    const path = `/networks/${encodeURIComponent(network)}/recording?${query}`;
    return openStream({ ...this.#agent, method: 'GET', path, ...end });
  }

  /** What `up` would do. */
  plan(scenario: Scenario): Promise<PlanReport> {
    return this.#post('/plan', { scenario: scenario.raw, inputs: scenario.inputs });
  }

  /** Changes a link in place: both directions, or the one that leaves the node `from`. Returns what it is from now on. */
  setLink(network: string, link: string, set: RawLinkProperties, from?: string): Promise<LinkSettings> {
    const path = `/networks/${encodeURIComponent(network)}/links/${encodeURIComponent(link)}`;
    const body = { set, ...(from === undefined ? {} : { from }) };
    return this.#answered(() => requestJson({ ...this.#agent, method: 'PATCH', path, body, timeoutMs: 30_000 }));
  }

  /** In order of time. */
  events(network: string): Promise<EventState[]> {
    return this.#get(`/networks/${encodeURIComponent(network)}/events`);
  }

  /** All or nothing; when `signal` aborts, what was made is removed before this rejects. */
  async up(scenario: Scenario, options: UpOptions = {}): Promise<void> {
    const { file, raw, inputs } = scenario;
    const { memoryBytes = DEFAULT_MEMORY_BYTES, engines = 1, compensation = true } = options;
    const { name } = raw;
    const abort = (): void => {
      // The stream goes on until what was made has been removed; should even this fail, closing it aborts as well.
      const path = `/networks/${encodeURIComponent(name)}/abort`;
      requestJson({ ...this.#agent, method: 'POST', path }).catch((cause: unknown) => stop.abort(cause));
    };
    const stop = new AbortController();
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      const body = { scenario: raw, inputs, file, memoryBytes, engines, compensation };
      const request = { ...this.#agent, method: 'POST', path: '/networks', body, signal: stop.signal } as const;
      await this.#follow(await this.#answered(() => openStream(request)), options);
    } finally {
      options.signal?.removeEventListener('abort', abort);
    }
  }

  /** When it was the last network, the agent is gone too when this resolves. A `down` that was begun is completed. */
  async down(name: string, options: Pick<OperationOptions, 'onProgress'> = {}): Promise<void> {
    const path = `/networks/${encodeURIComponent(name)}`;
    const ask = async (): Promise<void> => {
      const endingPid = await this.#follow(await openStream({ ...this.#agent, method: 'DELETE', path }), options);
      const agent = endingPid === undefined ? undefined : processId(endingPid);
      if (agent !== undefined) await gone(agent, 5_000);
    };
    try {
      await ask();
    } catch (cause) {
      if (!agentIsGone(cause)) throw cause;
      if (!(await closes(agentSocket(this.#paths), CLOSING_MS))) throw cause;
      // Another agent completes what was begun before it answers; where nothing was, it is asked in its place.
      const networks = await this.networks();
      if (networks.some((network) => network.name === name)) await ask();
      else if (networks.length === 0) await closes(agentSocket(this.#paths), START_TIMEOUT_MS);
    }
  }

  /** Passes on what the agent says of an operation until it is over. Returns the agent's pid where it ends with it. */
  async #follow(response: IncomingMessage, { onProgress }: OperationOptions): Promise<number | undefined> {
    try {
      for await (const progress of lines<Progress>(response)) {
        onProgress?.(progress);
        if (progress.type === 'done') return progress.endingPid;
        if (progress.type === 'error') {
          const { code, message, hint } = progress;
          throw new LuthierError(code, message, hint === undefined ? {} : { hint });
        }
      }
    } catch (cause) {
      // The agent's own errors come as lines; any other is the connection's.
      if (cause instanceof LuthierError) throw cause;
      throw this.#agentEnded(cause);
    }
    throw this.#agentEnded();
  }

  #get<T>(path: string): Promise<T> {
    return this.#answered(() => requestJson<T>({ ...this.#agent, method: 'GET', path, timeoutMs: 30_000 }));
  }

  #post<T>(path: string, body: unknown): Promise<T> {
    return this.#answered(() => requestJson<T>({ ...this.#agent, method: 'POST', path, body, timeoutMs: 30_000 }));
  }

  /**
   * An agent that was killed, or is ending because nothing was left to do, does not take the request up: another is
   * started, and asked. On a machine without a moment to spare one that was killed may go on listening for longer than it is
   * waited for, and hang up on this, too.
   */
  async #answered<T>(ask: () => Promise<T>): Promise<T> {
    for (let asked = 1; ; asked++) {
      try {
        return await ask();
      } catch (cause) {
        if (!agentIsGone(cause) || asked === MOST_ASKED) throw cause;
        // What still answers then is another agent, which somebody else has started; or the same one, and is asked in vain.
        if (await closes(agentSocket(this.#paths), CLOSING_MS)) await startAgent(this.#paths);
      }
    }
  }

  #agentEnded(cause?: unknown): RemoteError {
    return new RemoteError('agent', 'the agent ended before it was done', {
      hint: `\`luthier ls\` starts another, which completes or undoes what was begun; its log: ${agentLog(this.#paths)}`,
      cause,
    });
  }

  get #agent(): { socket: string; remote: string } {
    return { socket: agentSocket(this.#paths), remote: 'the agent' };
  }
}

/** The connection failed or broke, which it did not where an answer only takes too long; or it says that it is ending. */
function agentIsGone(cause: unknown): boolean {
  if (cause instanceof RemoteError) return (cause.cause as NodeJS.ErrnoException | undefined)?.code !== 'ETIMEDOUT';
  return cause instanceof LuthierError && cause.code === 'E_ENDING';
}

async function startAgent(paths: Paths, deadline = performance.now() + START_TIMEOUT_MS): Promise<void> {
  // Reads records, and so all that a scenario can say: most commands find an agent, and start in half the time without.
  const { agentCommand, agentEnvironment } = await import('./user-namespace.js');
  const log = openLog(paths);
  const [program, ...args] = agentCommand(paths);
  const child = spawn(program, args, {
    detached: true,
    cwd: '/',
    env: agentEnvironment(paths, process.env),
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended: string | undefined;
  child.once('error', (cause) => (ended = cause.message));
  child.once('exit', (code, signal) => (ended = signal ?? `status ${code ?? '?'}`));
  child.unref();
  while (!(await answers(agentSocket(paths)))) {
    // Another agent was quicker; should it have ended meanwhile, it is our turn again.
    if (ended === 'status 0' && performance.now() < deadline) return startAgent(paths, deadline);
    if (ended !== undefined || performance.now() > deadline) {
      const text = existsSync(agentLog(paths)) ? readFileSync(agentLog(paths), 'utf8').trim().slice(-500) : '';
      throw new RemoteError('agent', `the agent did not start (${ended ?? 'no answer'}): ${text}`);
    }
    await sleep(3);
  }
}

/** The folder may go while we look: with an agent that ends. */
function openLog(paths: Paths): number {
  for (;;) {
    makeFolders(paths);
    try {
      return openSync(agentLog(paths), 'a', 0o600);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    }
  }
}
