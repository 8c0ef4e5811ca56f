/**
 * From a resolved network to what each machine's switch process must be: which bridges, devices and links are where.
 * Pure. A link whose ends are on two machines becomes a channel of the tunnel between them; the parts of a switch that
 * is present on several machines are joined by a channel for each pair, with split horizon.
 *
 *     machine a                              machine b
 *   ┌──────────────────────┐               ┌─────────────────────┐
 *   │ tap:r1:eth1 ── (udp:b, channel 2) ═══ (udp:a, channel 2) ── s2 │
 *   └──────────────────────┘               └─────────────────────┘
 */
import { hash } from 'node:crypto';
import { type LinkProperties, PLAIN } from '../model/emulation.js';
import type { DeviceConfig, LinkConfig, LinkEndConfig, ScheduledLink, SwitchConfig } from '../model/messages.js';
import type { Link, LinkEnd, Machine, Network, Node, SwitchNode, VxlanNode } from '../model/network.js';
import { momentsOf, type Moment } from './schedule.js';

export const AGEING_SECONDS = 300;
export const FDB_LIMIT = 16_384;
/** Channels below are links' ids, those from here on join the parts of switches. */
export const FIRST_SWITCH_CHANNEL = 0x8000;

/** The underlay on which a scenario's machines are played: RFC 6598 addresses in a namespace of its own. */
export const UNDERLAY = { mtuBytes: 1500, prefixLength: 16, firstPort: 7000, ipHeaderBytes: 20 } as const;

/** Of a tunnel's socket, in each direction: 8 MiB held 100 super-datagrams where the usual 208 KiB held 3. */
export const UDP_BUFFER_BYTES = 8 << 20;

export function underlayAddress({ id }: Machine): string {
  const host = id + 1;
  return `100.64.${host >> 8}.${host & 255}`;
}

/** The same whenever the machine is played, so that its peers find it again at once. */
export function underlayMac({ id }: Machine): string {
  const host = (id + 1).toString(16).padStart(4, '0');
  return `02:00:64:40:${host.slice(0, 2)}:${host.slice(2)}`;
}

/** The UDP port that a machine uses towards its peer. */
export function tunnelPort(peer: Machine): number {
  return UNDERLAY.firstPort + peer.id;
}

/** Where a machine is for its peer. */
export function tunnelEnd(machine: Machine, peer: Machine): { address: string; port: number } {
  return { address: underlayAddress(machine), port: tunnelPort(peer) };
}

export function tapName(node: string, port: string): string {
  return `tap:${node}:${port}`;
}

export function udpName(peer: string): string {
  return `udp:${peer}`;
}

/** One whose socket has to be another one has another name: both are there while a network is changed. */
export function vxlanName({ name, port, local, device, group, remotes, hops, isPlayed }: VxlanNode): string {
  const isIpv6 = (group ?? remotes[0]!).includes(':');
  const socket = JSON.stringify([port, local, device, group, isIpv6, hops, isPlayed]);
  return `vxlan:${name}:${hash('sha256', socket).slice(0, 8)}`;
}

/** Machines that are namespaces on an underlay: all, where there is a tunnel between two, or a VXLAN on one of several. */
export function playedMachines(network: Network, pairs: readonly (readonly [string, string])[]): string[] {
  const isPlayed = pairs.length > 0 || vxlans(network).some((node) => node.isPlayed);
  return isPlayed ? network.machines.map(({ name }) => name) : [];
}

/**
 * Machine → its switch process; machines on which nothing is are left out. With `zeroNs`, CLOCK_MONOTONIC of the network's
 * time zero, also what links become by its events.
 */
export function switchConfigs(network: Network, networkNumber: number, zeroNs?: number): Map<string, SwitchConfig> {
  const moments = zeroNs === undefined ? new Map<string, Moment[]>() : momentsOf(network);
  const nodes = new Map(network.nodes.map((node) => [node.name, node]));
  const machineIds = new Map(network.machines.map(({ name, id }) => [name, id]));
  const links = new Map<string, LinkConfig[]>(network.machines.map(({ name }) => [name, []]));
  const peers = new Map<string, Set<string>>(network.machines.map(({ name }) => [name, new Set()]));

  const add = (machine: string, link: LinkConfig): void => {
    links.get(machine)?.push(link);
    for (const end of link.ends) if ('udp' in end) peers.get(machine)?.add(end.udp);
  };

  for (const link of network.links)
    for (const [machine, config] of linkParts(link, nodes, moments.get(link.name), zeroNs)) add(machine, config);
  for (const node of switches(network)) {
    const end: LinkEndConfig = { bridge: node.name, horizon: true };
    node.machines.forEach((machine, i) => {
      for (const other of node.machines.slice(i + 1)) {
        const name = joinName(node.name, machineIds.get(machine)!, machineIds.get(other)!);
        const ways = { name, forward: PLAIN, reverse: PLAIN };
        const parts = join(ways, FIRST_SWITCH_CHANNEL + node.id, { machine, end }, { machine: other, end });
        for (const [of, config] of parts) add(of, config);
      }
    });
  }

  const byDevice = machinesByDevice(network);
  const configs = new Map<string, SwitchConfig>();
  for (const self of network.machines) {
    const machine = self.name;
    const bridges = switches(network)
      .filter((node) => node.machines.includes(machine))
      .map(({ name, transparent }) => ({ name, transparent, ageingSeconds: AGEING_SECONDS, fdbLimit: FDB_LIMIT }));
    const devices: DeviceConfig[] = [...tapConfigs(network, machine)];
    for (const name of peers.get(machine) ?? [])
      devices.push({
        kind: 'udp',
        name,
        peer: tunnelEnd(byDevice.get(name)!, self),
        pathMtuBytes: UNDERLAY.mtuBytes,
        ipHeaderBytes: UNDERLAY.ipHeaderBytes,
        seal: network.seal === 'none' ? 'none' : 'required',
        ...(network.fec === undefined ? {} : { fec: network.fec }),
      });
    devices.push(...vxlanConfigs(network, machine));
    const own = links.get(machine) ?? [];
    if (bridges.length + devices.length + own.length === 0) continue;
    configs.set(machine, { ...emptyConfig(network, networkNumber, machine), bridges, devices, links: own });
  }
  return configs;
}

/** Of some links of a network that runs: what the switch processes with an end of one are told, by machine. */
export function scheduledLinks(
  network: Network,
  names: ReadonlySet<string>,
  zeroNs: number,
): Map<string, ScheduledLink[]> {
  const told = network.links.filter(({ name }) => names.has(name));
  const ends = new Set(told.flatMap((link) => link.ends.map(({ node }) => node)));
  const nodes = new Map(network.nodes.flatMap((node) => (ends.has(node.name) ? [[node.name, node] as const] : [])));
  const moments = momentsOf({ ...network, links: told });
  const byMachine = new Map<string, ScheduledLink[]>();
  for (const link of told)
    for (const [machine, { name, forward, reverse, later }] of linkParts(link, nodes, moments.get(link.name), zeroNs)) {
      const own = byMachine.get(machine) ?? [];
      own.push({ name, forward, reverse, ...(later === undefined ? {} : { later }) });
      byMachine.set(machine, own);
    }
  return byMachine;
}

/** Machines whose switch process has an end of a link. */
export function machinesOf(network: Network, link: Link): string[] {
  const nodes = new Map(network.nodes.map((node) => [node.name, node]));
  return linkParts(link, nodes).map(([machine]) => machine);
}

/** What a switch process is told that nothing is left for. */
export function emptyConfig(network: Network, networkNumber: number, machine: string): SwitchConfig {
  const { name, seed, inputs } = network;
  return { network: name, networkNumber, machine, bridges: [], devices: [], links: [], seed, inputs };
}

/** Pairs of machines that a tunnel joins, by name; of each, the one with the lower id first. */
export function tunnels(network: Network, configs: ReadonlyMap<string, SwitchConfig>): [string, string][] {
  const byDevice = machinesByDevice(network);
  return network.machines.flatMap(({ name, id }) =>
    (configs.get(name)?.devices ?? []).flatMap((device): [string, string][] => {
      const peer = byDevice.get(device.name);
      return peer !== undefined && id < peer.id ? [[name, peer.name]] : [];
    }),
  );
}

function machinesByDevice({ machines }: Network): Map<string, Machine> {
  return new Map(machines.map((machine) => [udpName(machine.name), machine]));
}

type Ways = Pick<LinkConfig, 'name' | 'forward' | 'reverse'>;
/** Of one machine. */
type LinkPart = readonly [machine: string, config: LinkConfig];

/** A link on the one or two machines that it is on, with what it becomes there. */
function linkParts(
  link: Link,
  nodes: ReadonlyMap<string, Node>,
  moments: readonly Moment[] = [],
  zeroNs = 0,
): LinkPart[] {
  const [a, b] = placeLink(link, nodes);
  const later = moments.map(({ atNs, link: changed }) => ({
    atNs: zeroNs + atNs,
    parts: join(changed, link.id, a, b),
  }));
  return join(link, link.id, a, b).map(([machine, config], i): LinkPart => {
    if (later.length === 0) return [machine, config];
    const own = later.map(({ atNs, parts }) => {
      const { forward, reverse } = parts[i]![1];
      return { atNs, forward, reverse };
    });
    return [machine, { ...config, later: own }];
  });
}

function join({ name, forward, reverse }: Ways, channel: number, a: Placed, b: Placed): LinkPart[] {
  if (a.machine === b.machine) return [[a.machine, { name, ends: [a.end, b.end], forward, reverse }]];
  const [toA, toB] = [
    { udp: udpName(a.machine), channel },
    { udp: udpName(b.machine), channel },
  ];
  return [
    [a.machine, { name, ends: [a.end, toB], forward, reverse: received(reverse) }],
    [b.machine, { name, ends: [toA, b.end], forward: received(forward), reverse }],
  ];
}

/** A direction as its receiver has it: what its sender's engine does to frames is done. */
function received({ state }: LinkProperties): LinkProperties {
  return { state };
}

/** A link's end, and the machine on which that end is. */
interface Placed {
  readonly machine: string;
  readonly end: LinkEndConfig;
}

/** An end on a switch is on the machine of the other end where the switch has a part there, else on the switch's first. */
function placeLink(link: Link, nodes: ReadonlyMap<string, Node>): [Placed, Placed] {
  const [a, b] = link.ends.map((end) => nodeOf(end, nodes)) as [Node, Node];
  const [endA, endB] = link.ends.map((end) => endConfig(end, nodes)) as [LinkEndConfig, LinkEndConfig];
  if (a.kind === 'switch' && b.kind === 'switch') {
    const shared = a.machines.find((machine) => b.machines.includes(machine));
    return [
      { machine: shared ?? firstMachine(a), end: endA },
      { machine: shared ?? firstMachine(b), end: endB },
    ];
  }
  const machineA = a.kind === 'switch' ? partNear(a, b) : a.machine;
  const machineB = b.kind === 'switch' ? partNear(b, a) : b.machine;
  return [
    { machine: machineA, end: endA },
    { machine: machineB, end: endB },
  ];
}

function partNear(node: SwitchNode, other: Node): string {
  return other.kind !== 'switch' && node.machines.includes(other.machine) ? other.machine : firstMachine(node);
}

/**
 * The join of a switch's parts on two machines, by the machines' ids: with their names instead it could
 * be longer than a switch process takes. No link of a scenario has an `@` in its name.
 */
function joinName(switchName: string, machine: number, other: number): string {
  return `${switchName}@${machine}-${other}`;
}

function firstMachine(node: SwitchNode): string {
  const [machine] = node.machines;
  if (machine === undefined) throw new RangeError(`switch ${node.name} is on no machine`);
  return machine;
}

function nodeOf(end: LinkEnd, nodes: ReadonlyMap<string, Node>): Node {
  const node = nodes.get(end.node);
  if (node === undefined) throw new RangeError(`a link ends at the unknown node ${end.node}`);
  return node;
}

function endConfig(end: LinkEnd, nodes: ReadonlyMap<string, Node>): LinkEndConfig {
  const node = nodeOf(end, nodes);
  if (node.kind === 'vxlan') return { vxlan: vxlanName(node) };
  return end.port === undefined ? { bridge: end.node } : { tap: tapName(end.node, end.port) };
}

function* tapConfigs(network: Network, machine: string): Generator<DeviceConfig> {
  for (const node of network.nodes) {
    if (node.kind === 'switch' || node.kind === 'vxlan' || node.machine !== machine) continue;
    for (const port of node.ports)
      yield { kind: 'tap', name: tapName(node.name, port.name), mtuBytes: port.mtuBytes, vnetHdr: true };
  }
}

function vxlanConfigs(network: Network, machine: string): DeviceConfig[] {
  return vxlans(network)
    .filter((node) => node.machine === machine)
    .map((node) => {
      const { vni, remotes, group, port, mtuBytes } = node;
      const name = vxlanName(node);
      return { kind: 'vxlan', name, vni, remotes, ...(group === undefined ? {} : { group }), port, mtuBytes };
    });
}

export function vxlans(network: Network): VxlanNode[] {
  return network.nodes.filter((node) => node.kind === 'vxlan');
}

function switches(network: Network): SwitchNode[] {
  return network.nodes.filter((node) => node.kind === 'switch');
}
