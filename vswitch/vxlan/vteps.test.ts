import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_REMOTES } from '../../model/vxlan.js';
import { ENDPOINT_BYTES, formatEndpoint, parseEndpoint } from '../tunnel/roaming/endpoint.js';
import { Vteps } from './vteps.js';

it('gives each address the number that a Map gives it, whatever port it comes from', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('192.0.2.1', '192.0.2.2', '::1', '::'));
  fc.assert(
    fc.property(fc.array(fc.tuple(address, fc.nat(65535), fc.boolean()), { maxLength: 200 }), (steps) => {
      const vteps = new Vteps();
      const known = new Map<string, number>();
      for (const [text, port, isAdded] of steps) {
        const endpoint = parseEndpoint(text, port);
        const key = formatEndpoint(parseEndpoint(text, 0));
        if (isAdded && !known.has(key)) known.set(key, known.size);
        expect(isAdded ? vteps.add(endpoint) : vteps.numberOf(endpoint)).toBe(known.get(key) ?? -1);
      }
      for (const [key, number] of known) {
        const endpoint = new Uint8Array(ENDPOINT_BYTES);
        vteps.address(number, endpoint);
        expect(formatEndpoint(endpoint)).toBe(key);
      }
    }),
  );
});

it('takes so many and no more, and knows those on', () => {
  const vteps = new Vteps();
  const nth = (n: number): Uint8Array => parseEndpoint(`10.0.${n >> 8}.${n & 255}`, 4789);
  for (let n = 0; n < MAX_REMOTES; n++) expect(vteps.add(nth(n))).toBe(n);
  expect(vteps.add(nth(MAX_REMOTES))).toBe(-1);
  for (let n = 0; n < MAX_REMOTES; n++) expect(vteps.add(nth(n))).toBe(n);
});
