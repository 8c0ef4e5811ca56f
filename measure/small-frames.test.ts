import fc from 'fast-check';
import { expect, it } from 'vitest';
import { highestLossless, TOLERATED_LOSS, type FloodResult } from './small-frames.js';

/** A network that carries so much and drops the rest. */
function carrying(capacityPps: number): (pps: number) => Promise<FloodResult> {
  return (pps) => {
    const deliveredPps = Math.min(pps, capacityPps);
    return Promise.resolve({ sentPps: pps, deliveredPps, lossRatio: 1 - deliveredPps / pps });
  };
}

const FULL_PPS = 1e6;

it('finds what a network carries, to the last step of the search', async () => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: FULL_PPS / 60, max: 2 * FULL_PPS, noNaN: true }), async (capacity) => {
      const attempt = carrying(capacity);
      const best = await highestLossless(await attempt(FULL_PPS), 7, attempt);
      const reached = Math.min(capacity, FULL_PPS);
      expect(best!.sentPps).toBeLessThanOrEqual(reached / (1 - TOLERATED_LOSS));
      // Six octaves in 2⁷ steps.
      expect(best!.sentPps).toBeGreaterThanOrEqual(reached / 2 ** (6 / 2 ** 7));
    }),
  );
});

it('does not take what only fills a queue for carried', async () => {
  const carried = carrying(FULL_PPS / 2);
  /** Whatever is sent arrives, but later. */
  const queueing = async (pps: number): Promise<FloodResult> => ({ ...(await carried(pps)), lossRatio: 0 });
  const best = await highestLossless(await queueing(FULL_PPS), 7, queueing);
  expect(best!.deliveredPps).toBeLessThanOrEqual(FULL_PPS / 2);
  expect(best!.sentPps).toBeLessThanOrEqual(1.06 * best!.deliveredPps);
});

it('takes no single loss for a limit, and has nothing where everything is lost', async () => {
  let calls = 0;
  const attempt = carrying(FULL_PPS / 2);
  const nervous = (pps: number): Promise<FloodResult> =>
    calls++ % 2 === 0 ? Promise.resolve({ sentPps: pps, deliveredPps: 0, lossRatio: 1 }) : attempt(pps);
  const full = await attempt(FULL_PPS);
  expect(await highestLossless(full, 7, nervous)).toEqual(await highestLossless(full, 7, attempt));
  expect(await highestLossless(full, 7, carrying(0))).toBeUndefined();
});
