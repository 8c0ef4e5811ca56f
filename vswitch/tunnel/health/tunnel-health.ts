/**
 * The health of one tunnel: asks the peer by probes, answers its, and knows from that round-trip time, loss, path MTU, and
 * whether there is anybody. An idle tunnel is asked once a second, with one packet as long as the path takes.
 *
 *   poll ──► PathMtu says when, and how long ──► request ⇢ peer
 *                                                             │
 *   Rtt, Loss, PathMtu, Liveness ◄── onProbe ◄── reply ⇠──────┘
 *
 * Runs in the engine's thread within a tunnel's device, which sends for it and counts for it. Time comes in; nothing is
 * allocated after the start. Called by `../udp.ts`.
 */
import { TunnelField } from '../../telemetry.js';
import { Liveness, PeerState } from './liveness.js';
import { Loss } from './loss.js';
import { PathMtu } from './path-mtu.js';
import { Probe, PROBE_BYTES, ProbeKind } from './probe.js';
import { MAX_TIMEOUT_NS, Rtt } from './rtt.js';

export const ProbeFate = {
  sent: 0,
  /** The interface does not take packets so long. */
  tooLong: 1,
  /** Anything else: it counts as lost. */
  failed: 2,
} as const;

export type ProbeFate = (typeof ProbeFate)[keyof typeof ProbeFate];

/** What health asks of the device that it is in. */
export interface ProbeSender {
  /** Sends a probe of these PROBE_BYTES, padded with zeros until its IP packet has `packetBytes`; 0: not padded. */
  sendProbe(message: Uint8Array, packetBytes: number): ProbeFate;
}

export class TunnelHealth {
  readonly rtt: Rtt;
  readonly loss: Loss;
  readonly liveness: Liveness;
  readonly #pathMtu: PathMtu;
  readonly #sender: ProbeSender;
  readonly #probe: Probe;
  readonly #message: Uint8Array;
  /** Datagrams ever, both counted alike: all but requests, some of which are meant to be lost. */
  #sent: number;
  #received: number;

  constructor(sender: ProbeSender, largestPacketBytes: number, nowNs: number) {
    this.rtt = new Rtt();
    this.loss = new Loss();
    this.liveness = new Liveness(nowNs);
    this.#pathMtu = new PathMtu(largestPacketBytes, nowNs);
    this.#sender = sender;
    this.#probe = new Probe();
    this.#message = new Uint8Array(PROBE_BYTES);
    this.#sent = 0;
    this.#received = 0;
  }

  get nextNs(): number {
    return Math.min(this.#pathMtu.nextNs, this.liveness.nextNs);
  }

  /** No packet of the tunnel is to be larger. */
  get pathMtuBytes(): number {
    return this.#pathMtu.bytes;
  }

  get isDead(): boolean {
    return this.liveness.state === PeerState.dead;
  }

  poll(nowNs: number): void {
    for (;;) {
      const packetBytes = this.#pathMtu.poll(nowNs, this.rtt.timeoutNs);
      if (packetBytes === 0) break;
      this.#ask(packetBytes, nowNs);
    }
    this.liveness.poll(nowNs);
  }

  /** So many datagrams that carry frames went out. */
  sentFrames(datagrams: number): void {
    this.#sent += datagrams;
  }

  /** So many that carry frames came, and are authentic. */
  receivedFrames(datagrams: number, nowNs: number): void {
    this.#received += datagrams;
    this.#heard(nowNs);
  }

  /** The payload of a probe that is authentic, in a row: at least PROBE_BYTES of it. False when it is none. */
  onProbe(bytes: Uint8Array, at: number, lengthBytes: number, nowNs: number): boolean {
    const probe = this.#probe;
    if (!probe.parse(bytes, at, lengthBytes)) return false;
    if (probe.kind === ProbeKind.request) {
      this.#answer();
    } else {
      this.#received++;
      this.#learn(nowNs);
    }
    this.#heard(nowNs);
    return true;
  }

  /** The kernel did not take a datagram for its length, when packets had at most `packetBytes`. */
  refused(packetBytes: number, nowNs: number): void {
    this.#pathMtu.refused(packetBytes, nowNs);
  }

  /** Something says, without proof, that packets are too long. */
  doubtPathMtu(nowNs: number): void {
    this.#pathMtu.doubt(nowNs);
  }

  /** Writes what is known to where others look (`Telemetry`). */
  report(fields: Float64Array, base: number): void {
    fields[base + TunnelField.state] = this.liveness.state;
    fields[base + TunnelField.sinceNs] = this.liveness.sinceNs;
    fields[base + TunnelField.rttNs] = this.rtt.smoothedNs;
    fields[base + TunnelField.leastRttNs] = this.rtt.leastNs;
    fields[base + TunnelField.lossRatio] = this.loss.ratio;
    fields[base + TunnelField.pathMtuBytes] = this.#pathMtu.bytes;
  }

  #ask(packetBytes: number, nowNs: number): void {
    const probe = this.#probe;
    probe.kind = ProbeKind.request;
    probe.packetBytes = packetBytes;
    probe.timeNs = nowNs;
    probe.sent = this.#sent;
    probe.received = 0;
    probe.emit(this.#message, 0);
    // One that is too large for the path is lost though the peer lives.
    if (packetBytes <= this.#pathMtu.bytes) this.liveness.asked();
    const fate = this.#sender.sendProbe(this.#message, packetBytes);
    if (fate === ProbeFate.tooLong) this.#pathMtu.refused(packetBytes, nowNs);
  }

  #answer(): void {
    const probe = this.#probe;
    probe.kind = ProbeKind.reply;
    probe.received = this.#received;
    probe.emit(this.#message, 0);
    if (this.#sender.sendProbe(this.#message, 0) === ProbeFate.sent) this.#sent++;
  }

  #learn(nowNs: number): void {
    const { packetBytes, received, sent, timeNs } = this.#probe;
    const rttNs = nowNs - timeNs;
    // Of a life before this one, made up, or of a peer that slept over it: it is a sign of life and no more.
    if (!(rttNs >= 0 && rttNs <= MAX_TIMEOUT_NS) || sent > this.#sent) return;
    this.rtt.sample(rttNs);
    this.loss.sample(sent, received, nowNs);
    this.#pathMtu.answered(packetBytes, timeNs, nowNs);
  }

  #heard(nowNs: number): void {
    if (this.liveness.heard(nowNs)) this.#pathMtu.askNow(nowNs);
  }
}
