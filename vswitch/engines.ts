/**
 * The main thread's end of all engines of the process, as of one: gives each its part of a configuration (`stack/shards.ts`),
 * and puts together what they have counted. Used by `main.ts` and `control.ts`.
 *
 * A change is done by all or none: each first opens what it needs, which may fail; then each changes, which does not.
 */
import { getSystemErrorName } from 'node:util';
import { StateError } from '../model/errors.js';
import type { PortCounters, ScheduledLink, SwitchConfig, SwitchState, UdpConfig } from '../model/messages.js';
import type { Strain } from '../model/verdict.js';
import { native } from '../native/binding.js';
import type { Layout, ScheduleEvent, TunnelEvent } from './commands.js';
import { linkOf } from './drop-counter.js';
import { EngineThread } from './engine-thread.js';
import { type RecordedDrop, RECORDS } from './flight-recorder.js';
import { hasLanes, NOTHING_PLACED, shard, shardLinks, type Shards } from './stack/shards.js';
import { allocateWay, type TrunkOptions, type TrunkWay } from './stack/trunk.js';
import { StrainWatch } from './strain-watch.js';
import { Gauge, type LinkCounters, type TunnelCounters } from './telemetry.js';
import type { Timer } from './timer.js';
import { allocateBoard, type LaneBoard } from './tunnel/lane-board.js';

/** Of the memory for frames, what the trunks have together where there are several engines. */
const TRUNKS_PART = 1 / 4;

/** Gives the descriptors of devices: all of them, or none is left open. */
export type Descriptors = (names: readonly string[]) => ReadonlyMap<string, number>;

export interface Address {
  readonly hi: number;
  readonly lo: number;
  readonly link: string;
  readonly ageNs: number;
}

export interface BridgeAddresses {
  readonly bridge: string;
  readonly addresses: readonly Address[];
  /** As `Fdb.refused`. */
  readonly refused: number;
}

export type Drop = Omit<RecordedDrop, 'nowNs' | 'where'> & { readonly unixNs: bigint; readonly where: string };

export interface EnginesStart {
  /** For frames, of all of them together. */
  readonly memoryBytes: number;
  /** How many. */
  readonly engines: number;
  /** Whether links leave out of delays what an engine takes itself. */
  readonly compensation: boolean;
  /** /dev/cpu_dma_latency, open once for each engine; none where the machine does not let us. */
  readonly latencyFds: readonly number[];
}

/** The process's clocks, which its entry makes. */
export interface Clocks {
  /** A timer for one who waits. */
  readonly timer: () => Timer;
  /** CLOCK_MONOTONIC, now. */
  readonly monotonicNs: () => number;
}

/** One engine. */
interface Part {
  readonly thread: EngineThread;
  readonly strains: StrainWatch;
  layout: Layout;
  /** Name → index. */
  ports: ReadonlyMap<string, number>;
  links: ReadonlyMap<string, number>;
}

export class Engines {
  /** Resolves when all have ended; rejects when one failed. */
  readonly ended: Promise<unknown>;
  onScheduleEvent: (event: ScheduleEvent) => void;
  /** What links leave out of delays. */
  readonly compensationNs: number;
  /** Of tunnels and of their lanes. */
  onTunnelEvent: (event: TunnelEvent) => void;
  readonly #parts: readonly Part[];
  /** What they are, and where. */
  #config: SwitchConfig | undefined;
  #shards: Shards | undefined;
  /** Link → engine, also while they become that. */
  #owners: ReadonlyMap<string, number>;

  private constructor(threads: readonly EngineThread[], compensationNs: number, { timer, monotonicNs }: Clocks) {
    this.compensationNs = compensationNs;
    this.ended = Promise.all(threads.map(({ ended }) => ended));
    // Who waits for it later is told then.
    this.ended.catch(() => undefined);
    this.onScheduleEvent = () => undefined;
    this.onTunnelEvent = () => undefined;
    this.#parts = threads.map((thread) => {
      const strains = new StrainWatch(thread.telemetry, thread.threadId, timer(), monotonicNs());
      const layout = { portNames: [], linkNames: [], ports: [], links: [] };
      return { thread, strains, layout, ports: new Map(), links: new Map() };
    });
    this.#config = undefined;
    this.#shards = undefined;
    this.#owners = new Map();
    threads.forEach((thread, engine) => {
      thread.onTunnelEvent = (event) => {
        this.onTunnelEvent(event);
      };
      thread.onScheduleEvent = ({ event, changes, done }) => {
        // A relay is changed with the link that it is of.
        const isOwn = (link: string): boolean => this.#owners.get(link) === engine;
        const own = {
          changes: changes.filter(({ name }) => isOwn(name)),
          done: done.filter(({ link }) => isOwn(link)),
        };
        this.onScheduleEvent({ event, ...own });
      };
    });
  }

  /** Resolves when all are warm and wait for their first configuration. */
  static async start(
    { memoryBytes, engines, compensation, latencyFds }: EnginesStart,
    clocks: Clocks,
  ): Promise<Engines> {
    const { arenaBytes, ringBytes } = divided(memoryBytes, engines);
    const each = <Value>(value: (engine: number) => Value): Value[] =>
      Array.from({ length: engines }, (_, i) => value(i));
    const ways = each((from) => each((to) => (from === to ? undefined : allocateWay(ringBytes, native.eventfd()))));
    const zeroNs = clocks.monotonicNs();
    const threads = await Promise.all(
      each((engine) => {
        const latencyFd = latencyFds[engine];
        const awake = latencyFd === undefined ? {} : { latencyFd };
        return EngineThread.start(arenaBytes, zeroNs, { compensation, trunks: trunksOf(engine, ways), ...awake });
      }),
    );
    // The same for all links of the process: of who was held up least while it was measured.
    const compensationNs = Math.min(...threads.map(({ costNs }) => costNs));
    for (const thread of threads) thread.compensate(compensationNs);
    // Each rings for others, until the last has ended.
    void Promise.allSettled(threads.map(({ ended }) => ended)).then(() => {
      for (const way of ways.flat()) if (way !== undefined) native.close(way.bell);
    });
    return new Engines(threads, compensationNs, clocks);
  }

  /** The engine that hears all tunnels. */
  get ofTunnels(): EngineThread {
    return this.#parts[0]!.thread;
  }

  /** Engines that send into a tunnel, each with its lane, the one that hears it first. */
  sendersOf(tunnel: string): { lane: number; thread: EngineThread }[] {
    return this.#parts.flatMap(({ ports, thread }, lane) => (ports.has(tunnel) ? [{ lane, thread }] : []));
  }

  /** In how many lanes a tunnel is sent into. */
  lanesOf(tunnel: UdpConfig): number {
    return hasLanes(tunnel, this.#parts.length) ? this.#parts.length : 1;
  }

  /** The engine that has a device, and all that passes it. */
  ofDevice(name: string): EngineThread {
    if (this.sendersOf(name).length > 1)
      throw new StateError(`several engines of the switch process send into ${name}`, {
        hint: 'capture at the ports of hosts, or bring the network up anew with --engines 1',
      });
    return this.#partOf(name, this.#shards?.devices).thread;
  }

  /** The engines that have these links, each with its own. */
  ofLinks(names: readonly string[]): { thread: EngineThread; links: string[] }[] {
    const own = new Map<EngineThread, string[]>();
    for (const name of names) {
      const { thread } = this.#partOf(name, this.#shards?.links);
      const links = own.get(thread);
      if (links === undefined) own.set(thread, [name]);
      else links.push(name);
    }
    return [...own].map(([thread, links]) => ({ thread, links }));
  }

  /** All of it, or nothing. Returns which devices were opened for it. */
  async apply(config: SwitchConfig, descriptors: Descriptors): Promise<readonly string[]> {
    const shards = shard(config, this.#parts.length, this.#shards ?? NOTHING_PLACED);
    const asked = await this.#all((thread, i) => thread.call('devicesToOpen', shards.configs[i]!));
    const names = asked.map((own) => own.filter((name) => shards.devices.has(name)));
    const fds = descriptorsOfAll(names, descriptors);
    const boards = this.#boardsOf(config, new Set(names.flat()));
    const prepared = await Promise.allSettled(
      this.#parts.map(({ thread }, i) => {
        return thread.call('prepare', { config: shards.configs[i]!, fds: fds[i]!, boards });
      }),
    );
    for (const one of prepared) {
      if (one.status === 'fulfilled') continue;
      await this.#all((thread) => thread.call('abandon', undefined));
      throw one.reason;
    }
    this.#owners = shards.links;
    const layouts = await this.#all((thread) => thread.call('commit', undefined));
    this.#config = config;
    this.#shards = shards;
    this.#parts.forEach((part, i) => {
      part.layout = layouts[i]!;
      part.ports = new Map(part.layout.ports.map(({ name, index }) => [name, index]));
      part.links = new Map(part.layout.links.map(({ name, index }) => [name, index]));
    });
    return [...new Set(names.flat())];
  }

  /** In each engine, all between the same two breaths; where one is unknown, none. */
  async setLinks(links: readonly ScheduledLink[]): Promise<number> {
    if (this.#shards === undefined) throw new StateError('the switch process has no configuration yet');
    const told = shardLinks(links, this.#shards);
    const doneNs = await this.#all((thread, i) => (told[i]!.length === 0 ? 0 : thread.call('setLinks', told[i]!)));
    return Math.max(...doneNs);
  }

  /** A TAP of the configuration tells from here on when its frames came; the descriptor is the engine's. */
  watchArrivals(device: string, fd: number): Promise<undefined> {
    return this.ofDevice(device).call('watchArrivals', { device, fd });
  }

  end(): void {
    for (const { thread } of this.#parts) void thread.call('end', undefined).catch(() => undefined);
  }

  /** Why one of them moves bursts of small frames without io_uring, from the start or by now: an errno's name. */
  async ioUringError(): Promise<string | undefined> {
    const errno = (await this.#all((thread) => thread.call('ioUringErrno', undefined))).find((error) => error !== 0);
    return errno === undefined ? undefined : getSystemErrorName(-errno);
  }

  arena(): SwitchState['arena'] {
    const sum = (gauge: number): number =>
      this.#parts.reduce((total, { thread }) => total + thread.telemetry.gauges[gauge]!, 0);
    return { slots: sum(Gauge.slots), freeSlots: sum(Gauge.freeSlots), starved: sum(Gauge.starved) };
  }

  /** In the configuration's order, as all that follow. */
  devices(): ({ name: string } & PortCounters)[] {
    return (this.#config?.devices ?? []).map(({ name }) => {
      const counted = this.#parts.filter(({ ports }) => ports.has(name));
      return { name, ...sum(counted.map(({ ports, thread }) => thread.telemetry.port(ports.get(name)!))) };
    });
  }

  links(): ({ name: string } & LinkCounters)[] {
    return (this.#config?.links ?? []).map(({ name }) => {
      const { links, thread } = this.#partOf(name, this.#shards?.links);
      const own = thread.telemetry.link(links.get(name)!);
      const copies = this.#shards?.copies.get(name);
      if (copies === undefined) return { name, ...own };
      const others = copies.map((engine) => this.#parts[engine]!);
      return { name, ...sum([own, ...others.map((part) => part.thread.telemetry.link(part.links.get(name)!))]) };
    });
  }

  /** Undefined where the engine has none of that name. */
  tunnel(name: string): (Omit<TunnelCounters, 'sinceNs'> & { since: string }) | undefined {
    const { ports, thread } = this.#parts[0]!;
    const index = ports.get(name);
    const counters = index === undefined ? undefined : thread.telemetry.tunnel(index);
    if (counters === undefined) return undefined;
    const { sinceNs, ...health } = counters;
    return { since: new Date(Number(thread.unixNs(sinceNs) / 1_000_000n)).toISOString(), ...health };
  }

  async addresses(): Promise<BridgeAddresses[]> {
    const told = await this.#all((thread) => thread.call('addresses', undefined));
    return (this.#config?.bridges ?? []).map(({ name }) => {
      const parts = told.map((bridges) => bridges.find(({ bridge }) => bridge === name));
      const own = parts.flatMap((part, i) => {
        const { linkNames } = this.#parts[i]!.layout;
        const named = (part?.addresses ?? []).map((address) => ({ ...address, link: linkNames[address.link]! }));
        return named.filter(({ link }) => this.#shards!.links.get(link) === i);
      });
      // Of one that has just moved, where it was heard last.
      own.sort((a, b) => b.ageNs - a.ageNs);
      const latest = new Map(own.map((address) => [address.hi * 2 ** 32 + (address.lo >>> 0), address]));
      // What one refuses as its table is full, the others do that are flooded with it.
      const refused = Math.max(...parts.map((part) => part?.refused ?? 0));
      return { bridge: name, addresses: [...latest.values()], refused };
    });
  }

  /** Reasons that were counted, with their numbers. */
  dropsByReason(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { thread } of this.#parts)
      for (const [reason, frames] of Object.entries(thread.telemetry.dropsByReason()))
        sums[reason] = (sums[reason] ?? 0) + frames;
    return sums;
  }

  /** The last ones, oldest first. */
  drops(): Drop[] {
    const all = this.#parts.flatMap(({ thread, layout }) =>
      thread.recorder.read().map(({ nowNs, where, ...drop }): Drop => {
        const name = where >= 0 ? layout.portNames[where] : layout.linkNames[linkOf(where)];
        return { ...drop, unixNs: thread.unixNs(nowNs), where: name ?? 'unknown' };
      }),
    );
    return all.sort((a, b) => Number(a.unixNs - b.unixNs)).slice(-RECORDS);
  }

  /** Looks from now on whether engines keep time on the links of these names. */
  watchStrains(links: ReadonlySet<string>): void {
    for (const part of this.#parts)
      part.strains.watch(part.layout.links.flatMap(({ name, index }) => (links.has(name) ? [index] : [])));
  }

  strains(): Strain[] {
    return this.#parts.flatMap(({ strains }) => strains.read()).sort((a, b) => a.fromNs - b.fromNs);
  }

  /** For tunnels that are opened and have lanes. */
  #boardsOf({ devices }: SwitchConfig, opened: ReadonlySet<string>): Map<string, LaneBoard> {
    const tunnels = devices.filter((device) => device.kind === 'udp' && opened.has(device.name));
    const shared = tunnels.filter((tunnel) => tunnel.kind === 'udp' && this.lanesOf(tunnel) > 1);
    return new Map(shared.map(({ name }) => [name, allocateBoard(this.#parts.length)]));
  }

  #partOf(name: string, places: ReadonlyMap<string, number> | undefined): Part {
    const engine = places?.get(name);
    if (engine === undefined) throw new StateError(`there is no ${name}`);
    return this.#parts[engine]!;
  }

  #all<Value>(ask: (thread: EngineThread, engine: number) => Value): Promise<Awaited<Value>[]> {
    return Promise.all(this.#parts.map(({ thread }, engine) => ask(thread, engine)));
  }
}

/** What each engine opens: of a tunnel, each has a descriptor of its own. All of them, or none is left open. */
function descriptorsOfAll(
  names: readonly (readonly string[])[],
  descriptors: Descriptors,
): readonly ReadonlyMap<string, number>[] {
  const given: ReadonlyMap<string, number>[] = [];
  try {
    for (const own of names) given.push(descriptors(own));
  } catch (error) {
    for (const fds of given) for (const fd of fds.values()) native.close(fd);
    throw error;
  }
  return given;
}

/** Of what is in several engines. Of a way to another machine nothing is ever asked, so it has no counters of emulation. */
function sum<Counters extends PortCounters | LinkCounters>([first, ...others]: readonly Counters[]): Counters {
  const total: Record<string, unknown> = { ...first };
  for (const other of others)
    for (const [name, count] of Object.entries(other)) total[name] = Number(total[name]) + Number(count);
  return total as unknown as Counters;
}

/** Of the memory for frames. */
function divided(memoryBytes: number, engines: number): { arenaBytes: number; ringBytes: number } {
  const ways = engines * (engines - 1);
  if (ways === 0) return { arenaBytes: memoryBytes, ringBytes: 0 };
  const ringBytes = 2 ** Math.floor(Math.log2((memoryBytes * TRUNKS_PART) / ways));
  return { arenaBytes: Math.floor((memoryBytes - ways * ringBytes) / engines), ringBytes };
}

/** By number of the other engine. `ways`: from, to. */
function trunksOf(engine: number, ways: readonly (readonly (TrunkWay | undefined)[])[]): Map<number, TrunkOptions> {
  const others = [...ways.keys()].filter((other) => other !== engine);
  return new Map(others.map((other) => [other, { out: ways[engine]![other]!, in: ways[other]![engine]! }]));
}
