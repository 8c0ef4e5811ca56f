/**
 * Synthetic traffic: a stream of UDP frames from each host to each other one of its LANs, from the seed. Each stream has
 * random numbers of its own, so that to add a host, or a link, changes no other stream.
 *
 *   poisson    the times between frames are exponentially distributed
 *   constant   they are the same; the first frame comes at a random moment of the first of them
 */
import { UsageError } from '../model/errors.js';
import type { Network, Port } from '../model/network.js';
import { RandomStream } from '../vswitch/emulation/random.js';
import { put16 } from '../vswitch/wire/bytes.js';
import { sumBytes } from '../vswitch/wire/checksum.js';
import { Ecn } from '../vswitch/wire/ecn.js';

export interface Traffic {
  readonly pattern: 'poisson' | 'constant';
  /** Of each stream, of frames without FCS. */
  readonly rateBps: number;
  readonly frameBytes: number;
  /** Frames say that their transport understands ECN (ECT(0)). */
  readonly ecn: boolean;
}

/** Ethernet's shortest frame, without FCS. */
export const LEAST_FRAME_BYTES = 60;
const ETHERNET_BYTES = 14;
const IP_AT = ETHERNET_BYTES;
const UDP_AT = IP_AT + 20;
const UDP = 17;
const TTL = 64;
/** RFC 863, discard. */
const DISCARD_PORT = 9;

/** A host's port. */
interface Station {
  readonly host: string;
  readonly port: Port;
  /** Among all of the network. */
  readonly index: number;
}

export class Flow {
  readonly host: string;
  readonly port: string;
  /** All of its frames. */
  readonly bytes: Uint8Array;
  /** When the next one is sent. */
  nextNs: number;
  readonly #intervalNs: number;
  readonly #pattern: Traffic['pattern'];
  readonly #stream: RandomStream;
  readonly #unit: Float64Array;
  /** The same without being rounded. */
  #exactNs: number;

  constructor(from: Station, to: Station, seed: number, traffic: Traffic) {
    this.host = from.host;
    this.port = from.port.name;
    this.bytes = frameOf(from, to, traffic);
    this.#intervalNs = (traffic.frameBytes * 8e9) / traffic.rateBps;
    this.#pattern = traffic.pattern;
    // No link's name has a `>`.
    const name = `${from.host}:${from.port.name}>${to.host}:${to.port.name}`;
    this.#stream = new RandomStream(seed, name, 0, 'traffic');
    this.#unit = new Float64Array(1);
    this.#exactNs = 0;
    this.nextNs = 0;
    if (traffic.pattern === 'constant') this.#advance(this.#draw() * this.#intervalNs);
    else this.sent();
  }

  /** The frame of `nextNs` was. */
  sent(): void {
    this.#advance(this.#pattern === 'constant' ? this.#intervalNs : -Math.log(this.#draw()) * this.#intervalNs);
  }

  #draw(): number {
    this.#stream.unit(this.#unit, 0);
    return this.#unit[0]!;
  }

  #advance(ns: number): void {
    this.#exactNs += ns;
    this.nextNs = Math.floor(this.#exactNs);
  }
}

/** Throws a UsageError where frames are longer than a host can send. */
export function flowsOf(network: Network, traffic: Traffic): Flow[] {
  const stations = network.nodes
    .flatMap((node) => (node.kind === 'host' ? node.ports.map((port) => ({ host: node.name, port })) : []))
    .map((station, index): Station => ({ ...station, index }));
  const byLan = new Map<string, Station[]>();
  for (const station of stations) {
    refuseTooLong(station, traffic);
    const { lan } = station.port;
    byLan.set(lan, [...(byLan.get(lan) ?? []), station]);
  }
  return stations.flatMap((from) =>
    byLan
      .get(from.port.lan)!
      .filter((to) => to.host !== from.host)
      .map((to) => new Flow(from, to, network.seed, traffic)),
  );
}

function refuseTooLong({ host, port }: Station, { frameBytes }: Traffic): void {
  const mostBytes = ETHERNET_BYTES + port.mtuBytes;
  if (frameBytes <= mostBytes) return;
  throw new UsageError(`${host}:${port.name} sends no frames of ${frameBytes} bytes: its MTU is ${port.mtuBytes}`, {
    hint: `give a --size of at most ${mostBytes}B`,
  });
}

/** UDP in IPv4, between addresses of RFC 2544's network for benchmarks: of those of the hosts' own, one may have none. */
function frameOf(from: Station, to: Station, { frameBytes, ecn }: Traffic): Uint8Array {
  const frame = new Uint8Array(frameBytes);
  frame.set(macBytes(to.port.mac), 0);
  frame.set(macBytes(from.port.mac), 6);
  put16(frame, 12, 0x0800);
  frame[IP_AT] = 0x45;
  frame[IP_AT + 1] = ecn ? Ecn.ect0 : Ecn.notEct;
  put16(frame, IP_AT + 2, frameBytes - IP_AT);
  frame[IP_AT + 8] = TTL;
  frame[IP_AT + 9] = UDP;
  frame.set(addressBytes(from), IP_AT + 12);
  frame.set(addressBytes(to), IP_AT + 16);
  put16(frame, IP_AT + 10, ~sumBytes(frame, IP_AT, 20) & 0xffff);
  put16(frame, UDP_AT, DISCARD_PORT);
  put16(frame, UDP_AT + 2, DISCARD_PORT);
  // Its checksum stays 0: there is none (RFC 768).
  put16(frame, UDP_AT + 4, frameBytes - UDP_AT);
  return frame;
}

/** 198.18.0.0/15 has an address for each port that a switch process can have. */
function addressBytes({ index }: Station): number[] {
  const host = index + 1;
  return [198, 18 + ((host >> 16) & 1), (host >> 8) & 255, host & 255];
}

function macBytes(mac: string): number[] {
  return mac.split(':').map((byte) => Number.parseInt(byte, 16));
}
