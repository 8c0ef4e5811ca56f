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
 * Called by `link.ts`, in a breath: nothing allocates but in the arena and the pool of entries. docs/emulation.md has the
 * rules; test/emulation/oracle.ts has them again for single packets, slow and plain.
 */
import type { Clock } from '../../model/clock.js';
import type { Emulation, EmulationInputs, Queue } from '../../model/emulation.js';
import type { Arena } from '../arena.js';
import { DropReason } from '../drops.js';
import { GivenTime } from '../link-observer.js';
import type { Qdisc } from '../qdisc/qdisc.js';
import { DirectionField, type Telemetry } from '../telemetry.js';
import { etherTypeAt } from '../wire/ethernet.js';
import { Segmenter } from '../wire/segmenter.js';
import { createDiscipline } from './create-discipline.js';
import type { Discipline, Waiting } from './discipline.js';
import { DropTail } from './drop-tail.js';
import type { Entries } from './entries.js';
import { Fate, Fates } from './fates.js';
import { Flight } from './flight.js';
import { exclusive, flipBit, markCongestion, understandsEcn } from './frame-edits.js';
import { Jitter, type QuantileTable } from './jitter.js';
import { type Line, OPPORTUNITY_BYTES, RateLine, TraceLine } from './line.js';
import { createLoss, type Loss } from './loss.js';
import { RandomStream } from './random.js';
import { makeTimes, resetTimes, Time } from './times.js';

/** A run of segments takes no longer than this on the line: so much later than alone may its first byte arrive. */
const MAX_RUN_NS = 100_000;
/** And is no longer than this, overhead included: of more bytes, work on a line (`line.ts`) would not be exact. */
const MAX_RUN_BYTES = 2 ** 20;

/** What emulators of one engine share. */
export interface EmulatorParts {
  readonly arena: Arena;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly entries: Entries;
  /** `[0]`: nanoseconds that the engine itself takes, from the TAP that it reads to the one that it writes. */
  readonly compensationNs: Float64Array;
  readonly seed: number;
}

/** Whose emulator it is, and who counts and releases what it drops. */
export interface EmulatorPlace {
  readonly link: string;
  readonly direction: 0 | 1;
  /** `Telemetry.directionBase` */
  readonly base: number;
  discard(reason: DropReason, frame: number): void;
}

/** What emulations name, as it is used. */
export interface Recordings {
  readonly traces: EmulationInputs['traces'];
  readonly distributions: ReadonlyMap<string, QuantileTable>;
}

type Purpose = 'loss' | 'corrupt' | 'duplicate' | 'reorder' | 'jitter' | 'queue';

export class Emulator implements Qdisc {
  readonly due: Float64Array;
  length: number;
  /** Times of the frame that `dequeue` gave last: `GivenTime`. */
  readonly given: Float64Array;
  readonly #arena: Arena;
  /** The engine's clock: `[0]`. */
  readonly #now: Float64Array;
  readonly #counters: Float64Array;
  readonly #telemetry: Telemetry;
  readonly #entries: Entries;
  readonly #compensationNs: Float64Array;
  readonly #place: EmulatorPlace;
  readonly #times: Float64Array;
  readonly #late: Float64Array;
  readonly #waitingParts: Waiting;
  readonly #streams: Readonly<Record<Purpose, RandomStream>>;
  /** Of what comes, and of what is on the line: both may be in the middle of a super-frame. */
  readonly #cutting: Segmenter;
  readonly #splitting: Segmenter;
  readonly #flight: Flight;

  // What the link is like now.
  #emulation: Emulation;
  /** Null: nothing ever waits, and packets take no time to pass. */
  #line: Line | null;
  #waiting: Discipline | null;
  #loss: Loss;
  #jitter: Jitter | null;
  #fates: Fates;
  /** What it is as it was recorded; null: no trace, no table. */
  #trace: readonly number[] | null;
  #table: QuantileTable | null;
  /** Most bytes of a run, overhead included; 0: each segment is a frame of its own. */
  #runBytes: number;

  constructor(parts: EmulatorParts, place: EmulatorPlace, emulation: Emulation, recordings: Recordings) {
    this.due = new Float64Array([Infinity]);
    this.length = 0;
    this.given = new Float64Array(2);
    this.#arena = parts.arena;
    this.#now = parts.clock.now;
    this.#counters = parts.telemetry.directions;
    this.#telemetry = parts.telemetry;
    this.#entries = parts.entries;
    this.#compensationNs = parts.compensationNs;
    this.#place = place;
    this.#times = makeTimes();
    this.#late = new Float64Array(1);
    this.#waitingParts = {
      arena: parts.arena,
      entries: parts.entries,
      now: this.#times.subarray(Time.now, Time.now + 1),
      nsPerByte: new Float64Array(1),
      drop: (entry, reason) => {
        this.#count(DirectionField.queueDropped, 1);
        this.#discard(entry, reason);
      },
      begun: () => this.#line?.begun() ?? 0,
      mark: (entry) => this.#mark(entry),
    };
    const stream = (purpose: Purpose): RandomStream =>
      new RandomStream(parts.seed, place.link, place.direction, purpose);
    this.#streams = {
      loss: stream('loss'),
      corrupt: stream('corrupt'),
      duplicate: stream('duplicate'),
      reorder: stream('reorder'),
      jitter: stream('jitter'),
      queue: stream('queue'),
    };
    this.#cutting = new Segmenter(parts.arena);
    this.#splitting = new Segmenter(parts.arena);
    this.#flight = new Flight(parts.entries, this.#times);
    this.#emulation = emulation;
    this.#line = null;
    this.#waiting = null;
    this.#loss = createLoss(undefined, this.#streams.loss);
    this.#jitter = null;
    this.#fates = new Fates(emulation, this.#loss, this.#streams);
    this.#trace = null;
    this.#table = null;
    this.#runBytes = 0;
    this.#become(emulation, undefined, recordings);
  }

  /**
   * From now on it is as `emulation` says. What is on the line or in flight keeps what it was promised; what waits goes by
   * the new rate, and stays though a queue that is shorter now would not have taken it. Streams of chance go on.
   */
  configure(emulation: Emulation, recordings: Recordings): void {
    this.#advance();
    const before = this.#emulation;
    this.#emulation = emulation;
    this.#become(emulation, before, recordings);
    this.#advance();
    this.#look();
  }

  /** Always takes the frame: what is dropped is counted here. */
  enqueue(frame: number): boolean {
    this.#advance();
    const arena = this.#arena;
    const cutting = this.#cutting;
    const gsoSize = arena.gsoSize[frame]!;
    const frameBytes = arena.length[frame]!;
    if (gsoSize === 0 || !cutting.begin(frame, gsoSize, frameBytes)) {
      this.#offer(frame, frameBytes, frameBytes, 1);
    } else {
      const { segments, headerBytes } = cutting;
      const packetBytes = headerBytes + gsoSize;
      const runSegments = Math.max(1, Math.floor(this.#runBytes / (packetBytes + this.#emulation.overheadBytes)));
      if (segments <= runSegments) {
        this.#offer(frame, packetBytes, frameBytes + (segments - 1) * headerBytes, segments);
      } else {
        for (let first = 0; first < segments; first += runSegments) {
          const after = Math.min(segments, first + runSegments);
          this.#offerRun(cutting.run(first, after), packetBytes, headerBytes, after - first);
        }
        arena.release(frame);
      }
    }
    this.#look();
    return true;
  }

  dequeue(): number {
    this.#advance();
    const lateNs = this.#times[Time.now]! - this.#flight.due[0]! + this.#compensationNs[0]!;
    if (!(lateNs >= 0)) {
      // What waits may have gone on to the line meanwhile.
      this.#look();
      return -1;
    }
    this.#late[0] = lateNs;
    this.#telemetry.countLate(this.#place.base, this.#late);
    this.given[GivenTime.due] = this.#flight.due[0]!;
    const entry = this.#flight.take();
    this.given[GivenTime.came] = this.#entries.cameNs[entry]!;
    this.#look();
    return this.#leave(entry);
  }

  /** The last of all leaves an idle line, on which nothing has ever passed. */
  remove(): number {
    let entry = this.#flight.take();
    if (entry === -1 && this.#waiting !== null) entry = this.#waiting.remove();
    if (this.length <= 1) resetTimes(this.#times);
    this.#look();
    return entry === -1 ? -1 : this.#leave(entry);
  }

  /** Gives up an entry for its frame. */
  #leave(entry: number): number {
    this.length--;
    this.#entries.giveBack(entry);
    return this.#entries.frame[entry]!;
  }

  /** When there is something to give, at the earliest. */
  #look(): void {
    const times = this.#times;
    const { delayNs, reorderRatio } = this.#emulation;
    const compensationNs = this.#compensationNs[0]!;
    let dueNs = this.#flight.due[0]! - compensationNs;
    const startNs = times[Time.start]!;
    // Of what waits, the first may arrive before what is in flight only where it may go without the delay; and none
    // before it was on the line, so that nobody comes for it in vain.
    const leastNs = this.#jitter === null && reorderRatio === 0 ? Math.max(0, delayNs - compensationNs) : 0;
    if (startNs + leastNs < dueNs) dueNs = startNs + leastNs;
    this.due[0] = dueNs;
  }

  // --- what the link is like -----------------------------------------------------------------------------------------

  #become(emulation: Emulation, before: Emulation | undefined, recordings: Recordings): void {
    const { loss, jitter, queue, segments } = emulation;
    if (before === undefined || !same(loss, before.loss)) this.#loss = createLoss(loss, this.#streams.loss);
    this.#setJitter(emulation, before, recordings);
    this.#flight.configure(emulation, this.#jitter);
    this.#fates = new Fates(emulation, this.#loss, this.#streams);
    // What waited may pass now, if there is no line any more: as all of the above says.
    const rateBps = this.#setLine(emulation, before, recordings);
    this.#setWaiting(emulation, before, rateBps);
    if (this.#line !== null && this.#waiting !== null && this.#waiting.packets > 0) this.#line.plan(false);
    const isSingle =
      segments === 'wire' ||
      jitter !== undefined ||
      emulation.reorderRatio > 0 ||
      emulation.trace !== undefined ||
      queue.discipline !== 'drop-tail';
    if (isSingle) this.#runBytes = 0;
    else if (this.#line === null) this.#runBytes = Infinity;
    else this.#runBytes = Math.min(MAX_RUN_BYTES, (MAX_RUN_NS * rateBps) / 8e9);
  }

  #setJitter({ jitter }: Emulation, before: Emulation | undefined, { distributions }: Recordings): void {
    const distribution = jitter?.distribution;
    const was = this.#table;
    const table = typeof distribution === 'object' ? distributions.get(distribution.table)! : null;
    this.#table = table;
    if (before !== undefined && same(jitter, before.jitter) && sameNumbers(table?.quantiles, was?.quantiles)) return;
    this.#jitter = jitter === undefined ? null : new Jitter(jitter, table, this.#streams.jitter);
  }

  /** Returns its rate, of a trace on average; Infinity without either. */
  #setLine(emulation: Emulation, before: Emulation | undefined, { traces }: Recordings): number {
    const { rateBps, trace } = emulation;
    const was = this.#trace;
    const atMs = trace === undefined ? null : traces[trace]!;
    this.#trace = atMs;
    const stays =
      before !== undefined && before.rateBps === rateBps && before.trace === trace && sameNumbers(atMs, was);
    if (atMs !== null) {
      if (!stays) this.#line = new TraceLine(this.#times, atMs, this.#now[0]!);
      return (atMs.length * OPPORTUNITY_BYTES * 8e3) / atMs.at(-1)!;
    }
    if (rateBps === undefined) {
      this.#line = null;
      return Infinity;
    }
    if (!stays) this.#line = new RateLine(this.#times, rateBps);
    return rateBps;
  }

  #setWaiting({ queue, overheadBytes }: Emulation, before: Emulation | undefined, rateBps: number): void {
    const times = this.#times;
    const was = this.#waiting;
    this.#waitingParts.nsPerByte[0] = 8e9 / rateBps;
    if (this.#line === null) {
      this.#waiting = null;
    } else if (was !== null && before !== undefined && same(unlimited(queue), unlimited(before.queue))) {
      was.limit(queue.limit, rateBps, overheadBytes);
    } else {
      this.#waiting = createDiscipline(queue, this.#waitingParts, this.#streams.queue, rateBps, overheadBytes);
    }
    if (was === null || was === this.#waiting) return;
    for (let entry = was.remove(); entry !== -1; entry = was.remove()) {
      if (this.#waiting !== null) {
        this.#waiting.adopt(entry);
      } else {
        this.#passAtOnce(entry);
      }
    }
    if (this.#waiting === null) times[Time.start] = Infinity;
  }

  // --- the way of packets --------------------------------------------------------------------------------------------

  /** A run that was just cut; -1: there was no memory for it. */
  #offerRun(run: number, packetBytes: number, headerBytes: number, segments: number): void {
    if (run === -1) {
      this.#overload(segments);
      return;
    }
    this.#offer(run, packetBytes, this.#arena.length[run]! + (segments - 1) * headerBytes, segments);
  }

  /**
   * Packets that come now, as one frame: the bytes of each (of the last one perhaps fewer), and of all, without overhead.
   */
  #offer(frame: number, packetBytes: number, wireBytes: number, segments: number): void {
    const { mtuBytes } = this.#emulation;
    const longestBytes = segments === 1 ? wireBytes : packetBytes;
    if (mtuBytes !== undefined && longestBytes - this.#linkHeaderBytes(frame) > mtuBytes) {
      // The last one may be short enough.
      if (segments > 1) this.#offerEach(frame, packetBytes, segments);
      else this.#place.discard(DropReason.mtuExceeded, frame);
      return;
    }
    const waiting = this.#waiting;
    if (segments > 1 && waiting instanceof DropTail && waiting.room(packetBytes, segments) < segments) {
      this.#offerEach(frame, packetBytes, segments);
      return;
    }
    const entry = this.#enter(frame, wireBytes, segments);
    if (entry === -1) return;
    if (waiting === null) {
      this.#passAtOnce(entry);
      return;
    }
    if (segments > 1) waiting.adopt(entry);
    else if (!waiting.enqueue(entry)) return;
    if (this.#times[Time.start] === Infinity) this.#line!.plan(false);
    this.#advance();
  }

  /** The queue has no room for all of them, or some are too long: one after the other, as on a wire. */
  #offerEach(frame: number, packetBytes: number, segments: number): void {
    const arena = this.#arena;
    const splitting = this.#splitting;
    for (let i = 0; i < segments; i++) {
      // What is offered may let the line begin with another run, which is split as well.
      splitting.begin(frame, arena.gsoSize[frame]!, arena.length[frame]!);
      this.#offerRun(splitting.run(i, i + 1), packetBytes, splitting.headerBytes, 1);
    }
    arena.release(frame);
  }

  /** An entry for what was taken in; -1, and it is dropped, when there is none left. */
  #enter(frame: number, wireBytes: number, segments: number): number {
    const entries = this.#entries;
    const entry = entries.take();
    if (entry === -1) {
      this.#count(DirectionField.overloaded, segments);
      this.#place.discard(DropReason.overload, frame);
      return -1;
    }
    entries.frame[entry] = frame;
    entries.bytes[entry] = wireBytes;
    entries.segments[entry] = segments;
    entries.cameNs[entry] = this.#times[Time.now]!;
    entries.atNs[entry] = this.#times[Time.now]!;
    this.length++;
    return entry;
  }

  /** The same for a part of what is in the link already, or a copy. */
  #enterPart(whole: number, frame: number, wireBytes: number, segments: number): number {
    const { cameNs } = this.#entries;
    const entry = this.#enter(frame, wireBytes, segments);
    if (entry !== -1) cameNs[entry] = cameNs[whole]!;
    return entry;
  }

  /** Does what was due until now: the line takes one after the other. */
  #advance(): void {
    const times = this.#times;
    const nowNs = this.#now[0]!;
    const waiting = this.#waiting;
    while (waiting !== null && times[Time.start]! <= nowNs) {
      times[Time.now] = times[Time.start]!;
      const entry = waiting.dequeue();
      if (entry !== -1) this.#serialise(entry);
      if (waiting.packets === 0) times[Time.start] = Infinity;
      else this.#line!.plan(true);
    }
    times[Time.now] = nowNs;
  }

  /** Without a line: after what was on one, where there was one until a moment ago. */
  #passAtOnce(entry: number): void {
    const times = this.#times;
    times[Time.start] = Math.max(times[Time.finish]!, times[Time.now]!);
    this.#serialise(entry);
    times[Time.start] = Infinity;
  }

  /** The line begins with an entry at `Time.start`. */
  #serialise(entry: number): void {
    const times = this.#times;
    const { bytes, segments } = this.#entries;
    const count = segments[entry]!;
    if (this.#waiting instanceof DropTail) this.#tellRun(this.#waiting, entry, count);
    if (count > 1 && this.#fates.any) {
      this.#serialiseEach(entry, count);
      return;
    }
    this.#pass(bytes[entry]!, count);
    times[Time.left] = times[Time.finish]!;
    const fate = this.#fates.any ? this.#fates.draw(bytes[entry]!) : 0;
    if (fate === 0) this.#flight.launch(entry, false);
    else this.#meet(entry, fate);
  }

  #pass(wireBytes: number, packets: number): void {
    if (this.#line === null) this.#times[Time.finish] = this.#times[Time.start]!;
    else this.#line.pass(wireBytes + packets * this.#emulation.overheadBytes);
  }

  #tellRun(waiting: DropTail, entry: number, segments: number): void {
    const { bytes, frame } = this.#entries;
    const run = frame[entry]!;
    const headerBytes = segments === 1 ? 0 : (bytes[entry]! - this.#arena.length[run]!) / (segments - 1);
    const packetBytes = segments === 1 ? bytes[entry]! : headerBytes + this.#arena.gsoSize[run]!;
    waiting.onLine(segments, packetBytes, bytes[entry]!);
    this.#line!.beginRun(packetBytes + this.#emulation.overheadBytes);
  }

  /** A run of which each segment has a fate of its own: those to which nothing happens stay together. */
  #serialiseEach(entry: number, count: number): void {
    const times = this.#times;
    const arena = this.#arena;
    const run = this.#entries.frame[entry]!;
    const splitting = this.#splitting;
    splitting.begin(run, arena.gsoSize[run]!, arena.length[run]!);
    const { headerBytes } = splitting;
    const packetBytes = headerBytes + arena.gsoSize[run]!;
    const lastBytes = this.#entries.bytes[entry]! - (count - 1) * packetBytes;
    let from = 0;
    for (let i = 0; i < count; i++) {
      const bytes = i === count - 1 ? lastBytes : packetBytes;
      this.#pass(bytes, 1);
      const fate = this.#fates.draw(bytes);
      if (fate !== 0) {
        if (from < i) this.#launchPart(entry, from, i, packetBytes);
        times[Time.left] = times[Time.finish]!;
        this.#meetPart(entry, i, bytes, fate);
        from = i + 1;
      }
      times[Time.left] = times[Time.finish]!;
      times[Time.start] = times[Time.finish]!;
    }
    if (from === 0) {
      this.#flight.launch(entry, false);
      return;
    }
    if (from < count) this.#launchPart(entry, from, count, packetBytes);
    this.#release(entry);
  }

  /** Segments `from` … `after - 1` of what is being split, which left the line together. */
  #launchPart(run: number, from: number, after: number, packetBytes: number): void {
    const part = this.#splitPart(run, from, after, packetBytes);
    if (part !== -1) this.#flight.launch(part, false);
  }

  #meetPart(run: number, segment: number, bytes: number, fate: number): void {
    if (fate === Fate.lost) {
      this.#count(DirectionField.lost, 1);
      this.#place.discard(DropReason.lost, -1);
      return;
    }
    const part = this.#splitPart(run, segment, segment + 1, bytes);
    if (part !== -1) this.#meet(part, fate);
  }

  #splitPart(run: number, from: number, after: number, packetBytes: number): number {
    const part = this.#splitting.run(from, after);
    if (part !== -1) return this.#enterPart(run, part, packetBytes, after - from);
    this.#overload(after - from);
    return -1;
  }

  /** Something happens to a single packet that has left the line. */
  #meet(entry: number, fate: number): void {
    if ((fate & Fate.lost) !== 0) {
      this.#count(DirectionField.lost, 1);
      this.#discard(entry, DropReason.lost);
      return;
    }
    if ((fate & Fate.corrupt) !== 0 && !this.#corrupt(entry)) return;
    const copy = (fate & Fate.duplicate) !== 0 ? this.#copy(entry) : -1;
    this.#launchOne(entry, fate & Fate.early);
    if (copy !== -1) this.#launchOne(copy, this.#fates.drawEarly());
  }

  #launchOne(entry: number, early: number): void {
    if (early !== 0) this.#count(DirectionField.reordered, 1);
    this.#flight.launch(entry, early !== 0);
  }

  /** False: there was no memory, and it is dropped. */
  #corrupt(entry: number): boolean {
    if (!this.#own(entry)) {
      this.#count(DirectionField.overloaded, 1);
      this.#discard(entry, DropReason.overload);
      return false;
    }
    this.#count(DirectionField.corrupted, 1);
    flipBit(this.#arena, this.#entries.frame[entry]!, this.#fates.bit);
    return true;
  }

  #copy(entry: number): number {
    const { frame, bytes } = this.#entries;
    this.#count(DirectionField.duplicated, 1);
    this.#arena.retain(frame[entry]!);
    return this.#enterPart(entry, frame[entry]!, bytes[entry]!, 1);
  }

  #mark(entry: number): boolean {
    const { frame } = this.#entries;
    if (!understandsEcn(this.#arena, frame[entry]!) || !this.#own(entry)) return false;
    this.#count(DirectionField.marked, 1);
    markCongestion(this.#arena, frame[entry]!);
    return true;
  }

  /** Makes the frame of an entry its alone; false when there is no memory. */
  #own(entry: number): boolean {
    const { frame } = this.#entries;
    const own = exclusive(this.#arena, frame[entry]!);
    if (own !== -1) frame[entry] = own;
    return own !== -1;
  }

  #discard(entry: number, reason: DropReason): void {
    this.#place.discard(reason, this.#entries.frame[entry]!);
    this.#entries.giveBack(entry);
    this.length--;
  }

  #release(entry: number): void {
    this.#arena.release(this.#entries.frame[entry]!);
    this.#entries.giveBack(entry);
    this.length--;
  }

  /** There was no memory for packets that were to be cut out of a super-frame. */
  #overload(packets: number): void {
    this.#count(DirectionField.overloaded, packets);
    this.#place.discard(DropReason.overload, -1);
  }

  #count(field: number, packets: number): void {
    this.#counters[this.#place.base + field]! += packets;
  }

  #linkHeaderBytes(frame: number): number {
    const inFirstSlot = Math.min(this.#arena.length[frame]!, 64);
    const typeAt = etherTypeAt(this.#arena.bytes, this.#arena.start(frame), inFirstSlot);
    return typeAt === -1 ? 14 : typeAt + 2;
  }
}

/** A discipline but for its limit, which can be changed in place. */
function unlimited(queue: Queue): object {
  return { ...queue, limit: undefined };
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Recordings are read anew with each configuration, and are the same where their numbers are. */
function sameNumbers(a: ArrayLike<number> | null | undefined, b: ArrayLike<number> | null | undefined): boolean {
  if (a == null || b == null) return a == b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
