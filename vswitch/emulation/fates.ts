/**
 * What happens to packets by chance on a link, drawn for each when the line begins with it, in this order, and each from a
 * stream of its own. A packet that is lost draws nothing more. Called by `emulator.ts`.
 */
import type { Emulation } from '../../model/emulation.js';
import type { Loss } from './loss.js';
import { type RandomStream, thresholdOf } from './random.js';

/** Bits of a fate; 0: nothing happens. */
export const Fate = { lost: 1, corrupt: 2, duplicate: 4, early: 8 } as const;

export type ChanceStreams = Record<'corrupt' | 'duplicate' | 'reorder', RandomStream>;

const CORRUPT = 0;
const DUPLICATE = 1;
const REORDER = 2;

export class Fates {
  /** Something may happen. */
  readonly any: boolean;
  /** Of the packet that was drawn for last, where it is corrupted: counted from its first byte's highest bit. */
  bit: number;
  readonly #loss: Loss;
  readonly #streams: ChanceStreams;
  readonly #thresholds: Float64Array;

  constructor({ loss, corruptRatio, duplicateRatio, reorderRatio }: Emulation, model: Loss, streams: ChanceStreams) {
    this.any = loss !== undefined || corruptRatio > 0 || duplicateRatio > 0 || reorderRatio > 0;
    this.bit = 0;
    this.#loss = model;
    this.#streams = streams;
    this.#thresholds = Float64Array.of(corruptRatio, duplicateRatio, reorderRatio).map(thresholdOf);
  }

  /** For a packet of so many bytes. */
  draw(bytes: number): number {
    if (this.#loss.lost()) return Fate.lost;
    let fate = 0;
    const { corrupt, duplicate } = this.#streams;
    if (this.#thresholds[CORRUPT]! > 0 && corrupt.chance(this.#thresholds, CORRUPT)) {
      fate |= Fate.corrupt;
      this.bit = Math.floor(((corrupt.next32() >>> 0) / 2 ** 32) * 8 * bytes);
    }
    if (this.#thresholds[DUPLICATE]! > 0 && duplicate.chance(this.#thresholds, DUPLICATE)) fate |= Fate.duplicate;
    return fate | this.drawEarly();
  }

  /** `Fate.early` or 0: of a copy, too. */
  drawEarly(): number {
    if (this.#thresholds[REORDER] === 0) return 0;
    return this.#streams.reorder.chance(this.#thresholds, REORDER) ? Fate.early : 0;
  }
}
