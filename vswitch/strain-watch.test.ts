import { describe, expect, it } from 'vitest';
import { StrainWatch } from './strain-watch.js';
import { DirectionField, Telemetry } from './telemetry.js';
import type { Timer } from './timer.js';

const LINK = 3;

class HandTimer implements Timer {
  #nowMs = 5;
  #wake: { ms: number; call: () => void } | undefined;

  nowMs(): number {
    return this.#nowMs;
  }

  wakeAt(ms: number, call: () => void): void {
    this.#wake = ms === Infinity ? undefined : { ms, call };
  }

  pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.#wake !== undefined && this.#wake.ms <= untilMs) {
      const { ms: dueMs, call } = this.#wake;
      this.#nowMs = dueMs;
      this.#wake = undefined;
      call();
    }
    this.#nowMs = untilMs;
  }

  get isSet(): boolean {
    return this.#wake !== undefined;
  }
}

function bench(): { timer: HandTimer; watch: StrainWatch; leave: (timed: number, late: number) => void } {
  const telemetry = new Telemetry(Telemetry.allocate());
  const timer = new HandTimer();
  // A thread that never was: how long this one had to wait is the machine's affair.
  const watch = new StrainWatch(telemetry, 0, timer, 100e9);
  const base = Telemetry.directionBase(LINK, 1);
  const leave = (timed: number, late: number): void => {
    telemetry.directions[base + DirectionField.timed]! += timed;
    telemetry.directions[base + DirectionField.late]! += late;
  };
  return { timer, watch, leave };
}

describe('StrainWatch', () => {
  it('tells the second in which frames were late, by the clock of the machine', () => {
    const { timer, watch, leave } = bench();
    watch.watch([LINK]);
    timer.pass(1500);
    leave(100, 40);
    timer.pass(1500);
    leave(100_000, 1);
    timer.pass(1000);
    expect(watch.read()).toEqual([
      { fromNs: 101e9, toNs: 102e9, hardNs: 1e9, engineWaitNs: 0, busyNs: 0, timed: 100, late: 40 },
    ]);
  });

  it('tells also what happened since the last second, unless that is a moment ago', () => {
    const { timer, watch, leave } = bench();
    watch.watch([LINK]);
    leave(1, 1);
    timer.pass(400);
    expect(watch.read()).toEqual([]);
    timer.pass(100);
    expect(watch.read()).toMatchObject([{ fromNs: 100e9, toNs: 100.5e9, late: 1 }]);
  });

  it('goes on when it is told of the same links again, however often', () => {
    const { timer, watch, leave } = bench();
    for (let i = 0; i < 30; i++) {
      watch.watch([LINK]);
      leave(1, 1);
      timer.pass(100);
    }
    expect(watch.read().reduce((sum, { late }) => sum + late, 0)).toBe(30);
  });

  it('wakes nobody while no link is emulated', () => {
    const { timer, watch } = bench();
    watch.watch([]);
    expect(timer.isSet).toBe(false);
    watch.watch([LINK]);
    expect(timer.isSet).toBe(true);
    watch.watch([]);
    expect(timer.isSet).toBe(false);
    expect(watch.read()).toEqual([]);
  });
});
