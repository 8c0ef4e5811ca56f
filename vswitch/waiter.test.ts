/** Waiting in virtual time: the kernel's part is played, rehearsals are real and take what they are said to take. */
import { describe, expect, it } from 'vitest';
import { MemoryCalls } from './memory-calls.js';
import { Rehearsal } from './rehearsal.js';
import { Waiter } from './waiter.js';

const AWAKE_NS = 60_000;
/** How late a thread that sleeps is woken. */
const WOKEN_LATE_NS = 50_000;
/** What it takes to ask the other processors. */
const ASKING_NS = 18_000;

class Bench {
  readonly now = new Float64Array([1e12, 0, 0, 0, 0]);
  readonly rehearsal: Rehearsal;
  readonly waiter: Waiter;
  /** When a descriptor becomes ready. */
  readyNs = Infinity;
  /** Its next sleep ends halfway, by a signal. */
  isInterrupted = false;
  /** How late sleeps end, in turn. */
  wokenLateNs: readonly number[] = [WOKEN_LATE_NS];
  rehearsals = 0;
  awakeNs = 0;
  /** When other processors were asked to be awake, and until when that was so. */
  readonly held: { fromNs: number; toNs: number }[] = [];
  /** All that it waited at. */
  readonly paces = new Set<number>();
  readonly #rehearsalNs: number;
  #sleeps = 0;

  constructor(rehearsalNs = 200_000, { wakesOthers = false } = {}) {
    const memory = new MemoryCalls(() => 0);
    memory.tapRead = memory.tapWrite = () => -9;
    this.#rehearsalNs = rehearsalNs;
    this.rehearsal = new Rehearsal(memory);
    for (let n = 0; n < 50; n++) this.rehearsal.took(rehearsalNs);
    const io = { now: this.now, tick: () => undefined };
    const rehearsal = {
      leadNs: this.rehearsal.leadNs,
      took: (ns: number) => this.rehearsal.took(ns),
      run: () => {
        this.rehearsals++;
        this.now[0]! += this.#rehearsalNs;
        return this.rehearsal.run();
      },
    };
    const keepAwake = (isAwake: boolean): void => {
      if (isAwake) this.held.push({ fromNs: this.now[0]!, toNs: Infinity });
      this.now[0]! += ASKING_NS;
      if (!isAwake) this.held.at(-1)!.toNs = this.now[0]!;
    };
    this.waiter = new Waiter(io, rehearsal, () => this.#wait(), wakesOthers ? keepAwake : undefined);
    // What it has saved before does not count.
    this.now[0]! += 1e9;
  }

  /** How long others were awake at its asking, all in all. */
  get heldNs(): number {
    return this.held.reduce((sum, { fromNs, toNs }) => sum + Math.min(toNs, this.now[0]!) - fromNs, 0);
  }

  /** Waits for something that is due in so long; returns how late it was. */
  wait(ns: number, awakeNs = AWAKE_NS): number {
    const dueNs = this.now[0]! + ns;
    while (this.now[0]! < dueNs) {
      this.now[1] = dueNs;
      this.now[2] = awakeNs;
      if (this.waiter.wait() > 0) break;
    }
    return this.now[0]! - dueNs;
  }

  /** As `Native.wait`. */
  #wait(): number {
    this.paces.add(this.now[3]!);
    const [nowNs, untilNs, awakeNs] = this.now as unknown as [number, number, number];
    this.now[2] = 0;
    this.now[4] = -1;
    if (this.readyNs <= untilNs) {
      this.now[0] = Math.max(nowNs, this.readyNs);
      return 1;
    }
    if (this.isInterrupted) {
      this.isInterrupted = false;
      this.now[0] = (nowNs + untilNs) / 2;
      return 0;
    }
    const isAsleep = untilNs - awakeNs > nowNs;
    const lateNs = this.wokenLateNs[this.#sleeps++ % this.wokenLateNs.length]!;
    const wokenNs = isAsleep ? untilNs - awakeNs + lateNs : nowNs;
    if (isAsleep) this.now[4] = lateNs;
    this.now[0] = Math.max(wokenNs, untilNs);
    if (awakeNs > 0) this.now[2] = this.now[0] - wokenNs;
    this.awakeNs += this.now[2];
    return 0;
  }
}

describe('waiting for what an emulated link holds', () => {
  it('is awake before it is due, and after a long sleep lets a frame of its own through before that', () => {
    const bench = new Bench();
    expect(bench.wait(0.5e6)).toBe(0);
    expect(bench.rehearsals).toBe(0);
    expect(bench.awakeNs).toBe(AWAKE_NS - WOKEN_LATE_NS);
    expect(bench.wait(10e6)).toBe(0);
    expect(bench.rehearsals).toBe(1);
    bench.rehearsal.close();
  });

  it('is awake no longer than it has been woken late, where it sleeps for moments', () => {
    const bench = new Bench();
    bench.wokenLateNs = [6000];
    for (let n = 0; n < 2000; n++) bench.wait(100_000);
    bench.awakeNs = 0;
    for (let n = 0; n < 1000; n++) expect(bench.wait(100_000)).toBeLessThanOrEqual(200);
    expect(bench.awakeNs).toBeLessThan(1000 * 200);
    // Of long sleeps nothing was learned by that.
    expect(bench.wait(0.5e6)).toBe(0);
    expect(bench.awakeNs).toBeGreaterThan(AWAKE_NS - 6001);
    bench.rehearsal.close();
  });

  it('sleeps until something else is due', () => {
    const bench = new Bench();
    expect(bench.wait(10e6, 0)).toBe(WOKEN_LATE_NS);
    expect([bench.rehearsals, bench.awakeNs]).toEqual([0, 0]);
    bench.rehearsal.close();
  });

  it('reads at no pace while an emulated link holds something', () => {
    const bench = new Bench();
    bench.wait(10e6);
    bench.wait(1e6);
    expect(bench.paces).toEqual(new Set([0]));
    bench.wait(10e6, 0);
    expect(bench.paces.size).toBe(2);
    bench.rehearsal.close();
  });

  it('ends at once when a descriptor is ready', () => {
    const bench = new Bench();
    bench.readyNs = bench.now[0]! + 3e6;
    expect(bench.wait(10e6)).toBe(-7e6);
    expect(bench.rehearsals).toBe(0);
    bench.rehearsal.close();
  });

  for (const [periodNs, rehearsalNs] of [
    [2.1e6, 250_000],
    [2.5e6, 400_000],
    [100_000, 200_000],
  ] as const)
    it(`takes at most a tenth of all time, where something is due every ${periodNs / 1e6} ms`, () => {
      const bench = new Bench(rehearsalNs);
      bench.wokenLateNs = [10_000, WOKEN_LATE_NS];
      const beganNs = bench.now[0]!;
      while (bench.now[0]! < beganNs + 20e9) bench.wait(periodNs);
      const spentNs = bench.awakeNs + bench.rehearsals * rehearsalNs;
      expect(spentNs).toBeLessThan(0.1 * (bench.now[0]! - beganNs) + 10e6);
      // And it does take it.
      expect(spentNs).toBeGreaterThan(0.02 * (bench.now[0]! - beganNs));
      if (periodNs > 2e6) expect(bench.rehearsals).toBeGreaterThan(1000);
      bench.rehearsal.close();
    });

  it('has other processors awake some time before it is due, until it sleeps again', () => {
    const bench = new Bench(40_000, { wakesOthers: true });
    for (let n = 0; n < 3; n++) {
      const dueNs = bench.now[0]! + 10e6;
      expect(bench.wait(10e6)).toBe(0);
      const [held, ...more] = bench.held.splice(0);
      expect([dueNs - held!.fromNs, held!.toNs, more]).toEqual([200_000 - WOKEN_LATE_NS, Infinity, []]);
      bench.held.push(held!);
      // A moment later somebody has been served, and is due again: they need not be woken twice.
      bench.wait(100_000);
      expect(bench.held).toEqual([{ fromNs: held!.fromNs, toNs: Infinity }]);
      bench.wait(10e6, 0);
      expect(bench.held.splice(0)).toEqual([{ fromNs: held!.fromNs, toNs: dueNs + 100_000 + ASKING_NS }]);
    }
    bench.rehearsal.close();
  });

  it('wakes no others where it sleeps for moments, or nothing is held', () => {
    const bench = new Bench(40_000, { wakesOthers: true });
    for (let n = 0; n < 100; n++) bench.wait(400_000);
    bench.wait(10e6, 0);
    bench.readyNs = bench.now[0]! + 3e6;
    bench.wait(10e6);
    expect(bench.held).toEqual([]);
    bench.rehearsal.close();
  });

  it('looks again where a signal ended its sleep', () => {
    const bench = new Bench(40_000, { wakesOthers: true });
    const dueNs = bench.now[0]! + 10e6;
    bench.isInterrupted = true;
    expect(bench.wait(10e6)).toBe(0);
    expect([bench.rehearsals, bench.held.map(({ fromNs }) => dueNs - fromNs)]).toEqual([1, [200_000 - WOKEN_LATE_NS]]);
    bench.rehearsal.close();
  });

  for (const periodNs of [0.8e6, 1e6, 1.3e6, 2.1e6])
    it(`is in time itself before others are awake, where something is due every ${periodNs / 1e6} ms`, () => {
      const [alone, withOthers] = [false, true].map((wakesOthers) => {
        const bench = new Bench(100_000, { wakesOthers });
        let lateNs = 0;
        for (let n = 0; n < 10_000; n++) lateNs += Math.max(0, bench.wait(periodNs) - ASKING_NS);
        bench.rehearsal.close();
        return { rehearsals: bench.rehearsals, lateNs };
      });
      expect(withOthers!.rehearsals).toBeGreaterThanOrEqual(0.95 * alone!.rehearsals);
      expect(withOthers!.lateNs).toBeLessThanOrEqual(1.05 * alone!.lateNs);
    });

  for (const periodsNs of [[2.1e6], [700_000], [10e6, ...Array<number>(1000).fill(150_000)]])
    it(`has others awake for at most a tenth of all time, where something is due after ${periodsNs
      .slice(0, 2)
      .map((ns) => ns / 1e6)
      .join(', ')} ms`, () => {
      const bench = new Bench(40_000, { wakesOthers: true });
      const beganNs = bench.now[0]!;
      while (bench.now[0]! < beganNs + 20e9) for (const ns of periodsNs) bench.wait(ns);
      const allNs = bench.now[0]! - beganNs;
      expect(bench.heldNs).toBeLessThan(0.1 * allNs + 11e6);
      if (periodsNs[0]! > 500_000) expect(bench.held.length).toBeGreaterThan(50);
      bench.rehearsal.close();
    });
});
