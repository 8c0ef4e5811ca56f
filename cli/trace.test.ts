import { expect, it } from 'vitest';
import { renderTrace } from './trace.js';

it('numbers the steps of the walk and says how it ended', () => {
  const steps = [
    { where: 'h1', what: 'sends to 02:00:00:00:00:02 by eth0' },
    { where: 'switch s1', what: 'has learnt it on r1--s1' },
  ];
  expect(renderTrace({ from: 'h1', to: 'r1', reached: true, steps })).toBe(
    ['1. h1         sends to 02:00:00:00:00:02 by eth0', '2. switch s1  has learnt it on r1--s1', 'h1 reaches r1'].join(
      '\n',
    ),
  );
  expect(renderTrace({ from: 'h1', to: 'r1', reached: false, steps: [] })).toBe('h1 does not reach r1');
});
