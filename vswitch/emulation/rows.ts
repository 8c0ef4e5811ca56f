/**
 * What directions of one engine remember in numbers: a row for each in two tables, since a typed array of a few numbers takes
 * ten times their room. Memory of a row that was never used is never touched.
 *
 *   numbers   times │ line │ queue │ loss │ chance │ jitter         doubles: in fields, each that is stored would be garbage
 *   words     six streams of chance │ chains │ what is held        32-bit integers
 *
 * Each part is given the table and where its own cells begin; how many they are, and what they mean, stands beside the part.
 */
import { QUEUE_CELLS } from './discipline.js';
import { CHANCE_CELLS } from './fates.js';
import { JITTER_CELLS } from './jitter.js';
import { LINE_CELLS } from './line.js';
import { LOSS_CELLS } from './loss.js';
import { STREAM_WORDS } from './random.js';
import { TIMES } from './times.js';

/** Where each part's cells begin in a row of `numbers`. */
export const Cells = {
  times: 0,
  line: TIMES,
  queue: TIMES + LINE_CELLS,
  loss: TIMES + LINE_CELLS + QUEUE_CELLS,
  chance: TIMES + LINE_CELLS + QUEUE_CELLS + LOSS_CELLS,
  jitter: TIMES + LINE_CELLS + QUEUE_CELLS + LOSS_CELLS + CHANCE_CELLS,
} as const;
const ROW_CELLS = Cells.jitter + JITTER_CELLS;

/** What a stream is drawn for, and which of the six it is. */
export const Purpose = { loss: 0, corrupt: 1, duplicate: 2, reorder: 3, jitter: 4, queue: 5 } as const;
export type Purpose = keyof typeof Purpose;
const CHAINS_AT = 6 * STREAM_WORDS;

/** Where in a row of `words`. A chain is its first entry and its last. */
export const Words = {
  streams: 0,
  waiting: CHAINS_AT,
  ordered: CHAINS_AT + 2,
  early: CHAINS_AT + 4,
  /** Entries, and slots of the arena, that the direction holds. */
  entries: CHAINS_AT + 6,
  slots: CHAINS_AT + 7,
} as const;
const ROW_WORDS = CHAINS_AT + 8;

export class Rows {
  readonly numbers: Float64Array;
  readonly words: Int32Array;

  constructor(directions: number) {
    this.numbers = new Float64Array(directions * ROW_CELLS);
    this.words = new Int32Array(directions * ROW_WORDS);
  }

  /** Where the row of a direction begins, in `numbers` and in `words`. */
  static cellsAt(direction: number): number {
    return direction * ROW_CELLS;
  }

  static wordsAt(direction: number): number {
    return direction * ROW_WORDS;
  }

  /** Nothing has happened on this direction, and nothing was drawn. */
  clear(direction: number): void {
    this.numbers.fill(0, Rows.cellsAt(direction), Rows.cellsAt(direction + 1));
    this.words.fill(0, Rows.wordsAt(direction), Rows.wordsAt(direction + 1));
  }
}
