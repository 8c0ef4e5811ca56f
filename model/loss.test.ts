import { describe, expect, it } from 'vitest';
import { UsageError } from './errors.js';
import { formatLoss, parseLoss } from './loss.js';

const SUM = [
  { ratio: 0, next: ['90%', '10%'] },
  { ratio: '50%', next: [0.25, 0.75] },
];

describe('loss', () => {
  it('is a ratio, with a correlation, or a model', () => {
    expect(parseLoss('0.1%')).toEqual({ model: 'random', lossRatio: 0.001, correlationRatio: 0 });
    expect(parseLoss(0.5)).toEqual({ model: 'random', lossRatio: 0.5, correlationRatio: 0 });
    expect(parseLoss('random 1% 25%')).toEqual({ model: 'random', lossRatio: 0.01, correlationRatio: 0.25 });
    expect(parseLoss('gilbert-elliott 1% 10%')).toEqual({
      model: 'gilbert-elliott',
      toBadRatio: 0.01,
      toGoodRatio: 0.1,
      badLossRatio: 1,
      goodLossRatio: 0,
    });
    expect(parseLoss('gilbert-elliott 1% 10% 50% 0.1%')).toMatchObject({ badLossRatio: 0.5, goodLossRatio: 0.001 });
    expect(parseLoss(SUM)).toEqual({
      model: 'states',
      states: [
        { lossRatio: 0, nextRatios: [0.9, 0.1] },
        { lossRatio: 0.5, nextRatios: [0.25, 0.75] },
      ],
    });
  });

  it('is none where none is lost', () => {
    expect([parseLoss(0), parseLoss('0%'), parseLoss('random 0')]).toEqual([undefined, undefined, undefined]);
  });

  it.each([
    '0.1%',
    'random 1% 25%',
    'gilbert-elliott 1% 10%',
    'gilbert-elliott 1% 10% 50%',
    'gilbert-elliott 1% 1% 1% 1%',
  ])('%s is written as it was', (text) => {
    expect(formatLoss(parseLoss(text)!)).toBe(text);
  });

  it.each([
    ['gilbert-elliott 1%'],
    ['gilbert-elliott 1% 2% 3% 4% 5%'],
    ['gilbert 1% 2%'],
    ['gilbert-elliott 1% x'],
    ['random'],
    ['random 1% 2% 3%'],
    ['random 0 10%'],
    ['random 101%'],
    [[{ ratio: 0, next: [0.5] }]],
    [[{ ratio: 0, next: [0.5, 0.5] }]],
    [[{ ratio: 2, next: [1] }]],
    [[{ ratio: 0, next: [0.99999999] }]],
  ])('refuses %j', (value) => {
    expect(() => parseLoss(value)).toThrow(UsageError);
  });

  it('takes chances whose sum is 1 but for rounding', () => {
    expect(
      parseLoss(Array.from({ length: 10 }, () => ({ ratio: 0, next: Array<number>(10).fill(0.1) }))),
    ).toBeDefined();
  });
});
