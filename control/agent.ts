/**
 * The agent: one process a machine and user, in the background from the first `up` to the last `down`. It makes and
 * removes networks and answers questions about them, over HTTP on a Unix socket that only its user can open.
 *
 *   GET    /networks                          NetworkSummary[]
 *   POST   /networks                          { scenario, inputs, file, memoryBytes, engines, compensation } → NDJSON of Progress; closing it aborts
 *   GET    /unreadable                        string[]: why records could not be read
 *   POST   /plan                              { scenario, inputs } → PlanReport: what `POST /networks` would do
 *   POST   /networks/NAME/abort               interrupts its `up`, which is then taken back
 *   PATCH  /networks/NAME/links/LINK          { set, from? } → LinkSettings: the link as it is from now on, and since when
 *   DELETE /networks/NAME                     NDJSON of Progress
 *   GET    /networks/NAME                     NetworkState
 *   GET    /networks/NAME/nodes/NODE          NodeAccess
 *   GET    /networks/NAME/events              EventState[], in order of time
 *   GET    /networks/NAME/drops               DropRecord[]
 *   GET    /networks/NAME/verdict             Verdict: whether its links did what was asked of them
 *   GET    /networks/NAME/trace?from=&to=     TraceReport
 *   GET    /networks/NAME/capture?node=&port= pcapng
 *   GET    /networks/NAME/recording?machine=&link=&link=… NDJSON: a recording of emulated links
 *
 * The last two last as long as the request does: until its chunked body ends, and then they are whole, or, where it has
 * none, until the client goes.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { rmSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { LuthierError, StateError, UsageError } from '../model/errors.js';
import type { Progress } from '../model/messages.js';
import { bodyEnd } from '../vswitch/http-stream.js';
import type { AgentOptions } from './agent-options.js';
import { listenOnce, removeAgentFiles } from './agent-socket.js';
import { readJson, type StreamEnd } from './http.js';
import { eventStates, findNetnsNode, linkSettings, networkDrops, networkState, nodeAccess } from './inspect.js';
import { untilLookMs } from './look.js';
import { parseChange, parseScenario } from './scenario/index.js';
import { Networks } from './networks.js';
import { networkVerdict } from './run.js';
import { agentSocket } from './paths.js';
import { refuseUnsupported } from './unsupported.js';
import { refuseNarrowUnderlay } from './vxlan-underlay.js';
import { traceFrame } from './trace.js';
import { tapName } from './wiring.js';

const MAX_BODY_BYTES = 64 << 20;
/** An agent that nobody gave anything to do ends after this time. */
const IDLE_MS = 1_000;

const inputs = z.object({
  traces: z.record(z.string(), z.array(z.number())),
  distributions: z.record(z.string(), z.array(z.number())),
});

const UpRequest = z.object({
  scenario: z.unknown(),
  inputs,
  file: z.string().optional(),
  memoryBytes: z.number().int().positive(),
  engines: z.number().default(1),
  compensation: z.boolean().default(true),
});

const PlanRequest = z.object({ scenario: z.unknown(), inputs });

const LinkRequest = z.strictObject({ set: z.unknown(), from: z.string().optional() });

/** Runs until the last network is down. Returns at once when another agent already serves this socket. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { paths, log } = options;
  const networks = new Networks(options);
  // A request may go on for as long as somebody captures.
  const server = createServer({ requestTimeout: 0 });
  if (!(await listenOnce(server, paths))) return;
  log(`agent ${process.pid} listens on ${agentSocket(paths)}`);
  // An inode's number may be given out again, to the socket of the next agent.
  const identity = (): string | undefined => {
    const found = statSync(agentSocket(paths), { bigint: true, throwIfNoEntry: false });
    return found === undefined ? undefined : `${found.ino} ${found.birthtimeNs}`;
  };
  const own = identity();
  const socketIsThere = (): boolean => own !== undefined && identity() === own;
  // Requests wait until what an agent before left has been taken over.
  const ready = networks.adopt(socketIsThere);
  let ending = false;
  await new Promise<void>((resolve) => {
    let open = 0;
    let timer: NodeJS.Timeout | undefined;
    // From here on nothing is begun any more: whoever asks starts another agent.
    const end = (): void => {
      ending = true;
      resolve();
    };
    const settle = (): void => {
      clearTimeout(timer);
      if (open === 0 && networks.size === 0) timer = setTimeout(end, IDLE_MS);
    };
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      open++;
      clearTimeout(timer);
      response.once('close', () => {
        open--;
        settle();
      });
      if (ending) {
        fail(response, new LuthierError('E_ENDING', 'the agent is ending'), log);
        return;
      }
      // The last `down` ends the agent at once: nothing is left of Luthier when the command returns.
      const endsWithThis = (): boolean => {
        if (networks.size > 0 || open > 1) return false;
        ending = true;
        // A client that went away does not hear of it.
        if (response.destroyed) end();
        else response.once('close', end);
        return true;
      };
      ready
        .then(() => answer(networks, request, response, endsWithThis))
        .then(
          () => {
            response.end();
          },
          (cause: unknown) => {
            fail(response, cause, log);
          },
        );
    });
    const stop = (): void => {
      log('stopped: networks go on, the next command starts an agent again');
      end();
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    // Somebody removed the folder: nobody can reach us any more, and the next command starts another agent.
    const watch = (): void => {
      networks.processors.look();
      if (!socketIsThere()) stop();
      else setTimeout(watch, untilLookMs()).unref();
    };
    watch();
    void ready.then(settle);
  });
  if (socketIsThere()) rmSync(agentSocket(paths), { force: true });
  server.close();
  server.closeAllConnections();
  if (networks.size === 0) await removeAgentFiles(paths);
}

async function answer(
  networks: Networks,
  request: IncomingMessage,
  response: ServerResponse,
  endsWithThis: () => boolean,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://agent');
  const [root, name, part, item] = url.pathname.split('/').slice(1).map(decoded);
  if (root === 'unreadable') {
    response.setHeader('content-type', 'application/json');
    response.write(JSON.stringify(networks.unreadable));
    return;
  }
  if (root === 'plan' && request.method === 'POST') {
    const body = await readJson(request, PlanRequest, MAX_BODY_BYTES);
    const scenario = parseScenario(body.scenario, body.inputs);
    refuseUnsupported(scenario);
    refuseNarrowUnderlay(scenario);
    response.setHeader('content-type', 'application/json');
    response.write(JSON.stringify(networks.preview(scenario)));
    return;
  }
  if (root !== 'networks') throw new LuthierError('E_NOT_FOUND', `no such path: ${url.pathname}`);
  const json = (value: unknown): void => {
    response.setHeader('content-type', 'application/json');
    response.write(JSON.stringify(value));
  };
  const query = (key: string): string => {
    const value = url.searchParams.get(key);
    if (value === null) throw new LuthierError('E_USAGE', `${url.pathname} needs '${key}'`);
    return value;
  };
  if (request.method === 'POST' && name === undefined) {
    const body = await readJson(request, UpRequest, MAX_BODY_BYTES);
    const abort = new AbortController();
    response.once('close', () => {
      abort.abort();
    });
    const scenario = parseScenario(body.scenario, body.inputs);
    refuseUnsupported(scenario);
    refuseNarrowUnderlay(scenario);
    await streamProgress(response, (report) => networks.up({ ...body, scenario }, report, abort));
  } else if (request.method === 'POST' && name !== undefined && part === 'abort') {
    networks.abort(name);
  } else if (request.method === 'PATCH' && name !== undefined && part === 'links' && item !== undefined) {
    const { set, from } = await readJson(request, LinkRequest, MAX_BODY_BYTES);
    const { link, doneNs } = await networks.changeLink(name, item, parseChange(set), from);
    json({ ...linkSettings(link), ...(doneNs === undefined ? {} : { doneMonotonicNs: doneNs }) });
  } else if (request.method === 'DELETE' && name !== undefined) {
    if (!networks.has(name)) networks.get(name);
    await streamProgress(response, (report) =>
      networks.down(name, (progress) => {
        const last = progress.type === 'done' && endsWithThis();
        report(last ? { ...progress, endingPid: process.pid } : progress);
      }),
    );
  } else if (request.method !== 'GET') {
    throw new LuthierError('E_NOT_FOUND', `no such request: ${request.method ?? ''} ${url.pathname}`);
  } else if (name === undefined) json(networks.list());
  else {
    const live = networks.get(name);
    if (part === undefined) json(await networkState(live));
    else if (part === 'nodes' && item !== undefined) json(nodeAccess(live, item));
    else if (part === 'events') json(eventStates(live));
    else if (part === 'verdict') json(await networkVerdict(live, networks.processors.read()));
    else if (part === 'drops') json(await networkDrops(live));
    else if (part === 'trace') json(await traceFrame(live, query('from'), query('to')));
    else if (part === 'capture') {
      const node = findNetnsNode(live, query('node'));
      const port = query('port');
      if (!node.ports.some((candidate) => candidate.name === port))
        throw new StateError(`${node.name} has no port '${port}'`, {
          hint: `its ports: ${node.ports.map((candidate) => candidate.name).join(', ')}`,
        });
      const ofPort = tapName(node.name, port);
      await passOn(request, response, 'application/x-pcapng', (end) =>
        live.switchOf(node.machine).capture(ofPort, end),
      );
    } else if (part === 'recording') {
      const machine = query('machine');
      const links = url.searchParams.getAll('link');
      await passOn(request, response, 'application/x-ndjson', (end) => live.switchOf(machine).record(links, end));
    } else throw new LuthierError('E_NOT_FOUND', `no such path: ${url.pathname}`);
  }
}

/** A part of a path. Throws a UsageError. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new UsageError(`${part} in the path is wrong: ${(cause as Error).message}`, { cause });
  }
}

/** What a switch process streams, until it or our client ends it, or one of them goes. */
async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  type: string,
  open: (end: StreamEnd) => Promise<IncomingMessage>,
): Promise<void> {
  const abort = new AbortController();
  response.once('close', () => {
    abort.abort();
  });
  const stream = await open({ until: bodyEnd(request), signal: abort.signal });
  response.setHeader('content-type', type);
  response.flushHeaders();
  await pipeline(stream, response);
}

async function streamProgress(
  response: ServerResponse,
  work: (report: (progress: Progress) => void) => Promise<void>,
): Promise<void> {
  response.setHeader('content-type', 'application/x-ndjson');
  const report = (progress: Progress): void => {
    if (!response.destroyed) response.write(`${JSON.stringify(progress)}\n`);
  };
  try {
    await work(report);
  } catch (cause) {
    report({ type: 'error', ...errorBody(cause) });
  }
}

function fail(response: ServerResponse, cause: unknown, log: (message: string) => void): void {
  if (response.destroyed) return;
  if (!(cause instanceof LuthierError)) log(`internal error: ${cause instanceof Error ? cause.stack : String(cause)}`);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = cause instanceof LuthierError ? 400 : 500;
  response.end(JSON.stringify(errorBody(cause)));
}

function errorBody(cause: unknown): { code: string; message: string; hint?: string } {
  if (cause instanceof LuthierError)
    return { code: cause.code, message: cause.message, ...(cause.hint === undefined ? {} : { hint: cause.hint }) };
  return { code: 'E_INTERNAL', message: cause instanceof Error ? cause.message : String(cause) };
}
