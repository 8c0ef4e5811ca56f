/**
 * `luthier trace`: the way of a frame from one host to another, or out by a VXLAN, in words, and where it would be dropped.
 *
 * Layer 3 is asked of the kernels that would decide (`ip route get` in each host on the way, in its own namespace);
 * layer 2 is the one path through the LAN's tree of links, checked against what each bridge has learned. Nothing is sent.
 * What is behind a VXLAN has addresses that nobody knows here, so the way there is layer 2 alone, and the underlay's routes.
 */
import { StateError } from '../model/errors.js';
import type { SwitchConfig, SwitchState, TraceReport } from '../model/messages.js';
import type { Link, Port, VxlanNode } from '../model/network.js';
import type { NetnsNode } from '../vhost/netns.js';
import { netnsNodes } from '../vrouter/router.js';
import { findNetnsNode, switchState } from './inspect.js';
import { type LiveNetwork, netnsOf } from './live.js';
import { capture } from './native-tools.js';
import { isAlive } from './process.js';
import { wayOut } from './vxlan-underlay.js';
import { switchConfigs, tapName } from './wiring.js';

/** More routers than this on a way, and the routes go in a circle: IPv4's TTL would end it there too. */
const MAX_HOPS = 64;

type Step = TraceReport['steps'][number];

interface PortOf {
  readonly node: NetnsNode;
  readonly port: Port;
}

/** Where a frame goes on its LAN: to a port, or to a VXLAN, and so to addresses that are not known here. */
interface Goal {
  readonly node: string;
  readonly link: string;
  readonly mac?: string;
}

interface RouteAnswer {
  readonly dev?: string;
  readonly gateway?: string;
  readonly prefsrc?: string;
}

export async function traceFrame(live: LiveNetwork, from: string, to: string): Promise<TraceReport> {
  const steps: Step[] = [];
  const walk = new Walk(live, steps);
  const source = findNetnsNode(live, from);
  const target = live.network.nodes.find(({ name }) => name === to);
  const isOut = target?.kind === 'vxlan';
  const reached = await (isOut ? walk.out(source, target) : walk.run(source, findNetnsNode(live, to)));
  return { from, to, reached, steps };
}

class Walk {
  readonly #live: LiveNetwork;
  readonly #steps: Step[];
  readonly #configs: ReadonlyMap<string, SwitchConfig>;
  readonly #states = new Map<string, SwitchState>();

  constructor(live: LiveNetwork, steps: Step[]) {
    this.#live = live;
    this.#steps = steps;
    this.#configs = switchConfigs(live.network, live.header.number);
  }

  async run(source: NetnsNode, target: NetnsNode): Promise<boolean> {
    const destination = target.ports.flatMap((port) => port.addresses)[0]?.split('/')[0];
    if (destination === undefined) throw new StateError(`${target.name} has no address: nothing can be sent to it`);
    await this.#askSwitches();

    let at = source;
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      if (ownAddresses(at).includes(destination)) {
        this.#say(at.name, hop === 0 ? `${destination} is its own address` : `delivered: ${destination} is here`);
        return true;
      }
      const next = await this.#route(at, destination, hop);
      if (next === undefined) return false;
      const { node, port } = next.to;
      if (!this.#cross(next.from, { node: node.name, link: port.link, mac: port.mac })) return false;
      this.#say(tapName(node.name, port.name).slice('tap:'.length), `arrives, for ${port.mac}`);
      at = node;
    }
    return this.#drop(at.name, `more than ${MAX_HOPS} routers: the routes go in a circle`);
  }

  /** To whoever is behind a VXLAN. */
  async out(source: NetnsNode, target: VxlanNode): Promise<boolean> {
    const link = this.#live.network.links.find(({ ends }) => ends.some(({ node }) => node === target.name))!;
    const lan = this.#live.network.lans.find(({ switches }) => switches.includes(otherEnd(link, target.name)));
    const port = source.ports.find((candidate) => candidate.lan === lan?.name);
    if (port === undefined)
      throw new StateError(`${source.name} has no port on the LAN that ${target.name} is on`, {
        hint: 'what is behind it has addresses that are not known here: trace from a host or router of that LAN',
      });
    await this.#askSwitches();
    this.#say(`${source.name}:${port.name}`, `a frame for an address behind ${target.name} (from ${port.mac})`);
    if (!this.#cross({ node: source, port }, { node: target.name, link: link.name })) return false;
    return this.#leave(target);
  }

  async #askSwitches(): Promise<void> {
    for (const [machine] of this.#live.switches()) {
      const state = await switchState(this.#live, machine);
      if (state !== undefined) this.#states.set(machine, state);
    }
  }

  /** Into a datagram, to each of the other ends that the address may be behind. */
  #leave(vxlan: VxlanNode): boolean {
    const { name, machine, vni, port, mtuBytes, isPlayed } = vxlan;
    const netns = isPlayed ? netnsOf(this.#live.process(`machine:${machine}`).pid) : undefined;
    const ways = wayOut(vxlan, netns);
    const is = ways.length === 1 ? '' : ', where the address is behind it, or is not known';
    for (const { address, roomBytes } of ways) {
      const where = `${name} to ${address}`;
      const fits = roomBytes >= mtuBytes ? '' : `; packets of more than ${roomBytes} bytes are dropped`;
      if (roomBytes < 0) this.#drop(where, `machine ${machine} has no route to it`);
      else this.#say(where, `leaves for UDP port ${port} with VNI ${vni}${is}${fits}`);
    }
    return ways.some(({ roomBytes }) => roomBytes >= 0);
  }

  /** Layer 3: by which port, and to which neighbour. Undefined when it ends here. */
  async #route(node: NetnsNode, destination: string, hop: number): Promise<{ from: PortOf; to: PortOf } | undefined> {
    const init = this.#live.process(`host:${node.name}`);
    if (!isAlive(init)) {
      this.#drop(node.name, `its init (pid ${init.pid}) is gone`);
      return undefined;
    }
    if (hop > 0 && node.kind !== 'router') {
      this.#drop(node.name, `not a router: a packet for ${destination} is not forwarded`);
      return undefined;
    }
    let answer: RouteAnswer | undefined;
    try {
      [answer] = JSON.parse(await capture(init, ['ip', '-j', 'route', 'get', destination])) as RouteAnswer[];
    } catch (cause) {
      this.#drop(node.name, `no route to ${destination}: ${(cause as Error).message}`);
      return undefined;
    }
    const { dev, gateway } = answer ?? {};
    const port = node.ports.find(({ name }) => name === dev);
    if (port === undefined) {
      this.#drop(
        node.name,
        `the route to ${destination} leaves by ${dev ?? 'nothing'}, which is no port of the network`,
      );
      return undefined;
    }
    const nextHop = gateway ?? destination;
    const neighbour = this.#owner(nextHop);
    const way = gateway === undefined ? 'on the same LAN' : `via ${gateway}`;
    this.#say(`${node.name}:${port.name}`, `route to ${destination}: ${way}, out of ${port.name} (${port.mac})`);
    if (neighbour === undefined || neighbour.port.lan !== port.lan) {
      this.#drop(`${node.name}:${port.name}`, `nobody on LAN ${port.lan} answers for ${nextHop}`);
      return undefined;
    }
    return { from: { node, port }, to: neighbour };
  }

  /** Layer 2: along the one path of links of a LAN. */
  #cross(from: PortOf, to: Goal): boolean {
    const path = this.#path(from, to);
    if (path === undefined)
      return this.#drop(`${from.node.name}:${from.port.name}`, `no link leads to ${to.node} by ${to.link}`);
    let machine = from.node.machine;
    let at = from.node.name;
    for (const [index, link] of path.entries()) {
      const forward = link.ends[0].node === at;
      const far = forward ? link.ends[1].node : link.ends[0].node;
      if ((forward ? link.forward : link.reverse).state === 'down')
        return this.#drop(`link ${link.name}`, 'the link is down');
      if (!this.#states.has(machine)) return this.#drop(`machine ${machine}`, 'its switch process does not answer');
      const peer = this.#tunnelPeer(machine, link);
      if (peer === undefined) this.#say(`link ${link.name}`, `on machine ${machine}, its queue is first in, first out`);
      else {
        this.#say(`link ${link.name}`, `through the tunnel from machine ${machine} to ${peer}, channel ${link.id}`);
        machine = peer;
      }
      at = far;
      const next = path[index + 1];
      if (next === undefined) break;
      machine = this.#bridge(at, machine, next, to.mac);
    }
    return true;
  }

  /** What a bridge does with it; the machine of the part by which it leaves. */
  #bridge(name: string, machine: string, next: Link, mac: string | undefined): string {
    const fdb = this.#states.get(machine)?.bridges.find((bridge) => bridge.name === name)?.fdb ?? [];
    const hasNext = this.#configs.get(machine)?.links.some((link) => link.name === next.name) ?? false;
    const where = `switch ${name}`;
    const learned = fdb.find((entry) => entry.mac === mac);
    if (mac === undefined) {
      const behind = fdb.filter(({ link }) => link === next.name).length;
      this.#say(where, `has learned ${behind} addresses behind ${next.name}; floods what it has not learned`);
    } else if (learned === undefined) this.#say(where, `has not learned ${mac}: floods it, ${next.name} included`);
    else this.#say(where, `has learned ${mac} behind ${learned.link}, ${Math.round(learned.ageSeconds)} s ago`);
    if (hasNext) return machine;
    const other = [...this.#configs].find(([, config]) => config.links.some((link) => link.name === next.name))?.[0];
    if (other === undefined) return machine;
    this.#say(where, `its part on machine ${machine} passes it through the tunnel to its part on ${other}`);
    return other;
  }

  #tunnelPeer(machine: string, link: Link): string | undefined {
    const config = this.#configs.get(machine)?.links.find(({ name }) => name === link.name);
    const end = config?.ends.find((candidate) => 'udp' in candidate);
    return end === undefined ? undefined : end.udp.slice('udp:'.length);
  }

  /** Breadth first over the switches of the LAN; the links from `from` to `to`. */
  #path(from: PortOf, to: Goal): Link[] | undefined {
    const links = this.#live.network.links;
    const first = links.find(({ name }) => name === from.port.link);
    if (first === undefined) return undefined;
    const queue: { at: string; path: Link[] }[] = [{ at: otherEnd(first, from.node.name), path: [first] }];
    const seen = new Set<string>();
    for (const { at, path } of queue) {
      if (path.at(-1)?.name === to.link && at === to.node) return path;
      if (seen.has(at) || this.#live.network.nodes.find(({ name }) => name === at)?.kind !== 'switch') continue;
      seen.add(at);
      for (const link of links) {
        if (link === path.at(-1) || !link.ends.some(({ node }) => node === at)) continue;
        queue.push({ at: otherEnd(link, at), path: [...path, link] });
      }
    }
    return undefined;
  }

  #owner(address: string): PortOf | undefined {
    for (const node of netnsNodes(this.#live.network))
      for (const port of node.ports)
        if (port.addresses.some((own) => own.split('/')[0] === address)) return { node, port };
    return undefined;
  }

  #say(where: string, what: string): void {
    this.#steps.push({ where, what });
  }

  #drop(where: string, what: string): false {
    this.#steps.push({ where, what, dropped: true });
    return false;
  }
}

function ownAddresses(node: NetnsNode): string[] {
  return node.ports.flatMap((port) => port.addresses.map((address) => address.split('/')[0]!));
}

function otherEnd(link: Link, node: string): string {
  return link.ends[0].node === node ? link.ends[1].node : link.ends[0].node;
}
