import { describe, expect, it } from 'vitest';
import { autocorrelation, chiSquareP, LEAST_P, normalP, ratioP } from '../../test/emulation/statistics.js';
import { RandomStream, thresholdOf } from './random.js';

const stream = (seed = 1, link = 'h1--s1', direction: 0 | 1 = 0, purpose = 'loss'): RandomStream =>
  new RandomStream(seed, link, direction, purpose);

describe('RandomStream', () => {
  it('is xoshiro128** 1.1: from the state 1, 2, 3, 4', () => {
    const random = stream();
    random.importState([1, 2, 3, 4]);
    const drawn = Array.from({ length: 10 }, () => random.next32() >>> 0);
    expect(drawn).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  it('begins where SHA-256 of its key says', () => {
    // printf '%s' '[1,"h1--s1",0,"loss"]' | sha256sum
    const digest = Buffer.from('146ff40663d47f1b54b8c7f1bf648cfa', 'hex');
    expect(stream().exportState()).toEqual([0, 4, 8, 12].map((at) => digest.readInt32LE(at)));
  });

  it('goes on where a state was kept, through JSON', () => {
    const random = stream();
    for (let i = 0; i < 100; i++) random.next32();
    const kept: unknown = JSON.parse(JSON.stringify(random.exportState()));
    const expected = Array.from({ length: 20 }, () => random.next32());
    const other = stream(2);
    other.importState(kept as number[]);
    expect(Array.from({ length: 20 }, () => other.next32())).toEqual(expected);
    expect(() => other.importState([0, 0, 0, 0])).toThrow(RangeError);
    expect(() => other.importState([1, 2, 3])).toThrow(RangeError);
  });

  it('is another one for each seed, link, direction and purpose', () => {
    const keys = [stream(), stream(2), stream(1, 'h1--s2'), stream(1, 'h1--s1', 1), stream(1, 'h1--s1', 0, 'jitter')];
    const n = 100_000;
    const drawn = keys.map((random) => Array.from({ length: n }, () => random.next32() / 2 ** 31));
    for (const [i, a] of drawn.entries()) {
      for (const b of drawn.slice(i + 1)) {
        let products = 0;
        for (let k = 0; k < n; k++) products += a[k]! * b[k]!;
        // Each product of two uniform variables on −1 … 1 has mean 0 and variance 1/9.
        expect(normalP(products / Math.sqrt(n / 9))).toBeGreaterThan(LEAST_P);
      }
    }
  });

  it('chance is exact for 0 and 1, and its ratio otherwise', () => {
    const random = stream();
    const ratios = [0, 1, 0.5, 0.001, 0.37];
    const thresholds = Float64Array.from(ratios, thresholdOf);
    const n = 200_000;
    const happened = ratios.map((_, at) => {
      let count = 0;
      for (let i = 0; i < n; i++) if (random.chance(thresholds, at)) count++;
      return count;
    });
    expect(happened.slice(0, 2)).toEqual([0, n]);
    for (const i of [2, 3, 4]) expect(ratioP(happened[i]!, n, ratios[i]!)).toBeGreaterThan(LEAST_P);
  });

  it('unit is uniform between 0 and 1, without either, and without memory', () => {
    const random = stream();
    const n = 1_000_000;
    const values = new Float64Array(n);
    const counts = new Array<number>(256).fill(0);
    for (let i = 0; i < n; i++) {
      random.unit(values, i);
      counts[Math.floor(values[i]! * 256)]!++;
    }
    expect(chiSquareP(counts, new Array<number>(256).fill(n / 256))).toBeGreaterThan(LEAST_P);
    expect(normalP(autocorrelation(values) * Math.sqrt(n))).toBeGreaterThan(LEAST_P);
    // An odd multiple of 2⁻⁵³, so neither 0 nor 1.
    for (const value of values.subarray(0, 1000)) expect((value * 2 ** 53) % 2).toBe(1);
  });
});
