/**
 * How nodes and ports are named on the command line: `[network/]node` and `[network/]node:port`. The network may be left
 * out while only one runs.
 */
import { StateError, UsageError, type ErrorOptions } from '../model/errors.js';
import type { NetworkState, NetworkSummary, NodeState } from '../model/messages.js';
import { quoted, suggestion } from '../model/names.js';
import { nothingRuns } from './connection.js';

/** What resolving a name asks the agent; an `AgentClient` is one. */
export interface NetworkSource {
  networks(): Promise<readonly NetworkSummary[]>;
  network(name: string): Promise<NetworkState>;
}

export interface NodeName {
  readonly network: string;
  readonly node: string;
}

export interface PortName extends NodeName {
  readonly port: string;
}

export interface LinkName {
  readonly network: string;
  readonly link: string;
}

/**
 * Throws UsageError where the text cannot be a node's name or the network is ambiguous, StateError where no such network
 * runs. Whether the network has the node is left to the agent.
 */
export async function resolveNode(agent: Pick<NetworkSource, 'networks'>, text: string): Promise<NodeName> {
  const { network, node, port } = split(text);
  if (port !== undefined)
    throw new UsageError(`${quoted(text)} names a port, and a node is needed`, { hint: `write ${text.split(':')[0]}` });
  return { network: await resolveNetwork(agent, network), node };
}

/** The same for a host or router that there is: any other is wrong input. */
export async function resolveHost(agent: NetworkSource, text: string): Promise<NodeName> {
  const name = await resolveNode(agent, text);
  const { kind } = await nodeState(agent, name);
  if (kind === 'switch' || kind === 'vxlan')
    throw new UsageError(`${name.node} is a ${kind === 'switch' ? 'switch' : 'VXLAN'}: nothing runs in it`, {
      hint: 'name a host or a router',
    });
  return name;
}

/** The same for what frames may be for: a host or router, or a VXLAN and so who is behind it. */
export async function resolveDestination(agent: NetworkSource, text: string): Promise<NodeName> {
  const name = await resolveNode(agent, text);
  const { kind } = await nodeState(agent, name);
  if (kind !== 'switch') return name;
  throw new UsageError(`${name.node} is a switch: it has no address`, { hint: 'name a host, a router or a VXLAN' });
}

/** A port that there is; it may be left out where its node has only one. */
export async function resolvePort(agent: NetworkSource, text: string): Promise<PortName> {
  const { network: wanted, node, port } = split(text);
  const network = await resolveNetwork(agent, wanted);
  const ports = (await nodeState(agent, { network, node })).ports.map(({ name }) => name);
  const [only, ...more] = ports;
  if (only === undefined)
    throw new UsageError(`${node} has no port of its own`, { hint: 'name the port of a host on it' });
  if (port !== undefined) {
    if (ports.includes(port)) return { network, node, port };
    throw new UsageError(`${node} has no port ${quoted(port)}`, hintOf(suggestion(port, ports)));
  }
  if (more.length > 0)
    throw new UsageError(`${node} has ${ports.length} ports`, {
      hint: `name one: ${ports.map((name) => `${node}:${name}`).join(', ')}`,
    });
  return { network, node, port: only };
}

/** A link that there is: by its own name, or as the one at a port (of a node, where that has only one). */
export async function resolveLink(agent: NetworkSource, text: string): Promise<LinkName> {
  const { network: wanted, node: name, port } = split(text);
  const network = await resolveNetwork(agent, wanted);
  const { nodes, linkStates } = await agent.network(network);
  if (port === undefined && linkStates.some((link) => link.name === name)) return { network, link: name };
  const node = nodes.find((candidate) => candidate.name === name);
  if (node === undefined || node.kind === 'switch' || node.kind === 'vxlan') {
    const names = [...linkStates.map((link) => link.name), ...nodes.map((candidate) => candidate.name)];
    throw new UsageError(`no link ${quoted(name)} in ${network}`, hintOf(suggestion(name, names)));
  }
  const { port: found } = await resolvePort(agent, `${network}/${name}${port === undefined ? '' : `:${port}`}`);
  return { network, link: node.ports.find((candidate) => candidate.name === found)!.link };
}

async function nodeState(agent: NetworkSource, { network, node }: NodeName): Promise<NodeState> {
  const { nodes } = await agent.network(network);
  const found = nodes.find(({ name }) => name === node);
  if (found !== undefined) return found;
  const names = nodes.map(({ name }) => name);
  throw new UsageError(`no node ${quoted(node)} in ${network}`, hintOf(suggestion(node, names)));
}

/** The network that was named, or the only one that runs. */
export async function resolveNetwork(agent: Pick<NetworkSource, 'networks'>, wanted?: string): Promise<string> {
  const running = (await agent.networks()).map(({ name }) => name);
  if (wanted !== undefined) {
    if (running.includes(wanted)) return wanted;
    throw new StateError(`no network ${quoted(wanted)} runs`, hintOf(suggestion(wanted, running)));
  }
  const [only, ...more] = running;
  if (only === undefined) throw nothingRuns();
  if (more.length > 0)
    throw new UsageError(`${running.length} networks run, and none was named`, {
      hint: `name one of ${running.join(', ')}; before a node, as in ${only}/NODE`,
    });
  return only;
}

function split(text: string): { network?: string; node: string; port?: string } {
  const match = /^(?:([^/:]+)\/)?([^/:]+)(?::([^/:]+))?$/.exec(text);
  if (match === null)
    throw new UsageError(`${quoted(text)} names no node`, {
      hint: 'a node is [network/]node, a port [network/]node:port',
    });
  const [, network, node, port] = match;
  return {
    node: node!,
    ...(network === undefined ? {} : { network }),
    ...(port === undefined ? {} : { port }),
  };
}

function hintOf(hint: string | undefined): ErrorOptions {
  return hint === undefined ? {} : { hint };
}
