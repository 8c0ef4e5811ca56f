/**
 * Compares the network that is wanted with the one that runs, and says in order what has to be done. Pure: nothing here
 * touches the system. `actions/` says what each action does.
 *
 * A change has two halves. `build` makes what is new and changes what differs: every step of it can be taken back. Then
 * the change counts, and `clear` removes what is not wanted any more, which cannot be taken back and can always be done.
 * Bringing a network up is the change from nothing; removing it whole is not a plan: it undoes what the record names.
 */
import { isDeepStrictEqual } from 'node:util';
import type { SwitchConfig } from '../model/messages.js';
import type { Network } from '../model/network.js';
import { hostsFile, type NetnsNode } from '../vhost/netns.js';
import { nodeConfiguration, netnsNodes } from '../vrouter/router.js';
import { moved } from './stations.js';
import { playedMachines, switchConfigs, tunnels, vxlanName, vxlans } from './wiring.js';

type Names = readonly string[];
/** Two machines with a tunnel between them. */
export type Pair = readonly [string, string];
/** A port, and the machine whose switch process has its TAP. */
export interface PlacedPort {
  readonly machine: string;
  readonly node: string;
  readonly port: string;
}

/** A VXLAN's socket, which the switch process of that machine has under that name. */
export interface PlacedVxlan {
  readonly machine: string;
  readonly node: string;
  readonly device: string;
  readonly isPlayed: boolean;
}

/** In the order in which they are done. Each brings about a state, whatever was there before. */
export type BuildAction =
  | { readonly kind: 'keeper' }
  | { readonly kind: 'switches'; readonly machines: Names }
  | { readonly kind: 'underlay'; readonly machines: Names }
  | { readonly kind: 'limits'; readonly nodes: Names }
  | { readonly kind: 'hosts'; readonly nodes: Names }
  | { readonly kind: 'names'; readonly nodes: Names }
  | { readonly kind: 'ports'; readonly nodes: Names }
  | { readonly kind: 'identities'; readonly machines: Names }
  | { readonly kind: 'tunnels'; readonly pairs: readonly Pair[] }
  | { readonly kind: 'vxlans'; readonly nodes: Names }
  | { readonly kind: 'addresses'; readonly nodes: Names }
  | { readonly kind: 'forwarding'; readonly machines: Names }
  | { readonly kind: 'seals'; readonly pairs: readonly Pair[] }
  | { readonly kind: 'announce'; readonly nodes: Names }
  | { readonly kind: 'commands'; readonly nodes: Names };

/** In the order in which they are done; of what is gone already they take no notice. */
export type ClearAction =
  | { readonly kind: 'end-commands'; readonly nodes: Names }
  | { readonly kind: 'remove-hosts'; readonly nodes: Names }
  | { readonly kind: 'unplug'; readonly ports: readonly PlacedPort[] }
  | { readonly kind: 'close-tunnels'; readonly pairs: readonly Pair[] }
  | { readonly kind: 'close-vxlans'; readonly vxlans: readonly PlacedVxlan[] }
  | { readonly kind: 'end-switches'; readonly machines: Names }
  | { readonly kind: 'remove-machines'; readonly machines: Names }
  | { readonly kind: 'forget-identities'; readonly machines: Names }
  | { readonly kind: 'lift-limits'; readonly nodes: Names };

export type Action = BuildAction | ClearAction;
export type BuildKind = BuildAction['kind'];

/** Every kind that builds, in order. */
export const BUILD_KINDS: readonly BuildKind[] = [
  'keeper',
  'switches',
  'underlay',
  'limits',
  'hosts',
  'names',
  'ports',
  'identities',
  'tunnels',
  'vxlans',
  'addresses',
  'forwarding',
  'seals',
  'announce',
  'commands',
];

export interface Plan {
  readonly build: readonly BuildAction[];
  readonly clear: readonly ClearAction[];
}

/** What a network has lost: processes of its own that have ended, or that are not what they should be. */
export interface Losses {
  readonly keeper: boolean;
  /** Machines whose switch process is gone, or was not told what to be. */
  readonly switches: ReadonlySet<string>;
  /** Machines whose namespace is gone or not connected. */
  readonly machines: ReadonlySet<string>;
  /** Hosts and routers whose init is gone, or that have not all they should. */
  readonly nodes: ReadonlySet<string>;
}

export const NO_LOSSES: Losses = { keeper: false, switches: new Set(), machines: new Set(), nodes: new Set() };

/** From what runs (or nothing), less what was lost of it. Actions that would do nothing are left out. */
export function plan(from: Network | undefined, to: Network, networkNumber: number, lost?: Losses): Plan {
  const before = from === undefined ? NOTHING : layout(from, networkNumber);
  const after = layout(to, networkNumber);
  const left = lost === undefined ? before : surviving(before, lost);
  return { build: building(left, after), clear: clearing(before, after) };
}

/** Whether a running network already is what is asked for. */
export function sameNetwork(running: Network, wanted: Network): boolean {
  return isDeepStrictEqual(running, wanted);
}

/** Everything of a network that is on a machine, by what identifies it. */
interface Layout {
  readonly network: Network | undefined;
  readonly keeper: boolean;
  readonly nodes: ReadonlyMap<string, NetnsNode>;
  /** Machines that have a switch process, and what each of these was told to be. */
  readonly switches: ReadonlyMap<string, unknown>;
  readonly configs: ReadonlyMap<string, SwitchConfig>;
  /** Machines that are played: all, once one needs it. */
  readonly played: ReadonlySet<string>;
  /** By the two names. */
  readonly tunnels: ReadonlyMap<string, Pair>;
  /** Those that are sealed, and the machines that have one: these have to prove who they are. */
  readonly seals: ReadonlyMap<string, Pair>;
  readonly identified: ReadonlyMap<string, true>;
  readonly ports: ReadonlyMap<string, PlacedPort>;
  readonly vxlans: ReadonlyMap<string, PlacedVxlan>;
}

const NOTHING: Layout = {
  network: undefined,
  keeper: false,
  nodes: new Map(),
  switches: new Map(),
  configs: new Map(),
  played: new Set(),
  tunnels: new Map(),
  seals: new Map(),
  identified: new Map(),
  ports: new Map(),
  vxlans: new Map(),
};

function layout(network: Network, networkNumber: number): Layout {
  const configs = switchConfigs(network, networkNumber);
  const pairs = tunnels(network, configs);
  const nodes = netnsNodes(network);
  const ports = nodes.flatMap(({ name, machine, ports: own }) =>
    own.map((port): [string, PlacedPort] => [
      `${machine}/${name}:${port.name}`,
      { machine, node: name, port: port.name },
    ]),
  );
  // Of two machines either may come first: their order is that of their ids, which stay.
  const tunnelMap = new Map(pairs.map((pair) => [pair.join('/'), pair]));
  const seals = network.seal === 'none' ? new Map<string, Pair>() : tunnelMap;
  return {
    network,
    keeper: true,
    nodes: new Map(nodes.map((node) => [node.name, node])),
    switches: configs,
    configs,
    played: new Set(playedMachines(network, pairs)),
    tunnels: tunnelMap,
    seals,
    identified: new Map([...seals.values()].flat().map((machine) => [machine, true])),
    ports: new Map(ports),
    vxlans: placedVxlans(network),
  };
}

export function placedVxlans(network: Network): Map<string, PlacedVxlan> {
  const placed = vxlans(network).map((node): PlacedVxlan => {
    const { name, machine, isPlayed } = node;
    return { machine, node: name, device: vxlanName(node), isPlayed };
  });
  return new Map(placed.map((vxlan) => [`${vxlan.machine}/${vxlan.device}`, vxlan]));
}

/**
 * What is left of a layout. Descriptors end with the keeper, as a TAP cannot be opened while somebody else has it: then
 * the switch processes are ended too (`repair.ts`). One whose host or tunnel was lost is to be told anew.
 */
function surviving(before: Layout, lost: Losses): Layout {
  const without = <Value>(map: ReadonlyMap<string, Value>, isLost: (value: Value, key: string) => boolean) =>
    new Map([...map].filter(([key, value]) => !isLost(value, key)));
  const tunnels = without(before.tunnels, (pair) => lost.keeper || pair.some((machine) => lost.machines.has(machine)));
  const sockets = without(
    before.vxlans,
    (vxlan) => lost.keeper || (vxlan.isPlayed && lost.machines.has(vxlan.machine)),
  );
  const untold = new Set([
    ...lost.switches,
    ...[...lost.nodes].flatMap((name) => before.nodes.get(name)?.machine ?? []),
    ...[...before.tunnels].flatMap(([key, pair]) => (tunnels.has(key) ? [] : pair)),
    ...[...before.vxlans].flatMap(([key, { machine }]) => (sockets.has(key) ? [] : machine)),
  ]);
  return {
    network: before.network,
    keeper: !lost.keeper,
    nodes: without(before.nodes, (_, name) => lost.nodes.has(name)),
    switches: without(before.switches, (_, machine) => lost.keeper || lost.switches.has(machine)),
    configs: without(before.configs, (_, machine) => lost.keeper || untold.has(machine)),
    played: new Set([...before.played].filter((machine) => !lost.machines.has(machine))),
    tunnels,
    seals: without(
      before.seals,
      (pair, key) => !tunnels.has(key) || pair.some((machine) => lost.switches.has(machine)),
    ),
    identified: before.identified,
    ports: without(before.ports, ({ node }) => lost.keeper || lost.nodes.has(node)),
    vxlans: sockets,
  };
}

function building(before: Layout, after: Layout): BuildAction[] {
  const machines = missing(after.switches, before.switches);
  const played = [...after.played].filter((machine) => !before.played.has(machine));
  const nodesWhere = (differs: (was: NetnsNode | undefined, node: NetnsNode) => boolean): Names =>
    [...after.nodes.values()].filter((node) => differs(before.nodes.get(node.name), node)).map(({ name }) => name);
  const nodes = { nodes: missing(after.nodes, before.nodes) };
  const names = {
    nodes: before.network === undefined ? [] : nodesWhere((was, node) => renamed(before, after, was, node)),
  };
  const actions: BuildAction[] = [
    // Switches start before hosts are made, and warm up beside it; they are told what to be when all descriptors exist.
    { kind: 'switches', machines },
    { kind: 'underlay', machines: played },
    { kind: 'limits', nodes: nodesWhere((was, node) => isLimited(node) && !sameLimits(was, node)) },
    { kind: 'hosts', ...nodes },
    { kind: 'names', ...names },
    { kind: 'ports', nodes: nodesWhere((was, node) => hasNewPorts(before, node)) },
    { kind: 'identities', machines: missing(after.identified, before.identified) },
    { kind: 'tunnels', pairs: missing(after.tunnels, before.tunnels).map((key) => after.tunnels.get(key)!) },
    { kind: 'vxlans', nodes: missing(after.vxlans, before.vxlans).map((key) => after.vxlans.get(key)!.node) },
    // A TAP takes frames only once its interface is up: addresses first.
    { kind: 'addresses', nodes: nodesWhere((was, node) => !sameConfiguration(was, node)) },
    {
      kind: 'forwarding',
      machines: [...after.configs]
        .filter(([machine, config]) => !isDeepStrictEqual(before.configs.get(machine), config))
        .map(([machine]) => machine),
    },
    { kind: 'seals', pairs: missing(after.seals, before.seals).map((key) => after.seals.get(key)!) },
    // Nobody remembers anything of a network that comes up.
    { kind: 'announce', nodes: before.network === undefined ? [] : moved(before.network, after.network!) },
    { kind: 'commands', nodes: nodesWhere((was, node) => node.command !== undefined && !sameCommand(was, node)) },
  ];
  const needed = actions.filter((action) => !isEmpty(action));
  return before.keeper ? needed : [{ kind: 'keeper' }, ...needed];
}

function clearing(before: Layout, after: Layout): ClearAction[] {
  const gone = missing(before.nodes, after.nodes);
  const stays = [...before.nodes.values()].flatMap((was) => {
    const node = after.nodes.get(was.name);
    return node === undefined ? [] : [[was, node] as const];
  });
  const staysWhere = (differs: (was: NetnsNode, node: NetnsNode) => boolean): Names =>
    stays.filter(([was, node]) => differs(was, node)).map(([{ name }]) => name);
  const actions: ClearAction[] = [
    {
      kind: 'end-commands',
      nodes: staysWhere((was, node) => was.command !== undefined && node.command === undefined),
    },
    { kind: 'remove-hosts', nodes: gone },
    { kind: 'unplug', ports: missing(before.ports, after.ports).map((key) => before.ports.get(key)!) },
    { kind: 'close-tunnels', pairs: missing(before.tunnels, after.tunnels).map((key) => before.tunnels.get(key)!) },
    { kind: 'close-vxlans', vxlans: missing(before.vxlans, after.vxlans).map((key) => before.vxlans.get(key)!) },
    { kind: 'end-switches', machines: missing(before.switches, after.switches) },
    { kind: 'remove-machines', machines: [...before.played].filter((machine) => !after.played.has(machine)) },
    { kind: 'forget-identities', machines: missing(before.identified, after.identified) },
    {
      kind: 'lift-limits',
      nodes: [
        ...[...before.nodes.values()]
          .filter((was) => gone.includes(was.name) && isLimited(was))
          .map(({ name }) => name),
        ...staysWhere((was, node) => loses(was.cpu, node.cpu) || loses(was.memoryBytes, node.memoryBytes)),
      ],
    },
  ];
  return actions.filter((action) => !isEmpty(action));
}

/** Keys of `these` that `others` have not, in order. */
function missing(these: ReadonlyMap<string, unknown>, others: ReadonlyMap<string, unknown>): string[] {
  return [...these.keys()].filter((key) => !others.has(key));
}

function isEmpty(action: Action): boolean {
  if (action.kind === 'keeper') return false;
  if ('nodes' in action) return action.nodes.length === 0;
  if ('machines' in action) return action.machines.length === 0;
  if ('ports' in action) return action.ports.length === 0;
  if ('vxlans' in action) return action.vxlans.length === 0;
  return action.pairs.length === 0;
}

// --- what counts as a difference of a node ---------------------------------------------------------------------------

function isLimited({ cpu, memoryBytes }: NetnsNode): boolean {
  return cpu !== undefined || memoryBytes !== undefined;
}

function sameLimits(was: NetnsNode | undefined, node: NetnsNode): boolean {
  return was !== undefined && was.cpu === node.cpu && was.memoryBytes === node.memoryBytes;
}

function loses(was: number | undefined, is: number | undefined): boolean {
  return was !== undefined && is === undefined;
}

/** A host that stays, and whose /etc/hosts does not. */
function renamed(before: Layout, after: Layout, was: NetnsNode | undefined, node: NetnsNode): boolean {
  if (was === undefined || isDeepStrictEqual(before.network!.names, after.network!.names)) return false;
  return hostsFile(before.network!, was.name) !== hostsFile(after.network!, node.name);
}

/** A port that its machine's switch process has not had before. */
function hasNewPorts(before: Layout, { name, machine, ports }: NetnsNode): boolean {
  return ports.some((port) => !before.ports.has(`${machine}/${name}:${port.name}`));
}

function sameConfiguration(was: NetnsNode | undefined, node: NetnsNode): boolean {
  if (was === undefined || !isDeepStrictEqual(nodeConfiguration(was, ''), nodeConfiguration(node, ''))) return false;
  const interfaces = ({ ports }: NetnsNode): unknown => ports.map(({ name, mac, mtuBytes }) => [name, mac, mtuBytes]);
  return isDeepStrictEqual(interfaces(was), interfaces(node));
}

function sameCommand(was: NetnsNode | undefined, node: NetnsNode): boolean {
  return was !== undefined && isDeepStrictEqual([was.command, was.env], [node.command, node.env]);
}

// --- for people ------------------------------------------------------------------------------------------------------

/** One line: what the action is about to do. */
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
    case 'names':
      return `tell ${count(action.nodes, 'host')} the names of the others`;
    case 'ports':
      return `plug in the ports of ${count(action.nodes, 'host')}`;
    case 'identities':
      return `give ${count(action.machines, 'machine')} a key and a certificate`;
    case 'tunnels':
      return `open ${count(action.pairs, 'tunnel')}`;
    case 'vxlans':
      return `open ${count(action.nodes, 'VXLAN')}`;
    case 'forwarding':
      return `join the links in ${count(action.machines, 'switch process', 'switch processes')}`;
    case 'seals':
      return `agree on the keys of ${count(action.pairs, 'tunnel')}`;
    case 'addresses':
      return `give ${count(action.nodes, 'host')} addresses and routes`;
    case 'announce':
      return `announce ${count(action.nodes, 'host')} to the others`;
    case 'commands':
      return `start the ${action.nodes.length === 1 ? 'command' : 'commands'} of ${count(action.nodes, 'host')}`;
    case 'end-commands':
      return `end the ${action.nodes.length === 1 ? 'command' : 'commands'} of ${count(action.nodes, 'host')}`;
    case 'remove-hosts':
      return `remove ${count(action.nodes, 'host')}`;
    case 'unplug':
      return `unplug ${count(
        action.ports.map(({ node, port }) => `${node}:${port}`),
        'port',
      )}`;
    case 'close-tunnels':
      return `close ${count(action.pairs, 'tunnel')}`;
    case 'close-vxlans':
      return `close ${count(
        action.vxlans.map(({ node }) => node),
        'VXLAN',
      )}`;
    case 'end-switches':
      return `end ${count(action.machines, 'switch process', 'switch processes')}`;
    case 'remove-machines':
      return `remove ${count(action.machines, 'machine')} from the underlay`;
    case 'forget-identities':
      return `forget the key of ${count(action.machines, 'machine')}`;
    case 'lift-limits':
      return `lift the limits of ${count(action.nodes, 'host')}`;
  }
}

function count(list: readonly unknown[], one: string, many = `${one}s`): string {
  const [first] = list;
  if (list.length === 1) return typeof first === 'string' ? `${one} ${first}` : `1 ${one}`;
  return `${list.length} ${many}`;
}
