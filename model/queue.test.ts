import { describe, expect, it } from 'vitest';
import type { QueueLimit } from './emulation.js';
import { UsageError } from './errors.js';
import { formatQueue, parseLimit, parseQueue } from './queue.js';

const DEFAULT: QueueLimit = { unit: 'bytes', bytes: 65_536, byDefault: true };

describe('a queue', () => {
  it('is bounded in packets, bytes or time', () => {
    expect(parseLimit('100p')).toEqual({ unit: 'packets', packets: 100 });
    expect(parseLimit('64KiB')).toEqual({ unit: 'bytes', bytes: 65536 });
    expect(parseLimit('20ms')).toEqual({ unit: 'time', durationNs: 20e6 });
    expect(parseQueue('100p', DEFAULT)).toEqual({ discipline: 'drop-tail', limit: { unit: 'packets', packets: 100 } });
  });

  it.each(['0p', '0ms', '0B', '100', '100packets', '', '1048577p', '1025MiB', '2h', 'red', 'code', 'B'])(
    'is not %s',
    (text) => {
      expect(() => parseQueue(text, DEFAULT)).toThrow(UsageError);
    },
  );

  it('has the defaults of its RFC', () => {
    const limit = DEFAULT;
    expect(parseQueue('drop-tail', DEFAULT)).toEqual({ discipline: 'drop-tail', limit });
    const standing = { targetNs: 5e6, intervalNs: 100e6 };
    expect(parseQueue('codel', DEFAULT)).toEqual({ discipline: 'codel', limit, ...standing, ecn: false });
    expect(parseQueue('fq-codel', DEFAULT)).toEqual({
      discipline: 'fq-codel',
      limit: { unit: 'packets', packets: 10_240 },
      ...standing,
      flows: 1024,
      quantumBytes: 1514,
      ecn: true,
    });
    expect(parseQueue('pie', DEFAULT)).toEqual({
      discipline: 'pie',
      limit,
      targetNs: 15e6,
      updateNs: 15e6,
      alpha: 0.125,
      beta: 1.25,
      maxBurstNs: 150e6,
      ecn: false,
    });
    expect(parseQueue({ discipline: 'red', min: '30kB', max: '90kB' }, DEFAULT)).toEqual({
      discipline: 'red',
      limit,
      minBytes: 30_000,
      maxBytes: 90_000,
      markRatio: 0.1,
      weightRatio: 0.002,
      ecn: false,
    });
  });

  it('is not written where it is the default', () => {
    expect(formatQueue(parseQueue('drop-tail', DEFAULT))).toBeUndefined();
    expect(formatQueue(parseQueue('64KiB', DEFAULT))).toBe('64KiB');
    expect(formatQueue(parseQueue('codel', DEFAULT))).not.toHaveProperty('limit');
  });
});
