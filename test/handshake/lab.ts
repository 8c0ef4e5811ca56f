/**
 * Two ends of a tunnel on a virtual clock, and a path between them that loses, doubles, delays and forges as it is told.
 * The lab is the engine of both ends as well: it knows with which keys each would seal at any moment, and whether the
 * other end could open it.
 */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { EpochKeys } from '../../vswitch/device/device.js';
import type { Role, StartSession } from '../../vswitch/handshake/session.js';
import { TunnelHandshake } from '../../vswitch/handshake/tunnel-handshake.js';
import { rehearsals } from './rehearsal.js';

export interface Path {
  readonly delayMs: number;
  readonly jitterMs?: number;
  readonly lossRatio?: number;
  /** Of those that are not sealed. */
  readonly openLossRatio?: number;
  readonly duplicateRatio?: number;
  /** Of these, one byte is another on arrival. */
  readonly corruptRatio?: number;
  /** The same, of those that are not sealed alone. */
  readonly openCorruptRatio?: number;
}

/** With what it is sealed. */
interface Seal {
  readonly epoch: number;
  readonly key: Uint8Array;
}

interface Arrival {
  readonly atMs: number;
  readonly to: End;
  readonly payload: Uint8Array;
  readonly seal: Seal | undefined;
}

export class Lab {
  nowMs = 0;
  path: Path;
  readonly ends: { initiator: End; responder: End };
  /** Handshake datagrams on their way. */
  #arrivals: Arrival[] = [];
  readonly #random: () => number;

  /** `rekeyMs`: as of the tunnels' options. */
  constructor(
    path: Path,
    seed = 1,
    readonly rekeyMs?: number,
  ) {
    const generator = xoroshiro128plus(seed);
    this.path = path;
    this.#random = () => (generator.next() >>> 0) / 2 ** 32;
    this.ends = { initiator: new End(this, 'initiator'), responder: new End(this, 'responder') };
  }

  randomBytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => Math.floor(this.#random() * 256));
  }

  carry(from: End, payload: Uint8Array, seal: Seal | undefined): void {
    const {
      delayMs,
      jitterMs = 0,
      lossRatio = 0,
      openLossRatio = 0,
      duplicateRatio = 0,
      corruptRatio = 0,
      openCorruptRatio = 0,
    } = this.path;
    const to = from === this.ends.initiator ? this.ends.responder : this.ends.initiator;
    if (this.#random() < Math.max(lossRatio, seal === undefined ? openLossRatio : 0)) return;
    for (let copies = this.#random() < duplicateRatio ? 2 : 1; copies > 0; copies--) {
      const copy = payload.slice();
      const isCorrupted = this.#random() < Math.max(corruptRatio, seal === undefined ? openCorruptRatio : 0);
      if (isCorrupted) copy[Math.floor(this.#random() * copy.byteLength)]! ^= 1 + Math.floor(this.#random() * 255);
      // A seal is broken so, and its counter let through once.
      if (seal !== undefined && (isCorrupted || copies > 1)) continue;
      this.#arrivals.push({ atMs: this.nowMs + delayMs + this.#random() * jitterMs, to, payload: copy, seal });
    }
  }

  /** Lets time pass until `isDone`, or `ms` later. Returns how long it took. */
  run(ms: number, isDone: () => boolean = () => false): number {
    const startMs = this.nowMs;
    const endMs = startMs + ms;
    while (!isDone()) {
      const nextMs = Math.min(
        ...this.#arrivals.map(({ atMs }) => atMs),
        this.ends.initiator.nextMs,
        this.ends.responder.nextMs,
      );
      if (nextMs > endMs) {
        this.nowMs = endMs;
        break;
      }
      this.nowMs = Math.max(this.nowMs, nextMs);
      const due = this.#arrivals.filter(({ atMs }) => atMs <= this.nowMs).sort((a, b) => a.atMs - b.atMs);
      this.#arrivals = this.#arrivals.filter(({ atMs }) => atMs > this.nowMs);
      for (const { to, payload, seal } of due) to.receive(payload, seal);
      for (const end of Object.values(this.ends)) end.poll();
    }
    return this.nowMs - startMs;
  }

  /** What is on its way gets lost. */
  lose(): void {
    this.#arrivals = [];
  }

  /** Whether frames pass both ways with keys that were exchanged after the ends' last restarts. */
  get isSealed(): boolean {
    return this.ends.initiator.isHeard && this.ends.responder.isHeard;
  }

  until(isDone: () => boolean, ms: number): number {
    const took = this.run(ms, isDone);
    if (!isDone()) throw new Error(`not within ${ms} ms`);
    return took;
  }
}

/** One end: its tunnel's keys, and the engine's part of them. */
export class End {
  readonly sent: Uint8Array[] = [];
  readonly failures: string[] = [];
  /** Those of them that were not sealed. */
  readonly sentOpen: Uint8Array[] = [];
  sealed = 0;
  state!: TunnelHandshake;
  /** By epoch: what can be opened. */
  installed = new Map<number, EpochKeys>();
  sendsWith: number | undefined;
  startSession: StartSession;
  /** What the engine says to all keys, and to those that it is to seal with: refused where it is anything. */
  installRefusal: string | undefined;
  sendRefusal: string | undefined;
  /** Where it is there: what the engine answers to the second waits here. */
  withheld: (() => void)[] | undefined;
  readonly #lab: Lab;
  readonly #role: Role;
  isAlive = true;

  constructor(lab: Lab, role: Role) {
    this.#lab = lab;
    this.#role = role;
    this.startSession = rehearsals((bytes) => lab.randomBytes(bytes));
    this.restart();
  }

  /** A new process: no memory of anything. */
  restart(): void {
    this.isAlive = true;
    this.installed = new Map();
    this.sendsWith = undefined;
    this.state = new TunnelHandshake({
      role: this.#role,
      ...(this.#lab.rekeyMs === undefined ? {} : { rekeyMs: this.#lab.rekeyMs }),
      peer: this.#role === 'initiator' ? 'responder' : 'initiator',
      nowMs: () => this.#lab.nowMs,
      random: (bytes) => this.#lab.randomBytes(bytes),
      send: (payload, isSealed) => {
        const keys = isSealed ? this.installed.get(this.sendsWith!) : undefined;
        if (isSealed && keys === undefined) return;
        this.sent.push(payload);
        if (!isSealed) this.sentOpen.push(payload);
        this.#lab.carry(this, payload, keys === undefined ? undefined : { epoch: keys.epoch, key: keys.send[0]! });
      },
      startSession: (role, events) => this.startSession(role, events),
      keys: {
        // What is installed is a copy, as the engine's is: the keys are wiped behind it.
        install: (keys, done) => {
          const own = { ...keys, send: keys.send.map(copy), receive: keys.receive.map(copy) };
          if (this.installRefusal === undefined) this.installed.set(keys.epoch, own);
          done(this.installRefusal);
        },
        sendWith: (epoch, done) => {
          if (this.sendRefusal === undefined) this.sendsWith = epoch;
          const { sendRefusal } = this;
          if (this.withheld === undefined) done(sendRefusal);
          else this.withheld.push(() => done(sendRefusal));
        },
        drop: (epoch) => {
          this.installed.delete(epoch);
          if (this.sendsWith === epoch) this.sendsWith = undefined;
        },
      },
      onChanged: () => undefined,
      onFailed: (reason) => this.failures.push(reason),
      onSealed: () => this.sealed++,
    });
  }

  kill(): void {
    this.isAlive = false;
  }

  get nextMs(): number {
    return this.isAlive ? this.state.nextMs : Infinity;
  }

  receive(payload: Uint8Array, seal?: Seal): void {
    if (!this.isAlive) return;
    if (seal === undefined) this.state.receive(payload, false);
    else if (this.#opens(seal)) this.state.receive(payload, true);
  }

  poll(): void {
    if (this.isAlive) this.state.poll();
  }

  /** Whether what this end seals now can be opened at the other. */
  get isHeard(): boolean {
    const { initiator, responder } = this.#lab.ends;
    const other = this === initiator ? responder : initiator;
    if (!this.isAlive || !other.isAlive || this.sendsWith === undefined) return false;
    const own = this.installed.get(this.sendsWith);
    return own !== undefined && other.#opens({ epoch: this.sendsWith, key: own.send[0]! });
  }

  #opens({ epoch, key }: Seal): boolean {
    const own = this.installed.get(epoch);
    return own !== undefined && Buffer.compare(own.receive[0]!, key) === 0;
  }
}

function copy(bytes: Uint8Array): Uint8Array {
  return bytes.slice();
}
