/**
 * The keys of all tunnels of a switch process: between the engine, which seals with them, and the peers, with which they
 * are agreed. Runs in the main thread, so that the engine never waits for it. `control.ts` tells it who the machine is and
 * which tunnels there are.
 */
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import type { SwitchConfig, SwitchIdentity, TunnelState, UdpConfig } from '../../model/messages.js';
import type { Timer } from '../timer.js';
import { WIRE_VERSION } from '../tunnel/wire.js';
import type { EpochKeys } from '../device/device.js';
import type { Done } from './epochs.js';
import type { Role } from './session.js';
import type { tlsSessions } from './tls-session.js';
import { TunnelHandshake } from './tunnel-handshake.js';

/** What the engines' threads do for us, each in the order in which it is asked. */
export interface SealingEngine {
  /** How many threads seal for a tunnel, each with keys of its own: 1 … 8. */
  lanesOf(tunnel: UdpConfig): number;
  /** Rejects where the engine refuses, and says why. */
  installKeys(device: string, keys: EpochKeys): Promise<unknown>;
  useKeys(device: string, epoch: number): Promise<unknown>;
  dropKeys(device: string, epoch: number): void;
  markHandshakes(device: string, mark: Uint8Array): void;
  sendHandshake(device: string, payload: Uint8Array, isSealed: boolean): void;
}

/** What people are told, in a switch process's log. */
export interface HandshakeLog {
  failed(peer: string, reason: string): void;
  /** Somebody sends what is of another tunnel. */
  remarked(peer: string, remark: string): void;
  /** After it had failed. */
  recovered(peer: string): void;
}

/** As a counter has: it stands in its place. */
const MARK_BYTES = 8;
/** A reason is logged at most this often for each peer. */
const LOG_PAUSE_MS = 60_000;
/** Whoever waits for all tunnels is told how it stands when none has been sealed for so long. */
const STALLED_MS = 10_000;

interface Tunnel {
  readonly config: UdpConfig;
  readonly networkNumber: number;
  readonly peer: string;
  /** The last one, and when that was; and when one was last logged. */
  remark: { readonly text: string; readonly atMs: number } | undefined;
  remarkedMs: number;
  /** Absent where it is not to be sealed, or we lack what it takes. */
  readonly keys: TunnelHandshake | undefined;
}

interface Waiting {
  readonly resolve: (states: TunnelState[]) => void;
  untilMs: number;
}

export class Handshakes {
  readonly #engine: SealingEngine;
  readonly #timer: Timer;
  readonly #log: HandshakeLog;
  /** By device. */
  readonly #tunnels: Map<string, Tunnel>;
  /** By peer: when its last failure was logged, and whether that is how it still stands. */
  readonly #logged: Map<string, { atMs: number; isFailing: boolean }>;
  #waiting: Waiting[];
  #identity: { readonly own: SwitchIdentity; readonly tlsSessions: typeof tlsSessions } | undefined;

  constructor(engine: SealingEngine, timer: Timer, log: HandshakeLog) {
    this.#engine = engine;
    this.#timer = timer;
    this.#log = log;
    this.#tunnels = new Map();
    this.#logged = new Map();
    this.#waiting = [];
    this.#identity = undefined;
  }

  /** Counts for tunnels that are configured from here on. TLS is loaded where it is needed. */
  async identify(own: SwitchIdentity): Promise<void> {
    const { tlsSessions } = await import('./tls-session.js');
    this.#identity = { own, tlsSessions };
  }

  /** After the engine has applied a configuration, in which it opened some devices anew: these have no keys. */
  configure(config: SwitchConfig, opened: readonly string[]): void {
    const anew = new Set(opened);
    const wanted = new Map(config.devices.flatMap((device) => (device.kind === 'udp' ? [[device.name, device]] : [])));
    for (const [name, { keys }] of this.#tunnels) {
      if (wanted.has(name) && !anew.has(name)) continue;
      keys?.close();
      this.#tunnels.delete(name);
    }
    for (const [name, device] of wanted)
      if (!this.#tunnels.has(name)) this.#tunnels.set(name, this.#tunnel(config, device));
    this.#attend();
  }

  get states(): TunnelState[] {
    const sinceMs = this.#timer.nowMs() - LOG_PAUSE_MS;
    return [...this.#tunnels.values()].map(({ config: { name, seal }, peer, keys, remark }) => {
      const remarked = remark !== undefined && remark.atMs > sinceMs ? { remark: remark.text } : {};
      if (keys !== undefined) return { name, peer, ...keys.state, ...remarked };
      if (seal === 'none') return { name, peer, state: 'unsealed', ...remarked };
      return { name, peer, state: 'failed', reason: `this machine has no certificate of ${peer}` };
    });
  }

  /** How the tunnels stand when all that are to be sealed are, or nothing has come of it for a while. */
  settled(): Promise<TunnelState[]> {
    return new Promise((resolve) => {
      this.#waiting.push({ resolve, untilMs: this.#timer.nowMs() + STALLED_MS });
      this.#attend();
    });
  }

  /** A handshake datagram's payload: of the peer where it came sealed, else from anybody. */
  received(device: string, payload: Uint8Array, isSealed: boolean): void {
    this.#tunnels.get(device)?.keys?.receive(payload, isSealed);
    this.#attend();
  }

  /** The first datagram that the peer has sealed in that epoch. */
  epochSeen(device: string, epoch: number): void {
    this.#tunnels.get(device)?.keys?.epochSeen(epoch);
    this.#attend();
  }

  /** That epoch has sealed as much as one may. */
  usedUp(device: string, epoch: number): void {
    this.#tunnels.get(device)?.keys?.rekey(epoch);
    this.#attend();
  }

  /** That epoch has sealed all that it may. */
  spent(device: string, epoch: number): void {
    this.#tunnels.get(device)?.keys?.spent(epoch);
    this.#attend();
  }

  /** The engine looks for the peer, or has found it. */
  searching(device: string, isSearching: boolean): void {
    this.#tunnels.get(device)?.keys?.searching(isSearching);
    this.#attend();
  }

  /** A datagram of another version or network came, from anybody: it is said, and changes nothing. */
  foreign(device: string, version: number, network: number): void {
    const tunnel = this.#tunnels.get(device);
    if (tunnel === undefined) return;
    const { peer, networkNumber } = tunnel;
    const text =
      version === WIRE_VERSION
        ? `${peer} belongs to another network (number ${network}, this machine's is ${networkNumber})`
        : `${peer} speaks version ${version} of the wire format (this machine ${WIRE_VERSION})`;
    const atMs = this.#timer.nowMs();
    tunnel.remark = { text, atMs };
    if (atMs - tunnel.remarkedMs < LOG_PAUSE_MS) return;
    tunnel.remarkedMs = atMs;
    this.#log.remarked(peer, text);
  }

  #tunnel({ machine, networkNumber }: SwitchConfig, config: UdpConfig): Tunnel {
    const { name: device } = config;
    const peer = config.name.slice('udp:'.length);
    const identity = this.#identity;
    const peerCertificate = identity?.own.peers[peer];
    if (config.seal === 'none' || identity === undefined || peerCertificate === undefined)
      return { config, networkNumber, peer, remark: undefined, remarkedMs: -Infinity, keys: undefined };
    const { certificate, privateKey, aesIsFast } = identity.own;
    const engine = this.#engine;
    const role = roleOf(machine, peer);
    engine.markHandshakes(
      device,
      role === 'initiator' ? markOf(certificate, peerCertificate) : markOf(peerCertificate, certificate),
    );
    const rekeySeconds = config.keyLimits?.rekeySeconds;
    const keys = new TunnelHandshake({
      role,
      ...(rekeySeconds === undefined ? {} : { rekeyMs: 1e3 * rekeySeconds }),
      peer,
      nowMs: () => this.#timer.nowMs(),
      random: (bytes) => randomBytes(bytes),
      send: (payload, isSealed) => engine.sendHandshake(device, payload, isSealed),
      startSession: identity.tlsSessions(
        { certificate, privateKey, peerCertificate },
        { wireVersion: WIRE_VERSION, networkNumber, machine, peer, lanes: engine.lanesOf(config), aesIsFast },
      ),
      keys: {
        install: (epochKeys, done) => this.#settle(engine.installKeys(device, epochKeys), done),
        sendWith: (epoch, done) => this.#settle(engine.useKeys(device, epoch), done),
        drop: (epoch) => engine.dropKeys(device, epoch),
      },
      // It may be in the middle of something: what is due is done when it has ended.
      onChanged: () => this.#arm(),
      onFailed: (reason) => this.#failed(peer, reason),
      onSealed: () => this.#sealed(peer),
    });
    return { config, networkNumber, peer, remark: undefined, remarkedMs: -Infinity, keys };
  }

  #settle(answer: Promise<unknown>, done: Done): void {
    answer
      .then(
        () => done(),
        (error: unknown) => done(`this machine's switch does not take the keys: ${(error as Error).message}`),
      )
      .finally(() => this.#attend());
  }

  #sealed(peer: string): void {
    const logged = this.#logged.get(peer);
    if (logged?.isFailing === true) {
      logged.isFailing = false;
      this.#log.recovered(peer);
    }
    const nowMs = this.#timer.nowMs();
    for (const waiting of this.#waiting) waiting.untilMs = nowMs + STALLED_MS;
    this.#tellWaiting(nowMs);
  }

  #failed(peer: string, reason: string): void {
    const atMs = this.#timer.nowMs();
    if (atMs - (this.#logged.get(peer)?.atMs ?? -Infinity) < LOG_PAUSE_MS) return;
    this.#logged.set(peer, { atMs, isFailing: true });
    this.#log.failed(peer, reason);
  }

  /** Does what is due, and sets the timer for what is next. Not called from within what it does. */
  #attend(): void {
    const nowMs = this.#timer.nowMs();
    for (const { keys } of this.#tunnels.values()) if (keys !== undefined && keys.nextMs <= nowMs) keys.poll();
    this.#tellWaiting(nowMs);
    this.#arm();
  }

  #arm(): void {
    let nextMs = Infinity;
    for (const { keys } of this.#tunnels.values()) if (keys !== undefined) nextMs = Math.min(nextMs, keys.nextMs);
    for (const { untilMs } of this.#waiting) nextMs = Math.min(nextMs, untilMs);
    this.#timer.wakeAt(nextMs, () => this.#attend());
  }

  #tellWaiting(nowMs: number): void {
    if (this.#waiting.length === 0) return;
    const areSealed = [...this.#tunnels.values()].every(
      ({ config, keys }) => config.seal === 'none' || keys?.isSealed === true,
    );
    const told = this.#waiting.filter(({ untilMs }) => areSealed || untilMs <= nowMs);
    this.#waiting = this.#waiting.filter((waiting) => !told.includes(waiting));
    for (const { resolve } of told) resolve(this.states);
  }
}

/** The machine whose name comes first begins. Both ends know both names, also where one has a wrong certificate. */
function roleOf(machine: string, peer: string): Role {
  return machine < peer ? 'initiator' : 'responder';
}

/**
 * What the tunnel's handshake datagrams bear. It proves nothing, as whoever sees one has it; but certificates only pass
 * within TLS, so whoever sees none cannot have it.
 */
function markOf(initiator: string, responder: string): Uint8Array {
  const hash = createHash('sha256').update('Luthier handshake');
  for (const certificate of [initiator, responder]) hash.update(new X509Certificate(certificate).raw);
  return hash.digest().subarray(0, MARK_BYTES);
}
