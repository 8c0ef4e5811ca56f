/**
 * Compares the network that is wanted with the one that runs, and says in order what has to be done. Pure: nothing here
 * touches the system. `control/actions.ts` says what each action does and how it is undone.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Network } from '../model/network.js';
import { netnsNodes } from '../vrouter/router.js';
import { switchConfigs, tunnels } from './wiring.js';

/** In the order in which `up` does them; `down` undoes them in reverse. */
export type Action =
  | { readonly kind: 'keeper' }
  | { readonly kind: 'switches'; readonly machines: readonly string[] }
  | { readonly kind: 'underlay'; readonly machines: readonly string[] }
  | { readonly kind: 'limits'; readonly nodes: readonly string[] }
  | { readonly kind: 'hosts'; readonly nodes: readonly string[] }
  | { readonly kind: 'ports'; readonly nodes: readonly string[] }
  | { readonly kind: 'tunnels'; readonly pairs: readonly (readonly [string, string])[] }
  | { readonly kind: 'forwarding'; readonly machines: readonly string[] }
  | { readonly kind: 'addresses'; readonly nodes: readonly string[] }
  | { readonly kind: 'commands'; readonly nodes: readonly string[] };

export type ActionKind = Action['kind'];

/** Every kind, in the order of `up`. */
export const ACTION_KINDS: readonly ActionKind[] = [
  'keeper',
  'switches',
  'underlay',
  'limits',
  'hosts',
  'ports',
  'tunnels',
  'addresses',
  'forwarding',
  'commands',
];

/** What brings a network up from nothing. Actions that would do nothing are left out. */
export function planUp(network: Network, networkNumber: number): Action[] {
  const configs = switchConfigs(network, networkNumber);
  const machines = [...configs.keys()];
  const nodes = netnsNodes(network);
  const limited = nodes.filter((node) => node.cpu !== undefined || node.memoryBytes !== undefined);
  const commanded = nodes.filter((node) => node.command !== undefined);
  const pairs = tunnels(network, configs).map(
    ([a, b]) => [network.machines[a]!.name, network.machines[b]!.name] as const,
  );
  const names = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name);

  // Switches start before hosts are made, and warm up beside it; they are told what to be when all descriptors exist.
  const actions: Action[] = [{ kind: 'keeper' }];
  if (machines.length > 0) actions.push({ kind: 'switches', machines });
  if (pairs.length > 0) actions.push({ kind: 'underlay', machines: names(network.machines) });
  if (limited.length > 0) actions.push({ kind: 'limits', nodes: names(limited) });
  if (nodes.length > 0) {
    actions.push({ kind: 'hosts', nodes: names(nodes) }, { kind: 'ports', nodes: names(nodes) });
  }
  if (pairs.length > 0) actions.push({ kind: 'tunnels', pairs });
  // A TAP takes frames only once its interface is up: addresses first.
  if (nodes.length > 0) actions.push({ kind: 'addresses', nodes: names(nodes) });
  if (machines.length > 0) actions.push({ kind: 'forwarding', machines });
  if (commanded.length > 0) actions.push({ kind: 'commands', nodes: names(commanded) });
  return actions;
}

/** Whether a running network already is what is asked for. */
export function sameNetwork(running: Network, wanted: Network): boolean {
  return isDeepStrictEqual(running, wanted);
}

/** One line for people: what the action is about to do. */
export function actionTitle(action: Action): string {
  switch (action.kind) {
    case 'keeper':
      return 'start the keeper';
    case 'switches':
      return `start ${count(action.machines, 'switch process', 'switch processes')}`;
    case 'underlay':
      return `play ${count(action.machines, 'machine')} on a private underlay`;
    case 'limits':
      return `limit cpu and memory of ${count(action.nodes, 'host')}`;
    case 'hosts':
      return `create ${count(action.nodes, 'host')}`;
    case 'ports':
      return `plug in the ports of ${count(action.nodes, 'host')}`;
    case 'tunnels':
      return `open ${count(action.pairs, 'tunnel')}`;
    case 'forwarding':
      return `join the links in ${count(action.machines, 'switch process', 'switch processes')}`;
    case 'addresses':
      return `give ${count(action.nodes, 'host')} addresses and routes`;
    case 'commands':
      return `start the ${action.nodes.length === 1 ? 'command' : 'commands'} of ${count(action.nodes, 'host')}`;
  }
}

function count(list: readonly unknown[], one: string, many = `${one}s`): string {
  const [first] = list;
  if (list.length === 1) return typeof first === 'string' ? `${one} ${first}` : `1 ${one}`;
  return `${list.length} ${many}`;
}
