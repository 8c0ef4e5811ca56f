import fc from 'fast-check';
import { expect, it } from 'vitest';
import '../../../test/properties.js';
import { formatEndpoint, isSameEndpoint, parseEndpoint } from './endpoint.js';

const port = fc.integer({ min: 0, max: 65535 });

it('is laid out as the addon has it', () => {
  expect(Buffer.from(parseEndpoint('192.0.2.1', 7000)).toString('hex')).toBe('00000000000000000000ffffc00002011b58');
  expect(Buffer.from(parseEndpoint('2001:db8::1:2', 80)).toString('hex')).toBe('20010db80000000000000000000100020050');
});

it('writes what it has read, in the notation of RFC 5952', () => {
  fc.assert(
    fc.property(fc.ipV4(), port, (address, number) => {
      expect(formatEndpoint(parseEndpoint(address, number))).toBe(`${address}:${number}`);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), port, (address, number) => {
      // Not one of those that stand for IPv4.
      const endpoint = Uint8Array.from([...address.with(0, 0x20), number >>> 8, number & 0xff]);
      const text = formatEndpoint(endpoint);
      expect(isSameEndpoint(parseEndpoint(text.slice(1, text.lastIndexOf(']')), number), endpoint)).toBe(true);
    }),
  );
  expect(formatEndpoint(parseEndpoint('2001:DB8:0:0:1::', 7000))).toBe('[2001:db8:0:0:1::]:7000');
  expect(formatEndpoint(parseEndpoint('::1', 7))).toBe('[::1]:7');
});
