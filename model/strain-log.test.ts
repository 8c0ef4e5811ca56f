import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_STRAINS, StrainLog, type StrainSample } from './strain-log.js';

const second = (at: number, more: Partial<StrainSample> = {}): StrainSample => ({
  fromNs: at * 1e9,
  toNs: (at + 1) * 1e9,
  engineWaitNs: 0,
  busyNs: 0,
  timed: 0,
  late: 0,
  ...more,
});

describe('StrainLog', () => {
  it('says nothing of seconds that were not hard', () => {
    const log = new StrainLog();
    log.add(second(0));
    log.add(second(1, { timed: 10_000, late: 10, engineWaitNs: 0.05e9, busyNs: 0.95e9 }));
    expect(log.read()).toEqual([]);
  });

  it.each<[string, Partial<StrainSample>]>([
    ['more than a thousandth of the frames was late', { timed: 1000, late: 2 }],
    ["the engine's thread waited for a processor", { engineWaitNs: 0.06e9 }],
    ['no processor was idle', { busyNs: 0.96e9 }],
  ])('keeps a second in which %s', (_, more) => {
    const log = new StrainLog();
    log.add(second(7, more));
    expect(log.read()).toEqual([{ ...second(7, more), hardNs: 1e9 }]);
  });

  it('makes one of neighbours, and two where a second was not hard', () => {
    const log = new StrainLog();
    for (const at of [12, 13, 14, 16]) log.add(second(at, { busyNs: 1e9 }));
    expect(log.read().map(({ fromNs, toNs, busyNs }) => [fromNs, toNs, busyNs].map((ns) => ns / 1e9))).toEqual([
      [12, 15, 3],
      [16, 17, 1],
    ]);
  });

  it('forgets no hard second, keeps them in order, and stays small', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 3000 }), { maxLength: 400 }), (hard) => {
        const log = new StrainLog();
        const times = hard.toSorted((a, b) => a - b);
        for (const at of times) log.add(second(at, { timed: 10, late: 1 }));
        const strains = log.read();
        expect(strains.length).toBeLessThanOrEqual(MAX_STRAINS);
        expect(strains.reduce((sum, { hardNs }) => sum + hardNs, 0)).toBe(times.length * 1e9);
        expect(strains.reduce((sum, { late }) => sum + late, 0)).toBe(times.length);
        for (const at of times)
          expect(strains.some(({ fromNs, toNs }) => fromNs <= at * 1e9 && toNs >= (at + 1) * 1e9)).toBe(true);
        for (const [i, { toNs }] of strains.entries()) expect(toNs).toBeLessThan(strains[i + 1]?.fromNs ?? Infinity);
      }),
    );
  });
});
