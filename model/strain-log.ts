/**
 * Remembers when a machine was strained, in little memory: neighbouring hard seconds become one strain, and where there
 * would be too many, those with the shortest pause between them do. So the resolution falls where much happened, and
 * nothing is forgotten. A switch process keeps one of its engine, the agent one of the machine's processors.
 */
import type { Strain } from './verdict.js';

/** A day of something every twenty minutes; a few kilobytes. */
export const MAX_STRAINS = 64;
/** A second in which more than this part of the frames left late is hard. */
export const HARD_LATE_RATIO = 0.001;
/** One in which the engine's thread waited for a processor for more than this part of it. */
export const HARD_WAIT_RATIO = 0.05;
/** One in which processors were idle for less than the rest of it. */
export const HARD_BUSY_RATIO = 0.95;

/** What was measured over a time, a second by intention. What the measurer does not know is 0. */
export type StrainSample = Omit<Strain, 'hardNs'>;

export class StrainLog {
  readonly #strains: Strain[] = [];

  /** Samples come in order of time, and do not overlap. */
  add(sample: StrainSample): void {
    if (!isHard(sample)) return;
    this.#strains.push({ ...sample, hardNs: sample.toNs - sample.fromNs });
    const last = this.#strains.length - 1;
    if (last > 0 && this.#strains[last - 1]!.toNs === sample.fromNs) this.#join(last);
    else if (this.#strains.length > MAX_STRAINS) this.#join(this.#afterShortestPause());
  }

  /** In order of time. */
  read(): readonly Strain[] {
    return [...this.#strains];
  }

  #afterShortestPause(): number {
    const pauseNs = (index: number): number => this.#strains[index]!.fromNs - this.#strains[index - 1]!.toNs;
    let best = 1;
    for (let i = 2; i < this.#strains.length; i++) if (pauseNs(i) < pauseNs(best)) best = i;
    return best;
  }

  /** Of `index` and the one before it. */
  #join(index: number): void {
    this.#strains.splice(index - 1, 2, joined(this.#strains[index - 1]!, this.#strains[index]!));
  }
}

function isHard({ fromNs, toNs, engineWaitNs, busyNs, timed, late }: StrainSample): boolean {
  const ns = toNs - fromNs;
  return late > HARD_LATE_RATIO * timed || engineWaitNs > HARD_WAIT_RATIO * ns || busyNs > HARD_BUSY_RATIO * ns;
}

function joined(a: Strain, b: Strain): Strain {
  return {
    fromNs: a.fromNs,
    toNs: b.toNs,
    hardNs: a.hardNs + b.hardNs,
    engineWaitNs: a.engineWaitNs + b.engineWaitNs,
    busyNs: a.busyNs + b.busyNs,
    timed: a.timed + b.timed,
    late: a.late + b.late,
  };
}
