import { describe, expect, it } from 'vitest';
import { MAX_TIMEOUT_NS, MIN_TIMEOUT_NS, Rtt } from './rtt.js';

describe('Rtt', () => {
  it('knows nothing before the first sample', () => {
    const rtt = new Rtt();
    expect([rtt.smoothedNs, rtt.leastNs, rtt.variationNs]).toEqual([NaN, NaN, NaN]);
    expect(rtt.timeoutNs).toBeGreaterThan(0);
  });

  it('smooths as RFC 6298 §2 does', () => {
    const rtt = new Rtt();
    rtt.sample(80e6);
    expect([rtt.smoothedNs, rtt.variationNs, rtt.timeoutNs]).toEqual([80e6, 40e6, 240e6]);
    rtt.sample(160e6);
    expect([rtt.smoothedNs, rtt.variationNs, rtt.timeoutNs]).toEqual([90e6, 50e6, 290e6]);
    expect(rtt.leastNs).toBe(80e6);
  });

  it('bounds the timeout', () => {
    const [near, far] = [new Rtt(), new Rtt()];
    near.sample(1e5);
    far.sample(3e9);
    expect([near.timeoutNs, far.timeoutNs]).toEqual([MIN_TIMEOUT_NS, MAX_TIMEOUT_NS]);
  });

  it('forgets the least of long ago, not that of late', () => {
    const rtt = new Rtt();
    rtt.sample(1e6);
    for (let i = 0; i < 63; i++) rtt.sample(5e6);
    expect(rtt.leastNs).toBe(1e6);
    for (let i = 0; i < 65; i++) rtt.sample(5e6);
    expect(rtt.leastNs).toBe(5e6);
  });
});
