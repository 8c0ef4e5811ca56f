import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packet, pattern } from '../../test/tunnel/fixture.js';
import { internetChecksum } from './checksum.js';
import { Ecn, getEcn, ipHeaderAt, setEcn } from './ecn.js';

const ALL = Object.values(Ecn);
const payload = pattern(100);

describe.each([4, 6] as const)('the ECN field of IPv%i', (version) => {
  it.each([0, 1, 2])('is found behind %i VLAN tags', (tags) => {
    for (const ecn of ALL) {
      const frame = packet({ version, protocol: 'udp', payload, tags, ecn });
      const ip = ipHeaderAt(frame, 0, frame.byteLength);
      expect(ip).toBe(14 + 4 * tags);
      expect(getEcn(frame, ip)).toBe(ecn);
      // One byte short of the header without options.
      expect(ipHeaderAt(frame, 0, ip + (version === 4 ? 19 : 39))).toBe(-1);
    }
  });

  it('is written, and nothing else is, but for the checksum of IPv4, which stays right', () => {
    for (const from of ALL) {
      for (const to of ALL) {
        const frame = packet({ version, protocol: 'tcp', payload, ecn: from });
        setEcn(frame, 14, to);
        expect(frame).toEqual(packet({ version, protocol: 'tcp', payload, ecn: to }));
      }
    }
  });

  it('is beside the DSCP and the flow label, which stay', () => {
    fc.assert(
      fc.property(fc.nat(0xff), fc.nat(0xff), fc.nat(0xffff), fc.constantFrom(...ALL), (first, second, id, ecn) => {
        const frame = packet({ version, protocol: 'udp', payload, ipId: id });
        frame[14] = (frame[14]! & (version === 4 ? 0xff : 0xf0)) | (version === 4 ? 0 : first & 15);
        frame[15] = second;
        if (version === 4) {
          frame.fill(0, 24, 26);
          const sum = internetChecksum(frame, 14, 20);
          frame[24] = sum >>> 8;
          frame[25] = sum;
        }
        const before = Uint8Array.from(frame);
        setEcn(frame, 14, ecn);
        const mask = version === 4 ? 3 : 0x30;
        expect(frame[15] & ~mask).toBe(before[15]! & ~mask);
        expect(getEcn(frame, 14)).toBe(ecn);
        if (version === 4) expect(internetChecksum(frame, 14, 20)).toBe(0);
        else expect(frame.subarray(16)).toEqual(before.subarray(16));
      }),
    );
  });
});

it('what is no IP packet has none', () => {
  const arp = packet({ version: 4, protocol: 'udp', payload });
  arp.set([8, 6], 12);
  expect(ipHeaderAt(arp, 0, arp.byteLength)).toBe(-1);
  // The EtherType says one version, the header another.
  const odd = packet({ version: 6, protocol: 'udp', payload });
  odd.set([8, 0], 12);
  expect(ipHeaderAt(odd, 0, odd.byteLength)).toBe(-1);
  expect(ipHeaderAt(odd, 0, 10)).toBe(-1);
});
