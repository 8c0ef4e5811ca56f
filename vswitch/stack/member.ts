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
 * that is still heard somewhere. When it forgets what was behind an end (a link is down), it says so like a bridge of 802.1D does
 * by a topology change: the others forget all that was behind it, and are told anew of who is heard.
 *
 * A notice is an Ethernet header in which the address stands twice, a frame to oneself, with a `gsoSize`, which no frame of
 * its length has. Called by `bridge.ts` and by the directions that end here (`link.ts`); joined by `topology.ts`.
 */
import type { Clock } from '../../model/clock.js';
import type { Arena } from '../arena.js';
import { type Bridge, type Egress, type FrameSink, Horizon } from '../bridge.js';
import { type ChannelPresence, ETHERNET_HEADER_BYTES } from '../device/device.js';
import type { LinkDirection } from '../link.js';
import { put16, put32 } from '../wire/bytes.js';

/** As `gsoSize`. */
const Notice = { here: 1, forget: 2 } as const;
type Notice = (typeof Notice)[keyof typeof Notice];

/** How often what is heard is told again. */
const TELL_NS = 1e9;

export class StackMember implements FrameSink {
  readonly #bridge: Bridge;
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #trunks: Trunk[];
  #isUp: boolean;
  #tellNs: number;

  constructor(bridge: Bridge, { arena, clock }: { readonly arena: Arena; readonly clock: Clock }) {
    this.#bridge = bridge;
    this.#arena = arena;
    this.#clock = clock;
    this.#trunks = [];
    this.#isUp = false;
    this.#tellNs = 0;
  }

  /** To the member in another engine. Returns the index of the bridge's end there. */
  join(trunk: Trunk, link: number, where: number): number {
    trunk.end = this.#bridge.addEnd({ egress: trunk, link, where, horizon: Horizon.engines });
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
    // Nobody told it anything meanwhile.
    if (isUp) for (const { end } of this.#trunks) this.#bridge.fdb.flush(end);
    for (const trunk of this.#trunks) trunk.show(isUp);
  }

  /** At an end of its own. */
  learned(hi: number, lo: number): void {
    this.#tell(Notice.here, hi, lo);
  }

  /** What was behind an end of its own. */
  forgot(): void {
    this.#tell(Notice.forget, 0, 0);
    this.#tellAll();
  }

  tellAnew(): void {
    if (this.#clock.nowNs() >= this.#tellNs) this.#tellAll();
  }

  /** From another member. */
  forward(frame: number, ingress: number): void {
    const arena = this.#arena;
    if (arena.length[frame] !== ETHERNET_HEADER_BYTES || arena.gsoSize[frame] === 0) {
      this.#bridge.forward(frame, ingress);
      return;
    }
    const { bytes } = arena;
    const at = arena.start(frame);
    const hi = (bytes[at]! << 8) | bytes[at + 1]!;
    const lo = (bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!;
    if (arena.gsoSize[frame] === Notice.here) this.#bridge.fdb.learn(hi, lo, ingress);
    else this.#bridge.fdb.flush(ingress);
    arena.release(frame);
  }

  /** Of each address that is heard from now on. */
  #tellAll(): void {
    this.#bridge.fdb.toldNs = this.#clock.nowNs();
    this.#tellNs = this.#clock.nowNs() + TELL_NS;
  }

  /** Where there is no memory for it, it is told a second later. */
  #tell(notice: Notice, hi: number, lo: number): void {
    for (const trunk of this.#trunks) {
      if (!trunk.up) continue;
      const frame = this.#arena.alloc(ETHERNET_HEADER_BYTES);
      if (frame === -1) return;
      const { bytes } = this.#arena;
      const at = this.#arena.start(frame);
      for (const place of [at, at + 6]) {
        put16(bytes, place, hi);
        put32(bytes, place + 2, lo);
      }
      put16(bytes, at + 12, 0);
      this.#arena.gsoSize[frame] = notice;
      trunk.send(frame);
    }
  }
}

/** The way out to another member, for whose flooded frames that one has a way out or not. */
export class Trunk implements Egress {
  /** Of the bridge. */
  end: number;
  readonly #direction: LinkDirection;
  readonly #presence: ChannelPresence;
  readonly #channel: number;

  constructor(direction: LinkDirection, presence: ChannelPresence, channel: number) {
    this.end = -1;
    this.#direction = direction;
    this.#presence = presence;
    this.#channel = channel;
  }

  get up(): boolean {
    return this.#presence.isUp(this.#channel);
  }

  send(frame: number): void {
    this.#direction.send(frame);
  }

  show(isUp: boolean): void {
    this.#presence.show(this.#channel, isUp);
  }
}
