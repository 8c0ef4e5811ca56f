import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from './errors.js';
import {
  formatDuration,
  formatPackets,
  formatRate,
  formatRatio,
  formatSize,
  parseDuration,
  parsePackets,
  parseRate,
  parseRatio,
  parseSize,
} from './units.js';

const refused = (run: () => unknown): { readonly message: string; readonly hint: string | undefined } => {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('quantities', () => {
  it.each([
    [parseRate, '1bit', 1],
    [parseRate, '100mbit', 1e8],
    [parseRate, '1.5gbit', 1.5e9],
    [parseSize, '0B', 0],
    [parseSize, '9kB', 9000],
    [parseSize, '1MB', 1e6],
    [parseSize, '1.5KiB', 1536],
    [parseSize, '256MiB', 268435456],
    [parsePackets, '100p', 100],
    [parseDuration, '10ms', 1e7],
    [parseDuration, '1.1ms', 1100000],
    [parseDuration, '0.000001ms', 1],
    [parseDuration, '2m', 120e9],
    [parseDuration, '1h', 3600e9],
  ])('%o reads %s as %d', (parse, text, value) => {
    expect(parse(text)).toBe(value);
  });

  it.each([
    [parseRate, '10', '"10" has no unit', /"10mbit"/],
    [parseRate, '10kb', '"10kb" has no unit of a rate: "kb"', /kbit.*kilobytes 8 times/],
    [parseRate, '10kbps', '"10kbps" has no unit of a rate: "kbps"', /kbit/],
    [parseRate, '10mbps', '"10mbps" has no unit of a rate: "mbps"', /mbit/],
    [parseRate, '10Mbps', '"10Mbps" has no unit of a rate: "Mbps"', /mbit/],
    [parseRate, '10Mbit', '"10Mbit" has no unit of a rate: "Mbit"', /write mbit/],
    [parseRate, '10 mbit', '"10 mbit" has a space', /"10mbit"/],
    [parseRate, '0mbit', '"0mbit" lets nothing through', /state: down/],
    [parseRate, '0.5bit', '"0.5bit" is not a whole number of bit', /steps of 1bit/],
    [parseRate, '-1mbit', '"-1mbit" is not a rate', /no sign/],
    [parseRate, '1e3mbit', '"1e3mbit" has no unit of a rate: "e3mbit"', /the units are bit, kbit/],
    [parseRate, '1tbit', '"1tbit" has no unit of a rate: "tbit"', /the units are bit, kbit/],
    [parseRate, '1mbti', '"1mbti" has no unit of a rate: "mbti"', /write mbit/],
    [parseRate, 'constructor', '"constructor" is not a rate', /100mbit/],
    [parseRate, '1constructor', '"1constructor" has no unit of a rate: "constructor"', /the units are bit, kbit/],
    [parseRate, '10000000gbit', '"10000000gbit" is too large', /9007199254740991bit/],
    [parseSize, '64kb', '"64kb" has no unit of a size: "kb"', /KiB \(1024 bytes\) or kB/],
    [parseSize, '64GiB', '"64GiB" has no unit of a size: "GiB"', /1024MiB/],
    [parseSize, '2TiB', '"2TiB" has no unit of a size: "TiB"', /1048576MiB/],
    [parseSize, '8PiB', '"8PiB" has no unit of a size: "PiB"', /the units are B, kB, MB, KiB, MiB/],
    [parseSize, '64kib', '"64kib" has no unit of a size: "kib"', /write KiB/],
    [parseDuration, '10', '"10" has no unit', /"10ms"/],
    [parseDuration, '5min', '"5min" has no unit of a time: "min"', /write m/],
    [parseDuration, '5µs', '"5µs" has no unit of a time: "µs"', /write us/],
    [parseDuration, '5ps', '"5ps" has no unit of a time: "ps"', /the units are ns, us/],
    [parseDuration, '0.5ns', '"0.5ns" is not a whole number of ns', /1ns/],
    [parseDuration, '', '"" is not a time', /10ms/],
    [parsePackets, '0.5p', '"0.5p" is not a whole number of p', /1p/],
  ])('%o refuses %s', (parse, text, message, hint) => {
    const error = refused(() => parse(text));
    expect(error.message).toBe(message);
    expect(error.hint).toMatch(hint);
  });

  it.each([
    ['rate', parseRate, formatRate, 1],
    ['size', parseSize, formatSize, 0],
    ['time', parseDuration, formatDuration, 0],
    ['number of packets', parsePackets, formatPackets, 0],
  ])('reads back every %s that it writes', (_, parse, format, min) => {
    fc.assert(
      fc.property(
        fc.integer({ min, max: Number.MAX_SAFE_INTEGER }),
        fc.constantFrom(1, 1000, 1024, 1e6),
        (n, factor) => {
          const value = Math.floor(n / factor) * factor || min;
          expect(parse(format(value))).toBe(value);
        },
      ),
    );
  });

  it('writes the largest unit that leaves a whole number', () => {
    expect([formatRate(1e8), formatRate(1500), formatDuration(6e10), formatDuration(0)]).toEqual([
      '100mbit',
      '1500bit',
      '1m',
      '0ns',
    ]);
    expect([formatSize(65536), formatSize(1e6), formatSize(1001)]).toEqual(['64KiB', '1MB', '1001B']);
  });

  it('never throws anything else, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const parse of [parseRate, parseSize, parseDuration, parsePackets, parseRatio]) {
          try {
            parse(text);
          } catch (error) {
            expect(error).toBeInstanceOf(UsageError);
          }
        }
      }),
    );
  });
});

describe('ratios', () => {
  it.each([
    ['0.1%', 0.001],
    ['100%', 1],
    ['0.001', 0.001],
    [0.001, 0.001],
    [0, 0],
    ['7%', 0.07],
  ])('reads %s', (text, value) => {
    expect(parseRatio(text)).toBe(value);
  });

  it.each([['101%'], ['1.01'], [1.01], [-0.1], [NaN], ['-1%'], ['1 %'], ['one']])('refuses %s', (text) => {
    expect(refused(() => parseRatio(text)).hint).toBeDefined();
  });
});

it('writes ratios that it reads back to the same', () => {
  expect([0, 1, 0.001, 0.07, 1e-8, 1 / 3].map(formatRatio)).toEqual(['0%', '100%', '0.1%', '7%', '0.000001%', 1 / 3]);
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (ratio) => {
      expect(parseRatio(formatRatio(ratio))).toBe(ratio);
    }),
  );
});
