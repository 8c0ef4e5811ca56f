/**
 * One direction of a link: a qdisc, and the sink that frames go to when they leave it, which is an end of a bridge or a
 * port. Frames are sent into it by a bridge or by the engine's receive; the engine lets it transmit.
 *
 * Sending only queues and puts the direction on the engine's list: nothing here calls itself, so a loop of bridges is a
 * storm bounded by queues and budgets, not a stack that overflows.
 */
import { type Emulation, type LinkProperties, NO_EMULATION, PLAIN } from '../model/emulation.js';
import type { Arena } from './arena.js';
import type { Bridge, Egress } from './bridge.js';
import { type DropCounter, whereLink } from './drop-counter.js';
import { DropReason } from './drops.js';
import { Emulator, type EmulatorParts, type Recordings } from './emulation/emulator.js';
import type { LinkObserver } from './link-observer.js';
import type { Port } from './port.js';
import type { Qdisc } from './qdisc/qdisc.js';
import { DirectionField, PortField, Telemetry } from './telemetry.js';
import type { TransmitList } from './transmit-list.js';

export class LinkDirection implements Egress {
  up: boolean;
  /** It is on the engine's list of directions that have frames to transmit. */
  listed: boolean;
  /** It is there for a time that is still to come. */
  waiting: boolean;
  /** Of the link and which way: what `TransmitList` knows it by. */
  readonly index: number;
  qdisc: Qdisc;
  /** As they were set last. */
  properties: LinkProperties;
  /** Null: nobody follows it. */
  observer: LinkObserver | null;
  readonly #direction: 0 | 1;
  /** Where its counters are. */
  readonly #base: number;
  readonly #where: number;
  readonly #arena: Arena;
  readonly #drops: DropCounter;
  readonly #telemetry: Telemetry;
  readonly #list: TransmitList;
  /** Exactly one of them: the bridge (and which end of it), or the port (and the channel there). */
  #bridge: Bridge | null;
  #port: Port | null;
  #target: number;
  /** The port that its frames come from; null when that is a bridge. */
  #source: Port | null;

  constructor(
    link: number,
    direction: 0 | 1,
    qdisc: Qdisc,
    engine: {
      readonly arena: Arena;
      readonly drops: DropCounter;
      readonly telemetry: Telemetry;
      readonly transmitList: TransmitList;
    },
  ) {
    this.up = true;
    this.listed = false;
    this.waiting = false;
    this.index = 2 * link + direction;
    this.qdisc = qdisc;
    this.properties = PLAIN;
    this.observer = null;
    this.#direction = direction;
    this.#base = Telemetry.directionBase(link, direction);
    this.#where = whereLink(link);
    this.#arena = engine.arena;
    this.#drops = engine.drops;
    this.#telemetry = engine.telemetry;
    this.#list = engine.transmitList;
    this.#bridge = null;
    this.#port = null;
    this.#target = 0;
    this.#source = null;
  }

  toBridge(bridge: Bridge, end: number): void {
    this.#bridge = bridge;
    this.#target = end;
  }

  toPort(port: Port, channel: number): void {
    this.#port = port;
    this.#target = channel;
  }

  fromPort(port: Port): void {
    this.#source = port;
  }

  /**
   * Down: what waits or is in flight is dropped, and what is sent. An emulation is changed in place; one that is taken away
   * becomes one that does nothing, since what it holds has still to leave.
   */
  set(name: string, properties: LinkProperties, parts: EmulatorParts, recordings: Recordings): void {
    const { state, emulation } = properties;
    // What had arrived before then has arrived, though the engine comes to it only now.
    if (state === 'down' && this.up && this.qdisc instanceof Emulator) this.transmit(Infinity);
    if (this.observer !== null) this.observer.changed(properties);
    this.up = state === 'up';
    this.properties = properties;
    if (this.qdisc instanceof Emulator) this.qdisc.configure(emulation ?? NO_EMULATION, recordings);
    else if (emulation !== undefined) this.#emulate(name, emulation, parts, recordings);
    if (!this.up) this.drain();
    this.#list.schedule(this);
  }

  /** Has its emulation begin anew, as that of a link which is made now; false where there is none, or frames are in it. */
  restart(name: string, parts: EmulatorParts, recordings: Recordings): boolean {
    const { emulation } = this.properties;
    if (emulation === undefined || this.qdisc.length > 0) return false;
    this.#emulate(name, emulation, parts, recordings);
    this.#list.schedule(this);
    return true;
  }

  #emulate(name: string, emulation: Emulation, parts: EmulatorParts, recordings: Recordings): void {
    const before = this.qdisc;
    const emulator = new Emulator(
      parts,
      {
        link: name,
        direction: this.#direction,
        base: this.#base,
        discard: (reason, frame) => {
          this.#drop(reason, frame);
        },
      },
      emulation,
      recordings,
    );
    for (let frame = before.remove(); frame !== -1; frame = before.remove()) emulator.enqueue(frame);
    this.qdisc = emulator;
  }

  /** Takes one reference of the frame. */
  send(frame: number): void {
    if (this.observer !== null) this.observer.came(frame);
    if (!this.up) {
      this.#drop(DropReason.linkDown, frame);
    } else if (!this.qdisc.enqueue(frame)) {
      this.#drop(DropReason.queueFull, frame);
    } else {
      this.#list.schedule(this);
    }
  }

  /** Passes on at most `quota` frames that are due; returns how many. */
  transmit(quota: number): number {
    let frames = 0;
    let bytes = 0;
    while (frames < quota) {
      const frame = this.qdisc.dequeue();
      if (frame === -1) break;
      frames++;
      bytes += this.#arena.length[frame]!;
      if (this.observer !== null) this.observer.left(frame, this.qdisc instanceof Emulator ? this.qdisc.given : null);
      if (this.#port !== null) this.#port.send(frame, this.#target);
      else this.#bridge!.forward(frame, this.#target);
    }
    this.#telemetry.directions[this.#base + DirectionField.packets]! += frames;
    this.#telemetry.directions[this.#base + DirectionField.bytes]! += bytes;
    return frames;
  }

  /** Drops all that waits: the link goes down or away. */
  drain(): void {
    for (let frame = this.qdisc.remove(); frame !== -1; frame = this.qdisc.remove()) {
      this.#drop(DropReason.linkDown, frame);
    }
  }

  /** Counted at the port that it would have left by, else at the one that it came by; but for what a wire loses. */
  #drop(reason: DropReason, frame: number): void {
    this.#drops.drop(reason, frame, this.#where);
    if (this.observer !== null) this.observer.dropped(reason, frame);
    if (reason === DropReason.lost) {
      // No port has seen it.
    } else if (this.#port !== null) {
      this.#telemetry.ports[Telemetry.portBase(this.#port.index) + PortField.txDropped]!++;
    } else if (this.#source !== null) {
      this.#telemetry.ports[Telemetry.portBase(this.#source.index) + PortField.rxDropped]!++;
    }
    if (frame !== -1) this.#arena.release(frame);
  }
}
