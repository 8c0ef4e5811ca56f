/**
 * What one direction of a link is like: the parts that an `Emulation` asks for, made anew where it changes and kept where it
 * does not. `emulator.ts` passes packets through them.
 */
import type { Emulation, Queue } from '../../model/emulation.js';
import { createDiscipline } from './create-discipline.js';
import { type Discipline, type DisciplineState, QueueCell } from './discipline.js';
import { Fates } from './fates.js';
import { Flight, type FlightState } from './flight.js';
import type { Holding } from './holding.js';
import { Jitter, type JitterState, type QuantileTable } from './jitter.js';
import { type Line, type LineState, OPPORTUNITY_BYTES, RateLine, TraceLine } from './line.js';
import { createLoss, type Loss, NO_LOSS } from './loss.js';
import type { NetworkInputs } from './parts.js';
import { hasBegun, type RandomState, RandomStream, readRandomState, STREAM_WORDS, writeRandomState } from './random.js';
import { Cells, Purpose, Words } from './rows.js';

/** A run of segments takes no longer than this on the line: so much later than alone may its first byte arrive. */
const MAX_RUN_NS = 100_000;
/** And is no longer than this, overhead included: of more bytes, work on a line (`line.ts`) would not be exact. */
const MAX_RUN_BYTES = 2 ** 20;

export interface MediumState {
  /** Of those purposes that anything was drawn for. */
  readonly streams: Readonly<Partial<Record<Purpose, RandomState>>>;
  readonly loss: number;
  readonly jitter: JitterState;
  /** Null: there is no line, and nothing waits. */
  readonly line: LineState | null;
  readonly waiting: DisciplineState | null;
  readonly flight: FlightState;
}

export class Medium {
  emulation: Emulation;
  /** Null: nothing ever waits, and packets take no time to pass. */
  line: Line | null;
  waiting: Discipline | null;
  /** Null: nothing happens to packets by chance. */
  fates: Fates | null;
  jitter: Jitter | null;
  readonly flight: Flight;
  /** Most bytes of a run, overhead included; 0: each segment is a frame of its own. */
  runBytes: number;
  readonly #holding: Holding;
  /** Whose streams of chance it draws from. */
  readonly #link: string;
  readonly #seed: number;
  #loss: Loss;
  /** What it is as it was recorded; null: no trace, no table. */
  #trace: readonly number[] | null;
  #table: QuantileTable | null;

  constructor(holding: Holding, link: string, emulation: Emulation, inputs: NetworkInputs) {
    this.emulation = emulation;
    this.line = null;
    this.waiting = null;
    this.fates = null;
    this.jitter = null;
    this.flight = new Flight(holding);
    this.runBytes = 0;
    this.#holding = holding;
    this.#link = link;
    this.#seed = inputs.seed;
    this.#loss = NO_LOSS;
    this.#trace = null;
    this.#table = null;
    this.#become(emulation, undefined, inputs);
  }

  /**
   * It is as `emulation` says from now on. Returns entries that waited in a discipline that is no more, for the one that is
   * now or for the flight: a chain, or null.
   */
  become(emulation: Emulation, inputs: NetworkInputs): Int32Array | null {
    const before = this.emulation;
    this.emulation = emulation;
    return this.#become(emulation, before, inputs);
  }

  #become(emulation: Emulation, before: Emulation | undefined, inputs: NetworkInputs): Int32Array | null {
    const { loss, corruptRatio, duplicateRatio, reorderRatio } = emulation;
    if (before === undefined || !same(loss, before.loss)) this.#setLoss(emulation);
    this.#setJitter(emulation, before, inputs);
    this.flight.configure(emulation.delayNs, this.jitter);
    const fates = new Fates(
      emulation,
      this.#loss,
      {
        corrupt: corruptRatio > 0 ? this.#stream('corrupt') : null,
        duplicate: duplicateRatio > 0 ? this.#stream('duplicate') : null,
        reorder: reorderRatio > 0 ? this.#stream('reorder') : null,
      },
      this.#holding.numbers,
      this.#holding.timesAt + Cells.chance,
    );
    this.fates = fates.any ? fates : null;
    const rateBps = this.#setLine(emulation, before, inputs);
    const displaced = this.#setWaiting(emulation, before, rateBps);
    this.runBytes = this.#mostRunBytes(emulation, rateBps);
    return displaced;
  }

  #mostRunBytes({ segments, jitter, reorderRatio, trace, queue }: Emulation, rateBps: number): number {
    const isSingle =
      segments === 'wire' ||
      jitter !== undefined ||
      reorderRatio > 0 ||
      trace !== undefined ||
      queue.discipline !== 'drop-tail';
    if (isSingle) return 0;
    return this.line === null ? Infinity : Math.min(MAX_RUN_BYTES, (MAX_RUN_NS * rateBps) / 8e9);
  }

  #setLoss({ loss }: Emulation): void {
    const { numbers, timesAt } = this.#holding;
    this.#loss = loss === undefined ? NO_LOSS : createLoss(loss, this.#stream('loss'), numbers, timesAt + Cells.loss);
  }

  #setJitter({ jitter }: Emulation, before: Emulation | undefined, { distributions }: NetworkInputs): void {
    const distribution = jitter?.distribution;
    const was = this.#table;
    const table = typeof distribution === 'object' ? distributions.get(distribution.table)! : null;
    this.#table = table;
    if (before !== undefined && same(jitter, before.jitter) && sameNumbers(table?.quantiles, was?.quantiles)) return;
    const { numbers, timesAt } = this.#holding;
    this.jitter =
      jitter === undefined ? null : new Jitter(jitter, table, this.#stream('jitter'), numbers, timesAt + Cells.jitter);
  }

  /** Returns its rate, of a trace on average; Infinity without either. */
  #setLine(emulation: Emulation, before: Emulation | undefined, { traces }: NetworkInputs): number {
    const { rateBps, trace } = emulation;
    const { numbers, timesAt, lineAt } = this.#holding;
    const was = this.#trace;
    const atMs = trace === undefined ? null : traces[trace]!;
    this.#trace = atMs;
    const stays =
      before !== undefined && before.rateBps === rateBps && before.trace === trace && sameNumbers(atMs, was);
    if (atMs !== null) {
      if (!stays) this.line = new TraceLine(numbers, timesAt, lineAt, atMs);
      return (atMs.length * OPPORTUNITY_BYTES * 8e3) / atMs.at(-1)!;
    }
    if (rateBps === undefined) {
      this.line = null;
      return Infinity;
    }
    if (!stays) this.line = new RateLine(numbers, timesAt, lineAt, rateBps);
    return rateBps;
  }

  /** Returns what waited in a discipline that is no more: a new one has the same cells. */
  #setWaiting(emulation: Emulation, before: Emulation | undefined, rateBps: number): Int32Array | null {
    const { queue, overheadBytes } = emulation;
    const { entries, numbers, queueAt } = this.#holding;
    const was = this.waiting;
    const stays = this.line !== null && before !== undefined && same(unlimited(queue), unlimited(before.queue));
    numbers[queueAt + QueueCell.nsPerByte] = 8e9 / rateBps;
    if (was !== null && stays) {
      was.limit(queue.limit, rateBps, overheadBytes);
      return null;
    }
    const displaced = was === null ? null : Int32Array.of(-1, -1);
    if (was !== null)
      for (let entry = was.remove(); entry !== -1; entry = was.remove()) entries.append(displaced!, 0, entry);
    this.waiting =
      this.line === null
        ? null
        : createDiscipline(queue, this.#holding, (purpose) => this.#stream(purpose), rateBps, overheadBytes);
    return displaced;
  }

  /** Goes on where it was, when it is made again: its words last. */
  #stream(purpose: Purpose): RandomStream {
    const { direction, words } = this.#holding;
    return new RandomStream(this.#seed, this.#link, direction, purpose, words, this.#streamAt(purpose));
  }

  #streamAt(purpose: Purpose): number {
    return this.#holding.wordsAt + Words.streams + STREAM_WORDS * Purpose[purpose];
  }

  /** Takes out all frames, and what it remembers; times as from `Time.now`. */
  exportState(): MediumState {
    const { words } = this.#holding;
    const begun = (Object.keys(Purpose) as Purpose[]).filter((purpose) => hasBegun(words, this.#streamAt(purpose)));
    return {
      streams: Object.fromEntries(begun.map((purpose) => [purpose, readRandomState(words, this.#streamAt(purpose))])),
      loss: this.#loss.exportState(),
      jitter: this.jitter === null ? null : this.jitter.exportState(),
      line: this.line === null ? null : this.line.exportState(),
      waiting: this.waiting === null ? null : this.waiting.exportState(),
      flight: this.flight.exportState(),
    };
  }

  /** Of a medium with the same emulation, into one that was just made. */
  importState({ streams, loss, jitter, line, waiting, flight }: MediumState): void {
    for (const [purpose, state] of Object.entries(streams) as [Purpose, RandomState][])
      writeRandomState(this.#holding.words, this.#streamAt(purpose), state);
    this.#loss.importState(loss);
    this.jitter?.importState(jitter);
    if (line !== null) this.line!.importState(line);
    if (waiting !== null) this.waiting!.importState(waiting);
    this.flight.importState(flight);
  }
}

/** A discipline but for its limit, which can be changed in place. */
function unlimited(queue: Queue): object {
  return { ...queue, limit: undefined };
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** Recordings are read anew with each configuration, and are the same where their numbers are. */
function sameNumbers(a: ArrayLike<number> | null | undefined, b: ArrayLike<number> | null | undefined): boolean {
  if (a == null || b == null) return a == b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
