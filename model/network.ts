/**
 * A resolved network: every default filled in, every address given, every route computed; plain JSON, frozen.
 * `control/scenario/resolve.ts` makes it from a scenario; `control/plan.ts` compares two of them; nothing in it touches a
 * system.
 */
import type { EmulationInputs, LinkProperties } from './emulation.js';
import type { Fec } from './fec.js';
import type { RawLinkProperties } from './link-properties.js';

/** A real machine, or one that the scenario plays as a namespace on a private underlay. */
export interface Machine {
  readonly name: string;
  /** 0…, kept while the network has the machine: its address and ports on the underlay, and the names of its sockets. */
  readonly id: number;
}

export interface Network {
  readonly name: string;
  readonly seed: number;
  /** `auto`: what passes between machines is encrypted and authenticated. */
  readonly seal: 'auto' | 'none';
  /** Forward error correction between machines. Absent: none. */
  readonly fec?: Fec;
  /** At least one. A scenario without `machines` has the single machine `local`. */
  readonly machines: readonly Machine[];
  readonly nodes: readonly Node[];
  readonly links: readonly Link[];
  readonly lans: readonly Lan[];
  /** What links' emulations name, and events. */
  readonly inputs: EmulationInputs;
  /** In order of time. */
  readonly events: readonly NetworkEvent[];
  /** So many of them have passed: `links` are what these have made of them. */
  readonly passedEvents: number;
  /** What /etc/hosts of every host says: `h1` is its first port, `h1.eth1` that one. One entry per (address, names). */
  readonly names: readonly { readonly address: string; readonly names: readonly string[] }[];
}

export type Node = HostNode | RouterNode | SwitchNode | VxlanNode;

export interface HostNode {
  readonly kind: 'host';
  readonly type: 'netns';
  readonly name: string;
  readonly machine: string;
  readonly ports: readonly Port[];
  readonly routes: readonly Route[];
  /** argv; started when the network is up, its output goes to the node's log. */
  readonly command?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Cores, 0.5 is half of one. */
  readonly cpu?: number;
  readonly memoryBytes?: number;
}

/** A host that forwards. */
export interface RouterNode extends Omit<HostNode, 'kind'> {
  readonly kind: 'router';
  readonly routing: 'static';
}

export interface SwitchNode {
  readonly kind: 'switch';
  readonly name: string;
  /** 0…, kept while the switch exists: the tunnels' channel between its parts. */
  readonly id: number;
  /** Machines that hold a part of it: one where it is pinned, else each that has a member. */
  readonly machines: readonly string[];
  /** Forwards the reserved group addresses 01-80-C2-00-00-0x too. */
  readonly transparent: boolean;
}

/** A tunnel endpoint (RFC 7348) that stands for whatever is behind others of the same VNI, on the LAN of the switch it is linked to. */
export interface VxlanNode {
  readonly kind: 'vxlan';
  readonly name: string;
  readonly machine: string;
  readonly vni: number;
  /** Addresses of the other endpoints; none where there is a group. */
  readonly remotes: readonly string[];
  readonly group?: string;
  /** UDP. */
  readonly port: number;
  /** Its own address; any of the machine's where absent. */
  readonly local?: string;
  /** The interface that its datagrams leave and come by; by the routes where absent. */
  readonly device?: string;
  readonly hops: number;
  /** Its machine is played, and its socket in that namespace; else it is in the agent's. */
  readonly isPlayed: boolean;
  /** Of guests: no longer packet passes. */
  readonly mtuBytes: number;
}

export interface Port {
  /** `eth0`: the interface's name inside the host. */
  readonly name: string;
  /** Lower case, colons. */
  readonly mac: string;
  /** With prefix length: `10.0.1.2/24`, `fd00:1::2/64`. */
  readonly addresses: readonly string[];
  readonly mtuBytes: number;
  /** The link that it is an end of. */
  readonly link: string;
  /** The LAN that it is a member of. */
  readonly lan: string;
}

export interface Route {
  /** `0.0.0.0/0`, `::/0`, or a prefix. */
  readonly destination: string;
  /** The next hop's address, of the same family. */
  readonly via: string;
  /** The port that it leaves by. */
  readonly port: string;
}

/** One layer-2 segment: switches joined by links, or a link that no switch is on. */
export interface Lan {
  readonly name: string;
  readonly subnet?: string;
  readonly subnet6?: string;
  /** Names of its switches; empty for a point-to-point link. */
  readonly switches: readonly string[];
}

export interface Link {
  readonly name: string;
  /** 1…65535, kept while the link exists: the tunnel's channel. */
  readonly id: number;
  readonly ends: readonly [LinkEnd, LinkEnd];
  /** First end to second. */
  readonly forward: LinkProperties;
  readonly reverse: LinkProperties;
}

export interface LinkEnd {
  readonly node: string;
  /** `eth0` on a host or router; absent on a switch. */
  readonly port?: string;
}

/** A change of a link at a time. */
export interface NetworkEvent {
  /** Since the network's time zero. */
  readonly atNs: number;
  readonly link: string;
  /** Only the direction that leaves this node. */
  readonly from?: string;
  /** What is not named stays as it is then. */
  readonly set: RawLinkProperties;
}
