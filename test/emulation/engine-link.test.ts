import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Emulation, NO_EMULATION } from '../../model/emulation.js';
import { INPUTS, jitter, loss, milliseconds, MS, queues as queuesOf } from './arbitraries.js';
import { engineLink, LEAST_BYTES } from './engine-link.js';
import type { Arrival, Change, Link, Packet } from './oracle-packets.js';
import { oracle } from './oracle.js';

const LINK: Link = {
  seed: 1,
  name: 'h1--s1',
  direction: 0,
  inputs: INPUTS,
};
const FLOWS = 4;

const timeNs = milliseconds(40);
const queues = queuesOf(fc.constant(FLOWS));

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
  const single = singleFlows(changes, arrivals);
  const plain = plainly(changes, single);
  expect(engineLink(LINK, changes, single)).toEqual(plain);
  for (const { dropped, marked } of plain) {
    const fate = dropped ?? (marked ? 'marked' : 'delivered');
    fates[fate] = (fates[fate] ?? 0) + 1;
  }
}

/** An engine that comes late to what comes: as it would have done, had all come when it took it to have. Returns those times. */
function compareLate(changes: Change[], arrivals: Arrival[], lateNs: number[]): number[] {
  const late = engineLink(LINK, changes, singleFlows(changes, arrivals), lateNs);
  expect(late).toEqual(plainly(changes, late));
  return late.map(({ atNs }) => atNs);
}

function singleFlows(changes: Change[], arrivals: Arrival[]): Arrival[] {
  return arrivals.map((arrival) => ({ ...arrival, flow: usesFlows(changes) ? arrival.flow : 0 }));
}

function oneFlow(arrivals: readonly Arrival[]): Arrival[] {
  return arrivals.map((arrival) => ({ ...arrival, flow: 0 }));
}

function plainly(changes: Change[], arrivals: readonly Arrival[]): Packet[] {
  const asked = arrivals.map(({ atNs, bytes, ecn, flow }) => ({ atNs, bytes, ecn, flow }));
  return oracle(LINK, changes, asked).map((packet) =>
    // Which was first of a packet and its copy cannot be seen; a mark on what is dropped cannot either.
    ({
      ...packet,
      deliveredNs: [...packet.deliveredNs].sort((a, b) => a - b),
      marked: packet.marked && packet.dropped === undefined,
    }),
  );
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
      loss,
      jitter,
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

  it('through changes of everything, with what waits and flies', () => {
    const fates: Fates = {};
    // Of one flow: which queue of FQ-CoDel's another has, depends on what was drawn when it was made.
    const queue = fc.oneof(...Object.values(queues));
    const change = fc.record({ afterNs: fc.integer({ min: 0, max: 200 * MS }), emulation, queue });
    fc.assert(
      fc.property(fc.array(change, { minLength: 2, maxLength: 6 }), arrivals, (list, arrivals) => {
        let atNs = 0;
        const changes = list.map(({ afterNs, emulation, queue }, i) =>
          upAt(i === 0 ? 0 : (atNs += afterNs), { ...emulation, queue }),
        );
        compare(changes, oneFlow(arrivals), fates);
      }),
      { numRuns: 200 },
    );
    for (const fate of ['delivered', 'lost', 'queue-limit', 'discipline', 'marked', 'mtu'])
      expect(fates[fate]).toBeGreaterThan(0);
  });

  // Often before something else is due, often after.
  const lateness = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 }), timeNs), {
    minLength: 400,
    maxLength: 400,
  });

  it('also when it comes late to what comes', () => {
    fc.assert(
      fc.property(
        fc.oneof(...Object.values(queues)),
        emulation,
        arrivals,
        lateness,
        (queue, emulation, arrivals, lateNs) => {
          compareLate([upAt(0, { ...emulation, queue })], arrivals, lateNs);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('and takes what comes to a link without a line to have come when it came, however late that is', () => {
    fc.assert(
      fc.property(emulation, arrivals, lateness, ({ rateBps: _, trace: __, ...emulation }, arrivals, lateNs) => {
        const came = arrivals.map((arrival, i) => ({ ...arrival, atNs: arrival.atNs + i + 1 }));
        expect(compareLate([upAt(0, emulation)], came, lateNs)).toEqual(came.map(({ atNs }) => atNs));
      }),
      { numRuns: 100 },
    );
  });
});
