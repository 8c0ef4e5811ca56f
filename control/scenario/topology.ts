/**
 * What a scenario's names refer to: nodes, ports, links and LANs, put together and checked. Addresses are still text;
 * `resolve.ts` gives them out. Everything follows the order of the file.
 *
 *   checkNames    every name means one thing, every reference something   (throws the first problem)
 *   buildLinks    link names, and ports numbered where none was written
 *   buildLans     switches joined by links, named LANs, links without a switch   (lans.ts)
 *
 * Called by `resolve.ts` alone, through `readTopology`.
 */
import { quoted, suggestion } from '../../model/names.js';
import { splitEndpoint } from '../../model/scenario.js';
import type { RawEndpoint, RawLink, RawNode, RawScenario } from '../../model/scenario.js';
import { buildLans } from './lans.js';
import { checkVxlanLinks, checkVxlanMtus } from './vxlan.js';
import { Problems } from './problems.js';
import type { Path, Positions } from './problems.js';

/** A value as written, and where. */
export interface Written<Value> {
  readonly value: Value;
  readonly path: Path;
}

export interface Topology {
  readonly machines: readonly string[];
  readonly nodes: ReadonlyMap<string, RawNode>;
  readonly links: readonly LinkPlan[];
  readonly lans: readonly LanPlan[];
}

export interface LinkPlan {
  readonly name: string;
  readonly raw: RawLink;
  readonly path: Path;
  readonly ends: readonly [EndPlan, EndPlan];
  /** The VXLAN node at one of its ends. */
  readonly vxlan: string | undefined;
}

export interface EndPlan {
  readonly node: string;
  /** None on a switch, nor on a VXLAN node. */
  readonly port: string | undefined;
  readonly address: Written<string> | undefined;
  readonly address6: Written<string> | undefined;
  readonly mac: Written<string> | undefined;
  readonly path: Path;
}

export interface LanPlan {
  readonly name: string;
  readonly switches: readonly string[];
  readonly subnet?: Written<string>;
  readonly subnet6?: Written<string>;
  /** Ends with a port, in the order of links. */
  readonly members: readonly EndPlan[];
  /** Links by which it leaves for VXLANs. */
  readonly vxlans: readonly LinkPlan[];
  /** Set where no switch is on it. */
  readonly link?: LinkPlan;
}

/** The machine of a scenario that names none. */
const LOCAL = 'local';

export function readTopology(raw: RawScenario, positions: Positions): Topology {
  const nodes = new Map(Object.entries(raw.nodes));
  const rawLinks = (raw.links ?? []).map((link, index) => readLink(link, index));
  const problems = new Problems(positions);
  checkNames(raw, nodes, rawLinks, problems);
  problems.throwFirst();
  const links = buildLinks(rawLinks, nodes, problems);
  checkEvents(raw, links, problems);
  checkVxlanLinks(nodes, links, raw.machines ?? [LOCAL], problems);
  problems.throwFirst();
  const lans = buildLans(raw, nodes, links, problems);
  problems.throwFirst();
  checkVxlanMtus(nodes, links, lans, problems);
  problems.throwFirst();
  return { machines: raw.machines ?? [LOCAL], nodes, links, lans };
}

// --- reading ---------------------------------------------------------------------------------------------------------

interface ReadLink {
  readonly raw: RawLink;
  readonly path: Path;
  readonly ends: readonly [ReadEnd, ReadEnd];
}

/** An endpoint, whichever of its forms was written; its port, if one was. */
interface ReadEnd extends EndPlan {
  readonly raw: RawEndpoint;
  /** LANs that the link carries, as this end says it. */
  readonly lans: Written<readonly string[]> | undefined;
}

function readLink(raw: RawLink, index: number): ReadLink {
  const [first, second] = raw.endpoints;
  return {
    raw,
    path: ['links', index],
    ends: [readEnd(first, ['links', index, 'endpoints', 0]), readEnd(second, ['links', index, 'endpoints', 1])],
  };
}

function readEnd(raw: RawEndpoint, path: Path): ReadEnd {
  if (typeof raw === 'string') {
    const { node, port } = splitEndpoint(raw);
    return { node, port, address: undefined, address6: undefined, mac: undefined, path, raw, lans: undefined };
  }
  const written = <Key extends keyof typeof raw>(key: Key): Written<NonNullable<(typeof raw)[Key]>> | undefined => {
    const value = raw[key];
    return value === undefined ? undefined : { value, path: [...path, key] };
  };
  const one = written('lan');
  return {
    node: raw.node,
    port: raw.port,
    address: written('address'),
    address6: written('address6'),
    mac: written('mac'),
    path,
    raw,
    lans: written('trunk') ?? (one && { value: [one.value], path: one.path }),
  };
}

/** Where an endpoint says it: one that is a text says everything in one place. */
function placeOf({ raw, path }: ReadEnd, key: keyof Exclude<RawEndpoint, string>): Path {
  return typeof raw === 'string' ? path : [...path, key];
}

// --- names -----------------------------------------------------------------------------------------------------------

function checkNames(
  raw: RawScenario,
  nodes: ReadonlyMap<string, RawNode>,
  links: readonly ReadLink[],
  problems: Problems,
): void {
  const machines = new Set<string>();
  for (const [index, machine] of (raw.machines ?? []).entries()) {
    if (machines.has(machine)) problems.add(['machines', index], `the machine ${quoted(machine)} is listed twice`);
    machines.add(machine);
  }
  // `inspect`, `set` and `trace` take names without saying of what: each means one thing only.
  const taken = new Map<string, string>();
  for (const [name, node] of nodes) {
    taken.set(name, 'a node');
    if (name === 'localhost') problems.addKey(['nodes', name], '"localhost" is every host’s name for itself');
    const { machine } = node;
    if (machine !== undefined && !machines.has(machine))
      refuseMachine(machine, ['nodes', name, 'machine'], raw, problems);
  }
  for (const name of Object.keys(raw.lans ?? {})) {
    if (taken.has(name)) problems.addKey(['lans', name], `${quoted(name)} is already the name of ${taken.get(name)}`);
    else taken.set(name, 'a LAN');
  }
  for (const link of links) {
    const { name } = link.raw;
    if (name !== undefined) {
      const other = taken.get(name);
      if (other !== undefined) {
        problems.add([...link.path, 'name'], `${quoted(name)} is already the name of ${other}`, 'choose another name');
      }
      taken.set(name, 'a link');
    }
    checkEnds(link, nodes, raw.lans ?? {}, problems);
  }
  checkVlans(raw, problems);
}

function refuseMachine(machine: string, path: Path, { machines }: RawScenario, problems: Problems): void {
  const hint = (): string | undefined =>
    machines === undefined ? `list it: "machines: [${machine}]"` : suggestion(machine, machines);
  problems.add(path, `there is no machine ${quoted(machine)}`, hint);
}

/** What an endpoint says of its port: a switch has none, nor a VXLAN. */
const OF_PORTS = ['port', 'address', 'address6', 'mac'] as const;

function checkEnds(
  link: ReadLink,
  nodes: ReadonlyMap<string, RawNode>,
  lans: NonNullable<RawScenario['lans']>,
  problems: Problems,
): void {
  const [first, second] = link.ends;
  for (const end of link.ends) {
    const node = nodes.get(end.node);
    if (node === undefined) {
      const hint = (): string | undefined => suggestion(end.node, nodes.keys());
      problems.add(placeOf(end, 'node'), `there is no node ${quoted(end.node)}`, hint);
      continue;
    }
    if (node.kind === 'switch') {
      for (const key of OF_PORTS) {
        if (end[key] === undefined) continue;
        const message = `the switch ${quoted(end.node)} takes no ${key}`;
        problems.add(placeOf(end, key), message, 'ports of a switch are its links');
      }
    }
    if (node.kind === 'vxlan') {
      for (const key of OF_PORTS) {
        if (end[key] === undefined) continue;
        const message = `the VXLAN ${quoted(end.node)} takes no ${key}`;
        problems.add(placeOf(end, key), message, 'it is nobody’s interface: hosts are behind it');
      }
    }
    if (end.lans !== undefined) checkCarried(end.lans, lans, problems);
  }
  if (first.node === second.node) {
    problems.add(placeOf(second, 'node'), `the link joins ${quoted(first.node)} to itself`, 'a link joins two nodes');
  }
  const a = first.lans?.value.toSorted().join();
  const b = second.lans?.value.toSorted().join();
  if (a !== undefined && b !== undefined && a !== b) {
    problems.add(second.lans!.path, 'the two ends say different LANs', 'say it at one end');
  }
  const onSwitch = link.ends.some(({ node }) => nodes.get(node)?.kind === 'switch');
  if (!onSwitch) {
    for (const { lans } of link.ends) {
      if (lans !== undefined) problems.add(lans.path, 'a link without a switch is a LAN of its own');
    }
  } else {
    for (const key of ['subnet', 'subnet6'] as const) {
      if (link.raw[key] === undefined) continue;
      problems.add(
        [...link.path, key],
        'a link on a switch is part of that switch’s LAN',
        `write "${key}" on the switch`,
      );
    }
  }
}

/** What one end says that its link carries: LANs that there are, each once, one of them untagged at most. */
function checkCarried(
  { value, path }: Written<readonly string[]>,
  lans: NonNullable<RawScenario['lans']>,
  problems: Problems,
): void {
  const carried = new Set<string>();
  const untagged: string[] = [];
  for (const [index, lan] of value.entries()) {
    const at = path.at(-1) === 'trunk' ? [...path, index] : path;
    if (!Object.hasOwn(lans, lan)) {
      problems.add(at, `there is no LAN ${quoted(lan)} in "lans"`, () => suggestion(lan, Object.keys(lans)));
      continue;
    }
    if (carried.has(lan)) problems.add(at, `the trunk carries ${quoted(lan)} twice`);
    carried.add(lan);
    if (lans[lan]?.vlan === undefined) untagged.push(lan);
  }
  const [one, another] = untagged;
  if (another !== undefined && one !== another) {
    problems.add(path, `${one} and ${another} are both untagged on one trunk`, 'give all but one a "vlan"');
  }
}

function checkVlans(raw: RawScenario, problems: Problems): void {
  const owners = new Map<number, string>();
  for (const [name, { vlan }] of Object.entries(raw.lans ?? {})) {
    if (vlan === undefined) continue;
    const owner = owners.get(vlan);
    if (owner !== undefined) problems.add(['lans', name, 'vlan'], `VLAN ${vlan} is ${quoted(owner)} already`);
    else owners.set(vlan, name);
  }
}

function checkEvents(raw: RawScenario, links: readonly LinkPlan[], problems: Problems): void {
  if (raw.events === undefined) return;
  const byName = new Map(links.map((link) => [link.name, link]));
  for (const [index, event] of raw.events.entries()) {
    const path = ['events', index];
    const link = byName.get(event.link);
    if (link === undefined) {
      problems.add([...path, 'link'], `there is no link ${quoted(event.link)}`, () =>
        suggestion(event.link, byName.keys()),
      );
    } else if (event.from !== undefined && !link.ends.some(({ node }) => node === event.from)) {
      const ends = link.ends.map(({ node }) => node);
      problems.add([...path, 'from'], `${quoted(event.from)} is no end of ${link.name}`, suggestion(event.from, ends));
    }
  }
}

// --- links and ports -------------------------------------------------------------------------------------------------

function buildLinks(links: readonly ReadLink[], nodes: ReadonlyMap<string, RawNode>, problems: Problems): LinkPlan[] {
  const names = new LinkNames();
  const ports = new PortNumbers(links, problems);
  return links.map(({ raw, path, ends }) => {
    const name = raw.name ?? names.next(ends);
    const vxlan = ends.find(({ node }) => nodes.get(node)?.kind === 'vxlan')?.node;
    return { name, raw, path, ends: [endPlan(ends[0], nodes, ports), endPlan(ends[1], nodes, ports)], vxlan };
  });
}

/** `a--b`, then `a--b.2`, `a--b.3`: written names have no `--`, so these are never taken by one. */
class LinkNames {
  readonly #counts = new Map<string, number>();

  next([first, second]: ReadLink['ends']): string {
    const base = `${first.node}--${second.node}`;
    const count = (this.#counts.get(base) ?? 0) + 1;
    this.#counts.set(base, count);
    return count === 1 ? base : `${base}.${count}`;
  }
}

function endPlan(end: ReadEnd, nodes: ReadonlyMap<string, RawNode>, ports: PortNumbers): EndPlan {
  const { node, address, address6, mac, path } = end;
  const kind = nodes.get(node)?.kind;
  const port = kind === 'switch' || kind === 'vxlan' ? undefined : (end.port ?? ports.next(end));
  return { node, port, address, address6, mac, path };
}

/** eth0 to eth9999. */
const MOST_PORTS = 10_000;

/** Ports that are written keep their numbers; the others take the lowest that are left, in the order of links. */
class PortNumbers {
  readonly #taken = new Map<string, Set<string>>();
  readonly #next = new Map<string, number>();

  readonly #problems: Problems;

  constructor(links: readonly ReadLink[], problems: Problems) {
    this.#problems = problems;
    for (const { ends } of links) for (const end of ends) this.#take(end);
  }

  #take(end: ReadEnd): void {
    const { node, port } = end;
    if (port === undefined) return;
    const taken = this.#taken.get(node) ?? new Set<string>();
    if (taken.has(port)) {
      const message = `the port ${node}:${port} has a link already`;
      this.#problems.add(placeOf(end, 'port'), message, 'leave the port out: the next one is taken');
    }
    taken.add(port);
    this.#taken.set(node, taken);
  }

  next({ node, path }: ReadEnd): string {
    const taken = this.#taken.get(node);
    let number = this.#next.get(node) ?? 0;
    while (taken?.has(`eth${number}`) === true) number++;
    this.#next.set(node, number + 1);
    if (number >= MOST_PORTS) {
      this.#problems.add(path, `${node} has no port left for this link: a node has at most ${MOST_PORTS}`);
    }
    return `eth${number}`;
  }
}
