/**
 * What of a running network has ended that should not have, and how the rest of it is made ready for a plan that builds
 * it again. Keeper, switch processes and the namespaces of machines hold nothing that the record does not say: the
 * supervisor has them back at once. A host that lost its init lost all that ran in it: it is made again by the next `up`.
 */
import type { Network } from '../model/network.js';
import { netnsNodes } from '../vrouter/router.js';
import { unplug } from './actions/ports.js';
import { configureSwitches, endSwitches } from './actions/switches.js';
import { closeTunnels } from './actions/underlay.js';
import type { LiveNetwork } from './live.js';
import type { Losses } from './plan.js';
import { isAlive } from './process.js';
import { switchConfigs, tunnels } from './wiring.js';

export function lossesOf(live: LiveNetwork, network = live.network): Losses {
  const ended = (role: string): boolean => {
    const id = live.processOf(role);
    return id !== undefined && !isAlive(id);
  };
  const machines = network.machines.map(({ name }) => name);
  const hubIsGone = ended('underlay');
  return {
    keeper: ended('keeper'),
    switches: new Set(machines.filter((machine) => ended(`switch:${machine}`))),
    machines: new Set(
      machines.filter((machine) => ended(`machine:${machine}`) || (hubIsGone && isPlayed(live, machine))),
    ),
    nodes: new Set(
      netnsNodes(network)
        .map(({ name }) => name)
        .filter((name) => ended(`host:${name}`)),
    ),
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

/** What the supervisor mends by itself. */
export function isMendable({ keeper, switches, machines }: Losses): boolean {
  return keeper || switches.size > 0 || machines.size > 0;
}

/**
 * Before what was lost is built again: the switch processes let go of it, and the keeper of its descriptors. Returns the
 * losses, with the switch processes that had to end for it.
 */
export async function letGo(live: LiveNetwork, lost: Losses, network = live.network): Promise<Losses> {
  const target = { live, to: withoutNodes(network, lost.nodes) };
  const configs = switchConfigs(network, live.header.number);
  const broken = tunnels(network, configs).filter((pair) => pair.some((machine) => lost.machines.has(machine)));
  // Nobody but a switch process has the TAPs now, and its sockets are in namespaces that are gone.
  const ending = new Set(lost.keeper ? configs.keys() : broken.flat());
  const switches = new Set([...lost.switches, ...ending]);
  await endSwitches(target, { machines: [...ending] });
  if (lost.keeper) return { ...lost, switches };
  closeTunnels(target, { pairs: broken });
  const gone = netnsNodes(network).filter(({ name }) => lost.nodes.has(name));
  const told = [...new Set(gone.map(({ machine }) => machine))].filter((machine) => !switches.has(machine));
  await configureSwitches(target, { machines: told });
  const ports = gone.flatMap(({ name, machine, ports: own }) =>
    own.map((port) => ({ machine, node: name, port: port.name })),
  );
  await unplug(target, { ports });
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
