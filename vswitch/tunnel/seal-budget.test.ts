import { describe, expect, it } from 'vitest';
import { SealBudget } from './seal-budget.js';

describe('what a key may seal', () => {
  it.each([
    [1500, 2 ** 26, 2 ** 28],
    [2048, 2 ** 26, 2 ** 28],
    [9000, 2 ** 21, 2 ** 23],
    [65_535, 2 ** 21, 2 ** 23],
  ])('in packets of %i bytes', (packetBytes, rekey, stop) => {
    const start = 2 ** 40;
    const budget = new SealBudget(packetBytes);
    budget.begin(start);
    expect(budget.rekeyIsDue(start + Math.ceil(rekey) - 1)).toBe(false);
    expect(budget.rekeyIsDue(start + Math.ceil(rekey))).toBe(true);
    // It is said once.
    expect(budget.rekeyIsDue(start + stop)).toBe(false);
    // One list of frames takes 2¹³ counters at most, so none goes beyond the end.
    const last = start + stop - 2 ** 15 - 1;
    expect([budget.hasFrames(last), budget.hasFrames(last + 1)]).toEqual([true, false]);
    expect([budget.isSpent(last), budget.isSpent(last + 1), budget.isSpent(last + 2)]).toEqual([false, true, false]);
    expect([budget.hasOne(start + stop - 1), budget.hasOne(start + stop)]).toEqual([true, false]);
    budget.begin(start + stop);
    expect([budget.hasFrames(start + stop), budget.hasOne(start + stop)]).toEqual([true, true]);
  });

  it('is less where that is configured, never more', () => {
    const less = new SealBudget(1500, { rekeyDatagrams: 10, stopDatagrams: 2 ** 17 });
    expect([less.rekeyIsDue(10), less.hasOne(2 ** 17)]).toEqual([true, false]);
    const more = new SealBudget(1500, { rekeyDatagrams: 2 ** 30, stopDatagrams: 2 ** 30 });
    expect([more.rekeyIsDue(2 ** 26), more.hasOne(2 ** 28)]).toEqual([true, false]);
  });
});
