/**
 * A transparent bridge (IEEE 802.1D-2004, clause 7): learns where addresses are, forwards what it knows, floods the
 * rest, never back to where it came from. Its ends are ends of links; what leaves goes into the link's direction.
 * Called by the directions whose frames arrive here (`link.ts`), with what they pass on in a turn.
 *
 * A frame that comes in is the bridge's: it leaves by `Egress.send`, one reference per branch, or is released and
 * counted.
 */
import type { Clock } from '../model/clock.js';
import type { BridgeConfig } from '../model/messages.js';
import { type Arena, FrameBatch, SLOT_BYTES } from './arena.js';
import { DropReason, type DropSink } from './drops.js';
import { Fdb } from './fdb.js';
import { TURN_FRAMES } from './limits.js';
import type { StackMember } from './stack/member.js';

/** The way out of a bridge at one end: a direction of a link. */
export interface Egress {
  readonly up: boolean;
  /** Takes ownership of one reference of each frame; leaves the batch as it was. */
  send(frames: FrameBatch): void;
}

/** What takes the frames that come to a bridge: itself, or for another engine's `stack/member.ts`. */
export interface FrameSink {
  /** At most TURN_FRAMES; takes them, and leaves the batch as it was. */
  forward(frames: FrameBatch, ingress: number): void;
}

export interface BridgeEnd {
  readonly egress: Egress;
  /** Index of the link. */
  readonly link: number;
  /** Where frames that come in here came by, for `DropSink`. */
  readonly where: number;
  readonly horizon: Horizon;
  /** Of a way to another machine that each engine with some of the bridge has for itself: its number, the same in all. Else 0. */
  readonly way: number;
  /** Frames that come that way come to another engine. */
  readonly sendsOnly: boolean;
}

/**
 * Split horizon: nothing is forwarded between two ends of the same, but for `none` (RFC 4762, 4.4). The bridge has other
 * parts behind them: on other machines, each of which has such an end to each; or in other engines of this process, which
 * may have ways of their own to those machines.
 */
export const Horizon = { none: 0, machines: 1, engines: 2 } as const;
export type Horizon = (typeof Horizon)[keyof typeof Horizon];

/** Most ends of one bridge: what the FDB can say. */
export const MAX_ENDS = 65535;

/** Of the first two bytes. */
const GROUP_BIT = 0x0100;

export class Bridge implements FrameSink {
  readonly config: BridgeConfig;
  readonly fdb: Fdb;
  /** Null: all of it is in this engine. */
  member: StackMember | null;
  readonly #arena: Arena;
  readonly #drops: DropSink;
  /** By end index; null where an end was removed. */
  readonly #ends: (BridgeEnd | null)[];
  /** Neighbours that leave by the same end, and which; a frame on its way to many. */
  readonly #run: FrameBatch;
  #runEnd: number;
  readonly #one: FrameBatch;
  /** Number of a way → index of the end there. */
  readonly #ways: Map<number, number>;

  constructor(config: BridgeConfig, arena: Arena, drops: DropSink, clock: Clock) {
    this.config = config;
    this.fdb = new Fdb(config.fdbLimit, config.ageingSeconds * 1e9, clock);
    this.member = null;
    this.#arena = arena;
    this.#drops = drops;
    this.#ends = [];
    this.#run = new FrameBatch(TURN_FRAMES);
    this.#runEnd = -1;
    this.#one = new FrameBatch(1);
    this.#ways = new Map();
  }

  /** Whether a frame that another engine floods leaves by an end of this one. */
  get isUp(): boolean {
    return this.#ends.some((end) => end?.horizon !== Horizon.engines && end?.way === 0 && end.egress.up);
  }

  /** Returns the end's index: for `forward`. */
  addEnd(end: BridgeEnd): number {
    const free = this.#ends.indexOf(null);
    const index = free === -1 ? this.#ends.length : free;
    if (index === MAX_ENDS) throw new RangeError(`bridge ${this.config.name} has ${MAX_ENDS} ends already`);
    this.#ends[index] = end;
    if (end.way !== 0) this.#ways.set(end.way, index);
    return index;
  }

  /** Where a way to another machine begins; -1 where there is none of that number. */
  endOf(way: number): number {
    return this.#ways.get(way) ?? -1;
  }

  removeEnd(index: number): void {
    this.forget(index);
    this.member?.leave(index);
    this.#ways.delete(this.#ends[index]!.way);
    this.#ends[index] = null;
  }

  /** Forgets the addresses behind an end, here and in other engines. */
  forget(index: number): void {
    this.fdb.flush(index);
    const { horizon, sendsOnly, way } = this.#ends[index]!;
    if (horizon !== Horizon.engines && !sendsOnly) this.member?.forgot(way);
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

  /** The frames came in at end `ingress`, which is not another engine's. */
  forward(frames: FrameBatch, ingress: number): void {
    const { ids, count } = frames;
    const { view } = this.#arena;
    for (let i = 0; i < count;) {
      const at = this.#arena.start(ids[i]!);
      const sourceHi = view.getUint16(at + 6);
      const sourceLo = view.getInt32(at + 8);
      if (this.fdb.learn(sourceHi, sourceLo, ingress)) this.#tell(sourceHi, sourceLo, ingress);
      i = this.#pass(frames, i, ingress);
    }
    this.#passRun();
  }

  /** The same, but that nothing is learned from them. */
  pass(frames: FrameBatch, ingress: number): void {
    for (let i = 0; i < frames.count;) i = this.#pass(frames, i, ingress);
    this.#passRun();
  }

  /** Passes on frame `i`, and with it those behind it that have the same addresses; returns the next one's place. */
  #pass(frames: FrameBatch, i: number, ingress: number): number {
    const frame = frames.ids[i]!;
    const { view } = this.#arena;
    const at = this.#arena.start(frame);
    const hi = view.getUint16(at);
    const lo = view.getInt32(at + 2);
    const end = (hi & GROUP_BIT) === 0 ? this.fdb.lookup(hi, lo) : -1;
    if (end !== -1 && this.#mayPass(ingress, end)) {
      if (end !== this.#runEnd) this.#passRun();
      this.#runEnd = end;
      const next = this.#behindAlike(frames, i);
      this.#run.append(frames, i, next, 0);
      return next;
    }
    this.#passRun();
    if (end === -1) this.#spread(hi, lo, frame, ingress);
    else this.#turnBack(hi, lo, end, frame, ingress);
    return i + 1;
  }

  /** Of frames with the same addresses in a row, the FDB learns nothing new, and knows of all what it knows of the first. */
  #behindAlike({ ids, count }: FrameBatch, i: number): number {
    const { offset, view } = this.#arena;
    const at = this.#arena.start(ids[i]!);
    const first = view.getInt32(at);
    const second = view.getInt32(at + 4);
    const third = view.getInt32(at + 8);
    for (let next = i + 1; next < count; next++) {
      const frame = ids[next]!;
      const start = frame * SLOT_BYTES + offset[frame]!;
      const isAlike = view.getInt32(start) === first && view.getInt32(start + 4) === second;
      if (!isAlike || view.getInt32(start + 8) !== third) return next;
    }
    return count;
  }

  /** It is where it came from, or behind an end that it may not go to. */
  #turnBack(hi: number, lo: number, end: number, frame: number, ingress: number): void {
    // Whoever sent it here over a trunk has not been told, or not in time, that it has a way of its own there.
    const { way } = this.#ends[end]!;
    if (way !== 0 && this.#ends[ingress]!.horizon === Horizon.engines) this.member?.learned(hi, lo, way);
    this.#drop(DropReason.hairpin, frame, ingress);
  }

  /** What was learned, in order with the frames. */
  #tell(hi: number, lo: number, ingress: number): void {
    if (this.member === null) return;
    this.#passRun();
    this.member.learned(hi, lo, this.#ends[ingress]!.way);
  }

  #passRun(): void {
    if (this.#run.count === 0) return;
    this.#ends[this.#runEnd]!.egress.send(this.#run);
    this.#run.count = 0;
  }

  /** To many: a group, or an address of which it is not known where it is. */
  #spread(hi: number, lo: number, frame: number, ingress: number): void {
    // 7.12.6 and table 7-10: spanning tree, pause, LACP and others are between neighbours.
    const reserved = hi === 0x0180 && (lo & 0xfffffff0) === (0xc2000000 | 0);
    if (reserved && !this.config.transparent) this.#drop(DropReason.reservedGroup, frame, ingress);
    else this.#flood(frame, ingress);
  }

  /** 7.7.1: to all ends that are up, but the one that it came by. Each branch holds a reference of its own. */
  #flood(frame: number, ingress: number): void {
    let last: Egress | null = null;
    for (let i = 0; i < this.#ends.length; i++) {
      const end = this.#ends[i];
      if (end == null || !end.egress.up || !this.#mayPass(ingress, i)) continue;
      if (last !== null) {
        this.#arena.retain(frame);
        last.send(this.#one.only(frame));
      }
      last = end.egress;
    }
    if (last === null) this.#drop(DropReason.noPort, frame, ingress);
    else last.send(this.#one.only(frame));
  }

  /** What came from another engine has left by that one's own ways. */
  #mayPass(from: number, to: number): boolean {
    if (from === to) return false;
    const { horizon } = this.#ends[from]!;
    if (horizon === Horizon.none) return true;
    const end = this.#ends[to]!;
    return horizon !== end.horizon && !(horizon === Horizon.engines && end.way !== 0);
  }

  #drop(reason: DropReason, frame: number, ingress: number): void {
    this.#drops.drop(reason, frame, this.#ends[ingress]!.where);
    this.#arena.release(frame);
  }
}
