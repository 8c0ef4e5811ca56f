import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../test/properties.js';
import { BurstBound } from './burst-bound.js';

const BUFFER_BYTES = 212_992;
const BURST_BYTES = BUFFER_BYTES / 2;
/** In which a burst is there again. */
const REFILL_NS = 250e3;
/** Of that, in 10 ns: what time is counted in. */
const TICK_BYTES = (10 / REFILL_NS) * BURST_BYTES;

function boundOf(peerBufferBytes: number, word?: Int32Array): BurstBound {
  const bound = new BurstBound(word);
  bound.peerBufferBytes = peerBufferBytes;
  return bound;
}

/** Offers datagrams; returns how many went. */
function offer(bound: BurstBound, sizes: readonly number[], nowNs: number): number {
  const heldBytes = Int32Array.from(sizes);
  if (!bound.begin(nowNs)) return 0;
  const sent = bound.admit(heldBytes, sizes.length);
  bound.settle(heldBytes, sent, sent, sent < sizes.length);
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

  it('is not begun again by a peer that says the same once more, or something else', () => {
    const bound = boundOf(BUFFER_BYTES);
    offer(bound, [BURST_BYTES, 1], 0);
    bound.peerBufferBytes = BUFFER_BYTES;
    expect(offer(bound, [1], 0)).toBe(0);
    bound.peerBufferBytes = 2 * BUFFER_BYTES;
    expect(offer(bound, [1], 0)).toBe(0);
    expect(offer(bound, [1], REFILL_NS / 4)).toBe(1);
  });

  it('has back what was admitted and did not go', () => {
    const bound = boundOf(BUFFER_BYTES);
    const heldBytes = Int32Array.from({ length: 64 }, () => BURST_BYTES / 32);
    expect(bound.begin(0)).toBe(true);
    expect(bound.admit(heldBytes, 64)).toBe(32);
    bound.settle(heldBytes, 32, 16, false);
    expect(bound.admit(heldBytes, 64)).toBe(16);
  });

  it('is there again after any pause', () => {
    const bound = boundOf(BUFFER_BYTES);
    const sizes = Array.from({ length: 64 }, () => BURST_BYTES / 32);
    let nowNs = 0;
    for (let pauseNs = REFILL_NS; pauseNs < 1e12; pauseNs *= 1.37) {
      expect(offer(bound, sizes, (nowNs += Math.round(pauseNs)))).toBe(32);
      bound.poll(bound.nextNs);
    }
  });

  it('is one of all lanes, though another takes of it meanwhile', () => {
    const word = new Int32Array(1);
    const [one, other] = [boundOf(BUFFER_BYTES, word), boundOf(BUFFER_BYTES, word)];
    const heldBytes = Int32Array.from({ length: 64 }, () => BURST_BYTES / 32);
    expect(one.begin(1e6)).toBe(true);
    expect(offer(other, [...heldBytes], 1e6)).toBe(32);
    const admitted = one.admit(heldBytes, 64);
    expect(admitted).toBe(0);
    one.settle(heldBytes, admitted, 0, true);
    expect([one.nextNs, other.nextNs]).toEqual([1e6 + REFILL_NS / 4, 1e6 + REFILL_NS / 4]);
    // One that has read the clock before is no exception.
    expect(offer(boundOf(BUFFER_BYTES, word), [1], 0)).toBe(0);
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

  it.each([1, 8])(
    'never has more under way than a burst, what is refilled meanwhile, and a datagram: %d lanes',
    (lanes) => {
      const step = fc.record({
        lane: fc.nat(lanes - 1),
        waitNs: fc.nat(2 * REFILL_NS),
        sizes: fc.array(fc.integer({ min: 1024, max: 170_000 }), { minLength: 1, maxLength: 20 }),
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
          const word = new Int32Array(1);
          const bounds = Array.from({ length: lanes }, () => boundOf(BUFFER_BYTES, word));
          const sent: { atNs: number; bytes: number }[] = [];
          let nowNs = 0;
          for (const { lane, waitNs, sizes } of steps) {
            nowNs += waitNs;
            const count = offer(bounds[lane]!, sizes, nowNs);
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
              expect(bytes).toBeLessThanOrEqual(BURST_BYTES + refilled + largest + forgiven + TICK_BYTES);
            }
          });
        }),
      );
    },
  );
});
