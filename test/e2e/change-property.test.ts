/**
 * Any scenario, changed into any other, is that other.
 *
 *   FUZZ_RUNS=60 npx vitest run --project e2e test/e2e/change-property.test.ts      so many pairs, others each time
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pairs } from '../fixtures/random-scenario.js';
import { isRoot } from './machine.js';
import { Twins } from './twins.js';

/** In CI, where root and an ordinary user try them, each tries others. */
const FEW = process.env.CI === undefined ? { seed: 1, numRuns: 8 } : { seed: isRoot ? 1 : 2, numRuns: 4 };
const runs = process.env.FUZZ_RUNS === undefined ? FEW : { numRuns: Number(process.env.FUZZ_RUNS) };

let twins: Twins;

beforeAll(async () => {
  twins = await Twins.start();
});
afterAll(() => twins[Symbol.asyncDispose]());

it(
  'up of B over A is what B is from scratch',
  async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ([a, b]) => {
        try {
          await twins.up(a);
          await twins.up(b);
          expect(await twins.agent.networks()).toContainEqual(
            expect.objectContaining({ name: b.name, status: 'running' }),
          );
          await twins.expectSame(b, 'the change');
        } finally {
          await twins.down(b.name).catch(() => undefined);
        }
      }),
      { ...runs, endOnFailure: true },
    );
  },
  120_000 + 20_000 * runs.numRuns,
);
