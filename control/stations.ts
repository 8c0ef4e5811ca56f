/**
 * Who has to announce itself after a change (RFC 5227, RFC 4861 7.2.6). Others remember, for up to half a minute, the MAC
 * of an address, and switches, for minutes, where a MAC is: what they remember of a port may be wrong once another port
 * has its address, or it is at another place, or was out of reach while either happened. Pure; called by `plan.ts`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Network, Port } from '../model/network.js';
import { netnsNodes } from '../vrouter/router.js';

/** What others know of a port: what they call it, and the way to it. */
interface Station {
  readonly port: string;
  /** Its link is up: there is somebody to hear it. */
  readonly isLinked: boolean;
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly machine: string;
  /** The switch, or the host, that it has its link to. */
  readonly neighbour: string;
  readonly lan: string;
}

/** Hosts and routers of `to` with a port that is not what, or where, it was, or that others can reach again. */
export function moved(from: Network, to: Network): string[] {
  const before = stations(from);
  const ways = new Ways(from, to);
  const isNews = (name: string, now: Station): boolean => {
    const was = before.get(name)?.find(({ port }) => port === now.port);
    if (!now.isLinked) return false;
    return was === undefined || !isDeepStrictEqual(was, { ...now, lan: was.lan }) || ways.isNew(was.lan, now.lan);
  };
  return [...stations(to)].filter(([name, ports]) => ports.some((now) => isNews(name, now))).map(([name]) => name);
}

/** How the switches of a LAN hang together, before and now. A LAN may have thousands of ports: each is looked at once. */
class Ways {
  readonly #before: Map<string, Set<string>>;
  readonly #now: Map<string, Set<string>>;
  /** By both names of the LAN. */
  readonly #answers = new Map<string, boolean>();

  constructor(from: Network, to: Network) {
    this.#before = wiringOf(from);
    this.#now = wiringOf(to);
  }

  /** A way less is no news: nobody is reached by it any more. */
  isNew(before: string, now: string): boolean {
    const key = `${before} ${now}`;
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const had = this.#before.get(before);
    const answer = [...(this.#now.get(now) ?? [])].some((joint) => had?.has(joint) !== true);
    this.#answers.set(key, answer);
    return answer;
  }
}

function stations(network: Network): Map<string, Station[]> {
  const neighbour = new Map<string, { node: string; isLinked: boolean }>();
  for (const { ends, forward, reverse } of network.links) {
    for (const [end, { node }, { state }] of [
      [...ends, forward],
      [ends[1], ends[0], reverse],
    ] as const)
      if (end.port !== undefined) neighbour.set(`${end.node}:${end.port}`, { node, isLinked: state === 'up' });
  }
  const station = (machine: string, node: string, { name, mac, addresses, lan }: Port): Station => ({
    port: name,
    isLinked: neighbour.get(`${node}:${name}`)?.isLinked === true,
    mac,
    addresses,
    machine,
    neighbour: neighbour.get(`${node}:${name}`)?.node ?? '',
    lan,
  });
  return new Map(
    netnsNodes(network).map(({ name, machine, ports }) => [name, ports.map((port) => station(machine, name, port))]),
  );
}

/**
 * By LAN: the links between its switches that are up, and where these are. A LAN of one switch has no inner way that could
 * differ.
 */
function wiringOf(network: Network): Map<string, Set<string>> {
  const machines = new Map(
    network.nodes.flatMap((node) => (node.kind === 'switch' ? [[node.name, node.machines.join()] as const] : [])),
  );
  const lanOf = new Map(
    network.lans.flatMap(({ name, switches }) => switches.map((member) => [member, name] as const)),
  );
  const wiring = new Map<string, Set<string>>();
  for (const { ends, forward, reverse } of network.links) {
    if (forward.state !== 'up' || reverse.state !== 'up') continue;
    const [a, b] = ends.map(({ node }) => node) as [string, string];
    const lan = lanOf.get(a);
    if (lan === undefined || lanOf.get(b) !== lan) continue;
    const joint = [a, b].map((node) => `${node}@${machines.get(node)!}`).sort();
    const joints = wiring.get(lan);
    if (joints === undefined) wiring.set(lan, new Set([joint.join(' ')]));
    else joints.add(joint.join(' '));
  }
  return wiring;
}
