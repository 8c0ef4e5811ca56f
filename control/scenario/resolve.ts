/**
 * From a checked scenario to a network in which nothing is left open: ports, addresses, MACs, link numbers, routes.
 * Pure and deterministic: the same scenario, and the same `previous`, give the same network on every machine.
 *
 * What is kept from `previous`: an address while its port exists and it still fits, a /31 or /127 of the pool and a
 * link's number while its link exists. So a change to a running network touches only what it names.
 *
 *   topology.ts  names → nodes, links, LANs      ports.ts   addresses and MACs
 *   subnets.ts   written, or from the pool       links.ts   properties of links, events
 *   here         link numbers, gateways, routes, machines, host names
 *
 * What this version does not run (`../unsupported.ts`) is resolved as far as `Network` can say it: hosts of another type and
 * jetways as namespace hosts. `up` refuses such a scenario before it comes here.
 *
 * Called by `load.ts`, to check, and by the agent.
 */
import { UsageError } from '../../model/errors.js';
import { parseFec } from '../../model/fec.js';
import type { HostNode, Lan, Link, LinkEnd, Network, NetworkEvent, Node, Port, Route } from '../../model/network.js';
import { quoted } from '../../model/names.js';
import type { RawNode } from '../../model/scenario.js';
import { parseSize } from '../../model/units.js';
import { addressOf, FAMILIES, Routing } from '../../vrouter/routes.js';
import type { Family } from '../../vrouter/routes.js';
import { addressProblem, contains, formatAddress, formatSubnet, parseInterface } from './addresses.js';
import { deepFreeze } from '../../model/freeze.js';
import { resolveEvents, resolveWays } from './links.js';
import type { Ways } from './links.js';
import type { Scenario } from './load.js';
import { checkMacs, completePorts, giveAddresses, planPorts } from './ports.js';
import type { Addresses, PortPlan } from './ports.js';
import { Problems } from './problems.js';
import { resolveSubnets } from './subnets.js';
import type { LanSubnets, Resolving } from './subnets.js';
import { readTopology } from './topology.js';
import type { EndPlan, LinkPlan, Topology } from './topology.js';
import { readVxlan, vxlanMtuBytes } from './vxlan.js';

const DEFAULT_SEED = 1;
/** The tunnel's channel is 16 bits wide; 0 is none. */
const MOST_LINKS = 65535;
/** Over machines, links have the lower half of the channels, switches the upper (`../wiring.ts`). */
const MOST_CHANNEL_LINKS = 0x7fff;
const MOST_SWITCHES = 0x7fff;
/** Each has an address of the underlay's /16, and on each other a UDP port from 7000 on. */
const MOST_MACHINES = 50_000;

/** Per family that a host says something about: its next hop and the port to it, or none. */
type Gateways = Readonly<Partial<Record<Family, 'none' | Omit<Route, 'destination'>>>>;

/** All that can be wrong has been looked at; what is left to do is to put it together. */
interface Decided {
  readonly topology: Topology;
  readonly previous: Network | undefined;
  readonly subnets: ReadonlyMap<string, LanSubnets>;
  readonly addresses: Addresses;
  readonly gateways: ReadonlyMap<string, Gateways>;
  /** Of each link, in order. */
  readonly ways: readonly Ways[];
  readonly events: readonly NetworkEvent[];
}

/** A scenario is frozen: what was decided, and what came of it, stays. */
const decided = new WeakMap<Scenario, Decided>();
const resolved = new WeakMap<Scenario, Network>();

/**
 * Its nodes, links and LANs, once names and addresses are checked; without routes, of which there may be as many as
 * routers times LANs. Throws `ScenarioError`.
 */
export function checkedTopology(scenario: Scenario): Topology {
  return decideOnce(scenario).topology;
}

/** Throws `ScenarioError`, of a loaded scenario only where what is kept from `previous` leaves a pool no room. Deep-frozen. */
export function resolve(scenario: Scenario, previous?: Network): Network {
  if (previous !== undefined) return complete(scenario, decide(scenario, previous));
  let network = resolved.get(scenario);
  if (network === undefined) {
    network = complete(scenario, decideOnce(scenario));
    resolved.set(scenario, network);
  }
  return network;
}

function decideOnce(scenario: Scenario): Decided {
  let known = decided.get(scenario);
  if (known === undefined) {
    known = decide(scenario, undefined);
    decided.set(scenario, known);
  }
  return known;
}

function decide(scenario: Scenario, previous: Network | undefined): Decided {
  const topology = readTopology(scenario.raw, scenario);
  const resolving: Resolving = { scenario, topology, previous, problems: new Problems(scenario) };
  refuseTooManyLinks(resolving);
  const ways = resolveWays(topology.links, scenario, resolving.problems);
  resolving.problems.throwFirst();
  const events = resolveEvents(topology.links, ways, scenario, resolving.problems);
  resolving.problems.throwFirst();
  const subnets = resolveSubnets(resolving);
  const addresses = giveAddresses(resolving, subnets);
  checkMacs(resolving);
  const gateways = readGateways(resolving, addresses, subnets);
  resolving.problems.throwFirst();
  return { topology, previous, subnets, addresses, gateways, ways, events };
}

function complete({ raw, inputs }: Scenario, known: Decided): Network {
  const { topology, previous, subnets, addresses, gateways, ways, events } = known;
  const links = completeLinks(topology.links, ways, previous);
  const ports = completePorts(raw.name, topology, addresses);
  const lans = topology.lans.map(({ name, switches }): Lan => {
    const { 4: subnet, 6: subnet6 } = subnets.get(name)!;
    return {
      name,
      ...(subnet === undefined ? {} : { subnet: formatSubnet(subnet) }),
      ...(subnet6 === undefined ? {} : { subnet6: formatSubnet(subnet6) }),
      switches,
    };
  });
  const named = topology.machines.map((name) => ({ name }));
  const machineIds = keptIds(named, previous?.machines, 0, MOST_MACHINES);
  const machines = named.map(({ name }) => ({ name, id: machineIds.get(name)! }));
  const fec = parseFec(raw.fec ?? 'none');
  return deepFreeze({
    name: raw.name,
    seed: raw.seed ?? DEFAULT_SEED,
    seal: raw.seal ?? 'auto',
    ...(fec === undefined ? {} : { fec }),
    machines,
    nodes: resolveNodes(known, ports, gateways, lans, links),
    links,
    lans,
    inputs,
    events,
    passedEvents: 0,
    names: [...ports].flatMap(([node, own]) => namesOf(node, own)),
  });
}

// --- links -----------------------------------------------------------------------------------------------------------

function refuseTooManyLinks({ topology: { links }, problems }: Resolving): void {
  const excess = links[MOST_LINKS];
  if (excess === undefined) return;
  problems.add(excess.path, `a network has at most ${MOST_LINKS} links, this one has ${links.length}`);
  problems.throwFirst();
}

function completeLinks(links: readonly LinkPlan[], ways: readonly Ways[], previous: Network | undefined): Link[] {
  const most = links.length > MOST_CHANNEL_LINKS ? MOST_LINKS : MOST_CHANNEL_LINKS;
  const ids = keptIds(links, previous?.links, 1, most);
  return links.map(({ name, ends: [first, second] }, index) => ({
    name,
    id: ids.get(name)!,
    ends: [linkEnd(first), linkEnd(second)],
    ...ways[index]!,
  }));
}

/**
 * A number for each name: the one it had in `previous`, else the lowest from `first` on that was not in use there
 * either, as frames may still be on their way to who had it. Where that would be above `most`, those in use before are
 * given out again.
 */
export function keptIds(
  named: readonly { readonly name: string }[],
  previous: readonly { readonly name: string; readonly id: number }[] = [],
  first: number,
  most: number,
): ReadonlyMap<string, number> {
  const before = new Map(previous.filter(({ id }) => id <= most).map(({ name, id }) => [name, id]));
  const stay = new Set(named.map(({ name }) => before.get(name)));
  const given = new Map<string, number>();
  let avoided = new Set<number | undefined>(before.values());
  let next = first;
  for (const { name } of named) {
    const kept = before.get(name);
    if (kept !== undefined) {
      given.set(name, kept);
      continue;
    }
    while (avoided.has(next)) next++;
    if (next > most && avoided !== stay) {
      avoided = new Set([...stay, ...given.values()]);
      next = first;
      while (avoided.has(next)) next++;
    }
    given.set(name, next++);
  }
  return given;
}

function linkEnd({ node, port }: EndPlan): LinkEnd {
  return port === undefined ? { node } : { node, port };
}

// --- gateways --------------------------------------------------------------------------------------------------------

/** What hosts say about their default routes. `gateway: none` is for both families, unless `gateway6` says otherwise. */
function readGateways(
  { topology, problems }: Resolving,
  addresses: Addresses,
  subnets: ReadonlyMap<string, LanSubnets>,
): ReadonlyMap<string, Gateways> {
  const asking = [...topology.nodes].flatMap(([name, node]) =>
    node.kind === 'host' && (node.gateway ?? node.gateway6) !== undefined ? [name] : [],
  );
  const ports = planPorts(topology, addresses, new Set(asking));
  const gateways = new Map<string, Gateways>();
  for (const name of asking) {
    const node = topology.nodes.get(name) as Extract<RawNode, { kind: 'host' }>;
    const own: { -readonly [F in Family]?: NonNullable<Gateways[F]> } = {};
    for (const family of FAMILIES) {
      const key = family === 4 ? 'gateway' : 'gateway6';
      const text = node[key] ?? (node.gateway === 'none' ? 'none' : undefined);
      if (text === undefined) continue;
      const read = problems.try(['nodes', name, key], () => readGateway(text, family, ports.get(name)!, subnets));
      if (read !== undefined) own[family] = read;
    }
    gateways.set(name, own);
  }
  return gateways;
}

/** `none`, or an address on a LAN of the host that is not the host's own. */
function readGateway(
  text: string,
  family: Family,
  ports: readonly PortPlan[],
  subnets: ReadonlyMap<string, LanSubnets>,
): 'none' | Omit<Route, 'destination'> {
  if (text === 'none') return text;
  const { address, prefixLength } = parseInterface(text, family);
  const via = formatAddress(family, address);
  if (prefixLength !== undefined) {
    throw new UsageError(`${quoted(text)} has a prefix length, a gateway has none`, { hint: `write "${via}"` });
  }
  for (const port of ports) {
    const subnet = subnets.get(port.lan)?.[family];
    if (subnet === undefined || !contains(subnet, address)) continue;
    const problem = addressProblem(subnet, address);
    if (problem !== undefined) throw new UsageError(`${problem}: no gateway has it`);
    if (ports.some((own) => addressOf(own, family) === via)) {
      throw new UsageError(`the gateway ${via} is the host’s own address`, {
        hint: 'leave it out for the first router of the LAN',
      });
    }
    return { via, port: port.name };
  }
  const reachable = ports.flatMap(({ lan }) => subnets.get(lan)?.[family] ?? []).map(formatSubnet);
  throw new UsageError(`the gateway ${via} is on no LAN of the host`, {
    hint:
      reachable.length === 0
        ? `the host is on no IPv${family} subnet`
        : `the host is on ${reachable.slice(0, 20).join(', ')}`,
  });
}

/** What the host says, else the first router on the LAN of its lowest-numbered port that has an address of the family. */
function defaultRoute(family: Family, ports: readonly Port[], gateway: Gateways[Family], routing: Routing): Route[] {
  const destination = family === 4 ? '0.0.0.0/0' : '::/0';
  if (gateway === 'none') return [];
  if (gateway !== undefined) return [{ destination, ...gateway }];
  const port = ports.find((candidate) => addressOf(candidate, family) !== undefined);
  const via = port === undefined ? undefined : routing.firstRouter(port.lan, family);
  return port === undefined || via === undefined ? [] : [{ destination, via, port: port.name }];
}

// --- nodes -----------------------------------------------------------------------------------------------------------

function resolveNodes(
  { topology, previous }: Pick<Decided, 'topology' | 'previous'>,
  ports: ReadonlyMap<string, readonly Port[]>,
  gateways: ReadonlyMap<string, Gateways>,
  lans: readonly Lan[],
  links: readonly Link[],
): Node[] {
  const nodes = [...topology.nodes];
  const routers = nodes.flatMap(([name, { kind }]) => (kind === 'router' ? [{ name, ports: ports.get(name)! }] : []));
  const routing = new Routing(routers, lans, links);
  const present = switchMachines(topology);
  const switches = nodes.flatMap(([name, { kind }]) => (kind === 'switch' ? [{ name }] : []));
  const before = previous?.nodes.filter((node) => node.kind === 'switch');
  const switchIds = keptIds(switches, before, 0, MOST_SWITCHES);
  return nodes.map(([name, node]): Node => {
    if (node.kind === 'switch') {
      const machines = present.get(name)!;
      return { kind: 'switch', name, id: switchIds.get(name)!, machines, transparent: node.transparent ?? false };
    }
    if (node.kind === 'vxlan') {
      const machine = machineOf(node, topology.machines);
      const mtuBytes = vxlanMtuBytes(
        topology.links.find(({ vxlan }) => vxlan === name)!,
        topology.nodes,
      );
      return { kind: 'vxlan', name, machine, ...readVxlan(node), isPlayed: topology.machines.length > 1, mtuBytes };
    }
    const own = ports.get(name)!;
    const shared: Omit<HostNode, 'kind' | 'routes'> = {
      type: 'netns',
      name,
      machine: machineOf(node, topology.machines),
      ports: own,
      ...settingsOf(node),
    };
    if (node.kind === 'router') return { kind: 'router', ...shared, routes: routing.routesOf(name), routing: 'static' };
    const routes = FAMILIES.flatMap((family) => defaultRoute(family, own, gateways.get(name)?.[family], routing));
    return { kind: 'host', ...shared, routes };
  });
}

type HostLike = Exclude<RawNode, { readonly kind: 'switch' | 'vxlan' }>;

function settingsOf(node: HostLike): Pick<HostNode, 'command' | 'env' | 'cpu' | 'memoryBytes'> {
  if (node.kind === 'jetway') return { env: {} };
  const { command, env = {}, cpu, memory } = node;
  return {
    ...(command === undefined ? {} : { command }),
    env,
    ...(cpu === undefined ? {} : { cpu }),
    ...(memory === undefined ? {} : { memoryBytes: parseSize(memory) }),
  };
}

function machineOf(node: Exclude<RawNode, { readonly kind: 'switch' }>, machines: Topology['machines']): string {
  return node.machine ?? machines[0]!;
}

/**
 * The machines that each switch is on: where it is pinned, else those of the nodes that are linked to it, as listed;
 * without any, the first one.
 */
export function switchMachines({ nodes, links, machines }: Topology): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>();
  for (const [name, node] of nodes) {
    if (node.kind === 'switch') found.set(name, new Set(node.machine === undefined ? [] : [node.machine]));
  }
  const add = (here: string, there: string): void => {
    const [node, member] = [nodes.get(here)!, nodes.get(there)!];
    if (node.kind !== 'switch' || node.machine !== undefined || member.kind === 'switch') return;
    found.get(here)!.add(machineOf(member, machines));
  };
  for (const { ends } of links) {
    const [a, b] = ends;
    add(a.node, b.node);
    add(b.node, a.node);
  }
  const order = new Map(machines.map((name, i) => [name, i]));
  const inOrder = (own: ReadonlySet<string>): string[] => [...own].sort((a, b) => order.get(a)! - order.get(b)!);
  return new Map([...found].map(([name, own]) => [name, own.size === 0 ? machines.slice(0, 1) : inOrder(own)]));
}

/** For /etc/hosts: `h1` is the node's first port with an address, `h1.eth1` that one. */
function namesOf(node: string, ports: readonly Port[]): Network['names'] {
  const first = ports.find(({ addresses }) => addresses.length > 0);
  return ports.flatMap((port) =>
    port.addresses.map((address) => ({
      address: address.slice(0, address.indexOf('/')),
      names: port === first ? [node, `${node}.${port.name}`] : [`${node}.${port.name}`],
    })),
  );
}
