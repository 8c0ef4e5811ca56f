/**
 * What of a running network has ended that should not have, or was never completed, and how the rest of it is made ready
 * for a plan that builds it again. Keeper, switch processes and the namespaces of machines hold nothing that the record
 * does not say: the supervisor has them back at once. A host that lost its init lost all that ran in it: it is made again
 * by the next `up`.
 */
import type { Network } from '../model/network.js';
import { netnsNodes } from '../vrouter/router.js';
import { unplug } from './actions/ports.js';
import { configureSwitches, endSwitches } from './actions/switches.js';
import { closeTunnels } from './actions/underlay.js';
import { closeVxlans } from './actions/vxlans.js';
import type { LiveNetwork } from './live.js';
import { type Losses, placedVxlans } from './plan.js';
import { isAlive } from './process.js';
import { switchConfigs, tunnels } from './wiring.js';

/** What has ended of `network`. */
export function endedOf(live: LiveNetwork, network = live.network): Losses {
  return partsOf(live, [network], hasEnded(live));
}

/**
 * What is to be built again: what has ended of all that may be there, and what runs and was left half-made by an agent
 * that was killed, or a step that failed.
 */
export function lossesOf(live: LiveNetwork): Losses {
  return partsOf(live, live.networks, isLost(live));
}

/** What the supervisor sees to: while there is a change that could not be taken back, only that nothing stands still. */
export function tendedLosses(live: LiveNetwork): Losses {
  return live.journal.state.change === undefined ? lossesOf(live) : endedOf(live);
}

/**
 * Whether some of these are what the supervisor mends by itself. It asks each second, so hosts, of which there may be many,
 * are not looked at.
 */
export function needsMending(live: LiveNetwork): boolean {
  const isChanging = live.journal.state.change !== undefined;
  const { keeper, switches, machines } = isChanging
    ? tendedPartsOf(live, [live.network], hasEnded(live))
    : tendedPartsOf(live, live.networks, isLost(live));
  return keeper || switches.size > 0 || machines.size > 0;
}

/** Of a process, by its role. */
type Judge = (role: string) => boolean;

function hasEnded(live: LiveNetwork): Judge {
  return (role) => {
    const id = live.processOf(role);
    return id !== undefined && !isAlive(id);
  };
}

function isLost(live: LiveNetwork): Judge {
  const { unfinished } = live.journal.state;
  return (role) => {
    const id = live.processOf(role);
    return id !== undefined && (!isAlive(id) || unfinished.has(role));
  };
}

function partsOf(live: LiveNetwork, networks: readonly Network[], isMeant: Judge): Losses {
  const nodes = networks.flatMap((network) => netnsNodes(network).map(({ name }) => name));
  return {
    ...tendedPartsOf(live, networks, isMeant),
    nodes: new Set(nodes.filter((name) => isMeant(`host:${name}`))),
  };
}

function tendedPartsOf(live: LiveNetwork, networks: readonly Network[], isMeant: Judge): Omit<Losses, 'nodes'> {
  const machines = networks.flatMap((network) => network.machines.map(({ name }) => name));
  const hub = isMeant('underlay');
  return {
    keeper: isMeant('keeper'),
    switches: new Set(machines.filter((machine) => isMeant(`switch:${machine}`))),
    machines: new Set(machines.filter((machine) => isMeant(`machine:${machine}`) || (hub && isPlayed(live, machine)))),
  };
}

/** Each of them by what it is. */
export function inWords({ keeper, switches, machines, nodes }: Losses): string[] {
  return [
    ...(keeper ? ['the keeper'] : []),
    ...[...switches].map((machine) => `the switch process of machine ${machine}`),
    ...[...machines].map((machine) => `the namespace of machine ${machine}`),
    ...[...nodes].map((node) => `the init of ${node}`),
  ];
}

/**
 * Before what was lost is built again: the switch processes let go of it, and the keeper of its descriptors. `network` is
 * one whose descriptors are all there, but for those that were lost. Returns the losses, with the switch processes that
 * had to end for it.
 */
export async function letGo(live: LiveNetwork, lost: Losses, network = live.network): Promise<Losses> {
  const target = { live, to: withoutNodes(network, lost.nodes) };
  const configs = switchConfigs(network, live.header.number);
  const broken = tunnels(network, configs).filter((pair) => pair.some((machine) => lost.machines.has(machine)));
  const sockets = [...placedVxlans(network).values()].filter(
    ({ machine, isPlayed }) => isPlayed && lost.machines.has(machine),
  );
  // Nobody but the switch processes has the TAPs now, and sockets are in namespaces that are gone.
  const others = lost.keeper
    ? live.processes('switch:').map(([machine]) => machine)
    : [...broken.flat(), ...sockets.map(({ machine }) => machine)];
  const switches = new Set([...lost.switches, ...others]);
  await endSwitches(target, { machines: [...switches] });
  if (lost.keeper) return { ...lost, switches };
  closeTunnels(target, { pairs: broken });
  closeVxlans(target, { vxlans: sockets });
  // During a change a host may have ports on two machines.
  const gone = live.networks.flatMap((one) => netnsNodes(one).filter(({ name }) => lost.nodes.has(name)));
  const told = [...new Set(gone.map(({ machine }) => machine))].filter((machine) => {
    const id = live.processOf(`switch:${machine}`);
    return id !== undefined && isAlive(id) && !switches.has(machine);
  });
  await configureSwitches(target, { machines: told });
  const ports = gone.flatMap(({ name, machine, ports: own }) =>
    own.map((port) => [`${machine}/${name}:${port.name}`, { machine, node: name, port: port.name }] as const),
  );
  await unplug(target, { ports: [...new Map(ports).values()] });
  return { ...lost, switches };
}

/** The same network without some of its hosts and routers, and without their links. */
export function withoutNodes(network: Network, names: ReadonlySet<string>): Network {
  if (names.size === 0) return network;
  return {
    ...network,
    nodes: network.nodes.filter(({ name }) => !names.has(name)),
    links: network.links.filter(({ ends }) => ends.every(({ node }) => !names.has(node))),
  };
}

function isPlayed(live: LiveNetwork, machine: string): boolean {
  return live.processOf(`machine:${machine}`) !== undefined;
}
