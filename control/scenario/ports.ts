/**
 * The ports of hosts and routers: their addresses, given out LAN by LAN in the order of links, and their MACs.
 *
 * Of an address, in this order: what the endpoint says; what the port had before, if it fits; the lowest that is free.
 *
 * Called by `resolve.ts` alone.
 */
import { hash } from 'node:crypto';
import { UsageError } from '../../model/errors.js';
import type { Network, Port } from '../../model/network.js';
import { quoted } from '../../model/names.js';
import { addressOf, byNumber, FAMILIES } from '../../vrouter/routes.js';
import type { Family } from '../../vrouter/routes.js';
import {
  AddressAllocator,
  addressProblem,
  assignable,
  formatAddress,
  formatSubnet,
  parseInterface,
} from './addresses.js';
import type { Subnet } from './addresses.js';
import { subnetKey } from './subnets.js';
import type { LanSubnets, Resolving } from './subnets.js';
import type { EndPlan, LanPlan, Topology } from './topology.js';
import { lanMtu } from './vxlan.js';

/** IEEE 802.3's, and every host's default. */
export const DEFAULT_MTU_BYTES = 1500;

/** What of a port is decided while the scenario is checked. */
export type PortPlan = Pick<Port, 'name' | 'lan' | 'addresses'>;

/** What each LAN has given its members: LAN by LAN, v4 before v6. */
export type Addresses = readonly Filled[];

interface Filled {
  readonly subnet: Subnet;
  readonly addresses: ReadonlyMap<EndPlan, bigint>;
}

/** The ports, by number, of the nodes that are asked for. */
export function planPorts(
  topology: Topology,
  addresses: Addresses,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, readonly PortPlan[]> {
  const ports = new Map<string, PortPlan[]>([...wanted].map((name) => [name, []]));
  if (wanted.size === 0) return ports;
  const lanOf = lansByEnd(topology);
  const texts = writeAddresses(addresses, wanted);
  for (const end of portEnds(topology)) {
    ports.get(end.node)?.push({ name: end.port!, lan: lanOf.get(end)!, addresses: texts.get(end) ?? [] });
  }
  for (const own of ports.values()) own.sort(byNumber);
  return ports;
}

/** The ports of every node that can have some, in the order of nodes, by number. */
export function completePorts(
  network: string,
  topology: Topology,
  addresses: Addresses,
): ReadonlyMap<string, readonly Port[]> {
  const lanOf = lansByEnd(topology);
  const macs = giveMacs(network, topology);
  const texts = writeAddresses(addresses);
  const ports = new Map<string, Port[]>();
  const mtus = new Map(topology.lans.map((lan) => [lan.name, lanMtu(lan, topology.nodes)?.bytes]));
  for (const [name, { kind }] of topology.nodes) if (kind !== 'switch' && kind !== 'vxlan') ports.set(name, []);
  for (const link of topology.links) {
    for (const end of link.ends) {
      if (end.port === undefined) continue;
      const lan = lanOf.get(end)!;
      ports.get(end.node)!.push({
        name: end.port,
        mac: macs.get(end)!,
        addresses: texts.get(end) ?? [],
        mtuBytes: link.raw.mtu ?? mtus.get(lan) ?? DEFAULT_MTU_BYTES,
        link: link.name,
        lan,
      });
    }
  }
  for (const own of ports.values()) own.sort(byNumber);
  return ports;
}

function lansByEnd({ lans }: Topology): ReadonlyMap<EndPlan, string> {
  const lanOf = new Map<EndPlan, string>();
  for (const { name, members } of lans) for (const end of members) lanOf.set(end, name);
  return lanOf;
}

function* portEnds({ links }: Topology): Generator<EndPlan> {
  for (const { ends } of links) for (const end of ends) if (end.port !== undefined) yield end;
}

// --- addresses -------------------------------------------------------------------------------------------------------

/** Problems are left to the caller to throw. */
export function giveAddresses(resolving: Resolving, subnets: ReadonlyMap<string, LanSubnets>): Addresses {
  const before = new PreviousAddresses(resolving.previous);
  const given: Filled[] = [];
  for (const lan of resolving.topology.lans) {
    for (const family of FAMILIES) {
      const subnet = subnets.get(lan.name)![family];
      if (subnet === undefined) refuseAddresses(lan, family, resolving);
      else given.push({ subnet, addresses: fillLan(lan, subnet, before, resolving) });
    }
  }
  return given;
}

/** With prefix length, v4 before v6. `wanted`: of these nodes alone. */
function writeAddresses(given: Addresses, wanted?: ReadonlySet<string>): ReadonlyMap<EndPlan, readonly string[]> {
  const texts = new Map<EndPlan, string[]>();
  for (const { subnet, addresses } of given) {
    for (const [end, address] of addresses) {
      if (wanted?.has(end.node) === false) continue;
      const text = `${formatAddress(subnet.family, address)}/${subnet.prefixLength}`;
      const others = texts.get(end);
      if (others === undefined) texts.set(end, [text]);
      else others.push(text);
    }
  }
  return texts;
}

/** A LAN without a subnet is layer 2 alone: an address on it would be a part of no route. */
function refuseAddresses(lan: LanPlan, family: Family, { problems }: Resolving): void {
  const key = subnetKey(family);
  for (const member of lan.members) {
    const text = writtenAddress(member, family);
    if (text === undefined) continue;
    const owner = lan.switches.length > 0 ? lan.name : 'the link';
    problems.add(
      text.path,
      `${quoted(text.value)} is on the LAN ${lan.name}, which has no ${key}`,
      `write "${key}" on ${owner}`,
    );
  }
}

function fillLan(
  lan: LanPlan,
  subnet: Subnet,
  before: PreviousAddresses,
  { problems }: Resolving,
): ReadonlyMap<EndPlan, bigint> {
  const { family } = subnet;
  const free = new AddressAllocator(subnet);
  const chosen = new Map<EndPlan, bigint>();
  const owners = new Map<bigint, EndPlan>();
  for (const member of lan.members) {
    const text = writtenAddress(member, family);
    if (text === undefined) continue;
    const address = problems.try(text.path, () => readMember(text.value, subnet));
    if (address === undefined) continue;
    const owner = owners.get(address);
    if (owner !== undefined) {
      const shown = formatAddress(family, address);
      problems.add(
        text.path,
        `${shown} is already the address of ${owner.node}:${owner.port}`,
        'choose another, or leave it out',
      );
    }
    free.reserve(address);
    owners.set(address, member);
    chosen.set(member, address);
  }
  for (const member of lan.members) {
    const kept = chosen.has(member) ? undefined : before.of(member, family);
    if (kept !== undefined && free.reserve(kept)) chosen.set(member, kept);
  }
  for (const member of lan.members) {
    if (chosen.has(member)) continue;
    const address = free.lowestFree();
    if (address === undefined) {
      refuseFull(lan, subnet, problems);
      break;
    }
    chosen.set(member, address);
  }
  return chosen;
}

/** The address that an endpoint says, which must be one of the LAN. */
function readMember(text: string, subnet: Subnet): bigint {
  const { address, prefixLength } = parseInterface(text, subnet.family);
  const { first } = assignable(subnet);
  const hint = `one of the LAN is ${formatAddress(subnet.family, first)}/${subnet.prefixLength}`;
  const problem = addressProblem(subnet, address);
  if (problem !== undefined) throw new UsageError(problem, { hint });
  if (prefixLength !== undefined && prefixLength !== subnet.prefixLength) {
    throw new UsageError(`${quoted(text)} has another prefix length than its LAN, ${formatSubnet(subnet)}`, {
      hint: `write "${formatAddress(subnet.family, address)}/${subnet.prefixLength}"`,
    });
  }
  return address;
}

function refuseFull(lan: LanPlan, subnet: Subnet, problems: Resolving['problems']): void {
  const { first, last } = assignable(subnet);
  const room = last - first + 1n;
  problems.add(
    lan[subnetKey(subnet.family)]?.path ?? lan.link?.path ?? [],
    `${formatSubnet(subnet)} is too small: it has ${room} address${room === 1n ? '' : 'es'} for ${lan.members.length} ports`,
    'write a subnet with a shorter prefix',
  );
}

function writtenAddress(member: EndPlan, family: Family): EndPlan['address'] {
  return family === 4 ? member.address : member.address6;
}

/** What ports had in the network that runs. */
class PreviousAddresses {
  readonly #ports = new Map<string, Port>();

  constructor(previous: Network | undefined) {
    for (const node of previous?.nodes ?? []) {
      if (node.kind === 'switch' || node.kind === 'vxlan') continue;
      for (const port of node.ports) this.#ports.set(`${node.name}:${port.name}`, port);
    }
  }

  of({ node, port }: EndPlan, family: Family): bigint | undefined {
    const before = this.#ports.get(`${node}:${port}`);
    const text = before === undefined ? undefined : addressOf(before, family);
    return text === undefined ? undefined : parseInterface(text, family).address;
  }
}

// --- MACs ------------------------------------------------------------------------------------------------------------

/** Those that are written differ on a LAN. */
export function checkMacs({ topology, problems }: Resolving): void {
  for (const { members } of topology.lans) {
    const owners = new Map<string, EndPlan>();
    for (const end of members) {
      if (end.mac === undefined) continue;
      const mac = end.mac.value.toLowerCase();
      const owner = owners.get(mac);
      if (owner !== undefined) {
        problems.add(
          end.mac.path,
          `${mac} is already the MAC of ${owner.node}:${owner.port}`,
          'choose another, or leave it out',
        );
      }
      owners.set(mac, end);
    }
  }
}

/** As written, else of a hash, which then differs in the whole network. */
function giveMacs(network: string, topology: Topology): ReadonlyMap<EndPlan, string> {
  const macs = new Map<EndPlan, string>();
  for (const end of portEnds(topology)) if (end.mac !== undefined) macs.set(end, end.mac.value.toLowerCase());
  const taken = new Set(macs.values());
  for (const end of portEnds(topology)) {
    if (macs.has(end)) continue;
    const mac = hashedMac(network, end, taken);
    macs.set(end, mac);
    taken.add(mac);
  }
  return macs;
}

/**
 * `02:` (locally administered, unicast: IEEE 802, clause 8.4) and 40 bits of a hash of network, node and port; of the
 * first of several hashes that no port has.
 */
function hashedMac(network: string, { node, port }: EndPlan, taken: ReadonlySet<string>): string {
  for (let attempt = 0; ; attempt++) {
    const digest = hash('sha256', [network, node, port, attempt].join('\0'), 'hex');
    const [, a, b, c, d, e] = FIVE_BYTES.exec(digest)!;
    const mac = `02:${a}:${b}:${c}:${d}:${e}`;
    if (!taken.has(mac)) return mac;
  }
}

const FIVE_BYTES = /^(..)(..)(..)(..)(..)/;
