/**
 * Which ports and switches are one LAN. A LAN on one switch is a part; a link that carries the LAN to another switch
 * joins two parts; parts that are joined, over any number of links and machines, are one layer-2 segment.
 *
 *   s1 ──── s2        parts s1/ and s2/ are joined: one LAN, named s1, with the subnet that stands on either
 *    └ h1    └ h2     its members are h1:eth0 and h2:eth0, in the order of links
 *
 * Called by `topology.ts` alone.
 */
import { quoted } from '../../model/names.js';
import type { RawLink, RawNode, RawScenario } from '../../model/scenario.js';
import type { Problems } from './problems.js';
import type { EndPlan, LanPlan, LinkPlan, Written } from './topology.js';

/** The LAN of a switch that names none; no name is empty. */
const UNTAGGED = '';
const UNTAGGED_ALONE = [UNTAGGED];

/** Part of a LAN on one switch. A link that carries the LAN between two switches joins their parts. */
interface Part {
  readonly switchName: string;
  readonly lan: string;
  readonly members: { readonly end: EndPlan; readonly order: number }[];
  readonly vxlans: LinkPlan[];
  readonly joined: Part[];
}

export function buildLans(
  raw: RawScenario,
  nodes: ReadonlyMap<string, RawNode>,
  links: readonly LinkPlan[],
  problems: Problems,
): LanPlan[] {
  const parts = connectParts(nodes, links, problems);
  const order = new Map([...nodes.keys()].map((name, i) => [name, i]));
  const lans: LanPlan[] = [];
  const done = new Set<Part>();
  for (const part of parts) {
    if (part.lan !== UNTAGGED || done.has(part)) continue;
    const component = reach(part, done);
    const switches = inOrder(component, order);
    const subnet = sharedSubnet('subnet', switches, nodes, problems);
    const subnet6 = sharedSubnet('subnet6', switches, nodes, problems);
    lans.push({
      name: switches[0]!,
      switches,
      ...(subnet === undefined ? {} : { subnet }),
      ...(subnet6 === undefined ? {} : { subnet6 }),
      members: membersOf(component),
      vxlans: component.flatMap(({ vxlans }) => vxlans),
    });
  }
  const partsOfLan = new Map(Object.keys(raw.lans ?? {}).map((name): [string, Part[]] => [name, []]));
  for (const part of parts) partsOfLan.get(part.lan)?.push(part);
  for (const [name, { subnet, subnet6 }] of Object.entries(raw.lans ?? {})) {
    const own = partsOfLan.get(name)!;
    const component = own[0] === undefined ? [] : reach(own[0], done);
    const joined = new Set(component);
    const stray = own.find((part) => !joined.has(part));
    if (stray !== undefined) {
      problems.addKey(
        ['lans', name],
        `the LAN ${quoted(name)} is in parts: no link carries it from ${own[0]!.switchName} to ${stray.switchName}`,
        `add it to a link between switches: "trunk: [${name}]"`,
      );
    }
    lans.push({
      name,
      switches: inOrder(component, order),
      ...(subnet === undefined ? {} : { subnet: { value: subnet, path: ['lans', name, 'subnet'] } }),
      ...(subnet6 === undefined ? {} : { subnet6: { value: subnet6, path: ['lans', name, 'subnet6'] } }),
      members: membersOf(component),
      vxlans: component.flatMap(({ vxlans }) => vxlans),
    });
  }
  for (const link of links) {
    const { subnet, subnet6 } = link.raw;
    if (link.ends.some(({ port }) => port === undefined)) continue;
    lans.push({
      name: link.name,
      switches: [],
      ...(subnet === undefined ? {} : { subnet: { value: subnet, path: [...link.path, 'subnet'] } }),
      ...(subnet6 === undefined ? {} : { subnet6: { value: subnet6, path: [...link.path, 'subnet6'] } }),
      members: link.ends,
      vxlans: [],
      link,
    });
  }
  return lans;
}

/** Every part of every LAN. A switch that only carries named LANs has no untagged one. */
function connectParts(
  nodes: ReadonlyMap<string, RawNode>,
  links: readonly LinkPlan[],
  problems: Problems,
): readonly Part[] {
  const segments = new Segments();
  const parts: Part[] = [];
  const ofSwitches = new Map<string, Map<string, Part>>();
  const partOf = (switchName: string, lan: string): Part => {
    let own = ofSwitches.get(switchName);
    if (own === undefined) ofSwitches.set(switchName, (own = new Map<string, Part>()));
    let part = own.get(lan);
    if (part === undefined) {
      part = { switchName, lan, members: [], vxlans: [], joined: [] };
      own.set(lan, part);
      parts.push(part);
    }
    return part;
  };
  const linked = new Set<string>();
  for (const { ends } of links) for (const { node } of ends) linked.add(node);
  for (const [name, node] of nodes) {
    if (node.kind !== 'switch') continue;
    if (node.subnet !== undefined || node.subnet6 !== undefined || !linked.has(name)) partOf(name, UNTAGGED);
  }
  for (const [order, link] of links.entries()) {
    const { ends, raw, path, vxlan } = link;
    const [a, b] = ends;
    for (const [index, lan] of carriedLans(raw).entries()) {
      if (vxlan !== undefined) {
        if (index === 0) partOf(a.node === vxlan ? b.node : a.node, lan).vxlans.push(link);
        continue;
      }
      const first = a.port === undefined ? partOf(a.node, lan) : undefined;
      const second = b.port === undefined ? partOf(b.node, lan) : undefined;
      if (first !== undefined && second !== undefined) {
        if (segments.joins(first, second)) {
          problems.add(
            path,
            `the link from ${a.node} to ${b.node} closes a loop of switches: frames would circle in it`,
            'there is no spanning tree yet: remove one link of the loop',
          );
        }
        first.joined.push(second);
        second.joined.push(first);
        continue;
      }
      // A port is a member of one LAN: of a trunk to a host, the first one that it names.
      const member = first === undefined ? a : b;
      if (index === 0) (first ?? second)?.members.push({ end: member, order });
    }
  }
  return parts;
}

/** Disjoint sets of parts that are joined already. */
class Segments {
  readonly #parent = new Map<Part, Part>();

  /** Joins two parts; true when they were joined before. */
  joins(a: Part, b: Part): boolean {
    const rootA = this.#root(a);
    const rootB = this.#root(b);
    if (rootA === rootB) return true;
    this.#parent.set(rootA, rootB);
    return false;
  }

  /** Halves the way up as it goes, so that long chains of switches stay cheap. */
  #root(part: Part): Part {
    let current = part;
    for (;;) {
      const parent = this.#parent.get(current) ?? current;
      if (parent === current) return current;
      const grandparent = this.#parent.get(parent) ?? parent;
      this.#parent.set(current, grandparent);
      current = grandparent;
    }
  }
}

/** What a link carries; the ends agree where both say it. */
function carriedLans({ endpoints }: RawLink): readonly string[] {
  for (const endpoint of endpoints) {
    if (typeof endpoint === 'string') continue;
    if (endpoint.trunk !== undefined) return endpoint.trunk;
    if (endpoint.lan !== undefined) return [endpoint.lan];
  }
  return UNTAGGED_ALONE;
}

/** All parts that are joined to `start`, which are then `done`. */
function reach(start: Part, done: Set<Part>): Part[] {
  const found = [start];
  done.add(start);
  for (const part of found) {
    for (const next of part.joined) {
      if (done.has(next)) continue;
      done.add(next);
      found.push(next);
    }
  }
  return found;
}

/** `order`: of nodes in the file. */
function inOrder(parts: readonly Part[], order: ReadonlyMap<string, number>): string[] {
  return parts.map(({ switchName }) => switchName).sort((a, b) => order.get(a)! - order.get(b)!);
}

function membersOf(parts: readonly Part[]): EndPlan[] {
  return parts
    .flatMap(({ members }) => members)
    .sort((a, b) => a.order - b.order)
    .map(({ end }) => end);
}

/** A LAN's subnet stands on any of its switches; on several of them it is the same. */
function sharedSubnet(
  key: 'subnet' | 'subnet6',
  switches: readonly string[],
  nodes: ReadonlyMap<string, RawNode>,
  problems: Problems,
): Written<string> | undefined {
  let found: (Written<string> & { readonly owner: string }) | undefined;
  for (const owner of switches) {
    const node = nodes.get(owner);
    const value = node?.kind === 'switch' ? node[key] : undefined;
    if (value === undefined) continue;
    const path = ['nodes', owner, key];
    if (found === undefined) found = { value, path, owner };
    else if (found.value !== value) {
      problems.add(
        path,
        `${owner} and ${found.owner} are one LAN, whose ${key} is ${found.value} already`,
        'write it on one of them',
      );
    }
  }
  return found;
}
