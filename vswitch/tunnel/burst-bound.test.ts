import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../test/properties.js';
import { BurstBound } from './burst-bound.js';

const BUFFER_BYTES = 212_992;
const BURST_BYTES = BUFFER_BYTES / 2;
/** In which a burst is there again. */
const REFILL_NS = 250e3;

function boundOf(peerBufferBytes: number): BurstBound {
  const bound = new BurstBound();
  bound.peerBufferBytes = peerBufferBytes;
  return bound;
}

/** Offers datagrams; returns how many went. */
function offer(bound: BurstBound, sizes: readonly number[], nowNs: number): number {
  const heldBytes = Int32Array.from(sizes);
  if (!bound.begin(nowNs)) return 0;
  const sent = bound.admit(heldBytes, sizes.length);
  bound.spend(heldBytes, sent, sent < sizes.length);
  return sent;
}

describe('BurstBound', () => {
  it('bounds nothing while the peer does not say what it holds', () => {
    const bound = boundOf(0);
    const sizes = Array.from({ length: 128 }, () => 170_000);
    for (let i = 0; i < 10; i++) expect(offer(bound, sizes, 0)).toBe(128);
    expect(bound.nextNs).toBe(Infinity);
  });

  it('lets half of the buffer go at once, and the rest when a quarter of that is there again', () => {
    const bound = boundOf(BUFFER_BYTES);
    const sizes = Array.from({ length: 64 }, () => BURST_BYTES / 32);
    expect(offer(bound, sizes, 1e6)).toBe(32);
    expect(bound.nextNs).toBe(1e6 + REFILL_NS / 4);
    expect(offer(bound, sizes, bound.nextNs - 1)).toBe(0);
    const resumeNs = bound.nextNs;
    bound.poll(resumeNs);
    expect(bound.nextNs).toBe(Infinity);
    expect(offer(bound, sizes, resumeNs)).toBe(8);
    expect(offer(bound, sizes, resumeNs + 10 * REFILL_NS)).toBe(32);
  });

  it('is not begun again by a peer that says the same once more', () => {
    const bound = boundOf(BUFFER_BYTES);
    offer(bound, [BURST_BYTES, 1], 0);
    bound.peerBufferBytes = BUFFER_BYTES;
    expect(offer(bound, [1], 0)).toBe(0);
    bound.peerBufferBytes = 2 * BUFFER_BYTES;
    expect(offer(bound, [1], 0)).toBe(1);
  });

  it.each([1, 2304, 2 ** 53, 2 ** 64])('goes on whatever a peer says it holds: %d bytes', (bytes) => {
    const bound = boundOf(bytes);
    let nowNs = 0;
    for (let sent = 0; sent < 100; nowNs = bound.nextNs === Infinity ? nowNs + 1 : bound.nextNs) {
      const more = offer(bound, [170_000], nowNs);
      sent += more;
      if (more === 0) expect(bound.nextNs).toBeLessThanOrEqual(nowNs + 2 * REFILL_NS);
    }
    expect(nowNs).toBeLessThanOrEqual(100 * 2 * REFILL_NS);
  });

  it('never has more under way than a burst, what is refilled meanwhile, and one datagram', () => {
    const step = fc.record({
      waitNs: fc.nat(2 * REFILL_NS),
      sizes: fc.array(fc.integer({ min: 1024, max: 170_000 }), { minLength: 1, maxLength: 20 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const bound = boundOf(BUFFER_BYTES);
        const sent: { atNs: number; bytes: number }[] = [];
        let nowNs = 0;
        for (const { waitNs, sizes } of steps) {
          nowNs += waitNs;
          const count = offer(bound, sizes, nowNs);
          for (const bytes of sizes.slice(0, count)) sent.push({ atNs: nowNs, bytes });
        }
        // A receiver that takes a burst in the time of a refill, from any datagram on.
        sent.forEach(({ atNs }, first) => {
          let bytes = 0;
          let largest = 0;
          for (const later of sent.slice(first)) {
            bytes += later.bytes;
            largest = Math.max(largest, later.bytes);
            const refilled = ((later.atNs - atNs) / REFILL_NS) * BURST_BYTES;
            // What a datagram takes beyond a whole burst is forgiven, so that a peer that lies is not waited for.
            const forgiven = Math.max(0, largest - BURST_BYTES) * (1 + (later.atNs - atNs) / REFILL_NS);
            expect(bytes).toBeLessThanOrEqual(BURST_BYTES + refilled + largest + forgiven + 1);
          }
        });
      }),
    );
  });
});
