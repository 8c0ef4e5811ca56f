/** A short attack on a tunnel, the same each time. For a long one: `npx tsx test/fuzz/tunnel.ts SECONDS`. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../test/chaos/random.js';
import { fuzzSegmenter, TunnelFuzz } from '../../test/fuzz/tunnel-fuzz.js';
import type { Native } from '../../native/binding.js';

const found = await import('../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);
const missing = found instanceof Error ? ` (skipped: ${found.message})` : '';

describe.skipIf(found instanceof Error)(`a tunnel under attack${missing}`, () => {
  it.each([
    ['unsealed', false],
    ['sealed, by a hostile member', true],
  ])('holds: %s', async (_, isSealed) => {
    const fuzz = new TunnelFuzz(found as Native, 1, isSealed);
    await fuzz.tunnel(10);
    expect(fuzz.tally.frames).toBeGreaterThan(10);
    expect(fuzz.tally.openReads > 0).toBe(isSealed);
    expect(fuzz.tally.drops.get('badDatagram')).toBeGreaterThan(0);
  });
});

it('segmentation of hostile packets writes nowhere else', () => {
  fuzzSegmenter(new Random(1), 100);
});
