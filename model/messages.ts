/**
 * What our processes say to each other: JSON over HTTP on Unix sockets. The agent tells a switch process the whole of
 * what it should be (`SwitchConfig`); the switch compares it with what it is and applies the difference.
 */
import type { EmulationInputs, LinkProperties } from './emulation.js';
import type { Fec } from './fec.js';
import type { NetworkEvent } from './network.js';
import type { RawLinkProperties } from './scenario.js';
import type { EmulationCounters, Strain, Verdict } from './verdict.js';

/** Of the engine's thread in a switch process, as /proc/PID/task/TID/comm has it. */
export const ENGINE_THREAD = 'engine';

/** `PUT /config` of a switch process. */
export interface SwitchConfig {
  readonly network: string;
  /** Of the network on this machine and its peers: in every datagram of the tunnel. 1…2³²-1 */
  readonly networkNumber: number;
  readonly machine: string;
  readonly bridges: readonly BridgeConfig[];
  readonly devices: readonly DeviceConfig[];
  readonly links: readonly LinkConfig[];
  /** The network's: every random choice follows from it. */
  readonly seed: number;
  /** What links' emulations name. */
  readonly inputs: EmulationInputs;
}

/**
 * `PUT /identity` of a switch process, before the configuration that it is for: who the machine is to its peers, and who
 * they are. PEM. Never shown, never logged, in no record but the one file that it comes from.
 */
export interface SwitchIdentity {
  readonly certificate: string;
  readonly privateKey: string;
  /** Certificates of other machines, by name. */
  readonly peers: Readonly<Record<string, string>>;
  /** The machine has instructions for AES. */
  readonly aesIsFast: boolean;
}

export interface BridgeConfig {
  readonly name: string;
  readonly transparent: boolean;
  /** IEEE 802.1Q calls it the ageing time; 300 by default. */
  readonly ageingSeconds: number;
  /** Most addresses that the FDB learns. */
  readonly fdbLimit: number;
}

/** A device's descriptor is held by the keeper under the device's name. */
/** What the keeper has the times under when frames came to a TAP, where they are written down. */
export function arrivalsName(tap: string): string {
  return `${tap}/arrivals`;
}

export type DeviceConfig = TapConfig | UdpConfig | VxlanConfig;

export interface TapConfig {
  readonly kind: 'tap';
  /** `tap:NODE:PORT` */
  readonly name: string;
  readonly mtuBytes: number;
  readonly vnetHdr: boolean;
}

export interface UdpConfig {
  readonly kind: 'udp';
  /** `udp:MACHINE`, the peer's name: one tunnel carries all links to that machine. */
  readonly name: string;
  /** Where the peer is, until it is found elsewhere. */
  readonly peer: { readonly address: string; readonly port: number };
  /** MTU of the underlay's interface: no datagram's IP packet is larger. */
  readonly pathMtuBytes: number;
  /** 20 or 40: bytes of the underlay's IP header. */
  readonly ipHeaderBytes: number;
  /** `required`: every datagram is sealed, and nothing is sent before there are keys. */
  readonly seal: 'required' | 'none';
  readonly keyLimits?: KeyLimits;
  /** Parity beside what is sent: as much as the measured loss needs, or so much of it. Absent: none. */
  readonly fec?: Fec;
}

/** A VXLAN tunnel endpoint (RFC 7348) of one VNI. */
export interface VxlanConfig {
  readonly kind: 'vxlan';
  /** `vxlan:NODE:…`: with what its socket was opened with. */
  readonly name: string;
  readonly vni: number;
  /** Addresses of the other endpoints; none where there is a group. */
  readonly remotes: readonly string[];
  readonly group?: string;
  /** UDP port that all of them listen at. */
  readonly port: number;
  /** Of guests: longer frames are dropped, as nothing may be fragmented. */
  readonly mtuBytes: number;
}

/** How long keys of a sealed tunnel are used. What is left out is as docs/wire-format.md has it. */
export interface KeyLimits {
  /** Age at which they are replaced. */
  readonly rekeySeconds?: number;
  /** Datagrams sealed with them, of one lane, after which they are replaced; and after which nothing more is sealed. */
  readonly rekeyDatagrams?: number;
  readonly stopDatagrams?: number;
}

/**
 * Both ends are on this machine's engine; what is elsewhere is reached through a tunnel's channel. A direction is emulated
 * by the engine that sends: of a link between machines, each has one direction's emulation.
 */
export interface LinkConfig {
  readonly name: string;
  readonly ends: readonly [LinkEndConfig, LinkEndConfig];
  /** First end to second. */
  readonly forward: LinkProperties;
  readonly reverse: LinkProperties;
  /** What it becomes after that; the process does it by itself. Those that are due already are done at once, in order. */
  readonly later?: readonly LaterChange[];
}

/** All of a link's properties, from a moment on. */
export interface LaterChange {
  /** CLOCK_MONOTONIC of the machine */
  readonly atNs: number;
  readonly forward: LinkProperties;
  readonly reverse: LinkProperties;
}

/** What a link that is there is to be from now on. */
export type LinkChange = Pick<LinkConfig, 'name' | 'forward' | 'reverse'>;

/** `PUT /links` of a switch process: also what it becomes later, in place of what was said of that before. */
export type ScheduledLink = Pick<LinkConfig, 'name' | 'forward' | 'reverse' | 'later'>;

/** `GET /changes?after=N` of a switch process: changes that were due later and were done, all but the first N of its life. */
export interface DoneChange {
  readonly link: string;
  /** When it was due and when it was done. CLOCK_MONOTONIC of the machine */
  readonly atNs: number;
  readonly doneNs: number;
}

export type LinkEndConfig =
  | {
      readonly bridge: string;
      /** Frames are not forwarded between two such ends of one bridge (its other parts have them). */ readonly horizon?: boolean;
    }
  | { readonly tap: string }
  | { readonly udp: string; readonly channel: number }
  | { readonly vxlan: string };

/** rtnl_link_stats64, as far as it applies. rx is what the engine received from the device or link end. */
export interface PortCounters {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxDropped: number;
  readonly txDropped: number;
  /** Of a VXLAN: datagrams that the kernel dropped as its socket was full. Absent while there are none. */
  readonly rxOverruns?: number;
}

/** `GET /state` of a switch process. */
export interface SwitchState {
  readonly pid: number;
  readonly rssBytes: number;
  readonly uptimeNs: number;
  /**
   * Why bursts of small frames take a system call each instead of io_uring, since the start or by now (an errno's name); absent
   * where they do not.
   */
  readonly ioUringError?: string;
  /** Frame memory; `starved`: how often a device was left unread until there was some again. */
  readonly arena: { readonly slots: number; readonly freeSlots: number; readonly starved: number };
  /** What emulated links leave out of their delays: the engine's own time from when a frame is due to the TAP that it writes. */
  readonly compensationNs: number;
  /** TAPs of which nobody writes down when their hosts sent, though links are emulated: delays count from when frames are read. */
  readonly unwatchedTaps: number;
  readonly devices: readonly ({ readonly name: string } & PortCounters)[];
  /** Per link: forward is from the first end to the second. */
  readonly links: readonly {
    readonly name: string;
    readonly state: 'up' | 'down';
    readonly forwardPackets: number;
    readonly forwardBytes: number;
    readonly reversePackets: number;
    readonly reverseBytes: number;
    /** Of what each direction does to frames; absent where that was never anything. */
    readonly forwardEmulation?: EmulationCounters;
    readonly reverseEmulation?: EmulationCounters;
  }[];
  /** When frames left links late, or the engine's thread had to wait for a processor. In order of time. */
  readonly strains: readonly Strain[];
  readonly tunnels: readonly TunnelState[];
  readonly bridges: readonly {
    readonly name: string;
    readonly fdb: readonly { readonly mac: string; readonly link: string; readonly ageSeconds: number }[];
    /** How often an address was not learned because the table was full (`fdbLimit`). */
    readonly fdbRefused: number;
  }[];
  /** By reason (drops.ts), only those above zero. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Of a switch process's tunnel to a peer. */
export interface TunnelState {
  /** The device's. */
  readonly name: string;
  /** The peer's machine. */
  readonly peer: string;
  /**
   * `sealed`: frames pass, each datagram encrypted and authenticated. `handshaking`, `failed`: none pass, and it is
   * being tried on. `unsealed`: the scenario says `seal: none`, frames pass as they are.
   */
  readonly state: 'sealed' | 'unsealed' | 'handshaking' | 'failed';
  readonly algorithm?: 'aes-256-gcm' | 'chacha20-poly1305';
  /** Since these keys are used. */
  readonly epochAgeSeconds?: number;
  /** How often keys were replaced since the process started. */
  readonly rekeys?: number;
  /** Why the last handshake came to nothing; with `sealed`, one that was to replace the keys. */
  readonly reason?: string;
  /** What somebody sent within the last minute that is of another tunnel; anybody may have, in the peer's name. */
  readonly remark?: string;
  /** Absent while the engine has none. */
  readonly health?: TunnelHealthState;
}

/** How a tunnel is, measured by its probes. What is not known yet is left out. */
export interface TunnelHealthState {
  /** `waiting`: it was not heard of yet, and is not given up. `dead`: it says nothing though it is asked. */
  readonly liveness: 'waiting' | 'alive' | 'dead';
  /** Since when. ISO 8601 */
  readonly since: string;
  /** Smoothed (RFC 6298), and the least of the last minute or two. */
  readonly rttNs?: number;
  readonly leastRttNs?: number;
  /** Of the datagrams sent to the peer in the last 16 s, the part that did not arrive: 0 … 1. */
  readonly lossRatio?: number;
  /** Of the underlay's IP packets: what gets through. */
  readonly pathMtuBytes: number;
  /**
   * Frames received, dropped ones included, whose ECN field goes together with that of their datagrams as nobody should make
   * it (RFC 6040 §4.2): something on the way marks what it must not. Absent while there are none.
   */
  readonly ecnAnomalies?: number;
  /**
   * Of the peer's socket, as its probes say: what it holds unread, as Linux counts it (SO_RCVBUF, twice what was asked for).
   * Absent while it has not said.
   */
  readonly peerBufferBytes?: number;
  /**
   * What the kernel dropped as this end's receive buffer was full, since the socket was opened; what it had merged counts as
   * one. Absent while there are none.
   */
  readonly rxOverruns?: number;
  /** Absent where the network has no `fec`, and nothing was rebuilt. */
  readonly fec?: {
    /** Datagrams of parity that this end sends with each of data, of a super-frame: 0 while `auto` sees no loss. */
    readonly parityRatio: number;
    readonly sentParity: number;
    /** Of what the peer sent and did not come: what was rebuilt, and what its parity was not enough for. */
    readonly repaired: number;
    readonly unrepaired: number;
  };
  /** Where it is, as it has proven: `192.0.2.1:7000`, `[2001:db8::1]:7000`. */
  readonly address: string;
  /**
   * Whether it is looked for, or was found a moment ago: meanwhile the socket hears everybody. A process that is ended then
   * begins where the peer is configured to be.
   */
  readonly searching: boolean;
  /** How often it was found elsewhere than before, since the process started. */
  readonly moves: number;
}

/** `GET /drops`: the flight recorder, oldest first. */
export interface DropRecord {
  /** Nanoseconds since 1970. */
  readonly unixNs: string;
  readonly reason: string;
  /** Device or link that it came by. */
  readonly where: string;
  readonly lengthBytes: number;
  /** First bytes of the frame, hexadecimal: at most 64. */
  readonly header: string;
}

// --- agent -----------------------------------------------------------------------------------------------------------

/** Lines (NDJSON) that `POST /networks` and `DELETE /networks/NAME` answer while they work. */
export type Progress =
  | { readonly type: 'plan'; readonly steps: readonly string[] }
  | {
      readonly type: 'step';
      readonly index: number;
      readonly title: string;
      readonly status: 'start' | 'done' | 'undone';
      readonly ms?: number;
      readonly detail?: string;
    }
  | ({ readonly type: 'notice' } & Notice)
  /** Of a network with emulated links, before it goes. */
  | { readonly type: 'verdict'; readonly verdict: Verdict }
  | {
      readonly type: 'done';
      readonly ms: number;
      readonly summary: string;
      /** The agent's pid, when it ends now because nothing is left to do. */ readonly endingPid?: number;
    }
  | { readonly type: 'error'; readonly code: string; readonly message: string; readonly hint?: string };

/** What works, but not as well as it could here: its effect, and the command that mends it. Said once an operation. */
export interface Notice {
  readonly message: string;
  readonly hint?: string;
}

/** `POST /plan`: what `up --plan --json` prints under `plan`. */
export interface PlanReport {
  readonly network: string;
  /** Whether one of that name runs, and would be changed. */
  readonly runs: boolean;
  readonly differences: readonly Difference[];
  /** What would be done, in order. */
  readonly steps: readonly string[];
}

/** Of two networks: what is new, gone or different. */
export interface Difference {
  readonly change: 'add' | 'remove' | 'change';
  readonly kind: 'network' | 'machine' | 'host' | 'router' | 'switch' | 'vxlan' | 'link';
  readonly name: string;
  /** What of it, in words: `address of eth0: 10.0.0.2/24 → 10.0.0.9/24`. */
  readonly details: readonly string[];
}

/** `GET /networks`: what `ls --json` prints under `networks`. */
export interface NetworkSummary {
  readonly name: string;
  /** `lost`: the machine was restarted since. */
  readonly status: 'running' | 'starting' | 'changing' | 'stopping' | 'broken' | 'lost';
  readonly machines: number;
  readonly hosts: number;
  readonly switches: number;
  readonly routers: number;
  readonly links: number;
  /** `none`: what passes between machines can be read, changed and forged on its way. */
  readonly seal: 'auto' | 'none';
  readonly file?: string;
  /** ISO 8601 */
  readonly since: string;
  /** Time zero, from which its events are counted: when all of it was ready for the first time. ISO 8601 */
  readonly zero?: string;
  /** Why its status is `broken` or `lost`, in words. */
  readonly broken?: readonly string[];
}

/** `GET /networks/NAME`: what `inspect --json` prints under `network`. */
export interface NetworkState extends NetworkSummary {
  readonly nodes: readonly NodeState[];
  /** Of all its events, how many have happened, and which is next. Absent where it has none. */
  readonly schedule?: { readonly events: number; readonly done: number; readonly next?: EventState };
  readonly linkStates: readonly {
    readonly name: string;
    readonly ends: readonly [string, string];
    readonly state: 'up' | 'down';
    /** What each direction does to frames, as it would be written: only what differs from a link that nothing was asked of. */
    readonly forward: RawLinkProperties;
    readonly reverse: RawLinkProperties;
    readonly forwardPackets: number;
    readonly forwardBytes: number;
    readonly reversePackets: number;
    readonly reverseBytes: number;
  }[];
  readonly lans: readonly {
    readonly name: string;
    readonly subnet?: string;
    readonly subnet6?: string;
    readonly switches: readonly string[];
  }[];
  /** `state` is absent where the process does not answer. */
  readonly switchProcesses: readonly { readonly machine: string; readonly pid: number; readonly state?: SwitchState }[];
  readonly drops: Readonly<Record<string, number>>;
}

/** `PATCH /networks/NAME/links/LINK`: what `set --json` prints, beside the network. */
export interface LinkSettings {
  readonly link: string;
  readonly ends: readonly [string, string];
  readonly forward: RawLinkProperties;
  readonly reverse: RawLinkProperties;
  /**
   * Since when, by CLOCK_MONOTONIC of the machine: when the last switch process that runs and has it had done it. One that does not run is
   * told once it does. Absent: none runs.
   */
  readonly doneMonotonicNs?: number;
}

/** `GET /networks/NAME/events`: what `inspect --events --json` prints under `events`. Times are since time zero. */
export interface EventState extends NetworkEvent {
  /** Absent while it has not happened. */
  readonly doneNs?: number;
}

export interface NodeState {
  readonly name: string;
  readonly kind: 'host' | 'router' | 'switch' | 'vxlan';
  /** One, but for a switch that has parts on several. */
  readonly machines: readonly string[];
  /** The init's pid on a host or router. */
  readonly pid?: number;
  readonly command?: {
    readonly argv: readonly string[];
    readonly status: 'running' | 'exited' | 'signalled' | 'lost';
    readonly code?: number;
  };
  readonly ports: readonly ({
    readonly name: string;
    readonly link: string;
    readonly mac: string;
    readonly addresses: readonly string[];
    readonly mtuBytes: number;
  } & Partial<PortCounters>)[];
  /** Of a VXLAN, which has no ports. */
  readonly vxlan?: {
    readonly vni: number;
    readonly remotes: readonly string[];
    readonly group?: string;
    /** UDP. */
    readonly port: number;
    readonly mtuBytes: number;
    readonly link: string;
  } & Partial<PortCounters>;
}

/** `GET /networks/NAME/nodes/NODE`: all that `exec`, `shell` and `logs` need. */
export interface NodeAccess {
  readonly network: string;
  readonly node: string;
  readonly pid: number;
  /** When that process started, proc(5) stat field 22: a pid alone may be another's by now. */
  readonly start: number;
  readonly cgroups: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}

/** `GET /networks/NAME/trace`: the walk of a frame in words, one step per hop of its way. */
export interface TraceReport {
  readonly from: string;
  readonly to: string;
  readonly reached: boolean;
  readonly steps: readonly { readonly where: string; readonly what: string; readonly dropped?: boolean }[];
}
