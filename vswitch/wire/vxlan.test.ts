import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_VNI } from '../../model/vxlan.js';
import { putVxlanHeader, vniOf, VXLAN_BYTES } from './vxlan.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function header(vni: number): Uint8Array {
  const bytes = new Uint8Array(VXLAN_BYTES).fill(0xff);
  putVxlanHeader(bytes, 0, vni);
  return bytes;
}

describe('the header of VXLAN', () => {
  it.each([
    [0, '0800000000000000'],
    [1, '0800000000000100'],
    [100, '0800000000006400'],
    [0x123456, '0800000012345600'],
    [MAX_VNI, '08000000ffffff00'],
  ])('of VNI %i', (vni, golden) => {
    expect(hex(header(vni))).toBe(golden);
    expect(vniOf(Buffer.from(golden, 'hex'), 0)).toBe(vni);
  });

  it('is read as it was written, wherever it stands', () => {
    fc.assert(
      fc.property(fc.nat(MAX_VNI), fc.nat(20), (vni, at) => {
        const bytes = new Uint8Array(at + VXLAN_BYTES + 1).fill(0xa5);
        putVxlanHeader(bytes, at, vni);
        expect(vniOf(bytes, at)).toBe(vni);
        expect([bytes[at - 1] ?? 0xa5, bytes[at + VXLAN_BYTES]]).toEqual([0xa5, 0xa5]);
      }),
    );
  });

  it('is none where a bit is set that is reserved, or the one that is not is missing', () => {
    for (let bit = 0; bit < 64; bit++) {
      const bytes = header(MAX_VNI);
      bytes[bit >>> 3]! ^= 0x80 >>> (bit & 7);
      const isOfVni = bit >= 32 && bit < 56;
      expect(vniOf(bytes, 0), `bit ${bit}`).toBe(isOfVni ? MAX_VNI ^ (1 << (55 - bit)) : -1);
    }
  });

  it('is none of other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (bytes) => {
        const isPlain = /^08000000.{6}00$/.test(hex(bytes));
        expect(vniOf(bytes, 0)).toBe(isPlain ? parseInt(hex(bytes.subarray(4, 7)), 16) : -1);
      }),
    );
  });
});
