/**
 * A bridge whose ports lie in several engines has a member in each of these, joined pairwise by trunks. To hosts they are
 * one bridge, so each member must know what one of them has learned; hosts that talk to each other within one engine are
 * not heard in the others.
 *
 *   h1 ─┐                                        ┌─ h3
 *       member in engine 0 ══ trunk, channel 7 ══ member in engine 1
 *   h2 ─┘     frames; "h1 is here"; "forget"     └─ h4
 *
 * What a member learns at an end of its own, it tells the others, in order with the frames: an address that is new or has
 * moved at once, any other that is heard once a second, so that a notice which found no room is made good and nothing ages
 * that is still heard somewhere. Nothing else is learned of a trunk: a frame does not tell how it came to the other member.
 * When it forgets what was behind an end (a link is down), it says so like a bridge of 802.1D does
 * by a topology change: the others forget all that was behind it, and are told anew of who is heard. Each notice says how often
 * that has been so, and it is said once a second for as long as others may still know what they were to forget: who missed one
 * finds another number in the next.
 *
 * Where other machines have parts of the bridge too, each member has a way of its own to them (a lane of the tunnel), and one
 * member alone hears them. It tells by which of these ways an address is to be reached, and the others have it at their own
 * end of that way.
 *
 * A notice is as long as an Ethernet header, with a `gsoSize`, which no frame of its length has:
 *
 *   offset  bytes  type     field
 *   0       6               the address
 *   6       2      uint16   the way; 0: the teller's ports
 *   8       4      uint32   how often what was behind it has been forgotten
 *
 * Called by `bridge.ts` and by the directions that end
 * here (`link.ts`); joined by `topology.ts`.
 */
import type { Clock } from '../../model/clock.js';
import { type Arena, FrameBatch } from '../arena.js';
import { type Bridge, type Egress, type FrameSink, Horizon } from '../bridge.js';
import { type ChannelPresence, ETHERNET_HEADER_BYTES } from '../device/device.js';
import { TURN_FRAMES } from '../limits.js';
import type { LinkDirection } from '../link.js';
import { get16, get32, put16, put32 } from '../wire/bytes.js';

const ADDRESS = 0;
const WAY = 6;
const FORGOTTEN = 8;

/** As `gsoSize`. */
const Notice = { here: 1, forgot: 2 } as const;
type Notice = (typeof Notice)[keyof typeof Notice];

/** How often what is heard is told again. */
const TELL_NS = 1e9;

/** Of a way. */
interface Forgotten {
  /** How often. */
  times: number;
  /** Nobody knows of it any more what was behind it before. */
  untilNs: number;
}

export class StackMember implements FrameSink {
  readonly #bridge: Bridge;
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #trunks: Trunk[];
  #isUp: boolean;
  #tellNs: number;
  /** Ways behind which something was. */
  readonly #forgotten: Map<number, Forgotten>;
  /** Neighbours that are no notices; a notice on its way. */
  readonly #run: FrameBatch;
  readonly #notice: FrameBatch;

  constructor(bridge: Bridge, { arena, clock }: { readonly arena: Arena; readonly clock: Clock }) {
    this.#bridge = bridge;
    this.#arena = arena;
    this.#clock = clock;
    this.#trunks = [];
    this.#isUp = false;
    this.#tellNs = 0;
    this.#forgotten = new Map();
    this.#run = new FrameBatch(TURN_FRAMES);
    this.#notice = new FrameBatch(1);
  }

  /** To the member in another engine. Returns the index of the bridge's end there. */
  join(trunk: Trunk, link: number, where: number): number {
    const end = { egress: trunk, link, where, horizon: Horizon.engines, way: 0, sendsOnly: false };
    trunk.end = this.#bridge.addEnd(end);
    this.#trunks.push(trunk);
    trunk.show(this.#isUp);
    this.#tellAll();
    return trunk.end;
  }

  leave(end: number): void {
    const at = this.#trunks.findIndex((trunk) => trunk.end === end);
    if (at !== -1) this.#trunks.splice(at, 1)[0]!.show(false);
  }

  /** Whether there is a way out here has perhaps changed. */
  showPresence(): void {
    const { isUp } = this.#bridge;
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    for (const trunk of this.#trunks) trunk.show(isUp);
  }

  /** At an end of its own; `way` is the number of that, or 0. */
  learned(hi: number, lo: number, way: number): void {
    this.#tell(Notice.here, hi, lo, way);
  }

  /** What was behind an end of its own. */
  forgot(way: number): void {
    const times = (this.#forgotten.get(way)?.times ?? 0) + 1;
    this.#forgotten.set(way, { times, untilNs: this.#clock.nowNs() + this.#bridge.fdb.ageingNs });
    this.#tell(Notice.forgot, 0, 0, way);
    this.#tellAll();
  }

  tellAnew(): void {
    if (this.#clock.nowNs() < this.#tellNs) return;
    for (const [way, { untilNs }] of this.#forgotten)
      if (this.#clock.nowNs() < untilNs) this.#tell(Notice.forgot, 0, 0, way);
    this.#tellAll();
  }

  /** From another member. */
  forward(frames: FrameBatch, ingress: number): void {
    const { length, gsoSize } = this.#arena;
    const { ids, count } = frames;
    const run = this.#run;
    run.count = 0;
    for (let i = 0; i < count; i++) {
      const frame = ids[i]!;
      if (length[frame] !== ETHERNET_HEADER_BYTES || gsoSize[frame] === 0) {
        run.push(frame, 0);
      } else {
        this.#bridge.pass(run, ingress);
        run.count = 0;
        this.#hear(frame, ingress);
      }
    }
    this.#bridge.pass(run, ingress);
  }

  #hear(frame: number, ingress: number): void {
    const arena = this.#arena;
    const { bytes } = arena;
    const { fdb } = this.#bridge;
    const at = arena.start(frame);
    const way = get16(bytes, at + WAY);
    const end = way === 0 ? ingress : this.#bridge.endOf(way);
    // A way that is not there yet, or not any more, as engines change one after the other.
    if (end !== -1) {
      const { forgotten } = this.#trunks.find((trunk) => trunk.end === ingress)!;
      const times = get32(bytes, at + FORGOTTEN);
      if (times !== (forgotten.get(way) ?? 0)) {
        fdb.flush(end);
        forgotten.set(way, times);
      }
      const hi = get16(bytes, at + ADDRESS);
      const lo = get32(bytes, at + ADDRESS + 2) | 0;
      if (arena.gsoSize[frame] === Notice.here) fdb.learn(hi, lo, end);
    }
    arena.release(frame);
  }

  /** Of each address that is heard from now on. */
  #tellAll(): void {
    this.#bridge.fdb.toldNs = this.#clock.nowNs();
    this.#tellNs = this.#clock.nowNs() + TELL_NS;
  }

  /** Where there is no memory for it, it is told a second later. */
  #tell(notice: Notice, hi: number, lo: number, way: number): void {
    const times = this.#forgotten.get(way)?.times ?? 0;
    for (const trunk of this.#trunks) {
      const frame = this.#arena.alloc(ETHERNET_HEADER_BYTES);
      if (frame === -1) continue;
      const { bytes } = this.#arena;
      const at = this.#arena.start(frame);
      put16(bytes, at + ADDRESS, hi);
      put32(bytes, at + ADDRESS + 2, lo);
      put16(bytes, at + WAY, way);
      put32(bytes, at + FORGOTTEN, times);
      this.#arena.gsoSize[frame] = notice;
      trunk.send(this.#notice.only(frame));
    }
  }
}

/** The way out to another member, for whose flooded frames that one has a way out or not. */
export class Trunk implements Egress {
  /** Of the bridge. */
  end: number;
  /** Way → how often the other member has forgotten what was behind it, as it said last. */
  readonly forgotten: Map<number, number>;
  readonly #direction: LinkDirection;
  readonly #presence: ChannelPresence;
  readonly #channel: number;

  constructor(direction: LinkDirection, presence: ChannelPresence, channel: number) {
    this.end = -1;
    this.forgotten = new Map();
    this.#direction = direction;
    this.#presence = presence;
    this.#channel = channel;
  }

  get up(): boolean {
    return this.#presence.isUp(this.#channel);
  }

  send(frames: FrameBatch): void {
    this.#direction.send(frames);
  }

  show(isUp: boolean): void {
    this.#presence.show(this.#channel, isUp);
  }
}
