import { describe, expect, it } from 'vitest';
import { NO_EMULATION } from '../../model/emulation.js';
import { chiSquareP, LEAST_P, ratioP } from '../../test/emulation/statistics.js';
import { Fate, Fates } from './fates.js';
import { createLoss } from './loss.js';
import { RandomStream } from './random.js';

const FRAMES = 1_000_000;
const FRAME_BYTES = 100;

function create(ratios: Partial<typeof NO_EMULATION>): Fates {
  const stream = (purpose: string): RandomStream => new RandomStream(1, 'h1--s1', 0, purpose);
  const emulation = { ...NO_EMULATION, ...ratios };
  return new Fates(emulation, createLoss(emulation.loss, stream('loss')), {
    corrupt: stream('corrupt'),
    duplicate: stream('duplicate'),
    reorder: stream('reorder'),
  });
}

describe('fates', () => {
  it('each comes in its ratio of packets, and independently of the others', () => {
    const fates = create({ corruptRatio: 0.01, duplicateRatio: 0.2, reorderRatio: 0.5 });
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < FRAMES; i++) counts[fates.draw(FRAME_BYTES) >>> 1]!++;
    const expected = counts.map((_, fate) => {
      const chance = (bit: number, ratio: number): number => ((fate << 1) & bit ? ratio : 1 - ratio);
      return FRAMES * chance(Fate.corrupt, 0.01) * chance(Fate.duplicate, 0.2) * chance(Fate.early, 0.5);
    });
    expect(chiSquareP(counts, expected)).toBeGreaterThan(LEAST_P);
  });

  it('a ratio of 0 and of 1 is exact', () => {
    expect(create({}).any).toBe(false);
    const all = create({ corruptRatio: 1, duplicateRatio: 1, reorderRatio: 1 });
    const none = create({});
    for (let i = 0; i < 10_000; i++) {
      expect(all.draw(FRAME_BYTES)).toBe(Fate.corrupt | Fate.duplicate | Fate.early);
      expect(none.draw(FRAME_BYTES)).toBe(0);
    }
  });

  it('any bit of a corrupted packet is as likely', () => {
    const fates = create({ corruptRatio: 1 });
    const counts = new Array<number>(8 * FRAME_BYTES).fill(0);
    for (let i = 0; i < FRAMES; i++) {
      fates.draw(FRAME_BYTES);
      counts[fates.bit]!++;
    }
    expect(chiSquareP(counts, new Array<number>(counts.length).fill(FRAMES / counts.length))).toBeGreaterThan(LEAST_P);
  });

  it('what is lost has no other fate, and draws for none', () => {
    const loss = { model: 'random', lossRatio: 0.3, correlationRatio: 0 } as const;
    const alone = create({ duplicateRatio: 0.5 });
    const lossy = create({ loss, duplicateRatio: 0.5 });
    let lost = 0;
    for (let i = 0; i < FRAMES; i++) {
      const fate = lossy.draw(FRAME_BYTES);
      if (fate === Fate.lost) lost++;
      // The others' fates are those that they would have had without the lost ones.
      else if (fate !== alone.draw(FRAME_BYTES)) throw new Error(`packet ${i} has the fate ${fate}`);
    }
    expect(ratioP(lost, FRAMES, 0.3)).toBeGreaterThan(LEAST_P);
  });
});
