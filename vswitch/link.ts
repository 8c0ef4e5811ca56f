/**
 * One direction of a link: a qdisc, and the sink that frames go to when they leave it, which is an end of a bridge or a
 * port. Frames are sent into it by a bridge or by the engine's receive; the engine lets it transmit.
 *
 * Sending only queues and puts the direction on the engine's list: nothing here calls itself, so a loop of bridges is a
 * storm bounded by queues and budgets, not a stack that overflows.
 */
import { isDeepStrictEqual } from 'node:util';
import { type LinkProperties, NO_EMULATION, PLAIN } from '../model/emulation.js';
import { StateError } from '../model/errors.js';
import type { Arena, FrameBatch } from './arena.js';
import type { Egress, FrameSink } from './bridge.js';
import { type DropCounter, whereLink } from './drop-counter.js';
import { DropReason } from './drops.js';
import { Emulator, type EmulatorState } from './emulation/emulator.js';
import { type FrameData, readFrame, writeFrame } from './emulation/held-frame.js';
import type { EmulatorPlace } from './emulation/holding.js';
import type { EmulatorParts, NetworkInputs } from './emulation/parts.js';
import { TURN_FRAMES } from './limits.js';
import type { LinkObserver } from './link-observer.js';
import type { Port } from './port.js';
import { Fifo } from './qdisc/fifo.js';
import { NO_QDISC, type Qdisc } from './qdisc/qdisc.js';
import { DirectionField, PortField, Telemetry } from './telemetry.js';
import type { TransmitList } from './transmit-list.js';

/** What a direction held, as plain data, for the same direction of another engine. */
export interface DirectionState {
  /** Null: it was never emulated. */
  readonly emulator: EmulatorState | null;
  /** Of a direction that is not emulated (any more). */
  readonly frames: readonly FrameData[];
  readonly isEmulated: boolean;
}

export class LinkDirection implements Egress, EmulatorPlace {
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
  /** Null: it was never emulated. Where an emulation was taken away it is kept, for its streams of chance. */
  #emulator: Emulator | null;
  /** Its emulation was taken away. */
  #leaving: boolean;
  /** Where its counters are. */
  readonly #base: number;
  readonly #where: number;
  readonly #arena: Arena;
  readonly #drops: DropCounter;
  readonly #telemetry: Telemetry;
  readonly #list: TransmitList;
  /** Exactly one of them: the bridge (and which end of it), or the port (and the channel there). */
  #bridge: FrameSink | null;
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
    this.#emulator = null;
    this.#leaving = false;
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

  toBridge(bridge: FrameSink, end: number): void {
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
   * does nothing any more until what it holds has left, and then makes way for a plain queue.
   */
  set(name: string, properties: LinkProperties, parts: EmulatorParts, inputs: NetworkInputs): void {
    const { state, emulation } = properties;
    // What had arrived before then has arrived, though the engine comes to it only now.
    if (state === 'down' && this.up && this.qdisc === this.#emulator) {
      while (this.transmit(TURN_FRAMES) > 0);
      // No breath may come before the link goes away, and its counters are another's.
      parts.lateness.tell();
    }
    if (this.observer !== null) this.observer.changed(properties);
    this.up = state === 'up';
    this.properties = properties;
    this.#leaving = emulation === undefined;
    if (emulation === undefined && this.qdisc !== this.#emulator) {
      if (this.qdisc === NO_QDISC) this.qdisc = new Fifo();
    } else {
      if (this.#emulator === null) this.#emulator = new Emulator(parts, this, name, emulation ?? NO_EMULATION, inputs);
      else this.#emulator.configure(emulation ?? NO_EMULATION, inputs);
      this.#emulate(this.#emulator);
    }
    if (!this.up) this.drain();
    this.#makeWay();
    this.#list.schedule(this);
  }

  /** Has its emulation begin anew, as that of a link which is made now; false where there is none, or frames are in it. */
  restart(name: string, parts: EmulatorParts, inputs: NetworkInputs): boolean {
    const { emulation } = this.properties;
    if (emulation === undefined || this.qdisc.length > 0) return false;
    this.#emulator = new Emulator(parts, this, name, emulation, inputs);
    this.qdisc = this.#emulator;
    this.#list.schedule(this);
    return true;
  }

  #emulate(emulator: Emulator): void {
    const before = this.qdisc;
    if (before === emulator) return;
    for (let frame = before.remove(); frame !== -1; frame = before.remove()) emulator.enqueue(frame);
    this.qdisc = emulator;
  }

  /** The last of an emulation that was taken away has left. */
  #makeWay(): void {
    if (this.#leaving && this.qdisc === this.#emulator && this.qdisc.length === 0) this.qdisc = new Fifo();
  }

  /** Takes out what it holds and knows. Whoever takes it over goes on as this one would have. */
  exportState(): DirectionState {
    const isEmulated = this.qdisc === this.#emulator;
    const emulator = this.#emulator === null ? null : this.#emulator.exportState();
    const frames: FrameData[] = [];
    for (let frame = this.qdisc.remove(); frame !== -1; frame = this.qdisc.remove()) {
      frames.push(readFrame(this.#arena, frame));
      this.#arena.release(frame);
    }
    this.#makeWay();
    this.#list.schedule(this);
    return { emulator, frames, isEmulated };
  }

  /** Into a direction of the same properties on which nothing has passed. What there is no memory for is overload. */
  importState(state: DirectionState, name: string, parts: EmulatorParts, inputs: NetworkInputs): void {
    if (this.qdisc.length > 0) throw new StateError(`link ${name} holds frames already`);
    if (state.emulator !== null) {
      const emulation = this.qdisc === this.#emulator ? this.#emulator.emulation : NO_EMULATION;
      if (!isDeepStrictEqual(state.emulator.emulation, emulation))
        throw new StateError(`link ${name} has other properties than the one of which it is to take over the frames`);
      this.#emulator = new Emulator(parts, this, name, emulation, inputs);
      this.#emulator.importState(state.emulator);
      if (state.isEmulated) this.qdisc = this.#emulator;
    }
    for (const data of state.frames) {
      const frame = writeFrame(this.#arena, data);
      if (frame === -1) this.discard(DropReason.overload, -1);
      else if (!this.qdisc.enqueue(frame)) this.discard(DropReason.queueFull, frame);
    }
    this.#makeWay();
    this.#list.schedule(this);
  }

  /** Takes one reference of each frame; leaves the batch as it was. */
  send(frames: FrameBatch): void {
    const { ids, count } = frames;
    if (this.observer !== null) {
      this.#sendFollowed(frames, this.observer);
    } else if (this.up) {
      const { qdisc } = this;
      for (let i = qdisc.enqueueAll(frames, 0); i < count; i = qdisc.enqueueAll(frames, i + 1))
        this.discard(DropReason.queueFull, ids[i]!);
      this.#list.schedule(this);
    } else {
      for (let i = 0; i < count; i++) this.discard(DropReason.linkDown, ids[i]!);
    }
  }

  /** One by one: as of when a frame comes depends on those before it. */
  #sendFollowed({ ids, count }: FrameBatch, observer: LinkObserver): void {
    const isEmulated = this.up && this.qdisc === this.#emulator;
    for (let i = 0; i < count; i++) {
      const frame = ids[i]!;
      observer.came(frame, isEmulated ? this.#emulator!.comes(frame) : null);
      if (!this.up) this.discard(DropReason.linkDown, frame);
      else if (!this.qdisc.enqueue(frame)) this.discard(DropReason.queueFull, frame);
    }
    this.#list.schedule(this);
  }

  /** Passes on at most `quota` frames that are due, up to TURN_FRAMES; returns how many. */
  transmit(quota: number): number {
    const frames = this.#list.batch;
    frames.count = 0;
    if (this.observer === null) this.qdisc.dequeueAll(frames, quota);
    else this.#dequeueFollowed(frames, quota, this.observer);
    const { ids, count } = frames;
    const { length } = this.#arena;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += length[ids[i]!]!;
    if (count > 0) {
      if (this.#port !== null) this.#port.send(frames, this.#target);
      else this.#bridge!.forward(frames, this.#target);
    }
    this.#makeWay();
    this.#telemetry.directions[this.#base + DirectionField.packets]! += count;
    this.#telemetry.directions[this.#base + DirectionField.bytes]! += bytes;
    return count;
  }

  #dequeueFollowed(frames: FrameBatch, quota: number, observer: LinkObserver): void {
    for (let left = Math.min(quota, frames.capacity); left > 0; left--) {
      const frame = this.qdisc.dequeue();
      if (frame === -1) return;
      observer.left(frame, this.qdisc === this.#emulator ? this.#emulator.given : null);
      frames.push(frame, 0);
    }
  }

  /** Drops all that waits: the link goes down or away. */
  drain(): void {
    for (let frame = this.qdisc.remove(); frame !== -1; frame = this.qdisc.remove()) {
      this.discard(DropReason.linkDown, frame);
    }
  }

  /** Counted at the port that it would have left by, else at the one that it came by; but for what a wire loses. */
  discard(reason: DropReason, frame: number): void {
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
