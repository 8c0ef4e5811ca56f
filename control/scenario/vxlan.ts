/**
 * VXLAN nodes: what one says of its other ends, that it hangs on one switch, and the MTU that it leaves to its LAN.
 *
 *   h1 ── s1 ── vx ┄┄┄ underlay ┄┄┄ others          every port on s1's LAN has the MTU of vx's link, or a smaller one
 *
 * Called by `topology.ts`, `ports.ts` and `resolve.ts`.
 */
import { UsageError } from '../../model/errors.js';
import { quoted } from '../../model/names.js';
import type { VxlanNode } from '../../model/network.js';
import type { RawNode } from '../../model/scenario.js';
import { familyOf, VXLAN_PORT, vxlanOverheadBytes } from '../../model/vxlan.js';
import { contains, formatAddress, parseInterface, parsePrefix } from './addresses.js';
import type { Path, Problems } from './problems.js';
import type { LanPlan, LinkPlan } from './topology.js';

type RawVxlan = Extract<RawNode, { readonly kind: 'vxlan' }>;
type Nodes = ReadonlyMap<string, RawNode>;

/** Of an underlay of which nothing else is known. */
const UNDERLAY_MTU_BYTES = 1500;
const IPV6_LEAST_MTU = 1280;
/** As Linux has them (net.ipv4.ip_default_ttl, and vxlan_xmit_one for groups). */
const HOPS = 64;
const HOPS_TO_GROUP = 1;

/** What of an address decides where it may stand. */
const GROUPS = { 4: parsePrefix('224.0.0.0/4', 4), 6: parsePrefix('ff00::/8', 6) } as const;
const NOBODY = [
  { subnet: parsePrefix('0.0.0.0/8', 4), why: 'is "this network" (RFC 1122)' },
  { subnet: parsePrefix('255.255.255.255/32', 4), why: 'is broadcast (RFC 919)' },
  { subnet: parsePrefix('::/128', 6), why: 'is unspecified (RFC 4291)' },
  { subnet: parsePrefix('::ffff:0:0/96', 6), why: 'stands for IPv4 (RFC 4291)' },
  { subnet: parsePrefix('fe80::/10', 6), why: 'is link-local (RFC 4291), on no interface in particular' },
] as const;

// --- what it says ----------------------------------------------------------------------------------------------------

/** Of a checked node. */
export function readVxlan(node: RawVxlan): Omit<VxlanNode, 'kind' | 'name' | 'machine' | 'isPlayed' | 'mtuBytes'> {
  const { vni, remote = [], group, local, device } = node;
  return {
    vni,
    remotes: [remote].flat().map((text) => readAddress(text, 'host')),
    ...(group === undefined ? {} : { group: readAddress(group, 'group') }),
    port: node.port ?? VXLAN_PORT,
    ...(local === undefined ? {} : { local: readAddress(local, 'host') }),
    ...(device === undefined ? {} : { device }),
    hops: node.ttl ?? (group === undefined ? HOPS : HOPS_TO_GROUP),
  };
}

/** As `parseInterface`, whose example is a subnet. */
function parseAddress(text: string, family: 4 | 6): ReturnType<typeof parseInterface> {
  try {
    return parseInterface(text, family);
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new UsageError(cause.message, { hint: 'write an address: 192.0.2.7, or "2001:db8::7"', cause });
  }
}

/** In one way of writing. Throws `UsageError`. */
function readAddress(text: string, what: 'host' | 'group'): string {
  const family = familyOf(text);
  const { address, prefixLength } = parseAddress(text, family);
  const written = formatAddress(family, address);
  if (prefixLength !== undefined)
    throw new UsageError(`${quoted(text)} has a prefix length`, { hint: `write "${written}"` });
  const reserved = NOBODY.find(({ subnet }) => subnet.family === family && contains(subnet, address));
  if (reserved !== undefined) throw new UsageError(`${written} ${reserved.why}`);
  const isGroup = contains(GROUPS[family], address);
  if (isGroup && what === 'host')
    throw new UsageError(`${written} is a multicast group`, { hint: `write "group: ${text}"` });
  if (!isGroup && what === 'group')
    throw new UsageError(`${written} is no multicast group`, { hint: `write "remote: ${text}"` });
  return written;
}

function checkAddresses(name: string, node: RawVxlan, problems: Problems): void {
  const path = ['nodes', name];
  const listed = Array.isArray(node.remote);
  const remotes = [node.remote ?? []].flat();
  if (node.remote === undefined && node.group === undefined)
    problems.add(
      path,
      'a VXLAN has a "remote" or a "group"',
      'write "remote: 192.0.2.7", the address of the other end',
    );
  if (node.remote !== undefined && node.group !== undefined)
    problems.addKey([...path, 'group'], 'a VXLAN has a "remote" or a "group", not both', 'leave one of them out');
  const written: (readonly [Path, string, 'host' | 'group'])[] = remotes.map((text, i) => [
    [...path, 'remote', ...(listed ? [i] : [])],
    text,
    'host',
  ]);
  if (node.group !== undefined) written.push([[...path, 'group'], node.group, 'group']);
  if (node.local !== undefined) written.push([[...path, 'local'], node.local, 'host']);
  const seen = new Set<string>();
  for (const [at, text, what] of written) {
    const address = problems.try(at, () => readAddress(text, what));
    if (address === undefined) continue;
    const [first = address] = seen;
    if (familyOf(first) !== familyOf(address))
      problems.add(at, `${address} is IPv${familyOf(address)}, and ${first} is not`, 'one VXLAN has one family');
    if (seen.has(address)) problems.add(at, `${address} is named twice`);
    seen.add(address);
  }
}

// --- where it hangs --------------------------------------------------------------------------------------------------

/** One link, to a switch; and no two at one UDP port of a machine. */
export function checkVxlanLinks(
  nodes: Nodes,
  links: readonly LinkPlan[],
  machines: readonly string[],
  problems: Problems,
): void {
  const linked = new Set<string>();
  for (const { ends, path } of links)
    for (const [i, { node }] of ends.entries()) {
      if (nodes.get(node)?.kind !== 'vxlan') continue;
      const other = ends[1 - i]!.node;
      if (nodes.get(other)?.kind !== 'switch')
        problems.add(path, `the VXLAN ${node} is linked to ${other}, which is no switch`, 'put a switch between them');
      if (linked.has(node))
        problems.add(path, `the VXLAN ${node} has a link already`, 'it is one port of one switch; write another node');
      linked.add(node);
    }
  const listening: (readonly [string, RawVxlan])[] = [];
  for (const [name, node] of nodes) {
    if (node.kind !== 'vxlan') continue;
    checkAddresses(name, node, problems);
    if (!linked.has(name))
      problems.addKey(
        ['nodes', name],
        `the VXLAN ${name} is linked to nothing`,
        `write "endpoints: [${name}, SWITCH]"`,
      );
    const machineOf = ({ machine = machines[0]! }: RawVxlan): string => machine;
    const [owner] = listening.find(([, other]) => machineOf(other) === machineOf(node) && collide(other, node)) ?? [];
    if (owner !== undefined)
      problems.add(
        ['nodes', name, ...(node.port === undefined ? [] : ['port'])],
        `${name} and ${owner} would listen at the same UDP port, ${node.port ?? VXLAN_PORT}`,
        'give one of them, and its other ends, another "port", or each a "local" address of its own',
      );
    listening.push([name, node]);
  }
}

/** Whether the kernel would refuse the second (inet_rcv_saddr_equal, and the interface that a socket is bound to). */
function collide(a: RawVxlan, b: RawVxlan): boolean {
  const differ = (x: string | number | undefined, y: typeof x): boolean =>
    x !== undefined && y !== undefined && x !== y;
  return !(
    differ(a.port ?? VXLAN_PORT, b.port ?? VXLAN_PORT) ||
    differ(familyOfNode(a), familyOfNode(b)) ||
    differ(a.local, b.local) ||
    differ(a.device, b.device)
  );
}

/** Of a node whose addresses may be wrong. */
function familyOfNode({ group, remote = [] }: RawVxlan): 4 | 6 {
  return familyOf([group ?? remote].flat()[0] ?? '');
}

// --- its MTU ---------------------------------------------------------------------------------------------------------

/** What passes through a VXLAN of this link: what the link says, else what an ordinary underlay leaves. */
export function vxlanMtuBytes({ raw, vxlan }: LinkPlan, nodes: Nodes): number {
  return raw.mtu ?? UNDERLAY_MTU_BYTES - vxlanOverheadBytes(familyOfNode(nodes.get(vxlan!) as RawVxlan));
}

/** The least that the VXLANs of a LAN take, and by which link; undefined where there is none. */
export function lanMtu(
  { vxlans }: LanPlan,
  nodes: Nodes,
): { readonly bytes: number; readonly link: LinkPlan } | undefined {
  let least: { bytes: number; link: LinkPlan } | undefined;
  for (const link of vxlans) {
    const bytes = vxlanMtuBytes(link, nodes);
    if (least === undefined || bytes < least.bytes) least = { bytes, link };
  }
  return least;
}

/** A longer packet would be lost without a word: nobody fragments it, and a switch sends no ICMP. */
export function checkVxlanMtus(
  nodes: Nodes,
  links: readonly LinkPlan[],
  lans: readonly LanPlan[],
  problems: Problems,
): void {
  const linkOf = new Map(links.flatMap((link) => link.ends.map((end) => [end, link] as const)));
  for (const lan of lans) {
    const least = lanMtu(lan, nodes);
    if (least === undefined) continue;
    const { bytes, link } = least;
    if (bytes < IPV6_LEAST_MTU && lan.subnet6 !== undefined)
      problems.add(
        [...link.path, 'mtu'],
        `an MTU of ${bytes} is too small for IPv6, which this LAN has`,
        `IPv6 needs ${IPV6_LEAST_MTU} bytes (RFC 8200): raise it, or remove "subnet6"`,
      );
    for (const member of lan.members) {
      const own = linkOf.get(member)!;
      if (own.raw.mtu === undefined || own.raw.mtu <= bytes) continue;
      problems.add(
        [...own.path, 'mtu'],
        `an MTU of ${own.raw.mtu} does not pass through the VXLAN ${link.vxlan!} of this LAN, which takes ${bytes}`,
        `leave it out for ${bytes}, or write a larger "mtu" on ${link.name} if its underlay has one`,
      );
    }
  }
}
