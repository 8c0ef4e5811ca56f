import { describe, expect, it } from 'vitest';
import type { EpochKeys } from '../device/device.js';
import { Epochs, LIFETIME_MS } from './epochs.js';

/** Epochs of an engine that does all that it is asked. */
function setUp(...installed: readonly number[]): Epochs & { readonly dropped: number[] } {
  const dropped: number[] = [];
  const epochs = new Epochs({
    install: (_, done) => {
      done();
    },
    sendWith: (_, done) => {
      done();
    },
    drop: (epoch) => dropped.push(epoch),
  });
  for (const epoch of installed) epochs.install(keys(epoch), 0, () => undefined);
  return Object.assign(epochs, { dropped });
}

function keys(epoch: number): EpochKeys {
  return { epoch, algorithm: 'aes-256-gcm', send: [], receive: [] };
}

function confirm(epochs: Epochs, epoch: number, nowMs: number): void {
  expect(epochs.confirm(epoch, nowMs, () => undefined)).toBe(true);
}

describe('the epochs of a tunnel', () => {
  it('stay that the peer begins to seal with, though they were left already', () => {
    const epochs = setUp(1, 2, 3);
    confirm(epochs, 1, 0);
    epochs.met(1, 0);
    confirm(epochs, 3, 1_000);
    expect(epochs.nextMs).toBe(11_000);
    epochs.met(2, 6_000);
    epochs.poll(15_999);
    expect(epochs.dropped).toEqual([]);
    epochs.poll(16_000);
    expect(epochs.dropped).toEqual([1]);
    epochs.met(3, 20_000);
    epochs.poll(29_999);
    expect(epochs.dropped).toEqual([1]);
    epochs.poll(30_000);
    expect(epochs.dropped).toEqual([1, 2]);
    expect(epochs.current?.epoch).toBe(3);
  });

  it('end after an hour, also those that nobody ever sealed with', () => {
    const epochs = setUp(1);
    confirm(epochs, 1, 0);
    epochs.install(keys(2), 1_000, () => undefined);
    epochs.poll(LIFETIME_MS);
    expect(epochs.dropped).toEqual([1]);
    expect(epochs.current).toBeUndefined();
    expect(epochs.nextMs).toBe(LIFETIME_MS + 1_000);
    epochs.poll(LIFETIME_MS + 1_000);
    expect(epochs.dropped).toEqual([1, 2]);
    expect(epochs.nextMs).toBe(Infinity);
  });
});
