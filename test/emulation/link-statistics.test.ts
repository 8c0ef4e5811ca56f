/**
 * A link as a whole, a million frames on a clock in hand: what leaves it is delayed, lost, flipped and doubled as was asked for.
 * What each is drawn by is tested beside it, in all its forms.
 */
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { type Emulation, type Jitter, NO_EMULATION } from '../../model/emulation.js';
import { Arena, SLOT_BYTES } from '../../vswitch/arena.js';
import { DropReason } from '../../vswitch/drops.js';
import { Emulator } from '../../vswitch/emulation/emulator.js';
import { toChance } from '../../vswitch/emulation/normal.js';
import { EmulatorParts } from '../../vswitch/emulation/parts.js';
import { GivenTime } from '../../vswitch/link-observer.js';
import { Telemetry } from '../../vswitch/telemetry.js';
import { chiSquareP, kolmogorovSmirnovP, LEAST_P, normalP, ratioP } from './statistics.js';

const FRAMES = 1_000_000;
/** None waits for one before it. */
const GAP_NS = 1e9;
const FRAME = new Uint8Array(60).fill(2, 6, 12);

interface Passed {
  /** Of each that left, in their order. */
  readonly delaysNs: Float64Array;
  /** One byte for each that came: 1 where it was lost. */
  readonly lost: Uint8Array;
  readonly corrupted: number;
  readonly duplicated: number;
}

function pass(emulation: Partial<Emulation>): Passed {
  const arena = new Arena(new Uint8Array(SLOT_BYTES * 64));
  const clock = new ManualClock();
  const telemetry = new Telemetry(Telemetry.allocate());
  const lost = new Uint8Array(FRAMES);
  let sent = 0;
  const place = {
    index: 0,
    discard: (reason: number, frame: number): void => {
      expect(reason).toBe(DropReason.lost);
      lost[sent] = 1;
      arena.release(frame);
    },
  };
  const parts = new EmulatorParts({ arena, clock, telemetry }, 2);
  const inputs = { seed: 1, traces: {}, distributions: new Map() };
  const emulator = new Emulator(parts, place, 'h1--s1', { ...NO_EMULATION, ...emulation }, inputs);
  const { due, dueAt, given } = emulator;
  const delaysNs = new Float64Array(2 * FRAMES);
  let left = 0;
  for (; sent < FRAMES; sent++) {
    const sentNs = clock.nowNs();
    emulator.enqueue(arena.write(FRAME));
    while (due[dueAt]! < Infinity) {
      clock.advance(Math.max(0, due[dueAt]! - clock.nowNs()));
      for (let frame = emulator.dequeue(); frame !== -1; frame = emulator.dequeue()) {
        delaysNs[left++] = given[GivenTime.due]! - sentNs;
        arena.release(frame);
      }
    }
    clock.advance(sentNs + GAP_NS - clock.nowNs());
  }
  const { corrupted, duplicated } = telemetry.emulation(0, 0) ?? { corrupted: 0, duplicated: 0 };
  return { delaysNs: delaysNs.subarray(0, left), lost, corrupted, duplicated };
}

function normalCumulative(x: number): number {
  const values = Float64Array.of(x);
  toChance(values, 0);
  return values[0]!;
}

const CUMULATIVE: Partial<Record<string, (x: number) => number>> = {
  uniform: (x) => Math.min(1, Math.max(0, (x + 1) / 2)),
  normal: normalCumulative,
  // Exponent 3, mean 3/2 and variance 3/4.
  pareto: (x) => 1 - Math.max(1, 1.5 + (x * Math.sqrt(3)) / 2) ** -3,
};

describe('of a million frames', { timeout: 60_000 }, () => {
  it.each(Object.keys(CUMULATIVE))('delays are %s, about the delay', (shape) => {
    const [delayNs, jitterNs] = [20e6, 1e6];
    const jitter: Jitter = { jitterNs, distribution: shape as 'normal', correlationRatio: 0 };
    const { delaysNs } = pass({ delayNs, jitter });
    expect(delaysNs.length).toBe(FRAMES);
    const deviations = delaysNs.map((ns) => (ns - delayNs) / jitterNs);
    expect(kolmogorovSmirnovP(deviations, CUMULATIVE[shape]!)).toBeGreaterThan(LEAST_P);
  });

  it('as many are lost, in bursts as long, and of the others as many flipped and doubled, as was asked for', () => {
    const [ratio, correlation] = [0.05, 0.5];
    const loss = { model: 'random', lossRatio: ratio, correlationRatio: correlation } as const;
    const { delaysNs, lost, corrupted, duplicated } = pass({
      delayNs: 1e6,
      loss,
      corruptRatio: 0.01,
      duplicateRatio: 0.02,
    });
    const losses = lost.reduce((sum, one) => sum + one, 0);
    // Its variance is (1 + ρ)/(1 − ρ) times that of independent losses.
    const sigma = Math.sqrt((ratio * (1 - ratio) * (1 + correlation)) / (1 - correlation) / FRAMES);
    expect(normalP((losses / FRAMES - ratio) / sigma)).toBeGreaterThan(LEAST_P);
    const bursts = new Array<number>(6).fill(0);
    let length = 0;
    for (const one of lost) {
      if (one === 1) length++;
      else if (length > 0) {
        bursts[Math.min(length, bursts.length) - 1]!++;
        length = 0;
      }
    }
    const goesOn = ratio + correlation * (1 - ratio);
    const total = bursts.reduce((sum, count) => sum + count, 0);
    const expected = bursts.map((_, i) => total * goesOn ** i * (i === bursts.length - 1 ? 1 : 1 - goesOn));
    expect(chiSquareP(bursts, expected)).toBeGreaterThan(LEAST_P);
    expect(ratioP(duplicated, FRAMES - losses, 0.02)).toBeGreaterThan(LEAST_P);
    expect(ratioP(corrupted, FRAMES - losses, 0.01)).toBeGreaterThan(LEAST_P);
    expect(delaysNs.length).toBe(FRAMES - losses + duplicated);
    expect([...new Set(delaysNs)]).toEqual([1e6]);
  });
});
