import { describe, expect, it } from 'vitest';
import { chiSquareP, LEAST_P, normalP, ratioP } from '../../test/emulation/statistics.js';
import type { LossModel } from '../../model/emulation.js';
import { createLoss, type Loss } from './loss.js';
import { RandomStream } from './random.js';

const FRAMES = 1_000_000;

const create = (model: LossModel | undefined, seed = 1): Loss =>
  createLoss(model, new RandomStream(seed, 'h1--s1', 0, 'loss'));
const random = (lossRatio: number, correlationRatio = 0): LossModel => ({
  model: 'random',
  lossRatio,
  correlationRatio,
});

/** How often each pair of neighbours' fates came: [neither, second, first, both]. */
function pairs(loss: Loss): number[] {
  const counts = [0, 0, 0, 0];
  let before = loss.lost();
  for (let i = 0; i < FRAMES; i++) {
    const lost = loss.lost();
    counts[2 * Number(before) + Number(lost)]!++;
    before = lost;
  }
  return counts;
}

/** How many bursts of losses there were of each length, the last class being all that are longer. */
function bursts(loss: Loss, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  let length = 0;
  for (let i = 0; i < FRAMES; i++) {
    if (loss.lost()) length++;
    else if (length > 0) {
      counts[Math.min(length, classes) - 1]!++;
      length = 0;
    }
  }
  return counts;
}

/** Counts expected where a burst goes on with this chance. */
function geometric(counts: readonly number[], goesOn: number): number[] {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.map((_, i) => total * goesOn ** i * (i === counts.length - 1 ? 1 : 1 - goesOn));
}

describe('loss', () => {
  it('none', () => {
    const loss = create(undefined);
    expect(Array.from({ length: 1000 }, () => loss.lost())).not.toContain(true);
  });

  it('of 0 and of 1 is exact', () => {
    expect(pairs(create(random(0)))).toEqual([FRAMES, 0, 0, 0]);
    expect(pairs(create(random(1)))).toEqual([0, 0, 0, FRAMES]);
    expect(pairs(create(random(1, 0.5)))).toEqual([0, 0, 0, FRAMES]);
  });

  it.each([0.0001, 0.001, 0.02, 0.5])('of a ratio of %d has no memory', (p) => {
    const counts = pairs(create(random(p)));
    const chances = [(1 - p) ** 2, (1 - p) * p, p * (1 - p), p * p];
    expect(ratioP(counts[1]! + counts[3]!, FRAMES, p)).toBeGreaterThan(LEAST_P);
    if (p >= 0.01) {
      const expected = chances.map((chance) => chance * FRAMES);
      // A pair shares a segment with the next one: one degree of freedom less than independent pairs.
      expect(chiSquareP(counts, expected, 2)).toBeGreaterThan(LEAST_P);
    }
  });

  it.each([
    [0.01, 0.25],
    [0.05, 0.5],
    [0.3, 0.9],
  ])('of a ratio of %d with correlation %d: the next one’s fate follows from this one’s', (p, correlation) => {
    const [neither, second, first, both] = pairs(create(random(p, correlation))) as [number, number, number, number];
    expect(ratioP(both, first + both, p + correlation * (1 - p))).toBeGreaterThan(LEAST_P);
    expect(ratioP(second, neither + second, p * (1 - correlation))).toBeGreaterThan(LEAST_P);
    // The ratio itself: its variance is (1 + ρ)/(1 − ρ) times that of independent losses.
    const sigma = Math.sqrt((p * (1 - p) * (1 + correlation)) / (1 - correlation) / FRAMES);
    expect(normalP(((second + both) / FRAMES - p) / sigma)).toBeGreaterThan(LEAST_P);
    const counts = bursts(create(random(p, correlation), 2), 5);
    expect(chiSquareP(counts, geometric(counts, p + correlation * (1 - p)))).toBeGreaterThan(LEAST_P);
  });

  it('Gilbert: bursts are as long as the bad state lasts', () => {
    const model: LossModel = {
      model: 'gilbert-elliott',
      toBadRatio: 0.01,
      toGoodRatio: 0.25,
      badLossRatio: 1,
      goodLossRatio: 0,
    };
    const counts = bursts(create(model), 12);
    expect(chiSquareP(counts, geometric(counts, 0.75))).toBeGreaterThan(LEAST_P);
    const [neither, second, first, both] = pairs(create(model, 2)) as [number, number, number, number];
    expect(ratioP(both, first + both, 0.75)).toBeGreaterThan(LEAST_P);
    expect(ratioP(second, neither + second, 0.01)).toBeGreaterThan(LEAST_P);
  });

  it('Gilbert and Elliott: the ratio, and pairs, of a stationary chain', () => {
    const [p, r, bad, good] = [0.02, 0.2, 0.4, 0.01];
    const model: LossModel = {
      model: 'gilbert-elliott',
      toBadRatio: p,
      toGoodRatio: r,
      badLossRatio: bad,
      goodLossRatio: good,
    };
    const inBad = p / (p + r);
    const ratio = inBad * bad + (1 - inBad) * good;
    // Losses vary together over 1/(p + r) segments: cov at lag n is (bad − good)² π(1 − π) (1 − p − r)ⁿ.
    const covariance = (bad - good) ** 2 * inBad * (1 - inBad);
    const memory = 1 - p - r;
    const sigma = Math.sqrt((ratio * (1 - ratio) + (2 * covariance * memory) / (1 - memory)) / FRAMES);
    const counts = pairs(create(model));
    expect(normalP(((counts[1]! + counts[3]!) / FRAMES - ratio) / sigma)).toBeGreaterThan(LEAST_P);
    const bothLost = ratio * ratio + covariance * memory;
    expect(Math.abs(counts[3]! / FRAMES / bothLost - 1)).toBeLessThan(0.03);
  });

  it('a list of states: begins in the first, lost by the state it finds, which then changes', () => {
    // Round and round: the third of each three is lost.
    const circle = create({
      model: 'states',
      states: [
        { lossRatio: 0, nextRatios: [0, 1, 0] },
        { lossRatio: 0, nextRatios: [0, 0, 1] },
        { lossRatio: 1, nextRatios: [1, 0, 0] },
      ],
    });
    expect(Array.from({ length: 7 }, () => circle.lost())).toEqual([false, false, true, false, false, true, false]);
  });

  it('a list of states: each follows by its chance', () => {
    // Only the second state loses, always; it is left for the third, or kept. Runs of losses tell how long it was kept.
    const counts = bursts(
      create({
        model: 'states',
        states: [
          { lossRatio: 0, nextRatios: [0.5, 0.3, 0.2] },
          { lossRatio: 1, nextRatios: [0, 0.6, 0.4] },
          { lossRatio: 0, nextRatios: [0.9, 0, 0.1] },
        ],
      }),
      10,
    );
    expect(chiSquareP(counts, geometric(counts, 0.6))).toBeGreaterThan(LEAST_P);
  });

  it('chances that are 1 only to the last digits leave no gap', () => {
    const third = 1 / 3;
    const states = Array.from({ length: 3 }, () => ({ lossRatio: 0.5, nextRatios: [third, third, 0.3333333333] }));
    const loss = create({ model: 'states', states });
    for (let i = 0; i < FRAMES; i++) loss.lost();
    expect(loss.exportState()).toBeLessThan(3);
  });

  it.each<LossModel>([
    random(0.3, 0.9),
    { model: 'gilbert-elliott', toBadRatio: 0.1, toGoodRatio: 0.2, badLossRatio: 0.8, goodLossRatio: 0.1 },
  ])('goes on where its state was kept: $model', (model) => {
    const stream = new RandomStream(1, 'h1--s1', 0, 'loss');
    const loss = createLoss(model, stream);
    for (let i = 0; i < 1000; i++) {
      loss.lost();
      const again = new RandomStream(9, 'h1--s1', 0, 'loss');
      again.importState(stream.exportState());
      const resumed = createLoss(model, again);
      resumed.importState(loss.exportState());
      expect(resumed.exportState()).toBe(loss.exportState());
      if (i % 100 === 0) {
        const expected = Array.from({ length: 50 }, () => loss.lost());
        expect(Array.from({ length: 50 }, () => resumed.lost())).toEqual(expected);
      }
    }
    for (const wrong of [-1, 3, 0.5]) expect(() => loss.importState(wrong)).toThrow(RangeError);
  });
});
