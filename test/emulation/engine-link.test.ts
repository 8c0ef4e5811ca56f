import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Emulation, type Jitter, NO_EMULATION, type Queue, type QueueLimit } from '../../model/emulation.js';
import { engineLink, LEAST_BYTES } from './engine-link.js';
import type { Arrival, Change, Link } from './oracle-packets.js';
import { oracle } from './oracle.js';

const MS = 1e6;
const LINK: Link = {
  seed: 1,
  name: 'h1--s1',
  direction: 0,
  inputs: { traces: { uneven: [0, 0, 3, 3, 4, 9, 20, 21] }, distributions: { skewed: [-1, 0, 1, 5] } },
};
const FLOWS = 4;

const limit: fc.Arbitrary<QueueLimit> = fc.oneof(
  fc.integer({ min: 1, max: 60 }).map((packets) => ({ unit: 'packets', packets }) as const),
  fc.integer({ min: 1514, max: 60_000 }).map((bytes) => ({ unit: 'bytes', bytes }) as const),
  fc.integer({ min: 20 * MS, max: 200 * MS }).map((durationNs) => ({ unit: 'time', durationNs }) as const),
);
const timeNs = fc.integer({ min: 1, max: 40 }).map((ms) => ms * MS);

const queues: Record<Queue['discipline'], fc.Arbitrary<Queue>> = {
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
  codel: fc.record({
    discipline: fc.constant('codel'),
    limit,
    targetNs: timeNs,
    intervalNs: timeNs,
    ecn: fc.boolean(),
  }),
  'fq-codel': fc.record({
    discipline: fc.constant('fq-codel'),
    limit,
    targetNs: timeNs,
    intervalNs: timeNs,
    flows: fc.constant(FLOWS),
    quantumBytes: fc.integer({ min: 100, max: 3000 }),
    ecn: fc.boolean(),
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

/** Busy and idle times in turn, at a megabyte a second and less. */
const arrivals: fc.Arbitrary<Arrival[]> = fc
  .array(
    fc.record({
      gapNs: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 0, max: 2 * MS }) }, { weight: 1, arbitrary: timeNs }),
      bytes: fc.integer({ min: LEAST_BYTES, max: 1514 }),
      ecn: fc.constantFrom('not-ect', 'ect', 'ce'),
      flow: fc.nat(FLOWS - 1),
    }),
    { minLength: 1, maxLength: 400, size: 'max' },
  )
  .map((list) => {
    let atNs = 0;
    return list.map(({ gapNs, ...rest }) => ({ ...rest, atNs: (atNs += gapNs) }));
  });

/** What came of them, by fate, so that a test can say that it has seen what it is about. */
type Fates = Record<string, number>;

function compare(changes: Change[], arrivals: Arrival[], fates: Fates = {}): void {
  const single = arrivals.map((arrival) => ({ ...arrival, flow: usesFlows(changes) ? arrival.flow : 0 }));
  const plain = oracle(LINK, changes, single).map((packet) =>
    // Which was first of a packet and its copy cannot be seen; a mark on what is dropped cannot either.
    ({
      ...packet,
      deliveredNs: [...packet.deliveredNs].sort((a, b) => a - b),
      marked: packet.marked && packet.dropped === undefined,
    }),
  );
  expect(engineLink(LINK, changes, single)).toEqual(plain);
  for (const { dropped, marked } of plain) {
    const fate = dropped ?? (marked ? 'marked' : 'delivered');
    fates[fate] = (fates[fate] ?? 0) + 1;
  }
}

function usesFlows(changes: Change[]): boolean {
  return changes[0]!.properties.emulation?.queue.discipline === 'fq-codel';
}

const upAt = (atNs: number, emulation: Partial<Emulation>): Change => ({
  atNs,
  properties: { state: 'up', emulation: { ...NO_EMULATION, ...emulation } },
});

describe('the engine does as the oracle, to the nanosecond', () => {
  for (const [discipline, arbitrary] of Object.entries(queues)) {
    it(`with the queue ${discipline}`, () => {
      const fates: Fates = {};
      fc.assert(
        fc.property(arbitrary, arrivals, fc.integer({ min: 1_000_000, max: 8_000_000 }), (queue, arrivals, rateBps) => {
          compare([upAt(0, { rateBps, queue, delayNs: 3 * MS, overheadBytes: 24 })], arrivals, fates);
        }),
        { numRuns: 60 },
      );
      const expected = discipline === 'drop-tail' ? ['queue-limit'] : ['queue-limit', 'discipline', 'marked'];
      for (const fate of ['delivered', ...expected]) expect(fates[fate]).toBeGreaterThan(0);
    });
  }

  const ratio = fc.constantFrom(0, 0, 0.05, 0.5, 1);
  const emulation: fc.Arbitrary<Partial<Emulation>> = fc
    .record({
      line: fc.oneof(
        fc.constant({}),
        fc.constant({ trace: 'uneven' }),
        fc.integer({ min: 1_000_000, max: 8_000_000 }).map((rateBps) => ({ rateBps })),
      ),
      loss: fc.constantFrom<NonNullable<Emulation['loss']> | undefined>(
        undefined,
        { model: 'random', lossRatio: 0.1, correlationRatio: 0.5 },
        { model: 'gilbert-elliott', toBadRatio: 0.1, toGoodRatio: 0.3, badLossRatio: 0.8, goodLossRatio: 0.01 },
      ),
      jitter: fc.option(
        fc.record({
          jitterNs: fc.integer({ min: 1, max: 2 * MS }),
          distribution: fc.constantFrom<Jitter['distribution']>('uniform', 'normal', 'pareto', 'paretonormal', {
            table: 'skewed',
          }),
          correlationRatio: fc.constantFrom(0, 0.5),
        }),
        { nil: undefined },
      ),
      rest: fc.record({
        overheadBytes: fc.constantFrom<0 | 24>(0, 24),
        delayNs: fc.integer({ min: 0, max: 5 * MS }),
        duplicateRatio: ratio,
        reorderRatio: ratio,
        mtuBytes: fc.integer({ min: 1000, max: 1500 }),
        queue: queues['drop-tail'],
      }),
    })
    .map(({ line, loss, jitter, rest }) => ({ ...line, ...rest, ...(loss && { loss }), ...(jitter && { jitter }) }));

  it('with rates and traces, loss, copies, reordering and jitter', () => {
    const fates: Fates = {};
    fc.assert(
      fc.property(emulation, arrivals, (emulation, arrivals) => compare([upAt(0, emulation)], arrivals, fates)),
      { numRuns: 150 },
    );
    for (const fate of ['delivered', 'lost', 'queue-limit', 'mtu']) expect(fates[fate]).toBeGreaterThan(0);
  });
});
