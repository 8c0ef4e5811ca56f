/**
 * Which engine of a switch process has what: pure, from what the process is to be, and what its engines have now. A device
 * stays in its engine while it is there, so that a change touches nothing else; a new one goes to an engine that has some of
 * the same bridge, while that has room, so that as few frames as possible pass from engine to engine.
 *
 *     engine 0                                     engine 1
 *   ┌──────────────────────────────────┐         ┌───────────────────────────────────┐
 *   │ tap:h1 ── s1 ── (trunk:1, channel 1) ═════ (trunk:0, channel 1) ── s1 ── tap:h2 │
 *   │ tap:r1 ── (trunk:1, channel 2) ═══════════ (trunk:0, channel 2) ── tap:r2       │
 *   └──────────────────────────────────┘         └───────────────────────────────────┘
 *
 * A bridge has a member in each engine that has one of its links (`member.ts`). A link with its two devices in different
 * engines is that of the first one's engine, with all that it does to frames, and goes on in the other one as a plain relay
 * of the same name.
 *
 * All tunnels come in by engine 0. The other engines each have a lane of each, by which they send:
 *
 *     engine 0                                     engine 1
 *   ┌──────────────────────────────────┐         ┌──────────────────────────────────────┐
 *   │ udp:b ⇄ s1 ── (trunk:1, channel 1) ══════ (trunk:0, channel 1) ── s1 ── lane:b ⇢  │  parts of s1: the way of each
 *   │ udp:b ⇠ ── (trunk:1, channel 2) ═════════ (trunk:0, channel 2) ── tap:r2 ⇢ lane:b │  a link: out by lane
 *   └──────────────────────────────────┘         └──────────────────────────────────────┘
 *
 * A link of a bridge to a port on another machine has one queue, so it is in one engine as that of any port: in engine 0. A
 * tunnel with parity has no lanes.
 */
import type { LinkProperties } from '../../model/emulation.js';
import { PLAIN } from '../../model/emulation.js';
import { StateError } from '../../model/errors.js';
import type { LinkConfig, LinkEndConfig, ScheduledLink, SwitchConfig, UdpConfig } from '../../model/messages.js';
import { deviceOf } from '../topology.js';
import type { EngineConfig, EngineDevice, EngineLink, EngineLinkEnd } from './config.js';
import { MAX_CHANNEL } from './trunk.js';

/** Where things are. */
export interface Placement {
  /** Name → engine; of a link, the one that has its properties and counters. */
  readonly devices: ReadonlyMap<string, number>;
  readonly links: ReadonlyMap<string, number>;
  readonly channels: Channels;
}

export interface Shards extends Placement {
  /** By engine. */
  readonly configs: readonly EngineConfig[];
  /** Of links that go on in another engine: which. */
  readonly relays: ReadonlyMap<string, number>;
  /** Of ways to other machines: the other engines that have them too. */
  readonly copies: ReadonlyMap<string, readonly number[]>;
}

/** Of bridges and links that are in several engines, the same on all trunks; and numbers of ways. */
export interface Channels {
  readonly byOwner: ReadonlyMap<string, number>;
  /** The one that was given last. */
  readonly last: number;
}

export const NOTHING_PLACED: Placement = {
  devices: new Map(),
  links: new Map(),
  channels: { byOwner: new Map(), last: 0 },
};

export function trunkName(engine: number): string {
  return `trunk:${engine}`;
}

export function shard(config: SwitchConfig, engines: number, before: Placement): Shards {
  const devices = placeDevices(config, engines, before.devices);
  const lanes = new Map(lanesOf(config, engines).map((tunnel) => [tunnel.name, tunnel]));
  const links = new Map<string, number>();
  const relays = new Map<string, number>();
  const members = new Map(config.bridges.map(({ name }) => [name, new Set<number>()]));
  const put = (link: LinkConfig, engine: number): void => {
    links.set(link.name, engine);
    for (const end of link.ends) if ('bridge' in end) members.get(end.bridge)!.add(engine);
  };
  for (const link of config.links) {
    // What is sent into a tunnel is the engine's from which it comes.
    const ends = 'udp' in link.ends[0] ? link.ends.toReversed() : link.ends;
    const [first, second] = ends.flatMap((end) => ('bridge' in end ? [] : devices.get(deviceOf(end))!));
    if (first !== undefined) put(link, first);
    if (second !== undefined && second !== first) relays.set(link.name, second);
  }
  // Between two bridges: where it was, else where most is already.
  for (const link of config.links) {
    if (links.has(link.name)) continue;
    const here = link.ends.flatMap((end) => ('bridge' in end ? [members.get(end.bridge)!] : []));
    const [both] = [...here[0]!].filter((engine) => here[1]!.has(engine));
    put(link, before.links.get(link.name) ?? both ?? [...here[0]!, ...here[1]!, 0][0]!);
  }
  for (const at of members.values()) if (at.size === 0) at.add(0);

  const split = [...members].filter(([, at]) => at.size > 1);
  const ways = config.links.filter(({ ends }) => isWay(ends, lanes));
  const owners = [
    ...split.map(([name]) => bridgeOwner(name)),
    ...[...relays.keys(), ...ways.map(({ name }) => name)].map(linkOwner),
  ];
  const channels = giveChannels(owners, before.channels);
  const copies = new Map(
    ways.map(({ name, ends }) => {
      const at = ends.flatMap((end) => ('bridge' in end ? [...members.get(end.bridge)!] : []));
      return [name, at.filter((engine) => engine !== links.get(name))];
    }),
  );
  const parts = { devices, links, relays, copies, channels, lanes };
  const configs = Array.from({ length: engines }, (_, self): EngineConfig => {
    const trunks = Array.from({ length: engines }, (_, engine): EngineDevice => {
      return { kind: 'trunk', name: trunkName(engine), engine };
    });
    return {
      ...config,
      bridges: config.bridges.filter(({ name }) => members.get(name)!.has(self)),
      devices: [
        ...config.devices.filter(({ name }) => devices.get(name) === self),
        ...(self === 0 ? [] : [...lanes.values()].map((tunnel) => ({ ...tunnel, kind: 'lane' as const, lane: self }))),
        ...trunks.toSpliced(self, 1),
      ],
      links: [
        ...config.links.flatMap((link) => partOf(link, self, parts)),
        ...split.flatMap(([name, at]) => joins(name, at, self, channels.byOwner.get(bridgeOwner(name))!)),
      ],
    };
  });
  return { configs, devices, links, relays, copies, channels };
}

/** What each engine is told of links that change. */
export function shardLinks(
  changes: readonly ScheduledLink[],
  { configs, links, relays, copies }: Shards,
): ScheduledLink[][] {
  const told: ScheduledLink[][] = configs.map(() => []);
  for (const change of changes) {
    const engine = links.get(change.name);
    if (engine === undefined) throw new StateError(`there is no link ${change.name}`);
    for (const one of [engine, ...(copies.get(change.name) ?? [])]) told[one]!.push(change);
    const relay = relays.get(change.name);
    if (relay !== undefined) told[relay]!.push(asRelay(change));
  }
  return told;
}

function placeDevices(
  { devices, links }: SwitchConfig,
  engines: number,
  before: ReadonlyMap<string, number>,
): Map<string, number> {
  const placed = new Map<string, number>();
  const load = new Array<number>(engines).fill(0);
  const byBridge = new Map<string, Set<number>>();
  const bridges = new Map<string, string[]>();
  for (const { ends } of links) {
    for (const [end, other] of [ends, ends.toReversed()] as [LinkEndConfig, LinkEndConfig][])
      if ('bridge' in end && !('bridge' in other))
        bridges.set(deviceOf(other), [...(bridges.get(deviceOf(other)) ?? []), end.bridge]);
  }
  const put = (name: string, engine: number): void => {
    placed.set(name, engine);
    load[engine]!++;
    for (const bridge of bridges.get(name) ?? []) byBridge.set(bridge, (byBridge.get(bridge) ?? new Set()).add(engine));
  };
  for (const { kind, name } of devices) {
    const engine = kind === 'udp' ? 0 : before.get(name);
    if (engine !== undefined) put(name, engine);
  }
  const room = Math.ceil(devices.length / engines);
  for (const { name } of devices) {
    if (placed.has(name)) continue;
    const known = (bridges.get(name) ?? []).flatMap((bridge) => [...(byBridge.get(bridge) ?? [])]);
    const near = known.filter((engine) => load[engine]! < room);
    const candidates = near.length > 0 ? near : load.keys();
    put(
      name,
      [...candidates].reduce((best, engine) => (load[engine]! < load[best]! ? engine : best)),
    );
  }
  return placed;
}

/** Those that stay have the same; one that was given back is given again as late as can be. */
function giveChannels(owners: readonly string[], before: Channels): Channels {
  if (owners.length + before.byOwner.size >= MAX_CHANNEL)
    throw new StateError(`the engines of a switch process have at most ${MAX_CHANNEL} bridges and links in common`);
  const taken = new Set(before.byOwner.values());
  const byOwner = new Map<string, number>();
  let { last } = before;
  for (const owner of owners) {
    let channel = before.byOwner.get(owner);
    if (channel === undefined) {
      do last = (last % MAX_CHANNEL) + 1;
      while (taken.has(last));
      channel = last;
    }
    byOwner.set(owner, channel);
  }
  return { byOwner, last };
}

/** Whether each engine sends into a tunnel by a lane of its own. The loss that parity is for is measured between two ends, not from several. */
export function hasLanes({ fec }: UdpConfig, engines: number): boolean {
  return engines > 1 && fec === undefined;
}

function lanesOf({ devices }: SwitchConfig, engines: number): UdpConfig[] {
  return devices.flatMap((device) => (device.kind === 'udp' && hasLanes(device, engines) ? [device] : []));
}

/** Whether a link joins two parts of a switch by a tunnel that has lanes. */
function isWay(ends: LinkConfig['ends'], lanes: ReadonlyMap<string, unknown>): boolean {
  return (
    ends.some((end) => 'bridge' in end && end.horizon === true) &&
    ends.some((end) => 'udp' in end && lanes.has(end.udp))
  );
}

interface Parts {
  readonly devices: ReadonlyMap<string, number>;
  readonly links: ReadonlyMap<string, number>;
  readonly relays: ReadonlyMap<string, number>;
  readonly copies: ReadonlyMap<string, readonly number[]>;
  readonly channels: Channels;
  /** Tunnels that have them, by name. */
  readonly lanes: ReadonlyMap<string, unknown>;
}

/** What an engine has of a link. */
function partOf(
  link: LinkConfig,
  self: number,
  { devices, links, relays, copies, channels, lanes }: Parts,
): EngineLink[] {
  const owner = links.get(link.name)!;
  const number = channels.byOwner.get(linkOwner(link.name));
  const ends = (of: (end: LinkEndConfig) => EngineLinkEnd): EngineLink['ends'] => [of(link.ends[0]), of(link.ends[1])];
  const copied = copies.get(link.name);
  if (copied !== undefined) {
    if (owner !== self && !copied.includes(self)) return [];
    const way = (end: LinkEndConfig): EngineLinkEnd => {
      if ('bridge' in end) return { bridge: end.bridge, horizon: true, way: number! };
      return 'udp' in end && owner !== self ? { lane: end.udp, channel: end.channel } : end;
    };
    return [{ ...link, ends: ends(way) }];
  }
  const relay = relays.get(link.name);
  if (relay === undefined) return owner === self ? [link] : [];
  const trunk = { trunk: trunkName(owner === self ? relay : owner), channel: number! };
  const isHere = (end: LinkEndConfig): boolean => !('bridge' in end) && devices.get(deviceOf(end)) === self;
  const beyond = (end: LinkEndConfig): EngineLinkEnd => {
    const hasLane = 'udp' in end && owner === self && lanes.has(end.udp);
    return hasLane ? { lane: end.udp, channel: end.channel, from: trunk } : trunk;
  };
  const joined = ends((end) => (isHere(end) ? end : beyond(end)));
  if (owner === self) return [{ ...link, ends: joined }];
  return relay === self ? [{ ...asRelay(link), ends: joined }] : [];
}

/** A relay does nothing to frames, but it is down when the link is: interfaces at its end have no carrier then. */
function asRelay<Link extends ScheduledLink>(link: Link): Link {
  const plain = ({ state }: LinkProperties): LinkProperties => ({ state });
  const ways = <Ways extends Pick<Link, 'forward' | 'reverse'>>(of: Ways): Ways => {
    return { ...of, forward: plain(of.forward), reverse: plain(of.reverse) };
  };
  return { ...ways(link), ...(link.later === undefined ? {} : { later: link.later.map(ways) }) };
}

/** Of a bridge, in one engine: to its members in the others. */
function joins(bridge: string, at: ReadonlySet<number>, self: number, channel: number): EngineLink[] {
  if (!at.has(self)) return [];
  return [...at]
    .filter((engine) => engine !== self)
    .map((engine) => ({
      name: `${bridge}, from engine ${engine}`,
      ends: [{ bridge }, { trunk: trunkName(engine), channel }],
      forward: PLAIN,
      reverse: PLAIN,
    }));
}

function bridgeOwner(name: string): string {
  return `bridge ${name}`;
}

function linkOwner(name: string): string {
  return `link ${name}`;
}
