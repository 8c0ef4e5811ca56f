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
  /** How the switches of its LAN hang together: the links between them that are up. */
  readonly wiring: readonly string[];
}

/** Hosts and routers of `to` with a port that is not what, or where, it was, or that others can reach again. */
export function moved(from: Network, to: Network): string[] {
  const before = stations(from);
  const isNews = (name: string, now: Station): boolean => {
    const was = before.get(name)?.find(({ port }) => port === now.port);
    return now.isLinked && (was === undefined || differs(was, now));
  };
  return [...stations(to)].filter(([name, ports]) => ports.some((now) => isNews(name, now))).map(([name]) => name);
}

/** A way less is no news: nobody is reached by it any more. */
function differs(was: Station, now: Station): boolean {
  return (
    !isDeepStrictEqual({ ...was, wiring: [] }, { ...now, wiring: [] }) ||
    now.wiring.some((joint) => !was.wiring.includes(joint))
  );
}

function stations(network: Network): Map<string, Station[]> {
  const wiring = wiringOf(network);
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
    wiring: wiring.get(lan) ?? [],
  });
  return new Map(
    netnsNodes(network).map(({ name, machine, ports }) => [name, ports.map((port) => station(machine, name, port))]),
  );
}

/** By LAN: the links between its switches, and where these are. A LAN of one switch has no inner way that could differ. */
function wiringOf(network: Network): Map<string, string[]> {
  const machines = new Map(
    network.nodes.flatMap((node) => (node.kind === 'switch' ? [[node.name, node.machines.join()] as const] : [])),
  );
  const lanOf = new Map(
    network.lans.flatMap(({ name, switches }) => switches.map((member) => [member, name] as const)),
  );
  const wiring = new Map<string, string[]>();
  for (const { ends, forward, reverse } of network.links) {
    if (forward.state !== 'up' || reverse.state !== 'up') continue;
    const [a, b] = ends.map(({ node }) => node) as [string, string];
    const lan = lanOf.get(a);
    if (lan === undefined || lanOf.get(b) !== lan) continue;
    const joint = [a, b].map((node) => `${node}@${machines.get(node)!}`).sort();
    wiring.set(lan, [...(wiring.get(lan) ?? []), joint.join(' ')]);
  }
  for (const joints of wiring.values()) joints.sort();
  return wiring;
}
