/** Waiting in virtual time: the kernel's part is played, rehearsals are real and take what they are said to take. */
import { describe, expect, it } from 'vitest';
import { MemoryCalls } from './memory-calls.js';
import { Rehearsal } from './rehearsal.js';
import { Waiter } from './waiter.js';

const AWAKE_NS = 60_000;
/** How late a thread that sleeps is woken. */
const WOKEN_LATE_NS = 50_000;

class Bench {
  readonly now = new Float64Array([1e12, 0, 0, 0]);
  readonly left = new Float64Array([-Infinity]);
  readonly rehearsal: Rehearsal;
  readonly waiter: Waiter;
  /** When a descriptor becomes ready. */
  readyNs = Infinity;
  rehearsals = 0;
  awakeNs = 0;
  /** All that it waited at. */
  readonly paces = new Set<number>();
  readonly #rehearsalNs: number;

  constructor(rehearsalNs = 200_000) {
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
    this.waiter = new Waiter(io, this.left, rehearsal, () => this.#wait());
    // What it has saved before does not count.
    this.now[0]! += 1e9;
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

  /** Frames that are due at these times, in order: returns how late each was, and how often somebody woke for them. */
  pass(dueNs: readonly number[]): { readonly lateNs: number[]; readonly wakes: number } {
    const lateNs: number[] = [];
    let wakes = 0;
    while (lateNs.length < dueNs.length) {
      this.now[1] = dueNs[lateNs.length]!;
      this.now[2] = AWAKE_NS;
      this.waiter.wait();
      wakes++;
      for (; lateNs.length < dueNs.length && dueNs[lateNs.length]! <= this.now[0]!; this.left[0] = this.now[0]!)
        lateNs.push(this.now[0]! - dueNs[lateNs.length]!);
    }
    return { lateNs, wakes };
  }

  /** As `Native.wait`. */
  #wait(): number {
    this.paces.add(this.now[3]!);
    const [nowNs, untilNs, awakeNs] = this.now as unknown as [number, number, number];
    this.now[2] = 0;
    if (this.readyNs <= untilNs) {
      this.now[0] = Math.max(nowNs, this.readyNs);
      return 1;
    }
    const wokenNs = untilNs - awakeNs <= nowNs ? nowNs : untilNs - awakeNs + WOKEN_LATE_NS;
    this.now[0] = Math.max(wokenNs, untilNs);
    if (awakeNs > 0) this.now[2] = this.now[0] - wokenNs;
    this.awakeNs += this.now[2];
    return 0;
  }
}

describe('waiting for what an emulated link holds', () => {
  it('is awake before it is due, and after a long sleep lets a frame of its own through before that', () => {
    const bench = new Bench();
    expect(bench.wait(1e6)).toBe(0);
    expect(bench.rehearsals).toBe(0);
    expect(bench.awakeNs).toBe(AWAKE_NS - WOKEN_LATE_NS);
    expect(bench.wait(10e6)).toBe(0);
    expect(bench.rehearsals).toBe(1);
    bench.rehearsal.close();
  });

  it('sleeps until something else is due', () => {
    const bench = new Bench();
    expect(bench.wait(10e6, 0)).toBe(WOKEN_LATE_NS);
    expect([bench.rehearsals, bench.awakeNs]).toEqual([0, 0]);
    bench.rehearsal.close();
  });

  it('reads at no pace while an emulated link holds something, in a dense row neither', () => {
    const bench = new Bench();
    bench.wait(10e6);
    const fromNs = bench.now[0]! + 1e6;
    bench.pass(Array.from({ length: 100 }, (_, i) => fromNs + i * 50_000));
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

  it('wakes once for all that is due within a moment, where frames leave in a dense row, and does not stay awake', () => {
    const bench = new Bench();
    // A run of segments on a gigabit takes 97 µs; and acknowledgements the other way.
    const rows = [20_000, 35_000, 50_000, 80_000].map((apartNs) => {
      const fromNs = bench.now[0]! + 1e6;
      const runs = Array.from({ length: 1000 }, (_, i) => fromNs + i * 97_000);
      return bench.pass(runs.flatMap((atNs) => [atNs, atNs + apartNs]));
    });
    for (const { lateNs, wakes } of rows) {
      // Until it is known to be one of many.
      expect(lateNs[0]).toBe(0);
      expect(Math.max(...lateNs)).toBeLessThanOrEqual(50_000 + WOKEN_LATE_NS);
      expect(wakes).toBeLessThan(1050);
    }
    expect(bench.awakeNs).toBeLessThan(rows.length * 50 * AWAKE_NS);
    bench.rehearsal.close();
  });

  it('is exact for answers, along a chain of short links, and for frames that follow as closely as on 100 Mbit/s', () => {
    const bench = new Bench();
    const fromNs = bench.now[0]! + 1e6;
    // 60 µs to be answered, over 0.2 ms
    const answered = Array.from({ length: 100 }, (_, i) => [fromNs + i * 10e6, fromNs + i * 10e6 + 260_000]).flat();
    expect(new Set(bench.pass(answered).lateNs)).toEqual(new Set([0]));
    const chain = Array.from({ length: 20 }, (_, i) => bench.now[0]! + 1e6 + i * 80_000);
    expect(new Set(bench.pass(chain).lateNs)).toEqual(new Set([0]));
    const train = Array.from({ length: 10 }, (_, i) => bench.now[0]! + 1e6 + i * 121_120);
    expect(new Set(bench.pass(train).lateNs)).toEqual(new Set([0]));
    bench.rehearsal.close();
  });

  for (const [periodNs, rehearsalNs] of [
    [2.1e6, 250_000],
    [2.5e6, 400_000],
    [100_000, 200_000],
  ] as const)
    it(`takes at most a tenth of all time, where something is due every ${periodNs / 1e6} ms`, () => {
      const bench = new Bench(rehearsalNs);
      const beganNs = bench.now[0]!;
      while (bench.now[0]! < beganNs + 20e9) bench.wait(periodNs);
      const spentNs = bench.awakeNs + bench.rehearsals * rehearsalNs;
      expect(spentNs).toBeLessThan(0.1 * (bench.now[0]! - beganNs) + 10e6);
      // And it does take it.
      expect(spentNs).toBeGreaterThan(0.02 * (bench.now[0]! - beganNs));
      if (periodNs > 2e6) expect(bench.rehearsals).toBeGreaterThan(1000);
      bench.rehearsal.close();
    });
});
