/**
 * What the scenario's contract has and this version does not run yet. `validate` accepts it; `up` refuses it here, by
 * name and position, before anything is made: nothing in a scenario is ever ignored.
 *
 * A feature that gets built leaves this file. Called by `cli/` and the TypeScript API before they ask the agent.
 */
import { UnsupportedError } from '../model/errors.js';
import type { RawNode, RawScenario } from '../model/scenario.js';
import { familyOf, vxlanOverheadBytes } from '../model/vxlan.js';
import { MAX_LINKS, MAX_PORTS } from '../vswitch/limits.js';
import type { Path, Scenario } from './scenario/index.js';
import { checkedTopology, located, resolve, switchMachines } from './scenario/index.js';
import { FIRST_SWITCH_CHANNEL, switchConfigs, UNDERLAY } from './wiring.js';

interface Refusal {
  /** Of the key. */
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

/** Throws `UnsupportedError` for the first thing, in the order of the file, that `up` cannot do yet. */
export function refuseUnsupported(scenario: Scenario): void {
  const { raw } = scenario;
  const refusals = [...ofLans(raw), ...ofNodes(raw), ...ofVxlans(scenario), ...ofSize(scenario)];
  const [first] = refusals
    .map((refusal) => ({ ...refusal, position: scenario.keyPosition(refusal.path) }))
    .sort(({ position: a }, { position: b }) => a.line - b.line || a.column - b.column);
  if (first === undefined) return;
  throw new UnsupportedError(first.position, located(first.path, first.message), { hint: first.hint });
}

function* ofLans({ lans }: RawScenario): Generator<Refusal> {
  if (lans === undefined) return;
  yield {
    path: ['lans'],
    message: 'several LANs on one switch are not built yet',
    hint: 'use a switch for each LAN, with "subnet" on it',
  };
}

function* ofNodes({ nodes }: RawScenario): Generator<Refusal> {
  for (const [name, node] of Object.entries(nodes)) {
    const path = ['nodes', name];
    if (node.kind === 'jetway') {
      yield { path: [...path, 'kind'], message: 'jetways are not built yet', hint: 'leave the node out' };
    } else if (node.kind === 'host' && node.type !== undefined && node.type !== 'netns') {
      yield {
        path: [...path, 'type'],
        message: `hosts of type ${node.type} are not built yet`,
        hint: 'leave "type" out: the host is then a network namespace',
      };
    } else if (node.kind === 'router' && node.routing !== undefined && node.routing !== 'static') {
      yield {
        path: [...path, 'routing'],
        message: `routing by ${node.routing} is not built yet`,
        hint: 'leave "routing" out: routes are then computed and static',
      };
    }
  }
}

/** The underlay between machines that are played is as wide as any Ethernet, and no wider. */
function* ofVxlans(scenario: Scenario): Generator<Refusal> {
  const topology = checkedTopology(scenario);
  if (topology.machines.length === 1) return;
  for (const link of topology.links) {
    const { vxlan, raw, path } = link;
    const room = vxlan === undefined ? Infinity : vxlanRoom(topology.nodes.get(vxlan)!);
    if (raw.mtu === undefined || raw.mtu <= room) continue;
    yield {
      path: [...path, 'mtu'],
      message: `an MTU of ${raw.mtu} has no room between machines that are played: their underlay has ${UNDERLAY.mtuBytes}, of which VXLAN leaves ${room}`,
      hint: `leave it out for ${room}`,
    };
  }
}

function vxlanRoom(node: RawNode): number {
  if (node.kind !== 'vxlan') return Infinity;
  const [address = ''] = [node.group ?? node.remote ?? ''].flat();
  return UNDERLAY.mtuBytes - vxlanOverheadBytes(familyOf(address));
}

/** Links and switches have halves of the tunnel's channels (`wiring.ts`). */
const MOST_LINKS = FIRST_SWITCH_CHANNEL - 1;
const MOST_SWITCHES = 0x10000 - FIRST_SWITCH_CHANNEL;
/** Each is a process, and has a tunnel to every other one that it shares a LAN with. */
const MOST_MACHINES = 256;
/** Every router has one to every subnet: what `up` would give the kernel one by one. */
const MOST_ROUTES = 1 << 20;

/** The first of these that is exceeded hides the others: they are counted on a network of a size that can be resolved. */
function* ofSize(scenario: Scenario): Generator<Refusal> {
  const { raw } = scenario;
  const [first] = [...ofCounts(raw), ...ofRoutes(scenario), ...ofJoins(scenario)];
  if (first === undefined) yield* ofMachines(scenario);
  else yield { ...first, hint: 'split it into several networks' };
}

type Excess = Omit<Refusal, 'hint'>;

function* ofCounts({ nodes, links = [], machines = [] }: RawScenario): Generator<Excess> {
  if (machines.length > MOST_MACHINES)
    yield { path: ['machines', MOST_MACHINES], message: `more than ${MOST_MACHINES} machines are not built yet` };
  if (links.length > MOST_LINKS)
    yield { path: ['links', MOST_LINKS], message: `more than ${MOST_LINKS} links of a network are not built yet` };
  const excess = Object.keys(nodes).filter((name) => nodes[name]?.kind === 'switch')[MOST_SWITCHES];
  if (excess !== undefined)
    yield { path: ['nodes', excess], message: `more than ${MOST_SWITCHES} switches are not built yet` };
}

function* ofRoutes(scenario: Scenario): Generator<Excess> {
  const { nodes, lans } = checkedTopology(scenario);
  const routers = [...nodes].filter(([, { kind }]) => kind === 'router');
  // A LAN without a switch has a subnet of each family from the pool.
  const subnets = lans.reduce(
    (sum, { link, subnet, subnet6 }) => sum + (link === undefined ? Number(!!subnet) + Number(!!subnet6) : 2),
    0,
  );
  const excess = routers[Math.floor(MOST_ROUTES / Math.max(subnets, 1))];
  if (excess === undefined) return;
  yield {
    path: ['nodes', excess[0]],
    message: `more than ${MOST_ROUTES} routes are not built yet, and ${routers.length} routers to ${subnets} subnets have more`,
  };
}

/** A switch without `machine` is on all machines of its hosts, and each two of its parts are joined. */
function* ofJoins(scenario: Scenario): Generator<Excess> {
  const topology = checkedTopology(scenario);
  let joins = 0;
  for (const [name, { length }] of switchMachines(topology)) {
    joins += (length * (length - 1)) / 2;
    if (2 * joins <= MAX_LINKS * topology.machines.length) continue;
    yield {
      path: ['nodes', name],
      message: `more than ${MAX_LINKS} links on one machine, those between the parts of switches included, are not built yet`,
    };
    return;
  }
}

/** What a machine's one switch process holds, counted in its order: the links as written, then the joins of switches. */
function* ofMachines(scenario: Scenario): Generator<Refusal> {
  const network = resolve(scenario);
  const order = new Map(network.links.map(({ name }, i) => [name, i]));
  for (const { machine, links } of switchConfigs(network, 1).values()) {
    const devices = new Set<string>();
    for (const [count, { name, ends }] of links.entries()) {
      for (const end of ends)
        if (!('bridge' in end)) devices.add('tap' in end ? end.tap : 'udp' in end ? end.udp : end.vxlan);
      if (count < MAX_LINKS && devices.size <= MAX_PORTS) continue;
      const index = order.get(name);
      const joined = ends.flatMap((end) => ('bridge' in end ? [end.bridge] : []));
      const what = count < MAX_LINKS ? `${MAX_PORTS} ports and tunnels` : `${MAX_LINKS} links`;
      yield {
        path: index === undefined ? ['nodes', ...joined] : ['links', index],
        message: `more than ${what} on one machine (here ${machine}) are not built yet`,
        hint: 'put nodes on more "machines", or split the network',
      };
      break;
    }
  }
}
