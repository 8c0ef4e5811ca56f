import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FEC_MAX_DATA, FEC_MAX_ROWS, Redundancy } from './redundancy.js';

const S = 1e9;

/** A block of so many, of which each datagram is lost with this chance: what stays lost, by playing it out exactly. */
function residual(datagrams: number, rows: number, loss: number): number {
  const all = datagrams + rows;
  // By how many of `all` are lost.
  let chances = [1];
  for (let i = 0; i < all; i++) {
    chances = [...chances, 0].map((chance, x) => chance * (1 - loss) + (x > 0 ? chances[x - 1]! * loss : 0));
  }
  return chances.reduce((sum, chance, x) => sum + (x > rows ? (chance * x) / all : 0), 0);
}

describe('a fixed ratio', () => {
  it('is that of each block, rounded up, and one at least', () => {
    const tenth = new Redundancy(0.1);
    expect([1, 10, 11, 44, 80].map((datagrams) => tenth.rowsOf(datagrams))).toEqual([1, 1, 2, 5, 8]);
    tenth.measured(0.2, 0);
    expect(tenth.rowsOf(44)).toBe(5);
  });

  it('is never more than half of a block, but for the smallest', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 0.5, noNaN: true }),
        fc.integer({ min: 1, max: FEC_MAX_DATA }),
        (ratio, k) => {
          const rows = new Redundancy(ratio).rowsOf(k);
          expect(rows).toBeGreaterThanOrEqual(1);
          expect(rows).toBeLessThanOrEqual(Math.min(FEC_MAX_ROWS, Math.max(1, k / 2)));
        },
      ),
    );
  });
});

describe('as the loss is', () => {
  it('is nothing where nothing is lost, or less than is left over otherwise', () => {
    const auto = new Redundancy('auto');
    expect(auto.rows).toBe(0);
    auto.measured(NaN, 0);
    auto.measured(0, S);
    auto.measured(0.0001, 2 * S);
    expect(auto.rows).toBe(0);
  });

  it.each([0.001, 0.005, 0.01, 0.02, 0.05, 0.1])('leaves less than one in ten thousand lost of %d', (loss) => {
    const auto = new Redundancy('auto');
    auto.measured(loss, 0);
    for (const datagrams of [8, 16, 44, 60, 72]) {
      const rows = auto.rowsOf(datagrams);
      // Where it is bounded, no more can be had.
      if (rows < Math.min(FEC_MAX_ROWS, Math.floor(datagrams / 2))) {
        expect(residual(datagrams, rows, loss), `${datagrams} and ${rows}`).toBeLessThan(1e-4);
      }
    }
  });

  it('goes up at once, and down when the loss was well below for five seconds', () => {
    const auto = new Redundancy('auto');
    const after = (loss: number, ns: number): number => {
      auto.measured(loss, ns);
      return auto.rowsOf(44);
    };
    const low = after(0.009, 0);
    const high = after(0.04, S);
    expect(high).toBeGreaterThan(low);
    // 1.9 % is within the next lower level, but not well below it.
    for (let s = 2; s < 20; s++) expect(after(0.019, s * S)).toBe(high);
    // What is low for a while and high again begins anew.
    expect(after(0.01, 20 * S)).toBe(high);
    expect(after(0.019, 24 * S)).toBe(high);
    expect(after(0.01, 25 * S)).toBe(high);
    expect(after(0.009, 29.9 * S)).toBe(high);
    expect(after(0.009, 30 * S)).toBe(low);
  });

  it('goes back to nothing when the loss is over', () => {
    const auto = new Redundancy('auto');
    auto.measured(0.05, 0);
    for (let s = 1; s <= 6; s++) auto.measured(0, s * S);
    expect(auto.rows).toBe(0);
  });
});
