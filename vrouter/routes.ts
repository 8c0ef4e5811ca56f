/**
 * Static routes: who forwards to which LAN. Routers and LANs are the two sides of one graph, a router's port is an edge;
 * the way with the fewest routers wins. Each family has a graph of its own, since a LAN may lack a subnet of one.
 *
 * Ties are broken by order alone, so that the same scenario gives the same routes: a router's ports by number, a LAN's
 * routers in the order of `links`, and the first way found stays. Whether links are up plays no part: what is static
 * does not react.
 *
 * Pure; called by `control/scenario/resolve.ts`.
 */
import type { Lan, Link, Port, Route } from '../model/network.js';

export type Family = 4 | 6;

export const FAMILIES: readonly Family[] = [4, 6];

/** A node that forwards, as far as routing is concerned. */
export interface Forwarder {
  readonly name: string;
  readonly ports: readonly Port[];
}

/** A router's port on a LAN, with its address of one family, without prefix length. */
interface Station {
  readonly router: string;
  readonly port: string;
  readonly address: string;
}

export class Routing {
  readonly #lans: readonly Lan[];
  /** Per family: LAN to its routers in the order of links. */
  readonly #stations = new Map<Family, Map<string, Station[]>>();
  /** Per family: router to its ports by number. */
  readonly #ports = new Map<Family, Map<string, { readonly lan: string; readonly port: string }[]>>();

  constructor(routers: readonly Forwarder[], lans: readonly Lan[], links: readonly Link[]) {
    this.#lans = lans;
    const portsOf = new Map(routers.map(({ name, ports }) => [name, new Map(ports.map((port) => [port.name, port]))]));
    for (const family of FAMILIES) {
      const stations = new Map<string, Station[]>();
      for (const end of links.flatMap(({ ends }) => ends)) {
        const port = end.port === undefined ? undefined : portsOf.get(end.node)?.get(end.port);
        const address = port && addressOf(port, family);
        if (port === undefined || address === undefined) continue;
        const onLan = stations.get(port.lan) ?? [];
        onLan.push({ router: end.node, port: port.name, address });
        stations.set(port.lan, onLan);
      }
      this.#stations.set(family, stations);
      const ports = new Map<string, { readonly lan: string; readonly port: string }[]>();
      for (const router of routers) {
        const usable = router.ports.filter((port) => addressOf(port, family) !== undefined).sort(byNumber);
        ports.set(
          router.name,
          usable.map((port) => ({ lan: port.lan, port: port.name })),
        );
      }
      this.#ports.set(family, ports);
    }
  }

  /** The address of a LAN's first router, in the order of links, that has one of this family; `10.0.1.1`. */
  firstRouter(lan: string, family: Family): string | undefined {
    return this.#stations.get(family)?.get(lan)?.[0]?.address;
  }

  /** Routes to every LAN that the router has no port on and can reach, in the order of LANs; v4 before v6. */
  routesOf(router: string): readonly Route[] {
    return FAMILIES.flatMap((family) => this.#routesOf(router, family));
  }

  #routesOf(start: string, family: Family): Route[] {
    const firstHop = this.#firstHops(start, family);
    const routes: Route[] = [];
    for (const lan of this.#lans) {
      const destination = family === 4 ? lan.subnet : lan.subnet6;
      const hop = firstHop.get(lan.name);
      if (destination !== undefined && hop !== undefined) routes.push({ destination, ...hop });
    }
    return routes;
  }

  /** Breadth first from `start`: for every LAN beyond its own, the neighbour and port that the shortest way begins with. */
  #firstHops(start: string, family: Family): Map<string, { readonly via: string; readonly port: string }> {
    const ports = this.#ports.get(family)!;
    const stations = this.#stations.get(family)!;
    const hops = new Map<string, { readonly via: string; readonly port: string }>();
    const seenRouters = new Set([start]);
    const own = ports.get(start) ?? [];
    const seenLans = new Set(own.map(({ lan }) => lan));
    const queue: { readonly router: string; readonly via: string; readonly port: string }[] = [];
    for (const { lan, port } of own) {
      for (const { router, address } of stations.get(lan) ?? []) {
        if (seenRouters.has(router)) continue;
        seenRouters.add(router);
        queue.push({ router, via: address, port });
      }
    }
    for (let next = 0; next < queue.length; next++) {
      const { router, via, port } = queue[next]!;
      for (const { lan } of ports.get(router) ?? []) {
        if (seenLans.has(lan)) continue;
        seenLans.add(lan);
        hops.set(lan, { via, port });
        for (const station of stations.get(lan) ?? []) {
          if (seenRouters.has(station.router)) continue;
          seenRouters.add(station.router);
          queue.push({ router: station.router, via, port });
        }
      }
    }
    return hops;
  }
}

/** A port's address of a family, without prefix length. */
export function addressOf(port: Pick<Port, 'addresses'>, family: Family): string | undefined {
  return port.addresses.find((address) => address.includes(':') === (family === 6))?.split('/')[0];
}

/** eth2 before eth10. */
export function byNumber(a: { readonly name: string }, b: { readonly name: string }): number {
  return Number(a.name.slice(3)) - Number(b.name.slice(3));
}
