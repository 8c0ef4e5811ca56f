/**
 * What `inspect`, `exec` and `logs` are told of a running network: the resolved network joined with what its processes
 * say.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { RemoteError, StateError } from '../model/errors.js';
import type {
  DropRecord,
  EventState,
  LinkSettings,
  NetworkState,
  NodeAccess,
  NodeState,
  SwitchState,
} from '../model/messages.js';
import type { Link, Node } from '../model/network.js';
import { environment, type NetnsNode } from '../vhost/netns.js';
import type { LiveNetwork } from './live.js';
import { eventKey } from './schedule.js';
import { writtenOf } from './scenario/index.js';
import { summary } from './summary.js';
import { isAlive, type ProcessId } from './process.js';
import { tapName, vxlanName } from './wiring.js';

export async function networkState(live: LiveNetwork): Promise<NetworkState> {
  const switchProcesses = await Promise.all(
    live.switches().map(async ([machine, { pid }]) => {
      const state = await switchState(live, machine);
      return { machine, pid, ...(state === undefined ? {} : { state }) };
    }),
  );
  const answered = new Map(
    switchProcesses.flatMap(({ machine, state }) => (state === undefined ? [] : [[machine, state] as const])),
  );
  const drops: Record<string, number> = {};
  for (const state of answered.values())
    for (const [reason, n] of Object.entries(state.drops)) drops[reason] = (drops[reason] ?? 0) + n;
  return {
    ...summary(live),
    ...schedule(live),
    nodes: live.network.nodes.map((node) => nodeState(live, node, answered)),
    linkStates: linkStates(live, [...answered.values()]),
    lans: live.network.lans,
    switchProcesses,
    drops,
  };
}

/** Undefined when the process does not answer: what else is known of the network is worth telling all the same. */
export async function switchState(live: LiveNetwork, machine: string): Promise<SwitchState | undefined> {
  try {
    return await live.switchOf(machine).state();
  } catch (cause) {
    if (cause instanceof RemoteError) return undefined;
    throw cause;
  }
}

export function nodeAccess(live: LiveNetwork, name: string): NodeAccess {
  const node = findNetnsNode(live, name);
  const init = live.processOf(`host:${name}`);
  if (init === undefined)
    throw new StateError(`${live.header.name}/${name} is not there yet: the network is ${live.journal.state.status}`, {
      hint: 'wait until its `up` has ended',
    });
  if (!isAlive(init))
    throw new StateError(`${live.header.name}/${name} has lost its init (pid ${init.pid})`, {
      hint: `make it again: luthier up ${live.header.file ?? 'FILE'}`,
    });
  const own = environment(node, live.home).map((entry) => entry.split(/=(.*)/s, 2) as [string, string]);
  return {
    network: live.header.name,
    node: name,
    pid: init.pid,
    start: init.start,
    cgroups: [...live.journal.state.cgroups].filter((directory) => basename(directory) === name),
    env: Object.fromEntries(own),
    logFile: live.paths.log(name),
  };
}

/** A host or router; StateError when there is none of that name. */
export function findNetnsNode(live: LiveNetwork, name: string): NetnsNode {
  const node = live.network.nodes.find((candidate) => candidate.name === name);
  if (node === undefined) {
    const names = live.network.nodes.map((candidate) => candidate.name).join(', ');
    throw new StateError(`network '${live.header.name}' has no node '${name}'`, { hint: `its nodes: ${names}` });
  }
  if (node.kind === 'switch' || node.kind === 'vxlan')
    throw new StateError(`'${name}' is a ${node.kind === 'switch' ? 'switch' : 'VXLAN'}: nothing can run inside it`, {
      hint: 'name a host or a router',
    });
  return node;
}

export async function networkDrops(live: LiveNetwork): Promise<DropRecord[]> {
  const running = live.switches().filter(([, id]) => isAlive(id));
  const records = await Promise.all(running.map(([machine]) => live.switchOf(machine).drops()));
  return records.flat().sort((a, b) => (BigInt(a.unixNs) < BigInt(b.unixNs) ? -1 : 1));
}

function nodeState(live: LiveNetwork, node: Node, states: ReadonlyMap<string, SwitchState>): NodeState {
  if (node.kind === 'switch') return { name: node.name, kind: 'switch', machines: node.machines, ports: [] };
  const devices = new Map(states.get(node.machine)?.devices.map((device) => [device.name, device]));
  if (node.kind === 'vxlan') {
    const { name, kind, machine, vni, remotes, group, port, mtuBytes } = node;
    const link = live.network.links.find(({ ends }) => ends.some((end) => end.node === name))!.name;
    const vxlan = { vni, remotes, ...(group === undefined ? {} : { group }), port, mtuBytes, link };
    return { name, kind, machines: [machine], ports: [], vxlan: { ...devices.get(vxlanName(node)), ...vxlan } };
  }
  const init = live.processOf(`host:${node.name}`);
  const command = init === undefined ? undefined : commandState(live, node, init);
  return {
    name: node.name,
    kind: node.kind,
    machines: [node.machine],
    ...(init === undefined ? {} : { pid: init.pid }),
    ...(command === undefined ? {} : { command }),
    ports: node.ports.map((port) => {
      const { name, link, mac, addresses, mtuBytes } = port;
      const device = devices.get(tapName(node.name, name));
      return { ...device, name, link, mac, addresses, mtuBytes };
    }),
  };
}

/** The keeper writes `exit` when the command has ended: `exited STATUS` or `signalled NUMBER`. */
function commandState(live: LiveNetwork, node: NetnsNode, init: ProcessId): NodeState['command'] {
  if (node.command === undefined) return undefined;
  const argv = node.command;
  let text: string;
  try {
    text = readFileSync(live.paths.commandExit(node.name), 'utf8');
  } catch {
    // Not there yet: it runs, unless the host itself is gone.
    return { argv, status: isAlive(init) ? 'running' : 'lost' };
  }
  const [status, code] = text.trim().split(' ');
  return { argv, status: status === 'signalled' ? 'signalled' : 'exited', code: Number(code) };
}

/** In order of time, with when they happened. */
export function eventStates(live: LiveNetwork): EventState[] {
  const { happened } = live.journal.state;
  return live.network.events.map((event) => {
    const doneNs = happened.get(eventKey(event));
    return { ...event, ...(doneNs === undefined ? {} : { doneNs }) };
  });
}

function schedule(live: LiveNetwork): Pick<NetworkState, 'schedule'> {
  const events = eventStates(live);
  if (events.length === 0) return {};
  const next = events[live.network.passedEvents];
  const done = events.filter(({ doneNs }) => doneNs !== undefined).length;
  return { schedule: { events: events.length, done, ...(next === undefined ? {} : { next }) } };
}

export function linkSettings({ name, ends, forward, reverse }: Link): LinkSettings {
  return {
    link: name,
    ends: [endName(ends[0]), endName(ends[1])],
    forward: writtenOf(forward),
    reverse: writtenOf(reverse),
  };
}

/** A link that crosses machines is counted on its sender's side: forward by the one that has its first end. */
function linkStates(live: LiveNetwork, states: readonly SwitchState[]): NetworkState['linkStates'] {
  return live.network.links.map((link) => {
    const parts = states.flatMap((state) => state.links.filter(({ name }) => name === link.name));
    const most = (pick: (part: SwitchState['links'][number]) => number): number =>
      parts.reduce((top, part) => Math.max(top, pick(part)), 0);
    return {
      name: link.name,
      ends: [endName(link.ends[0]), endName(link.ends[1])] as const,
      state: parts.some(({ state }) => state === 'down') ? ('down' as const) : ('up' as const),
      forward: writtenOf(link.forward),
      reverse: writtenOf(link.reverse),
      forwardPackets: most((part) => part.forwardPackets),
      forwardBytes: most((part) => part.forwardBytes),
      reversePackets: most((part) => part.reversePackets),
      reverseBytes: most((part) => part.reverseBytes),
    };
  });
}

function endName(end: { readonly node: string; readonly port?: string }): string {
  return end.port === undefined ? end.node : `${end.node}:${end.port}`;
}
