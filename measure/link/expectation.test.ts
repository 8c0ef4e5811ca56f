import { expect, it } from 'vitest';
import { datagramBytes, floodQueueBytes, framesSeconds, goodputBps, queuePackets } from './expectation.js';

it('expects of TCP what full frames leave for payload', () => {
  // 1514 bytes with Ethernet's header, of which 1448 are payload
  expect(goodputBps(1514e6)).toBe(1448e6);
  expect(framesSeconds(1000, 1514 * 8)).toBe(1000);
});

it('gives TCP a queue of more than a BDP, and a slow link one of twenty packets', () => {
  expect(queuePackets(64e3)).toBe(20);
  // 20 ms at 4 Gbit/s
  expect(queuePackets(4e9) * 1514 * 8).toBeGreaterThanOrEqual(0.02 * 4e9);
});

it('gives a flood a queue that takes a full frame at least, and a tenth of a second', () => {
  expect([64e3, 1e9].map(floodQueueBytes)).toEqual([1514, 12.5e6]);
});

it('measures a rate by frames that Ethernet has', () => {
  for (const rateBps of [64e3, 1e6, 10e6, 1e9]) {
    const { payloadBytes, frameBytes } = datagramBytes(rateBps);
    expect(frameBytes).toBe(payloadBytes + 42);
    expect(frameBytes).toBeGreaterThanOrEqual(60);
    expect(frameBytes).toBeLessThanOrEqual(1514);
  }
  expect(datagramBytes(1e9).frameBytes).toBe(1514);
});
