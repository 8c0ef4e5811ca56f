/**
 * A transparent bridge (IEEE 802.1D-2004, clause 7): learns where addresses are, forwards what it knows, floods the
 * rest, never back to where it came from. Its ends are ends of links; what leaves goes into the link's direction.
 * Called by the directions whose frames arrive here (`link.ts`), per frame.
 *
 * A frame that comes in is the bridge's: it leaves by `Egress.send`, one reference per branch, or is released and
 * counted.
 */
import type { Clock } from '../model/clock.js';
import type { BridgeConfig } from '../model/messages.js';
import type { Arena } from './arena.js';
import { DropReason, type DropSink } from './drops.js';
import { Fdb } from './fdb.js';
import type { StackMember } from './stack/member.js';

/** The way out of a bridge at one end: a direction of a link. */
export interface Egress {
  readonly up: boolean;
  /** Takes ownership of one reference. */
  send(frame: number): void;
}

/** What takes the frames that come to a bridge: itself, or for another engine's `stack/member.ts`. */
export interface FrameSink {
  forward(frame: number, ingress: number): void;
}

export interface BridgeEnd {
  readonly egress: Egress;
  /** Index of the link. */
  readonly link: number;
  /** Where frames that come in here came by, for `DropSink`. */
  readonly where: number;
  readonly horizon: Horizon;
}

/**
 * Split horizon: nothing is forwarded between two ends of the same, but for `none` (RFC 4762, 4.4). The bridge has other
 * parts behind them: on other machines, each of which has such an end to each; or in other engines of this process.
 */
export const Horizon = { none: 0, machines: 1, engines: 2 } as const;
export type Horizon = (typeof Horizon)[keyof typeof Horizon];

/** Most ends of one bridge: what the FDB can say. */
export const MAX_ENDS = 65535;

const GROUP_BIT = 0x01;

export class Bridge implements FrameSink {
  readonly config: BridgeConfig;
  readonly fdb: Fdb;
  /** Null: all of it is in this engine. */
  member: StackMember | null;
  readonly #arena: Arena;
  readonly #drops: DropSink;
  /** By end index; null where an end was removed. */
  readonly #ends: (BridgeEnd | null)[];

  constructor(config: BridgeConfig, arena: Arena, drops: DropSink, clock: Clock) {
    this.config = config;
    this.fdb = new Fdb(config.fdbLimit, config.ageingSeconds * 1e9, clock);
    this.member = null;
    this.#arena = arena;
    this.#drops = drops;
    this.#ends = [];
  }

  /** Whether a frame that is flooded leaves by an end that is not another engine's. */
  get isUp(): boolean {
    return this.#ends.some((end) => end !== null && end.horizon !== Horizon.engines && end.egress.up);
  }

  /** Returns the end's index: for `forward`. */
  addEnd(end: BridgeEnd): number {
    const free = this.#ends.indexOf(null);
    if (free !== -1) {
      this.#ends[free] = end;
      return free;
    }
    if (this.#ends.length === MAX_ENDS) throw new RangeError(`bridge ${this.config.name} has ${MAX_ENDS} ends already`);
    return this.#ends.push(end) - 1;
  }

  removeEnd(index: number): void {
    this.forget(index);
    this.member?.leave(index);
    this.#ends[index] = null;
  }

  /** Forgets the addresses behind an end, here and in other engines. */
  forget(index: number): void {
    this.fdb.flush(index);
    if (this.#ends[index]!.horizon !== Horizon.engines) this.member?.forgot();
  }

  /** What is to be done once in a while: frees slots of old addresses (see `Fdb.sweep`), tells other engines what is known. */
  sweep(slots: number): void {
    this.fdb.sweep(slots);
    this.member?.tellAnew();
  }

  /** Addresses with the link that they are behind, in no order. */
  addresses(): { hi: number; lo: number; link: number; ageNs: number }[] {
    return this.fdb.entries().map(({ hi, lo, end, ageNs }) => ({ hi, lo, link: this.#ends[end]!.link, ageNs }));
  }

  /** The frame came in at end `ingress`. */
  forward(frame: number, ingress: number): void {
    const { bytes } = this.#arena;
    const at = this.#arena.start(frame);
    const hi = (bytes[at]! << 8) | bytes[at + 1]!;
    const lo = (bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!;
    const sourceHi = (bytes[at + 6]! << 8) | bytes[at + 7]!;
    const sourceLo = (bytes[at + 8]! << 24) | (bytes[at + 9]! << 16) | (bytes[at + 10]! << 8) | bytes[at + 11]!;

    const isNews = this.fdb.learn(sourceHi, sourceLo, ingress);
    if (isNews && this.member !== null && this.#ends[ingress]!.horizon !== Horizon.engines)
      this.member.learned(sourceHi, sourceLo);

    if ((bytes[at]! & GROUP_BIT) !== 0) {
      // 7.12.6 and table 7-10: spanning tree, pause, LACP and others are between neighbours.
      const reserved = hi === 0x0180 && (lo & 0xfffffff0) === (0xc2000000 | 0);
      if (reserved && !this.config.transparent) this.#drop(DropReason.reservedGroup, frame, ingress);
      else this.#flood(frame, ingress);
      return;
    }
    const end = this.fdb.lookup(hi, lo);
    if (end === -1) this.#flood(frame, ingress);
    else if (!this.#mayPass(ingress, end)) this.#drop(DropReason.hairpin, frame, ingress);
    else this.#ends[end]!.egress.send(frame);
  }

  /** 7.7.1: to all ends that are up, but the one that it came by. Each branch holds a reference of its own. */
  #flood(frame: number, ingress: number): void {
    let last: Egress | null = null;
    for (let i = 0; i < this.#ends.length; i++) {
      const end = this.#ends[i];
      if (end == null || !end.egress.up || !this.#mayPass(ingress, i)) continue;
      if (last !== null) {
        this.#arena.retain(frame);
        last.send(frame);
      }
      last = end.egress;
    }
    if (last === null) this.#drop(DropReason.noPort, frame, ingress);
    else last.send(frame);
  }

  #mayPass(from: number, to: number): boolean {
    const { horizon } = this.#ends[from]!;
    return from !== to && (horizon === Horizon.none || horizon !== this.#ends[to]!.horizon);
  }

  #drop(reason: DropReason, frame: number, ingress: number): void {
    this.#drops.drop(reason, frame, this.#ends[ingress]!.where);
    this.#arena.release(frame);
  }
}
