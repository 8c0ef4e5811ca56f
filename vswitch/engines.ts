/**
 * The main thread's end of all engines of the process, as of one: gives each its part of a configuration (`stack/shards.ts`),
 * and puts together what they have counted. Used by `main.ts` and `control.ts`.
 *
 * A change is done by all or none: each first opens what it needs, which may fail; then each changes, which does not.
 */
import { StateError } from '../model/errors.js';
import type { PortCounters, ScheduledLink, SwitchConfig, SwitchState } from '../model/messages.js';
import type { Strain } from '../model/verdict.js';
import { native } from '../native/binding.js';
import type { Layout, ScheduleEvent } from './commands.js';
import { linkOf } from './drop-counter.js';
import { EngineThread } from './engine-thread.js';
import { type RecordedDrop, RECORDS } from './flight-recorder.js';
import { NOTHING_PLACED, shard, shardLinks, type Shards } from './stack/shards.js';
import { allocateWay, type TrunkOptions, type TrunkWay } from './stack/trunk.js';
import { StrainWatch } from './strain-watch.js';
import { Gauge, type LinkCounters, type TunnelCounters } from './telemetry.js';
import type { Timer } from './timer.js';

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
  readonly #parts: readonly Part[];
  /** What they are, and where. */
  #config: SwitchConfig | undefined;
  #shards: Shards | undefined;
  /** Link → engine, also while they become that. */
  #owners: ReadonlyMap<string, number>;

  private constructor(threads: readonly EngineThread[], { timer, monotonicNs }: Clocks) {
    this.ended = Promise.all(threads.map(({ ended }) => ended));
    // Who waits for it later is told then.
    this.ended.catch(() => undefined);
    this.onScheduleEvent = () => undefined;
    this.#parts = threads.map((thread) => {
      const strains = new StrainWatch(thread.telemetry, thread.threadId, timer(), monotonicNs());
      const layout = { portNames: [], linkNames: [], ports: [], links: [] };
      return { thread, strains, layout, ports: new Map(), links: new Map() };
    });
    this.#config = undefined;
    this.#shards = undefined;
    this.#owners = new Map();
    threads.forEach((thread, engine) => {
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
  static async start({ memoryBytes, engines, compensation }: EnginesStart, clocks: Clocks): Promise<Engines> {
    const { arenaBytes, ringBytes } = divided(memoryBytes, engines);
    const each = <Value>(value: (engine: number) => Value): Value[] =>
      Array.from({ length: engines }, (_, i) => value(i));
    const ways = each((from) => each((to) => (from === to ? undefined : allocateWay(ringBytes, native.eventfd()))));
    const threads = await Promise.all(
      each((engine) => EngineThread.start(arenaBytes, { compensation, trunks: trunksOf(engine, ways) })),
    );
    // Each rings for others, until the last has ended.
    void Promise.allSettled(threads.map(({ ended }) => ended)).then(() => {
      for (const way of ways.flat()) if (way !== undefined) native.close(way.bell);
    });
    return new Engines(threads, clocks);
  }

  /** The engine that has all tunnels. */
  get ofTunnels(): EngineThread {
    return this.#parts[0]!.thread;
  }

  /** The engine that has a device. */
  ofDevice(name: string): EngineThread {
    return this.#partOf(name, this.#shards?.devices).thread;
  }

  /** The engine that has all of these links. */
  ofLinks(names: readonly string[]): EngineThread {
    const [part, ...others] = new Set(names.map((name) => this.#partOf(name, this.#shards?.links)));
    if (others.length > 0)
      throw new StateError('the links to record are in several engines of the switch process', {
        hint: 'record them one by one, or bring the network up anew with --engines 1',
      });
    return part!.thread;
  }

  /** All of it, or nothing. Returns which devices were opened for it. */
  async apply(config: SwitchConfig, descriptors: Descriptors): Promise<readonly string[]> {
    const shards = shard(config, this.#parts.length, this.#shards ?? NOTHING_PLACED);
    const asked = await this.#all((thread, i) => thread.call('devicesToOpen', shards.configs[i]!));
    const names = asked.map((own) => own.filter((name) => shards.devices.has(name)));
    const fds = descriptors(names.flat());
    const prepared = await Promise.allSettled(
      this.#parts.map(({ thread }, i) => {
        const own = names[i]!.map((name): [string, number] => [name, fds.get(name)!]);
        return thread.call('prepare', { config: shards.configs[i]!, fds: new Map(own) });
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
    return names.flat();
  }

  /** In each engine, all between the same two breaths; where one is unknown, none. */
  async setLinks(links: readonly ScheduledLink[]): Promise<void> {
    if (this.#shards === undefined) throw new StateError('the switch process has no configuration yet');
    const told = shardLinks(links, this.#shards);
    await this.#all((thread, i) => (told[i]!.length === 0 ? undefined : thread.call('setLinks', told[i]!)));
  }

  end(): void {
    for (const { thread } of this.#parts) void thread.call('end', undefined).catch(() => undefined);
  }

  get ioUringError(): string | undefined {
    return this.#parts.find(({ thread }) => thread.ioUringError !== undefined)?.thread.ioUringError;
  }

  arena(): SwitchState['arena'] {
    const sum = (gauge: number): number =>
      this.#parts.reduce((total, { thread }) => total + thread.telemetry.gauges[gauge]!, 0);
    return { slots: sum(Gauge.slots), freeSlots: sum(Gauge.freeSlots), starved: sum(Gauge.starved) };
  }

  /** Of the slowest. */
  get compensationNs(): number {
    return Math.max(...this.#parts.map(({ thread }) => thread.compensationNs));
  }

  /** In the configuration's order, as all that follow. */
  devices(): ({ name: string } & PortCounters)[] {
    return (this.#config?.devices ?? []).map(({ name }) => {
      const { ports, thread } = this.#partOf(name, this.#shards?.devices);
      return { name, ...thread.telemetry.port(ports.get(name)!) };
    });
  }

  links(): ({ name: string } & LinkCounters)[] {
    return (this.#config?.links ?? []).map(({ name }) => {
      const { links, thread } = this.#partOf(name, this.#shards?.links);
      return { name, ...thread.telemetry.link(links.get(name)!) };
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

  #partOf(name: string, places: ReadonlyMap<string, number> | undefined): Part {
    const engine = places?.get(name);
    if (engine === undefined) throw new StateError(`there is no ${name}`);
    return this.#parts[engine]!;
  }

  #all<Value>(ask: (thread: EngineThread, engine: number) => Value): Promise<Awaited<Value>[]> {
    return Promise.all(this.#parts.map(({ thread }, engine) => ask(thread, engine)));
  }
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
