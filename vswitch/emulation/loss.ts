/**
 * Which segments are lost on a link: a model is asked once for each segment, in order, when its serialisation starts.
 * Called by `emulator.ts`, and by the oracle in `test/emulation/`.
 */
import type { LossModel } from '../../model/emulation.js';
import { type RandomStream, thresholdOf } from './random.js';

export interface Loss {
  lost(): boolean;
  /** What it remembers of the segments before, without the stream's own state. */
  exportState(): number;
  importState(state: number): void;
}

/** Of a loss by a ratio: its thresholds for the first segment, after one that was not lost, and after one that was. */
export const LOSS_CELLS = 3;

/** `random`: the stream of purpose `loss`. */
export function createLoss(
  model: LossModel | undefined,
  random: RandomStream,
  cells: Float64Array = new Float64Array(LOSS_CELLS),
  at = 0,
): Loss {
  switch (model?.model) {
    case undefined:
      return NO_LOSS;
    case 'random':
      return new RandomLoss(model.lossRatio, model.correlationRatio, random, cells, at);
    case 'gilbert-elliott':
      return new MarkovLoss(
        [
          { lossRatio: model.goodLossRatio, nextRatios: [1 - model.toBadRatio, model.toBadRatio] },
          { lossRatio: model.badLossRatio, nextRatios: [model.toGoodRatio, 1 - model.toGoodRatio] },
        ],
        random,
      );
    case 'states':
      return new MarkovLoss(model.states, random);
  }
}

export const NO_LOSS: Loss = {
  lost: () => false,
  exportState: () => 0,
  importState: () => {},
};

/**
 * A ratio p of all. With a correlation ρ, one segment's fate follows from the one before: P(lost | lost) = p + ρ(1 − p),
 * P(lost | not lost) = p(1 − ρ), so that p stays the ratio and ρ is the autocorrelation at lag 1 (at lag n: ρⁿ).
 */
class RandomLoss implements Loss {
  readonly #random: RandomStream;
  readonly #thresholds: Float64Array;
  readonly #at: number;
  /** 0: no segment came yet; 1: the one before was not lost; 2: it was. */
  #before: number;

  constructor(ratio: number, correlation: number, random: RandomStream, cells: Float64Array, at: number) {
    this.#random = random;
    this.#thresholds = cells;
    this.#at = at;
    cells[at] = thresholdOf(ratio);
    cells[at + 1] = thresholdOf(ratio * (1 - correlation));
    cells[at + 2] = thresholdOf(ratio + correlation * (1 - ratio));
    this.#before = 0;
  }

  lost(): boolean {
    const lost = this.#random.chance(this.#thresholds, this.#at + this.#before);
    this.#before = lost ? 2 : 1;
    return lost;
  }

  exportState(): number {
    return this.#before;
  }

  importState(state: number): void {
    if (state !== 0 && state !== 1 && state !== 2) throw new RangeError(`random loss has states 0 to 2, not ${state}`);
    this.#before = state;
  }
}

/** A segment is lost by the state it finds; then the state changes. Gilbert and Elliott's is the one with two states. */
class MarkovLoss implements Loss {
  readonly #random: RandomStream;
  readonly #count: number;
  readonly #lossThresholds: Float64Array;
  /** [state · count + next]: of this next state or one before it. */
  readonly #nextThresholds: Float64Array;
  #state: number;

  constructor(
    states: readonly { readonly lossRatio: number; readonly nextRatios: readonly number[] }[],
    random: RandomStream,
  ) {
    const count = states.length;
    this.#random = random;
    this.#count = count;
    this.#lossThresholds = Float64Array.from(states, ({ lossRatio }) => thresholdOf(lossRatio));
    this.#nextThresholds = new Float64Array(count * count);
    for (const [i, { nextRatios }] of states.entries()) {
      if (nextRatios.length !== count) {
        throw new RangeError(`state ${i} of ${count} has chances of ${nextRatios.length} next ones`);
      }
      // Divided by their sum, so that it is 1 to the last bit.
      const sum = nextRatios.reduce((a, b) => a + b, 0);
      let upToHere = 0;
      for (const [j, ratio] of nextRatios.entries()) {
        upToHere += ratio;
        this.#nextThresholds[i * count + j] = thresholdOf(upToHere / sum);
      }
    }
    this.#state = 0;
  }

  lost(): boolean {
    const lost = this.#random.chance(this.#lossThresholds, this.#state);
    const drawn = this.#random.next32() >>> 0;
    const row = this.#state * this.#count;
    let next = 0;
    while (drawn >= this.#nextThresholds[row + next]!) next++;
    this.#state = next;
    return lost;
  }

  exportState(): number {
    return this.#state;
  }

  importState(state: number): void {
    if (!(Number.isInteger(state) && state >= 0 && state < this.#count)) {
      throw new RangeError(`loss with ${this.#count} states has no state ${state}`);
    }
    this.#state = state;
  }
}
