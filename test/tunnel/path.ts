/**
 * Two ends of a tunnel and the path between them, in virtual time: what `TunnelHealth` is tested on. The path takes packets
 * up to `mtuBytes`, needs `delayNs`, loses what `loses` says, and is a black hole while `isOpen` is false.
 */
import { PROBE_BYTES } from '../../vswitch/tunnel/health/probe.js';
import { ProbeFate, TunnelHealth, type HealthContext } from '../../vswitch/tunnel/health/tunnel-health.js';

/** Of a probe that is not padded: IP, UDP, datagram header, probe, seal. */
export const SMALL_BYTES = 20 + 8 + 20 + PROBE_BYTES + 16;

interface Packet {
  readonly atNs: number;
  readonly to: End;
  readonly message: Uint8Array | null;
}

export class End implements HealthContext {
  readonly health: TunnelHealth;
  /** Of its interface: longer ones are refused at once. */
  interfaceBytes = 65_535;
  /** It does nothing while it is stopped; what arrives waits. */
  isStopped = false;
  /** How often it did anything: what it does at one moment counts as one. */
  wakes = 0;
  #wokeNs = -1;
  /** Sizes of the probes that it sent, in order. */
  readonly asked: number[] = [];
  #sent = 0;
  #received = 0;
  readonly #path: Path;

  constructor(path: Path, largestBytes: number) {
    this.#path = path;
    this.health = new TunnelHealth(this, largestBytes, path.nowNs);
  }

  sendProbe(message: Uint8Array, packetBytes: number): ProbeFate {
    if (packetBytes > this.interfaceBytes) return ProbeFate.tooLong;
    if (packetBytes > 0) this.asked.push(packetBytes);
    this.#path.send(this, message.slice(), Math.max(packetBytes, SMALL_BYTES));
    return ProbeFate.sent;
  }

  wake(): void {
    if (this.#path.nowNs !== this.#wokeNs) this.wakes++;
    this.#wokeNs = this.#path.nowNs;
  }

  /** A datagram with frames, with so long a packet. */
  sendFrames(packetBytes: number): void {
    this.#sent++;
    this.#path.send(this, null, packetBytes);
  }

  receiveFrames(): void {
    this.#received++;
    this.health.heard(this.#path.nowNs);
  }

  nowNs(): number {
    return this.#path.nowNs;
  }

  sentDatagrams(): number {
    return this.#sent;
  }

  receivedDatagrams(): number {
    return this.#received;
  }
}

export class Path {
  mtuBytes = 1500;
  delayNs = 1e6;
  isOpen = true;
  loses: () => boolean = () => false;
  nowNs = 0;
  readonly a: End;
  readonly b: End;
  readonly #flying: Packet[] = [];

  constructor(largestBytes = 1500) {
    this.a = new End(this, largestBytes);
    this.b = new End(this, largestBytes);
  }

  send(from: End, message: Uint8Array | null, packetBytes: number): void {
    if (!this.isOpen || packetBytes > this.mtuBytes || this.loses()) return;
    this.#flying.push({ atNs: this.nowNs + this.delayNs, to: from === this.a ? this.b : this.a, message });
  }

  /** Until so much later. */
  run(ns: number): void {
    const untilNs = this.nowNs + ns;
    for (;;) {
      const awake = [this.a, this.b].filter(({ isStopped }) => !isStopped);
      const pollNs = Math.min(Infinity, ...awake.map(({ health }) => health.nextNs));
      const packet = this.#next();
      const dueNs = Math.min(pollNs, packet?.atNs ?? Infinity);
      if (dueNs > untilNs) break;
      this.nowNs = Math.max(this.nowNs, dueNs);
      if (packet !== undefined && packet.atNs <= dueNs) this.#deliver(packet);
      else for (const end of awake) if (end.health.nextNs <= this.nowNs) this.#poll(end);
    }
    this.nowNs = untilNs;
  }

  #next(): Packet | undefined {
    return this.#flying.filter(({ to }) => !to.isStopped).sort((x, y) => x.atNs - y.atNs)[0];
  }

  #poll(end: End): void {
    end.wake();
    end.health.poll(this.nowNs);
  }

  #deliver(packet: Packet): void {
    packet.to.wake();
    this.#flying.splice(this.#flying.indexOf(packet), 1);
    const { health } = packet.to;
    if (packet.message === null) packet.to.receiveFrames();
    else health.onProbe(packet.message, 0, packet.message.byteLength, this.nowNs);
    if (health.isAsked) health.answer(this.nowNs);
  }
}

/** A coin that falls the same way each time the test runs. */
export function coin(ratio: number, seed = 1): () => boolean {
  let state = seed;
  return () => {
    // xorshift32, Marsaglia 2003.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 < ratio;
  };
}
