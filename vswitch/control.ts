/**
 * The HTTP control of a switch process, for the agent:
 *
 *   PUT  /identity                            SwitchIdentity → {}; for the tunnels of configurations that follow
 *   PUT  /config                              SwitchConfig → {} when it is applied, wholly
 *   PUT  /links                               ScheduledLink[] → { doneNs } when all of them are as they should be
 *   GET  /changes[?after=N]                   DoneChange[], in the order in which they were done
 *   GET  /state                               SwitchState
 *   GET  /tunnels                             TunnelState[], when all are sealed, or nothing came of it for 10 s
 *   GET  /drops                               DropRecord[], oldest first
 *   POST /quit                                {} and the process ends
 *   GET  /capture?device=NAME[&link=NAME]     pcapng
 *   GET  /recording[?link=NAME&link=…]        a recording of emulated links (`recording/lines.ts`)
 *
 * The last two last as long as the request does (`http-stream.ts`): until its chunked body ends, and then they are whole, or,
 * where it has none, until the client goes.
 *
 * Errors are `{ code, message, hint? }`: 400 what was asked is wrong, 404 there is no such thing, 500 the rest.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isEmulated, linkState } from '../model/emulation.js';
import { LuthierError, StateError, UsageError } from '../model/errors.js';
import {
  arrivalsName,
  type DoneChange,
  type DropRecord,
  type ScheduledLink,
  type SwitchConfig,
  type SwitchState,
  type TunnelState,
} from '../model/messages.js';
import type { KeeperClient } from '../native/keeper.js';
import { native } from '../native/binding.js';
import { streamCapture } from './capture-stream.js';
import { checkInputs, parseConfig, parseIdentity, parseLinks } from './config.js';
import { DROP_REASONS } from './drops.js';
import type { Engines } from './engines.js';
import type { Handshakes } from './handshake/handshakes.js';
import { bodyEnd } from './http-stream.js';
import { log } from './log.js';
import { streamRecording } from './recording/stream.js';
import type { Timer } from './timer.js';

/** A network of thousands of links has a configuration of a few megabytes. */
const MAX_BODY_BYTES = 64 * 2 ** 20;

class NotFound extends LuthierError {
  constructor(message: string) {
    super('E_NOT_FOUND', message);
  }
}

export class Control {
  onQuit: () => void;
  readonly #engines: Engines;
  readonly #keeper: KeeperClient;
  readonly #handshakes: Handshakes;
  /** For the one recording that there can be. */
  readonly #timer: Timer;
  #config: SwitchConfig | undefined;
  /** Of links, as they are now. */
  readonly #linkStates: Map<string, 'up' | 'down'>;
  /** Links that do, did or will do something to frames. */
  readonly #emulated: Set<string>;
  /** TAPs that tell when their frames came. */
  readonly #watched: Set<string>;
  /** Of the engine's schedule. */
  readonly #done: DoneChange[];
  /** The configuration that is being applied: one after the other. */
  #applying: Promise<unknown>;
  #lastCapture: number;
  #recording: boolean;

  constructor(engines: Engines, keeper: KeeperClient, handshakes: Handshakes, timer: Timer) {
    this.onQuit = () => undefined;
    this.#engines = engines;
    this.#keeper = keeper;
    this.#handshakes = handshakes;
    this.#timer = timer;
    this.#emulated = new Set();
    this.#watched = new Set();
    this.#config = undefined;
    this.#linkStates = new Map();
    this.#done = [];
    this.#applying = Promise.resolve();
    this.#lastCapture = 0;
    this.#recording = false;
    engines.onScheduleEvent = ({ changes, done }) => {
      this.#linksAre(changes);
      this.#done.push(...done);
    };
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://switch');
    try {
      switch (`${request.method} ${url.pathname}`) {
        case 'PUT /identity':
          // Looks for libraries here, so that the engine's thread needs not when it gets the first key.
          native.aeadFind();
          await this.#handshakes.identify(parseIdentity(parseJson(await readBody(request))));
          sendJson(response, 200, {});
          break;
        case 'PUT /config':
          await this.#putConfig(await readBody(request));
          await this.#configured(response);
          break;
        case 'PUT /links':
          sendJson(response, 200, { doneNs: await this.#putLinks(await readBody(request)) });
          break;
        case 'GET /state':
          sendJson(response, 200, await this.#state());
          break;
        case 'GET /tunnels':
          sendJson(response, 200, await this.#handshakes.settled());
          break;
        case 'GET /changes':
          sendJson(response, 200, this.#changes(url.searchParams));
          break;
        case 'GET /drops':
          sendJson(response, 200, this.#drops());
          break;
        case 'GET /capture':
          await this.#capture(url.searchParams, response, bodyEnd(request));
          break;
        case 'GET /recording':
          await this.#record(url.searchParams.getAll('link'), response, bodyEnd(request));
          break;
        case 'POST /quit':
          sendJson(response, 200, {});
          response.once('close', this.onQuit);
          break;
        default:
          throw new NotFound(`there is no ${request.method} ${url.pathname}`);
      }
    } catch (error) {
      sendError(response, error);
    }
  }

  #putConfig(body: string): Promise<void> {
    const config = parseConfig(parseJson(body));
    return this.#inTurn(async () => {
      const opened = await this.#engines.apply(config, (names) => this.#descriptors(config.machine, names));
      this.#config = config;
      this.#linkStates.clear();
      this.#emulated.clear();
      for (const device of opened) this.#watched.delete(device);
      this.#linksAre(config.links);
      this.#handshakes.configure(config, opened);
      this.#engines.watchStrains(this.#emulated);
      await this.#watchArrivals();
    });
  }

  /** Changes links in place, all at once. */
  #putLinks(body: string): Promise<number> {
    const links = parseLinks(parseJson(body));
    return this.#inTurn(async () => {
      const config = this.#config;
      if (config === undefined) throw new StateError('the switch process has no configuration yet');
      for (const link of links) checkInputs(link, config.inputs);
      const doneNs = await this.#engines.setLinks(links);
      const wasEmulated = this.#emulated.size > 0;
      this.#linksAre(links);
      this.#engines.watchStrains(this.#emulated);
      if (!wasEmulated) await this.#watchArrivals();
      return doneNs;
    });
  }

  #linksAre(links: readonly ScheduledLink[]): void {
    for (const link of links) {
      this.#linkStates.set(link.name, linkState(link));
      if (isEmulated(link)) this.#emulated.add(link.name);
    }
  }

  /** Where links are emulated: when frames come to the TAPs, as far as the agent has that written down. It is done without else. */
  async #watchArrivals(): Promise<void> {
    const unwatched = this.#unwatchedTaps();
    if (this.#emulated.size === 0 || unwatched.length === 0) return;
    const { machine } = this.#config!;
    try {
      const held = new Set(this.#keeper.list());
      for (const tap of unwatched) {
        if (!held.has(`${machine}/${arrivalsName(tap)}`)) continue;
        await this.#engines.watchArrivals(tap, this.#keeper.get(`${machine}/${arrivalsName(tap)}`));
        this.#watched.add(tap);
      }
    } catch (error) {
      (await log()).warn(error, 'delays count from when frames are read');
    }
  }

  #unwatchedTaps(): string[] {
    const devices = this.#config?.devices ?? [];
    return devices.flatMap(({ kind, name }) => (kind === 'tap' && !this.#watched.has(name) ? [name] : []));
  }

  #changes(query: URLSearchParams): DoneChange[] {
    const after = query.get('after') ?? '0';
    if (!/^\d+$/.test(after)) throw new UsageError('?after=N is how many of them are known');
    return this.#done.slice(Number(after));
  }

  /** After what was asked before. */
  #inTurn<Value>(apply: () => Promise<Value>): Promise<Value> {
    const applied = this.#applying.then(apply);
    // Who asked is told of a failure; whoever comes next only waits for its end.
    this.#applying = applied.catch(() => undefined);
    return applied;
  }

  /** The keeper holds a device's descriptor as MACHINE/NAME. All of them, or none is left open. */
  #descriptors(machine: string, names: readonly string[]): Map<string, number> {
    const fds = new Map<string, number>();
    try {
      for (const name of names) fds.set(name, this.#keeper.get(`${machine}/${name}`));
    } catch (error) {
      for (const fd of fds.values()) native.close(fd);
      throw error;
    }
    return fds;
  }

  async #state(): Promise<SwitchState> {
    const engines = this.#engines;
    const [bridges, io] = await Promise.all([engines.addresses(), this.#io()]);
    return {
      pid: process.pid,
      rssBytes: process.memoryUsage.rss(),
      uptimeNs: Math.round(process.uptime() * 1e9),
      ...io,
      arena: engines.arena(),
      compensationNs: engines.compensationNs,
      unwatchedTaps: this.#emulated.size === 0 ? 0 : this.#unwatchedTaps().length,
      devices: engines.devices(),
      links: engines.links().map(({ name, ...counters }) => {
        return { name, state: this.#linkStates.get(name) ?? 'up', ...counters };
      }),
      strains: engines.strains(),
      tunnels: this.#tunnels(),
      bridges: bridges.map(({ bridge, addresses, refused }) => ({
        name: bridge,
        fdb: addresses.map(({ hi, lo, link, ageNs }) => ({
          mac: macOf(hi, lo),
          link,
          ageSeconds: Math.round(ageNs / 1e6) / 1e3,
        })),
        fdbRefused: refused,
      })),
      drops: engines.dropsByReason(),
    };
  }

  async #configured(response: ServerResponse): Promise<void> {
    const io = await this.#io();
    sendJson(response, 200, {});
    // After the answer, since the log is loaded when it is first written to.
    void log().then((logger) => logger.info({ links: this.#config?.links.length, ...io }, 'configured'));
  }

  async #io(): Promise<Pick<SwitchState, 'ioUringError'>> {
    const ioUringError = await this.#engines.ioUringError();
    return ioUringError === undefined ? {} : { ioUringError };
  }

  #tunnels(): TunnelState[] {
    return this.#handshakes.states.map((state) => {
      const health = this.#engines.tunnel(state.name);
      return health === undefined ? state : { ...state, health };
    });
  }

  #drops(): DropRecord[] {
    return this.#engines.drops().map(({ unixNs, reason, where, lengthBytes, header }) => ({
      unixNs: String(unixNs),
      reason: DROP_REASONS[reason]!,
      where,
      lengthBytes,
      header: Buffer.from(header).toString('hex'),
    }));
  }

  async #capture(query: URLSearchParams, response: ServerResponse, until: AbortSignal): Promise<void> {
    const device = query.get('device');
    if (device === null) throw new UsageError('a capture needs ?device=NAME');
    if (!this.#config?.devices.some(({ name }) => name === device)) throw new NotFound(`there is no device ${device}`);
    const engine = this.#engines.ofDevice(device);
    await streamCapture(engine, response, {
      id: ++this.#lastCapture,
      device,
      channel: this.#channelOf(device, query.get('link')),
      unixNs: (nowNs) => engine.unixNs(nowNs),
      until,
    });
  }

  /** Of the links named, or of all, those that something is or will be asked of. */
  async #record(names: readonly string[], response: ServerResponse, until: AbortSignal): Promise<void> {
    const config = this.#config;
    if (config === undefined) throw new StateError('the switch process has no configuration yet');
    if (this.#recording)
      throw new StateError(`links of ${config.network} are being recorded already`, {
        hint: 'end the other recording first',
      });
    const known = config.links.map(({ name }) => name);
    for (const name of names)
      if (!known.includes(name)) throw new NotFound(`machine ${config.machine} has no link ${name}`);
    const links = (names.length === 0 ? known : names).filter((name) => this.#emulated.has(name));
    if (links.length === 0)
      throw new StateError(`none of the links to record does anything to frames`, {
        hint: 'have one do something: luthier set LINK delay=10ms',
      });
    const engines = this.#engines.ofLinks([...new Set(links)]);
    this.#recording = true;
    try {
      await streamRecording(engines, response, {
        id: ++this.#lastCapture,
        network: {
          name: config.network,
          seed: config.seed,
          machine: config.machine,
          compensationNs: this.#engines.compensationNs,
        },
        timer: this.#timer,
        until,
      });
    } finally {
      this.#recording = false;
    }
  }

  /** The channel that a link has on a device; -1 when the device carries nothing else. */
  #channelOf(device: string, linkName: string | null): number {
    if (linkName === null) return -1;
    for (const end of this.#config?.links.find(({ name }) => name === linkName)?.ends ?? []) {
      if ('tap' in end && end.tap === device) return -1;
      if ('vxlan' in end && end.vxlan === device) return -1;
      if ('udp' in end && end.udp === device) return end.channel;
    }
    throw new NotFound(`no link ${linkName} ends at ${device}`);
  }
}

function macOf(hi: number, lo: number): string {
  const digits = hi.toString(16).padStart(4, '0') + (lo >>> 0).toString(16).padStart(8, '0');
  return digits.match(/../g)!.join(':');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) throw new UsageError(`the body is longer than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`the body is not JSON: ${(cause as Error).message}`, { cause });
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { code, hint } = error instanceof LuthierError ? error : { code: 'E_INTERNAL', hint: undefined };
  const status = error instanceof UsageError ? 400 : error instanceof NotFound ? 404 : 500;
  if (status === 500) void log().then((logger) => logger.error(error, 'a request failed'));
  sendJson(response, status, { code, message: (error as Error).message, ...(hint === undefined ? {} : { hint }) });
}
