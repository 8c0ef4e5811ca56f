/** Links at random, for properties of one direction: what all of them try alike. */
import fc from 'fast-check';
import type { Emulation, EmulationInputs, Jitter, Queue, QueueLimit } from '../../model/emulation.js';

export const MS = 1e6;

/** What `trace: uneven` and the table `skewed` are. */
export const INPUTS: EmulationInputs = {
  traces: { uneven: [0, 0, 3, 3, 4, 9, 20, 21] },
  distributions: { skewed: [-1, 0, 1, 5] },
};

/** From a millisecond on. */
export function milliseconds(most: number): fc.Arbitrary<number> {
  return fc.integer({ min: 1, max: most }).map((ms) => ms * MS);
}

/** `flows`: of FQ-CoDel. */
export function queues(flows: fc.Arbitrary<number>): Record<Queue['discipline'], fc.Arbitrary<Queue>> {
  const limit: fc.Arbitrary<QueueLimit> = fc.oneof(
    fc.integer({ min: 1, max: 60 }).map((packets) => ({ unit: 'packets', packets }) as const),
    fc.integer({ min: 1514, max: 60_000 }).map((bytes) => ({ unit: 'bytes', bytes }) as const),
    fc.integer({ min: 20 * MS, max: 200 * MS }).map((durationNs) => ({ unit: 'time', durationNs }) as const),
  );
  const timeNs = milliseconds(40);
  const codel = { limit, targetNs: timeNs, intervalNs: timeNs, ecn: fc.boolean() };
  return {
    'drop-tail': limit.map((limit) => ({ discipline: 'drop-tail', limit })),
    red: fc.record({
      discipline: fc.constant('red'),
      limit,
      minBytes: fc.integer({ min: 1, max: 10_000 }),
      maxBytes: fc.integer({ min: 10_001, max: 40_000 }),
      markRatio: fc.constantFrom(0, 0.02, 0.3, 1),
      weightRatio: fc.constantFrom(0.002, 0.1, 1),
      ecn: fc.boolean(),
    }),
    codel: fc.record({ discipline: fc.constant('codel'), ...codel }),
    'fq-codel': fc.record({
      discipline: fc.constant('fq-codel'),
      ...codel,
      flows,
      quantumBytes: fc.integer({ min: 100, max: 3000 }),
    }),
    pie: fc.record({
      discipline: fc.constant('pie'),
      limit,
      targetNs: fc.integer({ min: MS, max: 10 * MS }),
      updateNs: fc.integer({ min: MS, max: 5 * MS }),
      alpha: fc.constantFrom(0.125, 5, 50),
      beta: fc.constantFrom(1.25, 20),
      maxBurstNs: fc.constantFrom(0, 20 * MS),
      ecn: fc.boolean(),
    }),
  };
}

export const loss: fc.Arbitrary<NonNullable<Emulation['loss']> | undefined> = fc.constantFrom(
  undefined,
  { model: 'random', lossRatio: 0.1, correlationRatio: 0.5 } as const,
  { model: 'gilbert-elliott', toBadRatio: 0.1, toGoodRatio: 0.3, badLossRatio: 0.8, goodLossRatio: 0.01 } as const,
);

export const jitter: fc.Arbitrary<Jitter | undefined> = fc.option(
  fc.record({
    jitterNs: fc.integer({ min: 1, max: 2 * MS }),
    distribution: fc.constantFrom<Jitter['distribution']>('uniform', 'normal', 'pareto', 'paretonormal', {
      table: 'skewed',
    }),
    correlationRatio: fc.constantFrom(0, 0.5),
  }),
  { nil: undefined },
);
