/**
 * One direction of a link that does something to frames: the qdisc that holds them for as long as the link is said to
 * take. What is done to a packet is done as of the link's own time, to the nanosecond, however late the engine comes to it:
 *
 *   enqueue ─► runs of ─► waiting ──────► line ────────► fates ──────────────► flight ─► dequeue
 *              segments   (discipline)    (rate, trace)  (lost, corrupted, …)  (delay)
 *
 * A super-frame is the packets that it would be cut into. It goes on as runs of neighbouring segments, each so short that
 * nobody can tell (`MAX_RUN_NS`); a segment to which something happens becomes a frame of its own.
 *
 * What the link is like is in `medium.ts`, what it holds in `holding.ts`. Called by `link.ts`, in a breath: nothing allocates
 * but in the arena and the pool of entries. docs/emulation.md has the rules; test/emulation/oracle.ts has them again for single packets, slow and plain.
 */
import type { Emulation } from '../../model/emulation.js';
import type { FrameBatch } from '../arena.js';
import { DropReason } from '../drops.js';
import { GivenTime } from '../link-observer.js';
import type { Qdisc } from '../qdisc/qdisc.js';
import { DirectionField } from '../telemetry.js';
import { etherTypeAt } from '../wire/ethernet.js';
import { DropTail } from './drop-tail.js';
import { Fate, type Fates } from './fates.js';
import { type EmulatorPlace, Holding } from './holding.js';
import { Medium, type MediumState } from './medium.js';
import type { EmulatorParts, NetworkInputs } from './parts.js';
import { resetTimes, Time } from './times.js';

/** A direction's state as plain data, with the frames that it held. */
export interface EmulatorState extends MediumState {
  readonly emulation: Emulation;
  /** As from now. */
  readonly startNs: number;
  readonly finishNs: number;
  readonly lastDueNs: number;
}

export class Emulator implements Qdisc {
  readonly due: Float64Array;
  readonly dueAt: number;
  readonly #parts: EmulatorParts;
  readonly #place: EmulatorPlace;
  readonly #holding: Holding;
  readonly #medium: Medium;

  constructor(parts: EmulatorParts, place: EmulatorPlace, link: string, emulation: Emulation, inputs: NetworkInputs) {
    parts.rows.clear(place.index);
    const holding = new Holding(parts, place);
    const { numbers, timesAt } = holding;
    this.due = numbers;
    this.dueAt = timesAt + Time.due;
    this.#parts = parts;
    this.#place = place;
    this.#holding = holding;
    resetTimes(numbers, timesAt);
    numbers[timesAt + Time.due] = Infinity;
    numbers[timesAt + Time.now] = parts.now[0]!;
    numbers[timesAt + Time.came] = parts.now[0]!;
    this.#medium = new Medium(holding, link, emulation, inputs);
  }

  get emulation(): Emulation {
    return this.#medium.emulation;
  }

  get length(): number {
    return this.#holding.length;
  }

  /** Times of the frame that `dequeue` gave last: `GivenTime`. Until any other emulator of the engine gives one. */
  get given(): Float64Array {
    return this.#parts.given;
  }

  /**
   * From now on it is as `emulation` says. What is on the line or in flight keeps what it was promised; what waits goes by
   * the new rate, and stays though a queue that is shorter now would not have taken it. Streams of chance go on.
   */
  configure(emulation: Emulation, inputs: NetworkInputs): void {
    this.#catchUp();
    const displaced = this.#medium.become(emulation, inputs);
    if (displaced !== null) this.#takeOver(displaced);
    const { line, waiting } = this.#medium;
    if (line !== null && waiting !== null && waiting.packets > 0) line.plan(false);
    this.#advance();
    const { numbers, timesAt } = this.#holding;
    numbers[timesAt + Time.came] = numbers[timesAt + Time.now]!;
    this.#look();
  }

  /** What waited in a discipline that is no more: it waits in the next one, or passes now as all that is new says. */
  #takeOver(displaced: Int32Array): void {
    const { entries, numbers, timesAt } = this.#holding;
    const { waiting } = this.#medium;
    for (let entry = entries.shift(displaced, 0); entry !== -1; entry = entries.shift(displaced, 0)) {
      if (waiting !== null) waiting.adopt(entry);
      else this.#passAtOnce(entry);
    }
    if (waiting === null) numbers[timesAt + Time.start] = Infinity;
  }

  /** As of when `enqueue` of this frame would take it, if it was called next: `GivenTime.came`. */
  comes(frame: number): Float64Array {
    const { given } = this.#parts;
    const { numbers, timesAt } = this.#holding;
    this.#takeAsOf(frame);
    given[GivenTime.came] = numbers[timesAt + Time.asOf]!;
    return given;
  }

  /** Always takes the frame, as of when it came to the engine: what is dropped is counted here. */
  enqueue(frame: number): boolean {
    this.#takeAsOf(frame);
    this.#advance();
    const { arena, cutting, runs } = this.#parts;
    const { runBytes, emulation } = this.#medium;
    const gsoSize = arena.gsoSize[frame]!;
    const frameBytes = arena.length[frame]!;
    if (gsoSize === 0 || !cutting.begin(frame, gsoSize, frameBytes)) {
      this.#offer(frame, frameBytes, frameBytes, 1);
    } else {
      const { segments, headerBytes } = cutting;
      const packetBytes = headerBytes + gsoSize;
      const runSegments = Math.max(1, Math.floor(runBytes / (packetBytes + emulation.overheadBytes)));
      if (segments <= runSegments) {
        this.#offer(frame, packetBytes, frameBytes + (segments - 1) * headerBytes, segments);
      } else {
        const count = cutting.cut(runSegments, runs);
        for (let i = 0; i < count; i++)
          this.#offerRun(runs[i]!, packetBytes, headerBytes, Math.min(runSegments, segments - i * runSegments));
      }
    }
    this.#look();
    return true;
  }

  dequeue(): number {
    this.#catchUp();
    const { numbers, timesAt, entries } = this.#holding;
    const { arena, given, lateness, compensationNs } = this.#parts;
    const dueNs = numbers[timesAt + Time.arrival]!;
    if (!(numbers[timesAt + Time.now]! + compensationNs[0]! >= dueNs)) {
      // What waits may have gone on to the line meanwhile.
      this.#look();
      return -1;
    }
    given[GivenTime.due] = dueNs;
    lateness.note(this.#place.index, given, GivenTime.due);
    const entry = this.#medium.flight.take();
    given[GivenTime.came] = entries.cameNs[entry]!;
    this.#look();
    const frame = this.#holding.leave(entry);
    // As of the moment from which it may go, however long after that it does. Where several links have it, each has a time of its own.
    arena.cameNs[frame] = arena.refs[frame] === 1 ? Math.max(given[GivenTime.came]!, dueNs - compensationNs[0]!) : 0;
    return frame;
  }

  enqueueAll(frames: FrameBatch, from: number): number {
    // It is never full: what it has no room for, it drops and counts.
    for (let i = from; i < frames.count; i++) this.enqueue(frames.ids[i]!);
    return frames.count;
  }

  dequeueAll(frames: FrameBatch, most: number): void {
    for (let left = Math.min(most, frames.capacity - frames.count); left > 0; left--) {
      const frame = this.dequeue();
      if (frame === -1) return;
      frames.push(frame, 0);
    }
  }

  /** The last of all leaves an idle line, on which nothing has ever passed. */
  remove(): number {
    const holding = this.#holding;
    const { flight, waiting } = this.#medium;
    holding.numbers[holding.timesAt + Time.now] = this.#parts.now[0]!;
    let entry = flight.take();
    if (entry === -1 && waiting !== null) entry = waiting.remove();
    if (holding.length <= 1) resetTimes(holding.numbers, holding.timesAt);
    this.#look();
    return entry === -1 ? -1 : holding.leave(entry);
  }

  /** Takes out all that it holds and knows: it is as a link is that goes down. */
  exportState(): EmulatorState {
    const { numbers, timesAt } = this.#holding;
    // What is due by now is done by who takes over, as of its time.
    const nowNs = this.#parts.now[0]!;
    numbers[timesAt + Time.now] = nowNs;
    const state = {
      emulation: this.#medium.emulation,
      startNs: numbers[timesAt + Time.start]! - nowNs,
      finishNs: numbers[timesAt + Time.finish]! - nowNs,
      lastDueNs: numbers[timesAt + Time.lastDue]! - nowNs,
      ...this.#medium.exportState(),
    };
    resetTimes(numbers, timesAt);
    this.#look();
    return state;
  }

  /** Into one that was just made, with the same emulation: it goes on as the other would have. */
  importState(state: EmulatorState): void {
    const { numbers, timesAt } = this.#holding;
    const nowNs = this.#parts.now[0]!;
    numbers[timesAt + Time.now] = nowNs;
    this.#medium.importState(state);
    numbers[timesAt + Time.start] = state.startNs + nowNs;
    numbers[timesAt + Time.finish] = state.finishNs + nowNs;
    numbers[timesAt + Time.lastDue] = state.lastDueNs + nowNs;
    this.#look();
  }

  /** When there is something to give, at the earliest. */
  #look(): void {
    const { numbers, timesAt } = this.#holding;
    const { jitter, emulation } = this.#medium;
    const { delayNs, reorderRatio } = emulation;
    const compensationNs = this.#parts.compensationNs[0]!;
    let dueNs = numbers[timesAt + Time.arrival]! - compensationNs;
    const startNs = numbers[timesAt + Time.start]!;
    // Of what waits, the first may arrive before what is in flight only where it may go without the delay; and none
    // before it was on the line, so that nobody comes for it in vain.
    const leastNs = jitter === null && reorderRatio === 0 ? Math.max(0, delayNs - compensationNs) : 0;
    if (startNs + leastNs < dueNs) dueNs = startNs + leastNs;
    numbers[timesAt + Time.due] = dueNs;
  }

  /** A run that was just cut; -1: there was no memory for it. */
  #offerRun(run: number, packetBytes: number, headerBytes: number, segments: number): void {
    if (run === -1) this.#holding.overload(segments);
    else this.#offer(run, packetBytes, this.#parts.arena.length[run]! + (segments - 1) * headerBytes, segments);
  }

  /**
   * Packets that come now, as one frame: the bytes of each (of the last one perhaps fewer), and of all, without overhead.
   */
  #offer(frame: number, packetBytes: number, wireBytes: number, segments: number): void {
    const { waiting, line, emulation } = this.#medium;
    const { mtuBytes } = emulation;
    const longestBytes = segments === 1 ? wireBytes : packetBytes;
    if (mtuBytes !== undefined && longestBytes - this.#linkHeaderBytes(frame) > mtuBytes) {
      // The last one may be short enough.
      if (segments > 1) this.#offerEach(frame, packetBytes, segments);
      else this.#holding.refuse(DropReason.mtuExceeded, frame);
      return;
    }
    if (segments > 1 && waiting instanceof DropTail && waiting.room(packetBytes, segments) < segments) {
      this.#offerEach(frame, packetBytes, segments);
      return;
    }
    const entry = this.#holding.enter(frame, wireBytes, segments);
    if (entry === -1) return;
    if (waiting === null) {
      this.#passAtOnce(entry);
      return;
    }
    if (segments > 1) waiting.adopt(entry);
    else if (!waiting.enqueue(entry)) return;
    const { numbers, timesAt } = this.#holding;
    if (numbers[timesAt + Time.start] === Infinity) line!.plan(false);
    this.#advance();
  }

  /** The queue has no room for all of them, or some are too long: one after the other, as on a wire. */
  #offerEach(frame: number, packetBytes: number, segments: number): void {
    const { arena, splitting } = this.#parts;
    for (let i = 0; i < segments; i++) {
      // What is offered may let the line begin with another run, which is split as well.
      splitting.begin(frame, arena.gsoSize[frame]!, arena.length[frame]!);
      this.#offerRun(splitting.run(i, i + 1), packetBytes, splitting.headerBytes, 1);
    }
    arena.release(frame);
  }

  /**
   * Sets `Time.asOf` to when a frame came to the engine, which may have been before the engine came to it; but never before
   * what the link has done. Without a line it does nothing before a packet's time, and packets only follow each other.
   */
  #takeAsOf(frame: number): void {
    const { numbers, timesAt } = this.#holding;
    const { arena, now } = this.#parts;
    const nowNs = now[0]!;
    const cameNs = arena.cameNs[frame]!;
    const floor = timesAt + (this.#medium.waiting === null ? Time.came : Time.now);
    const asOfNs = Math.max(numbers[floor]!, cameNs === 0 || cameNs > nowNs ? nowNs : cameNs);
    numbers[timesAt + Time.asOf] = asOfNs;
    numbers[timesAt + Time.came] = asOfNs;
  }

  #catchUp(): void {
    const { numbers, timesAt } = this.#holding;
    numbers[timesAt + Time.asOf] = this.#parts.now[0]!;
    this.#advance();
  }

  /** Does what was due until `Time.asOf`: the line takes one after the other. */
  #advance(): void {
    const { numbers, timesAt } = this.#holding;
    const { waiting, line } = this.#medium;
    const nowNs = numbers[timesAt + Time.asOf]!;
    while (waiting !== null && numbers[timesAt + Time.start]! <= nowNs) {
      numbers[timesAt + Time.now] = numbers[timesAt + Time.start]!;
      const entry = waiting.dequeue();
      if (entry !== -1) this.#serialise(entry);
      if (waiting.packets === 0) numbers[timesAt + Time.start] = Infinity;
      else line!.plan(true);
    }
    numbers[timesAt + Time.now] = nowNs;
  }

  /** Without a line: after what was on one, where there was one until a moment ago. */
  #passAtOnce(entry: number): void {
    const { numbers, timesAt } = this.#holding;
    numbers[timesAt + Time.start] = Math.max(numbers[timesAt + Time.finish]!, numbers[timesAt + Time.now]!);
    this.#serialise(entry);
    numbers[timesAt + Time.start] = Infinity;
  }

  /** The line begins with an entry at `Time.start`. */
  #serialise(entry: number): void {
    const { numbers, timesAt, entries } = this.#holding;
    const { waiting, fates, flight } = this.#medium;
    const bytes = entries.bytes[entry]!;
    const count = entries.segments[entry]!;
    if (waiting instanceof DropTail) this.#tellRun(waiting, entry, count);
    if (count > 1 && fates !== null) {
      this.#serialiseEach(entry, count, fates);
      return;
    }
    this.#pass(bytes, count);
    numbers[timesAt + Time.left] = numbers[timesAt + Time.finish]!;
    const fate = fates === null ? 0 : fates.draw(bytes);
    if (fate === 0) flight.launch(entry, false);
    else this.#meet(entry, fate, fates!);
  }

  #pass(wireBytes: number, packets: number): void {
    const { numbers, timesAt } = this.#holding;
    const { line, emulation } = this.#medium;
    if (line === null) numbers[timesAt + Time.finish] = numbers[timesAt + Time.start]!;
    else line.pass(wireBytes + packets * emulation.overheadBytes);
  }

  #tellRun(waiting: DropTail, entry: number, segments: number): void {
    const { entries, arena } = this.#holding;
    const { bytes, frame } = entries;
    const run = frame[entry]!;
    const headerBytes = segments === 1 ? 0 : (bytes[entry]! - arena.length[run]!) / (segments - 1);
    const packetBytes = segments === 1 ? bytes[entry]! : headerBytes + arena.gsoSize[run]!;
    waiting.onLine(segments, packetBytes, bytes[entry]!);
    const { line, emulation } = this.#medium;
    line!.beginRun(packetBytes + emulation.overheadBytes);
  }

  /** A run of which each segment has a fate of its own: those to which nothing happens stay together. */
  #serialiseEach(entry: number, count: number, fates: Fates): void {
    const { numbers, timesAt, entries } = this.#holding;
    const { arena, splitting } = this.#parts;
    const { flight } = this.#medium;
    const run = entries.frame[entry]!;
    splitting.begin(run, arena.gsoSize[run]!, arena.length[run]!);
    const { headerBytes } = splitting;
    const packetBytes = headerBytes + arena.gsoSize[run]!;
    const lastBytes = entries.bytes[entry]! - (count - 1) * packetBytes;
    let from = 0;
    for (let i = 0; i < count; i++) {
      const bytes = i === count - 1 ? lastBytes : packetBytes;
      this.#pass(bytes, 1);
      const fate = fates.draw(bytes);
      if (fate !== 0) {
        if (from < i) this.#launchPart(entry, from, i, packetBytes);
        numbers[timesAt + Time.left] = numbers[timesAt + Time.finish]!;
        this.#meetPart(entry, i, bytes, fate, fates);
        from = i + 1;
      }
      numbers[timesAt + Time.left] = numbers[timesAt + Time.finish]!;
      numbers[timesAt + Time.start] = numbers[timesAt + Time.finish]!;
    }
    if (from === 0) {
      flight.launch(entry, false);
      return;
    }
    if (from < count) this.#launchPart(entry, from, count, packetBytes);
    this.#holding.release(entry);
  }

  /** Segments `from` … `after - 1` of what is being split, which left the line together. */
  #launchPart(run: number, from: number, after: number, packetBytes: number): void {
    const part = this.#splitPart(run, from, after, packetBytes);
    if (part !== -1) this.#medium.flight.launch(part, false);
  }

  #meetPart(run: number, segment: number, bytes: number, fate: number, fates: Fates): void {
    if (fate === Fate.lost) {
      this.#holding.count(DirectionField.lost, 1);
      this.#holding.refuse(DropReason.lost, -1);
      return;
    }
    const part = this.#splitPart(run, segment, segment + 1, bytes);
    if (part !== -1) this.#meet(part, fate, fates);
  }

  #splitPart(run: number, from: number, after: number, packetBytes: number): number {
    const part = this.#parts.splitting.run(from, after);
    if (part !== -1) return this.#holding.enterPart(run, part, packetBytes, after - from);
    this.#holding.overload(after - from);
    return -1;
  }

  /** Something happens to a single packet that has left the line. */
  #meet(entry: number, fate: number, fates: Fates): void {
    const holding = this.#holding;
    if ((fate & Fate.lost) !== 0) {
      holding.count(DirectionField.lost, 1);
      holding.discard(entry, DropReason.lost);
      return;
    }
    if ((fate & Fate.corrupt) !== 0 && !holding.corrupt(entry, fates.bit)) return;
    const copy = (fate & Fate.duplicate) !== 0 ? holding.copy(entry) : -1;
    this.#launchOne(entry, fate & Fate.early);
    if (copy !== -1) this.#launchOne(copy, fates.drawEarly());
  }

  #launchOne(entry: number, early: number): void {
    if (early !== 0) this.#holding.count(DirectionField.reordered, 1);
    this.#medium.flight.launch(entry, early !== 0);
  }

  #linkHeaderBytes(frame: number): number {
    const { arena } = this.#parts;
    const inFirstSlot = Math.min(arena.length[frame]!, 64);
    const typeAt = etherTypeAt(arena.bytes, arena.start(frame), inFirstSlot);
    return typeAt === -1 ? 14 : typeAt + 2;
  }
}
