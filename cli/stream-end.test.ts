import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StreamEnding } from './stream-end.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** A piece so many milliseconds after the one before. */
async function* every(ms: readonly number[]): AsyncGenerator<Uint8Array> {
  for (const each of ms) {
    await new Promise((resolve) => setTimeout(resolve, each));
    yield new Uint8Array(1);
  }
}

describe('the end of a stream', () => {
  it.each([
    ['^C', undefined],
    ['so many seconds', 7],
  ])('comes by %s: what came before is waited for, as long as some of it comes', async (_what, seconds) => {
    const stop = new AbortController();
    const ending = new StreamEnding(stop.signal, seconds);
    let pieces = 0;
    const read = (async () => {
      for await (const piece of ending.following(every([6000, 2000, 4000, 4000, 4000]))) pieces += piece.length;
    })();
    await vi.advanceTimersByTimeAsync(6900);
    expect([ending.until.aborted, pieces]).toEqual([false, 1]);
    if (seconds === undefined) stop.abort();
    await vi.advanceTimersByTimeAsync(100);
    expect(ending.until.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(13_000);
    await read;
    expect([ending.signal.aborted, pieces]).toEqual([false, 5]);
    await vi.advanceTimersByTimeAsync(4999);
    expect(ending.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(ending.signal.aborted).toBe(true);
  });

  it('is at once when no more is wanted, whatever is pressed then', async () => {
    const stop = new AbortController();
    const ending = new StreamEnding(stop.signal, 60);
    ending.now();
    expect(ending.signal.aborted).toBe(true);
    stop.abort();
    await vi.advanceTimersByTimeAsync(0);
  });

  it('has come where it was interrupted before', () => {
    const ending = new StreamEnding(AbortSignal.abort());
    expect([ending.until.aborted, ending.signal.aborted]).toEqual([true, false]);
    ending.now();
  });
});
