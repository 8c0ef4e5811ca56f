/**
 * What can be seen of a network from within its hosts and by `inspect`, without what differs between any two that are the
 * same: pids, interface indices, counters, learned addresses, points in time.
 */
import type { AgentClient } from '../../control/client.js';
import { execute } from '../../control/exec.js';
import { load, type Scenario } from '../../control/scenario/index.js';
import { splitEndpoint, type RawEndpoint, type RawLink, type RawScenario } from '../../model/scenario.js';
import type { NetworkState, NodeState } from '../../model/messages.js';

export interface Observed {
  readonly inspect: unknown;
  /** By host or router: by what was asked, what was answered. */
  readonly hosts: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export async function observe(agent: AgentClient, name: string): Promise<Observed> {
  const state = await agent.network(name);
  const hosts = state.nodes.filter(({ kind }) => kind !== 'switch');
  const answers = await Promise.all(
    hosts.map(async (host) => [host.name, await observeHost(agent, name, host)] as const),
  );
  return { inspect: lasting(state), hosts: Object.fromEntries(answers) };
}

// --- from within a host ----------------------------------------------------------------------------------------------

const QUESTIONS = {
  hostname: 'hostname; cat /etc/hostname',
  names: 'cat /etc/hosts',
  interfaces: 'ip -j addr',
  routes: 'ip -j route show table all',
  routes6: 'ip -j -6 route show table all',
  // Every setting that a port has, and whether the host forwards. A secret is refused where there is none.
  settings: 'cd /proc/sys/net; grep -r . ipv4/ip_forward ipv4/conf ipv6/conf 2>/dev/null | sort',
};
const SEPARATOR = '-- next --';
const SCRIPT = Object.values(QUESTIONS).join(`; echo '${SEPARATOR}'; `);

async function observeHost(agent: AgentClient, network: string, host: NodeState): Promise<Record<string, unknown>> {
  const access = await agent.access(network, host.name);
  const { code, stdout, stderr } = await execute(access, ['sh', '-c', SCRIPT], {});
  if (code !== 0) throw new Error(`${host.name} cannot be looked at: ${stderr}`);
  const answers = stdout.split(`${SEPARATOR}\n`);
  const told = Object.fromEntries(Object.keys(QUESTIONS).map((what, i) => [what, answers[i]!]));
  const down = withoutCarrier(told.interfaces!);
  const read = Object.entries(told).map(([what, answer]) => [what, readAnswer(answer, down)] as const);
  return { ...Object.fromEntries(read), env: access.env, limits: access.cgroups.length };
}

type Entry = Readonly<Record<string, unknown>>;

function withoutCarrier(interfaces: string): ReadonlySet<unknown> {
  const list = JSON.parse(interfaces) as { readonly ifname: string; readonly flags: readonly string[] }[];
  return new Set(list.filter(({ flags }) => flags.includes('NO-CARRIER')).map(({ ifname }) => ifname));
}

/**
 * Indices of interfaces are in the order in which they were made; lists of the kernel as well. A TAP's `operstate` is
 * UNKNOWN until its carrier has been down once, and UP from then on; whether it has carrier is among its flags.
 */
const INCIDENTAL = new Set(['ifindex', 'operstate']);

function readAnswer(text: string, down: ReadonlySet<unknown>): unknown {
  if (!text.startsWith('[')) return text.trim().split('\n');
  const list = (JSON.parse(text) as Entry[]).flatMap((entry) => lastingWithout(entry, down));
  const shown = (key: string, value: unknown): unknown => (INCIDENTAL.has(key) ? undefined : inOrder(value));
  return list.map((entry) => JSON.stringify(entry, shown)).sort();
}

/**
 * Linux gives an interface its IPv6 link-local address, and the routes that belong to it, when it is up and has carrier
 * for the first time since (net/ipv6/addrconf.c, `addrconf_notify`): without carrier it may have them from before or not.
 */
function lastingWithout(entry: Entry, down: ReadonlySet<unknown>): Entry[] {
  if (down.has(entry.ifname)) {
    const addresses = (entry.addr_info as readonly Entry[]).filter(({ scope }) => scope !== 'link');
    return [{ ...entry, addr_info: addresses }];
  }
  return down.has(entry.dev) && /^(?:fe80|ff00):/.test(String(entry.dst)) ? [] : [entry];
}

function inOrder(value: unknown): unknown {
  return Array.isArray(value) ? value.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : value;
}

// --- inspect ---------------------------------------------------------------------------------------------------------

/** What `inspect --json` tells of a network that it told before, too. */
function lasting(state: NetworkState): unknown {
  return {
    ...state,
    since: undefined,
    zero: undefined,
    file: undefined,
    drops: undefined,
    nodes: state.nodes.map(({ pid, ports, ...node }) => ({
      ...node,
      runs: pid !== undefined,
      ports: ports.map(({ name, link, mac, addresses, mtuBytes }) => ({ name, link, mac, addresses, mtuBytes })),
    })),
    linkStates: state.linkStates.map(({ name, ends, state: linkState, forward, reverse }) => ({
      name,
      ends,
      state: linkState,
      forward,
      reverse,
    })),
    switchProcesses: state.switchProcesses.map(({ machine, state: process }) => ({
      machine,
      devices: process?.devices.map(({ name }) => name).sort(),
      // Joins of a switch's parts are named after the machines' ids.
      links: process?.links.map((link) => `${link.name.replace(/@.*/, '@')} ${link.state}`).sort(),
      bridges: process?.bridges.map(({ name }) => name).sort(),
      tunnels: process?.tunnels.map((tunnel) => `${tunnel.name} ${tunnel.state}`).sort(),
    })),
  };
}

// --- the same from scratch -------------------------------------------------------------------------------------------

/**
 * The scenario with every port's number and addresses written out, as the network that runs has them: an address once
 * given is kept, so that a network which was changed may have others than one which is new.
 */
export function pinned(raw: RawScenario, state: NetworkState): Scenario {
  const ports = new Map(state.nodes.flatMap((node) => node.ports.map((port) => [`${node.name}:${port.name}`, port])));
  const pin = (raw: RawEndpoint, end: string): RawEndpoint => {
    const port = ports.get(end);
    if (port === undefined) return raw;
    const of = (isV6: boolean): string | undefined => port.addresses.find((address) => address.includes(':') === isV6);
    const [address, address6] = [of(false), of(true)];
    return {
      ...(typeof raw === 'string' ? {} : raw),
      node: splitEndpoint(end).node,
      port: port.name,
      ...(address === undefined ? {} : { address }),
      ...(address6 === undefined ? {} : { address6 }),
    };
  };
  const lans = new Map(state.lans.filter(({ switches }) => switches.length === 0).map((lan) => [lan.name, lan]));
  const links = (raw.links ?? []).map((link, i): RawLink => {
    const { name, ends } = state.linkStates[i]!;
    const { subnet, subnet6 } = lans.get(name) ?? {};
    return {
      ...link,
      endpoints: [pin(link.endpoints[0], ends[0]), pin(link.endpoints[1], ends[1])],
      ...(subnet === undefined ? {} : { subnet }),
      ...(subnet6 === undefined ? {} : { subnet6 }),
    };
  });
  return load({ ...raw, links });
}
