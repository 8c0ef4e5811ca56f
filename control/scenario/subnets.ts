/**
 * The subnets of a network's LANs: as written, or cut from the pool for a link without a switch. No two of a network
 * overlap, since routers tell LANs apart by them.
 *
 * Called by `resolve.ts` alone.
 */
import type { Network } from '../../model/network.js';
import { IPV6_LEAST_MTU } from '../../vhost/netns.js';
import { FAMILIES } from '../../vrouter/routes.js';
import type { Family } from '../../vrouter/routes.js';
import { contains, formatSubnet, overlap, parseSubnet, SubnetAllocator } from './addresses.js';
import type { Subnet } from './addresses.js';
import type { Scenario } from './load.js';
import type { Path, Problems } from './problems.js';
import type { LinkPlan, Topology } from './topology.js';

/** What every stage of resolving works on. */
export interface Resolving {
  readonly scenario: Scenario;
  readonly topology: Topology;
  readonly previous: Network | undefined;
  readonly problems: Problems;
}

export type LanSubnets = Readonly<Partial<Record<Family, Subnet>>>;

/** As many /31 as a network has links; RFC 1918 and RFC 4193. */
const DEFAULT_POOL = { subnet: '10.254.0.0/15', subnet6: 'fd00:ffff::/64' };
/** RFC 3021, RFC 6164. */
const POINT_TO_POINT: Readonly<Record<Family, number>> = { 4: 31, 6: 127 };

interface PlacedSubnet {
  readonly lan: string;
  readonly subnet: Subnet;
  readonly path: Path;
}

/** The key of a family's subnet, in the file as in `Network`. */
export function subnetKey(family: Family): 'subnet' | 'subnet6' {
  return family === 4 ? 'subnet' : 'subnet6';
}

/** The subnets of every LAN, by its name. Throws the first problem: later stages give out what is in them. */
export function resolveSubnets(resolving: Resolving): ReadonlyMap<string, LanSubnets> {
  const { topology, problems } = resolving;
  const written: PlacedSubnet[] = [];
  for (const lan of topology.lans) {
    for (const family of FAMILIES) {
      const text = lan[subnetKey(family)];
      if (text === undefined) continue;
      const subnet = problems.try(text.path, () => parseSubnet(text.value, family));
      if (subnet !== undefined) written.push({ lan: lan.name, subnet, path: text.path });
    }
  }
  refuseSmallMtu(resolving);
  refuseOverlaps(written, resolving);
  const pools = FAMILIES.map((family) => ({ family, pool: readPool(family, resolving) }));
  problems.throwFirst();

  const subnets = new Map<string, Partial<Record<Family, Subnet>>>(topology.lans.map(({ name }) => [name, {}]));
  for (const { lan, subnet } of written) subnets.get(lan)![subnet.family] = subnet;
  const used = written.map(({ subnet }) => subnet);
  for (const { family, pool } of pools) {
    const wanting = topology.lans.flatMap(({ name, link }) =>
      link === undefined || subnets.get(name)![family] !== undefined || (family === 6 && tooSmallForIpv6(link))
        ? []
        : [link],
    );
    for (const [name, subnet] of takeFromPool(pool!, wanting, used, resolving)) subnets.get(name)![family] = subnet;
  }
  problems.throwFirst();
  return subnets;
}

/** Prefixes either nest or are apart: in the order of their lowest addresses, each can only be inside of the widest so far. */
function refuseOverlaps(written: readonly PlacedSubnet[], { scenario, problems }: Resolving): void {
  const before = (a: PlacedSubnet, b: PlacedSubnet): boolean => {
    const [first, second] = [scenario.position(a.path), scenario.position(b.path)];
    return first.line < second.line || (first.line === second.line && first.column < second.column);
  };
  let widest: PlacedSubnet | undefined;
  for (const next of written.toSorted(byBase)) {
    if (widest === undefined || !overlap(widest.subnet, next.subnet)) {
      widest = next;
      continue;
    }
    const [earlier, later] = before(next, widest) ? [next, widest] : [widest, next];
    problems.add(
      later.path,
      `${formatSubnet(later.subnet)} overlaps ${formatSubnet(earlier.subnet)} of ${earlier.lan}`,
      'each LAN has a subnet of its own',
    );
  }
}

function byBase({ subnet: a }: PlacedSubnet, { subnet: b }: PlacedSubnet): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.base !== b.base) return a.base < b.base ? -1 : 1;
  return a.prefixLength - b.prefixLength;
}

function refuseSmallMtu({ topology, problems }: Resolving): void {
  const small = topology.links.filter(tooSmallForIpv6);
  if (small.length === 0) return;
  const withIpv6 = new Set(topology.lans.flatMap(({ subnet6, members }) => (subnet6 === undefined ? [] : members)));
  for (const { ends, path, raw } of small) {
    if (!ends.some((end) => withIpv6.has(end))) continue;
    problems.add(
      [...path, 'mtu'],
      `an MTU of ${raw.mtu} is too small for IPv6, which this LAN has`,
      `IPv6 needs ${IPV6_LEAST_MTU} bytes (RFC 8200): raise it, or remove "subnet6"`,
    );
  }
}

function tooSmallForIpv6({ raw: { mtu } }: LinkPlan): boolean {
  return mtu !== undefined && mtu < IPV6_LEAST_MTU;
}

function readPool(family: Family, { scenario, problems }: Resolving): Subnet | undefined {
  const key = subnetKey(family);
  const path = ['pool', key];
  const pool = problems.try(path, () => parseSubnet(scenario.raw.pool?.[key] ?? DEFAULT_POOL[key], family));
  if (pool !== undefined && pool.prefixLength > POINT_TO_POINT[family]) {
    problems.add(path, `the pool ${formatSubnet(pool)} is too small for a single link`, 'write a shorter prefix');
  }
  return pool;
}

/** A subnet of the pool for each link: the one that it had, where that is still free, else the lowest free. */
function takeFromPool(
  pool: Subnet,
  links: readonly LinkPlan[],
  used: readonly Subnet[],
  { previous, problems }: Resolving,
): ReadonlyMap<string, Subnet> {
  const { family } = pool;
  const key = subnetKey(family);
  const prefixLength = POINT_TO_POINT[family];
  const before = new Map(
    previous?.lans.filter(({ switches }) => switches.length === 0).map((lan) => [lan.name, lan[key]]),
  );
  const taken = new Map<string, Subnet>();
  for (const { name } of links) {
    const text = before.get(name);
    const subnet = text === undefined ? undefined : parseSubnet(text, family);
    if (subnet?.prefixLength !== prefixLength || !contains(pool, subnet.base)) continue;
    if (!used.some((other) => overlap(other, subnet))) taken.set(name, subnet);
  }
  const free = new SubnetAllocator(pool, prefixLength, [...used, ...taken.values()]);
  for (const { name, path } of links) {
    if (taken.has(name)) continue;
    const subnet = free.lowestFree();
    if (subnet === undefined) {
      problems.add(
        path,
        `the pool ${formatSubnet(pool)} has no /${prefixLength} left for the link ${name}`,
        `write a larger "${key}" in "pool", or "${key}" on the link`,
      );
      break;
    }
    taken.set(name, subnet);
  }
  return taken;
}
