/**
 * Looks once a second whether the engine kept time, while links are emulated: how many frames left late, and how long its
 * thread waited for a processor. In the main thread of a switch process; asked by `control.ts`, made by `main.ts`.
 */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Strain } from '../model/verdict.js';
import { StrainLog } from '../model/strain-log.js';
import { DirectionField, Telemetry } from './telemetry.js';
import type { Timer } from './timer.js';

const PERIOD_MS = 1000;
/** In less, a single moment without a processor looks like much. */
const LEAST_MS = 500;

/** Sums since some moment before. */
interface Counts {
  readonly atNs: number;
  readonly engineWaitNs: number;
  readonly timed: number;
  readonly late: number;
}

export class StrainWatch {
  readonly #telemetry: Telemetry;
  readonly #engineThread: number;
  readonly #timer: Timer;
  /** CLOCK_MONOTONIC where the timer has its 0. */
  readonly #zeroNs: number;
  readonly #log: StrainLog;
  /** Indices of the links that are looked at; none: nothing is. */
  #links: readonly number[];
  #last: Counts | undefined;

  constructor(telemetry: Telemetry, engineThread: number, timer: Timer, monotonicNs: number) {
    this.#telemetry = telemetry;
    this.#engineThread = engineThread;
    this.#timer = timer;
    this.#zeroNs = monotonicNs - timer.nowMs() * 1e6;
    this.#log = new StrainLog();
    this.#links = [];
    this.#last = undefined;
  }

  /** From now on, of these links; what was counted of others is not compared with them. Of the same ones, it goes on. */
  watch(links: readonly number[]): void {
    if (isDeepStrictEqual(links, this.#links)) return;
    this.#links = links;
    this.#last = links.length === 0 ? undefined : this.#count();
    this.#timer.wakeAt(links.length === 0 ? Infinity : this.#timer.nowMs() + PERIOD_MS, () => {
      this.#look();
    });
  }

  /** Up to a moment ago. */
  read(): readonly Strain[] {
    if (this.#last !== undefined && this.#nowNs() - this.#last.atNs >= LEAST_MS * 1e6) this.#look();
    return this.#log.read();
  }

  #look(): void {
    const now = this.#count();
    const last = this.#last!;
    this.#log.add({
      fromNs: last.atNs,
      toNs: now.atNs,
      engineWaitNs: now.engineWaitNs - last.engineWaitNs,
      busyNs: 0,
      timed: now.timed - last.timed,
      late: now.late - last.late,
    });
    this.#last = now;
    this.#timer.wakeAt(this.#timer.nowMs() + PERIOD_MS, () => {
      this.#look();
    });
  }

  #count(): Counts {
    let timed = 0;
    let late = 0;
    for (const link of this.#links)
      for (const direction of [0, 1]) {
        const base = Telemetry.directionBase(link, direction);
        timed += this.#telemetry.directions[base + DirectionField.timed]!;
        late += this.#telemetry.directions[base + DirectionField.late]!;
      }
    return { atNs: this.#nowNs(), engineWaitNs: waitNs(this.#engineThread), timed, late };
  }

  #nowNs(): number {
    return Math.round(this.#zeroNs + this.#timer.nowMs() * 1e6);
  }
}

/** Documentation/scheduler/sched-stats: time on a processor, time that it waited for one, and how often it ran. */
function waitNs(thread: number): number {
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[1]);
  } catch {
    return 0; // a kernel without CONFIG_SCHED_INFO: frames that are late are seen all the same
  }
}
