import { describe, expect, it } from 'vitest';
import { Loss } from './loss.js';

describe('Loss', () => {
  it('is not known before something was sent between two samples', () => {
    const loss = new Loss();
    expect(loss.ratio).toBe(NaN);
    loss.sample(10, 8, 0);
    expect(loss.ratio).toBe(NaN);
    loss.sample(10, 8, 1e9);
    expect(loss.ratio).toBe(NaN);
  });

  it('is the difference over the window', () => {
    const loss = new Loss();
    loss.sample(100, 90, 0);
    loss.sample(200, 180, 1e9);
    loss.sample(300, 280, 2e9);
    expect(loss.ratio).toBeCloseTo(0.05, 12);
  });

  it('forgets what is out of the window', () => {
    const loss = new Loss();
    loss.sample(0, 0, 0);
    loss.sample(100, 0, 1e9);
    for (let i = 2; i <= 17; i++) loss.sample(100 * i, 100 * (i - 1), i * 1e9);
    expect(loss.ratio).toBe(0);
  });

  it('takes no more than two samples a second, so that the window is one of time', () => {
    const loss = new Loss();
    loss.sample(0, 0, 0);
    loss.sample(100, 50, 1e9);
    for (let i = 1; i < 40; i++) loss.sample(100 + i, 50 + i, 1e9 + i * 1e6);
    expect(loss.ratio).toBe(0.5);
  });

  it('begins anew when the peer did, and is not confused by replies out of order', () => {
    const loss = new Loss();
    loss.sample(100, 50, 0);
    loss.sample(200, 100, 1e9);
    loss.sample(150, 75, 2e9);
    expect(loss.ratio).toBe(0.5);
    loss.sample(300, 3, 3e9);
    expect(loss.ratio).toBe(NaN);
    loss.sample(400, 103, 4e9);
    expect(loss.ratio).toBe(0);
  });

  it('is never below nothing', () => {
    const loss = new Loss();
    loss.sample(10, 5, 0);
    loss.sample(20, 18, 1e9);
    expect(loss.ratio).toBe(0);
  });
});
