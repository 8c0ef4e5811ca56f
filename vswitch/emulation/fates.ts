/**
 * What happens to packets by chance on a link, drawn for each when the line begins with it, in this order, and each from a
 * stream of its own. A packet that is lost draws nothing more. Called by `emulator.ts`.
 */
import type { Emulation } from '../../model/emulation.js';
import type { Loss } from './loss.js';
import { type RandomStream, thresholdOf } from './random.js';

/** Bits of a fate; 0: nothing happens. */
export const Fate = { lost: 1, corrupt: 2, duplicate: 4, early: 8 } as const;

/** Null where nothing is drawn from it: its ratio is 0. */
export type ChanceStreams = Record<'corrupt' | 'duplicate' | 'reorder', RandomStream | null>;

const CORRUPT = 0;
const DUPLICATE = 1;
const REORDER = 2;
export const CHANCE_CELLS = 3;

export class Fates {
  /** Something may happen. */
  readonly any: boolean;
  /** Of the packet that was drawn for last, where it is corrupted: counted from its first byte's highest bit. */
  bit: number;
  readonly #loss: Loss;
  readonly #corrupt: RandomStream | null;
  readonly #duplicate: RandomStream | null;
  readonly #reorder: RandomStream | null;
  readonly #thresholds: Float64Array;
  readonly #at: number;

  constructor(
    { loss, corruptRatio, duplicateRatio, reorderRatio }: Emulation,
    model: Loss,
    { corrupt, duplicate, reorder }: ChanceStreams,
    cells: Float64Array = new Float64Array(CHANCE_CELLS),
    at = 0,
  ) {
    this.any = loss !== undefined || corruptRatio > 0 || duplicateRatio > 0 || reorderRatio > 0;
    this.bit = 0;
    this.#loss = model;
    this.#corrupt = corruptRatio > 0 ? corrupt : null;
    this.#duplicate = duplicateRatio > 0 ? duplicate : null;
    this.#reorder = reorderRatio > 0 ? reorder : null;
    this.#thresholds = cells;
    this.#at = at;
    cells[at + CORRUPT] = thresholdOf(corruptRatio);
    cells[at + DUPLICATE] = thresholdOf(duplicateRatio);
    cells[at + REORDER] = thresholdOf(reorderRatio);
  }

  /** For a packet of so many bytes. */
  draw(bytes: number): number {
    if (this.#loss.lost()) return Fate.lost;
    let fate = 0;
    const thresholds = this.#thresholds;
    const corrupt = this.#corrupt;
    const duplicate = this.#duplicate;
    if (corrupt !== null && corrupt.chance(thresholds, this.#at + CORRUPT)) {
      fate |= Fate.corrupt;
      this.bit = Math.floor(((corrupt.next32() >>> 0) / 2 ** 32) * 8 * bytes);
    }
    if (duplicate !== null && duplicate.chance(thresholds, this.#at + DUPLICATE)) fate |= Fate.duplicate;
    return fate | this.drawEarly();
  }

  /** `Fate.early` or 0: of a copy, too. */
  drawEarly(): number {
    if (this.#reorder === null) return 0;
    return this.#reorder.chance(this.#thresholds, this.#at + REORDER) ? Fate.early : 0;
  }
}
