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

/** Requests that are answered in a row: an honest peer asks a few at once, none sends so many. */
const MAX_REPLIES = 16;

/** Requests of one `poll`; what is still due then is due at once. */
const MAX_REQUESTS = 4;

export const ProbeFate = {
  sent: 0,
  /** The interface does not take packets so long. */
  tooLong: 1,
  /** Anything else: it counts as lost. */
  failed: 2,
} as const;

export type ProbeFate = (typeof ProbeFate)[keyof typeof ProbeFate];

/** What health asks of the device that it is in. */
export interface HealthContext {
  /** This very moment, by the clock that all other times are of. */
  nowNs(): number;
  /** Datagrams with frames that went out, and those that came and are authentic, ever. */
  sentDatagrams(): number;
  receivedDatagrams(): number;
  /** Sends a probe of these PROBE_BYTES, padded with zeros until its IP packet has `packetBytes`; 0: not padded. */
  sendProbe(message: Uint8Array, packetBytes: number): ProbeFate;
}

export class TunnelHealth {
  readonly rtt: Rtt;
  readonly loss: Loss;
  readonly liveness: Liveness;
  /** What the peer's socket holds unread, as it said last; 0: it has not. */
  peerBufferBytes: number;
  readonly #bufferBytes: number;
  readonly #pathMtu: PathMtu;
  readonly #context: HealthContext;
  readonly #probe: Probe;
  readonly #request: Uint8Array;
  /** That wait for `answer`. */
  readonly #replies: readonly Uint8Array[];
  #replyCount: number;
  /** Replies ever. Requests are not counted: some of them are meant to be lost. */
  #sentReplies: number;
  #receivedReplies: number;

  /** `largestPacketBytes`: of the interface's IP packets. `bufferBytes`: SO_RCVBUF of our socket; 0: it is not told. */
  constructor(context: HealthContext, largestPacketBytes: number, nowNs: number, bufferBytes = 0) {
    this.rtt = new Rtt();
    this.loss = new Loss();
    this.liveness = new Liveness(nowNs);
    this.peerBufferBytes = 0;
    this.#bufferBytes = bufferBytes;
    this.#pathMtu = new PathMtu(largestPacketBytes, nowNs);
    this.#context = context;
    this.#probe = new Probe();
    this.#request = new Uint8Array(PROBE_BYTES);
    this.#replies = Array.from({ length: MAX_REPLIES }, () => new Uint8Array(PROBE_BYTES));
    this.#replyCount = 0;
    this.#sentReplies = 0;
    this.#receivedReplies = 0;
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
    for (let asked = 0; asked < MAX_REQUESTS; asked++) {
      const packetBytes = this.#pathMtu.poll(nowNs, this.rtt.timeoutNs);
      if (packetBytes === 0) break;
      this.#ask(packetBytes, nowNs);
    }
    this.liveness.poll(nowNs);
  }

  /** Something authentic came from the peer. */
  heard(nowNs: number): void {
    if (this.liveness.heard(nowNs)) this.#pathMtu.askNow(nowNs);
  }

  /** Replies wait for `answer`. */
  get isAsked(): boolean {
    return this.#replyCount > 0;
  }

  /**
   * Sends the replies to what came, and asks in turn where that is due soon: when all that was read is dealt with, as the
   * device reads and sends by the same arrays.
   */
  answer(nowNs: number): void {
    for (let i = 0; i < this.#replyCount; i++) {
      if (this.#context.sendProbe(this.#replies[i]!, 0) === ProbeFate.sent) this.#sentReplies++;
    }
    this.#replyCount = 0;
    this.#pathMtu.asked(nowNs);
    this.poll(nowNs);
  }

  /** The payload of a probe that is authentic, its first PROBE_BYTES in a row. False when it is none. */
  onProbe(bytes: Uint8Array, at: number, lengthBytes: number, nowNs: number): boolean {
    const probe = this.#probe;
    if (!probe.parse(bytes, at, lengthBytes)) return false;
    if (probe.kind === ProbeKind.request) {
      this.peerBufferBytes = probe.bufferBytes;
      this.#prepareReply();
    } else {
      this.#receivedReplies++;
      this.#learn(nowNs);
    }
    this.heard(nowNs);
    return true;
  }

  /**
   * The kernel did not take a datagram with frames for its length: the interface takes less than it did. True when packets
   * are smaller from now on, so that what is left to be sent goes.
   */
  refused(nowNs: number): boolean {
    const before = this.#pathMtu.bytes;
    this.#pathMtu.refused(before, nowNs);
    return this.#pathMtu.bytes < before;
  }

  /** The peer was found at another address: what was measured is of another path (RFC 9000 §9.4). */
  moved(nowNs: number): void {
    this.rtt.reset();
    this.#pathMtu.reset(nowNs);
    this.heard(nowNs);
  }

  /** There are new keys: a peer that was not heard so far can answer now. */
  keyed(nowNs: number): void {
    if (this.liveness.state !== PeerState.alive) this.#pathMtu.askNow(nowNs);
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
    fields[base + TunnelField.peerBufferBytes] = this.peerBufferBytes;
  }

  #ask(packetBytes: number, nowNs: number): void {
    const probe = this.#probe;
    probe.kind = ProbeKind.request;
    probe.packetBytes = packetBytes;
    probe.timeNs = this.#context.nowNs();
    probe.sent = this.#sent();
    probe.bufferBytes = this.#bufferBytes;
    probe.emit(this.#request, 0);
    // One that is too large for the path is lost though the peer lives.
    if (packetBytes <= this.#pathMtu.bytes) this.liveness.asked();
    const fate = this.#context.sendProbe(this.#request, packetBytes);
    if (fate === ProbeFate.tooLong) this.#pathMtu.refused(packetBytes, nowNs);
  }

  #prepareReply(): void {
    if (this.#replyCount === MAX_REPLIES) return;
    const probe = this.#probe;
    probe.kind = ProbeKind.reply;
    probe.received = this.#context.receivedDatagrams() + this.#receivedReplies;
    probe.emit(this.#replies[this.#replyCount++]!, 0);
  }

  #learn(nowNs: number): void {
    const { packetBytes, received, sent, timeNs } = this.#probe;
    const rttNs = this.#context.nowNs() - timeNs;
    // Of a life before this one, made up, or of a peer that slept over it: it is a sign of life and no more.
    if (!(rttNs >= 0 && rttNs <= MAX_TIMEOUT_NS) || sent > this.#sent()) return;
    this.rtt.sample(rttNs);
    this.loss.sample(sent, received, nowNs);
    this.#pathMtu.answered(packetBytes, timeNs, nowNs);
  }

  #sent(): number {
    return this.#context.sentDatagrams() + this.#sentReplies;
  }
}
