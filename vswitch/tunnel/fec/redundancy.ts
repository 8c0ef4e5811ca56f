/**
 * How much parity a block of datagrams gets: what the scenario says (`fec: 10%`), or what the measured loss needs
 * (`fec: auto`). Pure: loss and time come in. Called by `parity.ts` and `protection.ts`.
 *
 *   measured loss   0 ──── 0.01 % ── 0.2 % ── 0.5 % ── 1 % ── 2 % ── 5 % ── 10 % ── 20 %
 *   made for         none          │  0.2 % │  0.5 % │  1 % …                                up: at once
 *                                  ◄── below two thirds of the next lower, for 5 s            down
 *
 * Of a block that is made for a loss, less than one datagram in ten thousand is expected to stay lost, where losses are
 * independent and the bound allows it: parity is at most half of what it protects (adr/0019).
 * A block of one datagram has one, too; what these cost is bounded by `parity-budget.ts`.
 */
import { MAX_PARITY_RATIO, type Fec } from '../../../model/fec.js';

/** As FEC_MAX_DATA and FEC_MAX_ROWS of native/fec.h. */
export const FEC_MAX_DATA = 80;
export const FEC_MAX_ROWS = 32;
/** At a path MTU of 1500. */
const SUPER_FRAME_DATAGRAMS = 44;

/** What may stay lost; a path that loses less needs no parity. */
const RESIDUAL_RATIO = 1e-4;
/** A choice of losses that `auto` is made for, ascending, and how much below the one before it must be to go back. */
const LEVELS = [0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2] as const;
const DOWN_RATIO = 2 / 3;
const DOWN_NS = 5e9;

export class Redundancy {
  /** Per level and datagrams of a block; a fixed ratio is the one level that there is. */
  readonly #rows: readonly Uint8Array[];
  readonly #isFixed: boolean;
  #level: number;
  /** Since when the loss is so low that a lower level would do; Infinity: it is not. */
  #lowNs: number;
  /** The highest loss since then. */
  #lowRatio: number;

  constructor(setting: Fec) {
    this.#isFixed = setting !== 'auto';
    this.#rows = setting === 'auto' ? LEVELS.map(rowsForLoss) : [rowsForRatio(setting)];
    this.#level = 0;
    this.#lowNs = Infinity;
    this.#lowRatio = 0;
  }

  /** Of the longest block; 0: there is no parity. */
  get rows(): number {
    return this.#rows[this.#level]![FEC_MAX_DATA]!;
  }

  /** Datagrams of parity for each of data, of a super-frame of 62 KB. */
  get ratio(): number {
    return this.rowsOf(SUPER_FRAME_DATAGRAMS) / SUPER_FRAME_DATAGRAMS;
  }

  /** Of a block of so many datagrams, 1 … FEC_MAX_DATA. */
  rowsOf(datagrams: number): number {
    return this.#rows[this.#level]![datagrams]!;
  }

  /** Takes the part of what was sent that did not arrive; NaN: it is not known. */
  measured(lossRatio: number, nowNs: number): void {
    if (this.#isFixed || Number.isNaN(lossRatio)) return;
    const level = levelOf(lossRatio);
    if (level >= this.#level) {
      this.#level = level;
      this.#lowNs = Infinity;
      return;
    }
    const isLow = lossRatio <= Math.max(LEVELS[this.#level - 1]! * DOWN_RATIO, RESIDUAL_RATIO);
    if (!isLow) this.#lowNs = Infinity;
    else if (this.#lowNs === Infinity) {
      this.#lowNs = nowNs;
      this.#lowRatio = lossRatio;
    } else {
      this.#lowRatio = Math.max(this.#lowRatio, lossRatio);
      if (nowNs - this.#lowNs < DOWN_NS) return;
      this.#level = levelOf(this.#lowRatio);
      this.#lowNs = Infinity;
    }
  }
}

function levelOf(lossRatio: number): number {
  if (lossRatio <= RESIDUAL_RATIO) return 0;
  const level = LEVELS.findIndex((ratio) => lossRatio <= ratio);
  return level === -1 ? LEVELS.length - 1 : level;
}

function rowsForRatio(ratio: number): Uint8Array {
  return blockRows((datagrams) => Math.ceil(datagrams * ratio));
}

function rowsForLoss(lossRatio: number): Uint8Array {
  return blockRows((datagrams) => {
    const most = mostRows(datagrams);
    let rows = 0;
    while (rows < most && residualRatio(datagrams, rows, lossRatio) > RESIDUAL_RATIO) rows++;
    return rows;
  });
}

function blockRows(rowsOf: (datagrams: number) => number): Uint8Array {
  const all = new Uint8Array(FEC_MAX_DATA + 1);
  for (let datagrams = 1; datagrams <= FEC_MAX_DATA; datagrams++) {
    all[datagrams] = Math.min(rowsOf(datagrams), mostRows(datagrams));
  }
  return all;
}

function mostRows(datagrams: number): number {
  return Math.min(FEC_MAX_ROWS, Math.max(1, Math.floor(datagrams * MAX_PARITY_RATIO)));
}

/**
 * Of a block's datagrams, the part that is expected to stay lost: when `x` of all are lost, and these are more than there
 * are rows, `x` in `all` of the data are. The sum is that of the binomial distribution.
 */
function residualRatio(datagrams: number, rows: number, lossRatio: number): number {
  const all = datagrams + rows;
  let chance = (1 - lossRatio) ** all;
  let residual = 0;
  for (let x = 1; x <= all; x++) {
    chance *= ((all - x + 1) / x) * (lossRatio / (1 - lossRatio));
    if (x > rows) residual += (chance * x) / all;
  }
  return residual;
}
