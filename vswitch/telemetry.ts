/**
 * Counters in shared memory: the engine's thread adds, the main thread reads without asking. Each field is one double
 * (exact to 2⁵³), written by one thread alone; a reader may see one counter a frame ahead of another.
 *
 *   offset (doubles)          count                     field
 *   0                         GAUGES                    see `Gauge`
 *   GAUGES                    DROP_REASONS              frames dropped, by reason
 *   …                         MAX_PORTS × 7             per port: see `PortField`
 *   …                         MAX_LINKS × 2 × 11        per link: forward, reverse: see `DirectionField`
 *   …                         MAX_PORTS × 20            per port that is a tunnel: see `TunnelField`
 *   …                         MAX_LINKS × 2 × 64        per link: forward, reverse: how late frames left it, see `countLate`
 */
import type { PortCounters, TunnelHealthState } from '../model/messages.js';
import { type EmulationCounters, LATE_NS } from '../model/verdict.js';
import { DROP_REASONS } from './drops.js';
import { MAX_LINKS, MAX_PORTS } from './limits.js';
import { ENDPOINT_BYTES, formatEndpoint } from './tunnel/roaming/endpoint.js';
import { put16, put32 } from './wire/bytes.js';

/**
 * `starved`: how often a device was left unread for want of memory. `compensationNs`: what emulated links leave out of delays,
 * which engines take themselves from the TAP that they read to the one that they write; written by the main thread, before the
 * engine has its first link.
 */
export const Gauge = { slots: 0, freeSlots: 1, starved: 2, compensationNs: 3 } as const;
const GAUGES = 8;

/** Offsets within a port's counters. `rxOverruns` is a VXLAN's; that of a tunnel stands among its fields. */
export const PortField = {
  rxPackets: 0,
  rxBytes: 1,
  txPackets: 2,
  txBytes: 3,
  rxDropped: 4,
  txDropped: 5,
  rxOverruns: 6,
} as const;
const PORT_FIELDS = 7;
/** Words of 32 bits that an address has: `TunnelField.address`. */
export const ADDRESS_WORDS = 4;
/** Offsets within a tunnel's fields. What is not known is NaN. */
export const TunnelField = {
  state: 0,
  sinceNs: 1,
  rttNs: 2,
  leastRttNs: 3,
  lossRatio: 4,
  pathMtuBytes: 5,
  ecnAnomalies: 6,
  address: 7,
  port: 11,
  moves: 12,
  /** 1 or 0. */
  searching: 13,
  peerBufferBytes: 14,
  rxOverruns: 15,
  /** 0: it sends none; else 1 and `parityRatio`. */
  parity: 16,
  sentParity: 17,
  repaired: 18,
  unrepaired: 19,
} as const;
const TUNNEL_FIELDS = 20;
/** By `TunnelField.state`, which is a `PeerState`; 0: the port is no tunnel. */
const PEER_STATES = [undefined, 'waiting', 'alive', 'dead'] as const;

/**
 * Offsets within a direction's counters. Packets and bytes are of frames, as they left the link; the others, of links that
 * are emulated, of packets on a wire.
 */
export const DirectionField = {
  packets: 0,
  bytes: 1,
  lost: 2,
  corrupted: 3,
  duplicated: 4,
  reordered: 5,
  /** Dropped by the queue, for its limit or by its discipline; and marked instead. */
  queueDropped: 6,
  marked: 7,
  /** Dropped since the engine had no memory for them. */
  overloaded: 8,
  /** Frames of which `countLate` was told. */
  timed: 9,
  /** Those of them that were later than `LATE_NS`. */
  late: 10,
} as const;
const DIRECTION_FIELDS = 11;
/** Buckets of lateness: the first is 0 ns, the n-th 2ⁿ⁻¹ ns and more, below 2ⁿ. */
export const LATE_BUCKETS = 64;

/** `SwitchState.links` has the same of a link. */
export interface LinkCounters {
  readonly forwardPackets: number;
  readonly forwardBytes: number;
  readonly reversePackets: number;
  readonly reverseBytes: number;
  /** Absent where nothing was ever emulated. */
  readonly forwardEmulation?: EmulationCounters;
  readonly reverseEmulation?: EmulationCounters;
}

export type TunnelCounters = Omit<TunnelHealthState, 'since'> & { sinceNs: number };

export class Telemetry {
  readonly gauges: Float64Array;
  /** Indexed by `DropReason`. */
  readonly drops: Float64Array;
  readonly ports: Float64Array;
  readonly directions: Float64Array;
  readonly tunnels: Float64Array;
  /** Memory is taken with a direction's first frame. */
  readonly lateness: Float64Array;

  /** On the memory that `allocate` gave, in either thread. */
  constructor(buffer: SharedArrayBuffer) {
    const [gauges, drops, ports, directions, tunnels, lateness] = layout();
    this.gauges = new Float64Array(buffer, gauges.offset, gauges.length);
    this.drops = new Float64Array(buffer, drops.offset, drops.length);
    this.ports = new Float64Array(buffer, ports.offset, ports.length);
    this.directions = new Float64Array(buffer, directions.offset, directions.length);
    this.tunnels = new Float64Array(buffer, tunnels.offset, tunnels.length);
    this.lateness = new Float64Array(buffer, lateness.offset, lateness.length);
  }

  static allocate(): SharedArrayBuffer {
    const last = layout()[5];
    return new SharedArrayBuffer(last.offset + last.length * Float64Array.BYTES_PER_ELEMENT);
  }

  /** Where the fields of port `index` start in `ports`. */
  static portBase(index: number): number {
    return index * PORT_FIELDS;
  }

  /** Where the counters of a link's direction (0 forward, 1 reverse) start in `directions`. */
  static directionBase(link: number, direction: number): number {
    return (2 * link + direction) * DIRECTION_FIELDS;
  }

  /** Where the fields of the tunnel that is port `index` start in `tunnels`. */
  static tunnelBase(index: number): number {
    return index * TUNNEL_FIELDS;
  }

  clearPort(index: number): void {
    this.ports.fill(0, Telemetry.portBase(index), Telemetry.portBase(index + 1));
    this.tunnels.fill(0, Telemetry.tunnelBase(index), Telemetry.tunnelBase(index + 1));
  }

  clearLink(index: number): void {
    for (const direction of [0, 1]) {
      const base = Telemetry.directionBase(index, direction);
      if (this.directions[base + DirectionField.timed]! > 0)
        this.lateness.fill(0, Telemetry.latenessBase(base), Telemetry.latenessBase(base) + LATE_BUCKETS);
      this.directions.fill(0, base, base + DIRECTION_FIELDS);
    }
  }

  /** Where the buckets of the direction start whose counters start at `base`. */
  static latenessBase(base: number): number {
    return (base / DIRECTION_FIELDS) * LATE_BUCKETS;
  }

  /** A frame left an emulated direction so many nanoseconds after it was due: `late[0]`, 0 or more. */
  countLate(base: number, late: Float64Array): void {
    const ns = late[0]!;
    const bucket = ns < 2 ** 31 ? 32 - Math.clz32(ns) : 64 - Math.clz32(ns / 2 ** 32);
    this.directions[base + DirectionField.timed]!++;
    if (ns > LATE_NS) this.directions[base + DirectionField.late]!++;
    this.lateness[Telemetry.latenessBase(base) + bucket]!++;
  }

  port(index: number): PortCounters {
    const base = Telemetry.portBase(index);
    const rxOverruns = this.ports[base + PortField.rxOverruns]!;
    return {
      rxPackets: this.ports[base + PortField.rxPackets]!,
      rxBytes: this.ports[base + PortField.rxBytes]!,
      txPackets: this.ports[base + PortField.txPackets]!,
      txBytes: this.ports[base + PortField.txBytes]!,
      rxDropped: this.ports[base + PortField.rxDropped]!,
      txDropped: this.ports[base + PortField.txDropped]!,
      ...(rxOverruns === 0 ? {} : { rxOverruns }),
    };
  }

  link(index: number): LinkCounters {
    const forward = Telemetry.directionBase(index, 0);
    const reverse = Telemetry.directionBase(index, 1);
    const forwardEmulation = this.emulation(index, 0);
    const reverseEmulation = this.emulation(index, 1);
    return {
      forwardPackets: this.directions[forward + DirectionField.packets]!,
      forwardBytes: this.directions[forward + DirectionField.bytes]!,
      reversePackets: this.directions[reverse + DirectionField.packets]!,
      reverseBytes: this.directions[reverse + DirectionField.bytes]!,
      ...(forwardEmulation === undefined ? {} : { forwardEmulation }),
      ...(reverseEmulation === undefined ? {} : { reverseEmulation }),
    };
  }

  /** Of a direction (0 forward, 1 reverse); undefined where nothing was ever emulated. */
  emulation(index: number, direction: number): EmulationCounters | undefined {
    const base = Telemetry.directionBase(index, direction);
    const count = (field: keyof typeof DirectionField): number => this.directions[base + DirectionField[field]]!;
    const counters = {
      lost: count('lost'),
      corrupted: count('corrupted'),
      duplicated: count('duplicated'),
      reordered: count('reordered'),
      queueDropped: count('queueDropped'),
      marked: count('marked'),
      overloaded: count('overloaded'),
      timed: count('timed'),
      late: count('late'),
    };
    if (Object.values(counters).every((packets) => packets === 0)) return undefined;
    const buckets = this.lateness.subarray(Telemetry.latenessBase(base), Telemetry.latenessBase(base) + LATE_BUCKETS);
    return { ...counters, lateness: [...buckets.subarray(0, buckets.findLastIndex((frames) => frames > 0) + 1)] };
  }

  /** Of the tunnel that is port `index`; undefined when it is none. `sinceNs` is of the engine's clock. */
  tunnel(index: number): TunnelCounters | undefined {
    const base = Telemetry.tunnelBase(index);
    const liveness = PEER_STATES[this.tunnels[base + TunnelField.state]!];
    if (liveness === undefined) return undefined;
    const rttNs = this.tunnels[base + TunnelField.rttNs]!;
    const lossRatio = this.tunnels[base + TunnelField.lossRatio]!;
    const ecnAnomalies = this.tunnels[base + TunnelField.ecnAnomalies]!;
    const peerBufferBytes = this.tunnels[base + TunnelField.peerBufferBytes]!;
    const rxOverruns = this.tunnels[base + TunnelField.rxOverruns]!;
    return {
      liveness,
      sinceNs: this.tunnels[base + TunnelField.sinceNs]!,
      pathMtuBytes: this.tunnels[base + TunnelField.pathMtuBytes]!,
      address: formatEndpoint(this.#endpoint(base)),
      searching: this.tunnels[base + TunnelField.searching] === 1,
      moves: this.tunnels[base + TunnelField.moves]!,
      ...(Number.isNaN(rttNs)
        ? {}
        : { rttNs: Math.round(rttNs), leastRttNs: this.tunnels[base + TunnelField.leastRttNs]! }),
      ...(Number.isNaN(lossRatio) ? {} : { lossRatio }),
      ...(ecnAnomalies === 0 ? {} : { ecnAnomalies }),
      ...(peerBufferBytes === 0 ? {} : { peerBufferBytes }),
      ...(rxOverruns === 0 ? {} : { rxOverruns }),
      ...this.#fec(base),
    };
  }

  /** Of a tunnel that has parity, or whose peer has sent some. */
  #fec(base: number): Pick<TunnelHealthState, 'fec'> {
    const parity = this.tunnels[base + TunnelField.parity]!;
    const sentParity = this.tunnels[base + TunnelField.sentParity]!;
    const repaired = this.tunnels[base + TunnelField.repaired]!;
    const unrepaired = this.tunnels[base + TunnelField.unrepaired]!;
    if (parity === 0 && repaired + unrepaired === 0) return {};
    return { fec: { parityRatio: Math.max(0, parity - 1), sentParity, repaired, unrepaired } };
  }

  #endpoint(base: number): Uint8Array {
    const endpoint = new Uint8Array(ENDPOINT_BYTES);
    for (let i = 0; i < ADDRESS_WORDS; i++) put32(endpoint, 4 * i, this.tunnels[base + TunnelField.address + i]!);
    put16(endpoint, 4 * ADDRESS_WORDS, this.tunnels[base + TunnelField.port]!);
    return endpoint;
  }

  /** Reasons that were counted, with their numbers. */
  dropsByReason(): Record<string, number> {
    const counted: Record<string, number> = {};
    DROP_REASONS.forEach((reason, i) => {
      if (this.drops[i]! > 0) counted[reason] = this.drops[i]!;
    });
    return counted;
  }
}

type Region = { readonly offset: number; readonly length: number };

function layout(): [Region, Region, Region, Region, Region, Region] {
  let offset = 0;
  const region = (length: number): Region => {
    const at = offset;
    offset += length * Float64Array.BYTES_PER_ELEMENT;
    return { offset: at, length };
  };
  return [
    region(GAUGES),
    region(DROP_REASONS.length),
    region(MAX_PORTS * PORT_FIELDS),
    region(MAX_LINKS * 2 * DIRECTION_FIELDS),
    region(MAX_PORTS * TUNNEL_FIELDS),
    region(MAX_LINKS * 2 * LATE_BUCKETS),
  ];
}
