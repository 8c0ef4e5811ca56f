/**
 * What one direction holds, waiting or in flight: frames in the arena, each by an entry; what becomes of them is counted here.
 * Used by all that stands on a frame's way through `emulator.ts`.
 *
 * A link that is flooded, or long, must not take all of an engine's frame memory, for then every link would stand still. How
 * much a direction may hold goes by what is left (dynamic thresholds: Choudhury and Hahne 1998): at most three times as many
 * slots as are free. One alone gets three quarters of all; a second one as much as the first, which is 3/7 of all; and of
 * *n* that want more than there is, each 3/(1 + 3n), so that one that comes after them finds something free, at once.
 */
import type { Arena } from '../arena.js';
import { DropReason } from '../drops.js';
import { DirectionField, Telemetry } from '../telemetry.js';
import type { Waiting } from './discipline.js';
import type { Entries } from './entries.js';
import { exclusive, flipBit, markCongestion, understandsEcn } from './frame-edits.js';
import { type HeldFrame, readFrame, writeFrame } from './held-frame.js';
import type { EmulatorParts } from './parts.js';
import { Cells, Rows, Words } from './rows.js';
import { Time } from './times.js';

/** Slots that a direction may hold, by slots that are free. */
const SHARE_OF_FREE = 3;
/** Part of all slots that no direction counts as free: for devices to read into, however many links are flooded. */
const SPARED = 1 / 32;

/** Whose emulator it is, and who counts and releases what it drops. */
export interface EmulatorPlace {
  /** Of the direction, among all of the engine: `LinkDirection.index`. */
  readonly index: number;
  /** `frame` may be -1: a packet that is no frame of its own. */
  discard(reason: DropReason, frame: number): void;
}

export class Holding implements Waiting {
  readonly arena: Arena;
  readonly entries: Entries;
  /** The direction's row in the tables: where it begins. */
  readonly numbers: Float64Array;
  readonly timesAt: number;
  readonly words: Int32Array;
  readonly wordsAt: number;
  readonly #place: EmulatorPlace;
  readonly #counters: Float64Array;

  constructor({ arena, entries, rows, telemetry }: EmulatorParts, place: EmulatorPlace) {
    this.arena = arena;
    this.entries = entries;
    this.numbers = rows.numbers;
    this.timesAt = Rows.cellsAt(place.index);
    this.words = rows.words;
    this.wordsAt = Rows.wordsAt(place.index);
    this.#place = place;
    this.#counters = telemetry.directions;
  }

  /** 0: forward, from the link's first end to the second. */
  get direction(): 0 | 1 {
    return (this.#place.index & 1) as 0 | 1;
  }

  get lineAt(): number {
    return this.timesAt + Cells.line;
  }

  get queueAt(): number {
    return this.timesAt + Cells.queue;
  }

  get waitingAt(): number {
    return this.wordsAt + Words.waiting;
  }

  /** Entries. */
  get length(): number {
    return this.words[this.wordsAt + Words.entries]!;
  }

  /** An entry for what comes in now; -1, and it is dropped, when there is no room for it. */
  enter(frame: number, wireBytes: number, segments: number): number {
    const { freeSlots, slotCount } = this.arena;
    const slots = this.words[this.wordsAt + Words.slots]! + this.arena.slotsOf(frame);
    if (slots <= SHARE_OF_FREE * (freeSlots - SPARED * slotCount)) return this.#take(frame, wireBytes, segments);
    this.count(DirectionField.overloaded, segments);
    this.#place.discard(DropReason.overload, frame);
    return -1;
  }

  /** The same for a part of what is in the link already, or a copy. */
  enterPart(whole: number, frame: number, wireBytes: number, segments: number): number {
    const { cameNs } = this.entries;
    const entry = this.#take(frame, wireBytes, segments);
    if (entry !== -1) cameNs[entry] = cameNs[whole]!;
    return entry;
  }

  #take(frame: number, wireBytes: number, segments: number): number {
    const { entries, words, wordsAt } = this;
    const entry = entries.take();
    if (entry === -1) {
      this.count(DirectionField.overloaded, segments);
      this.#place.discard(DropReason.overload, frame);
      return -1;
    }
    const nowNs = this.numbers[this.timesAt + Time.now]!;
    entries.frame[entry] = frame;
    entries.bytes[entry] = wireBytes;
    entries.segments[entry] = segments;
    entries.cameNs[entry] = nowNs;
    entries.atNs[entry] = nowNs;
    words[wordsAt + Words.entries]!++;
    entries.slots[entry] = this.arena.slotsOf(frame);
    words[wordsAt + Words.slots]! += entries.slots[entry];
    return entry;
  }

  /** Gives up an entry for its frame, which is the caller's. */
  leave(entry: number): number {
    const { entries, words, wordsAt } = this;
    const frame = entries.frame[entry]!;
    words[wordsAt + Words.entries]!--;
    words[wordsAt + Words.slots]! -= entries.slots[entry]!;
    entries.giveBack(entry);
    return frame;
  }

  release(entry: number): void {
    this.arena.release(this.leave(entry));
  }

  discard(entry: number, reason: DropReason): void {
    this.#place.discard(reason, this.leave(entry));
  }

  drop(entry: number, reason: DropReason): void {
    this.count(DirectionField.queueDropped, 1);
    this.discard(entry, reason);
  }

  /** What has no entry (yet): a frame, or -1 for a packet that is none of its own. */
  refuse(reason: DropReason, frame: number): void {
    this.#place.discard(reason, frame);
  }

  /** There was no memory for packets that were to be cut out of a super-frame. */
  overload(packets: number): void {
    this.count(DirectionField.overloaded, packets);
    this.#place.discard(DropReason.overload, -1);
  }

  count(field: number, packets: number): void {
    const { index } = this.#place;
    this.#counters[Telemetry.directionBase(index >>> 1, index & 1) + field]! += packets;
  }

  /** A second entry for the frame of one; -1 when there is none left. */
  copy(entry: number): number {
    const { frame, bytes } = this.entries;
    this.count(DirectionField.duplicated, 1);
    this.arena.retain(frame[entry]!);
    return this.enterPart(entry, frame[entry]!, bytes[entry]!, 1);
  }

  /** Flips a bit of its frame. False: there was no memory, and it is dropped. */
  corrupt(entry: number, bit: number): boolean {
    if (!this.#own(entry)) {
      this.count(DirectionField.overloaded, 1);
      this.discard(entry, DropReason.overload);
      return false;
    }
    this.count(DirectionField.corrupted, 1);
    flipBit(this.arena, this.entries.frame[entry]!, bit);
    return true;
  }

  mark(entry: number): boolean {
    const { frame } = this.entries;
    if (!understandsEcn(this.arena, frame[entry]!) || !this.#own(entry)) return false;
    this.count(DirectionField.marked, 1);
    markCongestion(this.arena, frame[entry]!);
    return true;
  }

  /** Makes the frame of an entry its alone; false when there is no memory. */
  #own(entry: number): boolean {
    const { frame } = this.entries;
    const own = exclusive(this.arena, frame[entry]!);
    if (own !== -1) frame[entry] = own;
    return own !== -1;
  }

  exportEntry(entry: number): HeldFrame {
    const { bytes, segments, cameNs, atNs, frame } = this.entries;
    const nowNs = this.numbers[this.timesAt + Time.now]!;
    const held = {
      ...readFrame(this.arena, frame[entry]!),
      wireBytes: bytes[entry]!,
      segments: segments[entry]!,
      cameNs: cameNs[entry]! - nowNs,
      atNs: atNs[entry]! - nowNs,
    };
    this.release(entry);
    return held;
  }

  importEntry(held: HeldFrame): number {
    const { cameNs, atNs } = this.entries;
    const nowNs = this.numbers[this.timesAt + Time.now]!;
    const frame = writeFrame(this.arena, held);
    if (frame === -1) {
      this.overload(held.segments);
      return -1;
    }
    const entry = this.enter(frame, held.wireBytes, held.segments);
    if (entry === -1) return -1;
    cameNs[entry] = held.cameNs + nowNs;
    atNs[entry] = held.atNs + nowNs;
    return entry;
  }
}
