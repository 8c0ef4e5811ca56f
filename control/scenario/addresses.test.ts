import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../model/errors.js';
import {
  AddressAllocator,
  addressProblem,
  assignable,
  contains,
  formatAddress,
  formatSubnet,
  overlap,
  parseInterface,
  parseSubnet,
  SubnetAllocator,
} from './addresses.js';

const v4 = (text: string) => parseSubnet(text, 4);
const addressIn = (text: string) => parseInterface(text, 4).address;

describe('a subnet', () => {
  it('reads back as it is written', () => {
    const subnet = fc.tuple(fc.constantFrom(4 as const, 6 as const), fc.bigInt(0n, (1n << 128n) - 1n), fc.nat(128));
    fc.assert(
      fc.property(subnet, ([family, number, length]) => {
        const bits = family === 4 ? 32 : 128;
        const prefixLength = Math.min(length, bits);
        const hostBits = BigInt(bits - prefixLength);
        const base = (BigInt.asUintN(bits, number) >> hostBits) << hostBits;
        const text = `${formatAddress(family, base)}/${prefixLength}`;
        let read;
        try {
          read = parseSubnet(text, family);
        } catch (error) {
          expect((error as UsageError).message).toContain('covers');
          return;
        }
        expect(formatSubnet(read)).toBe(text);
        expect(read.last - read.base).toBe((1n << hostBits) - 1n);
      }),
    );
  });

  it('is written as RFC 5952 has it', () => {
    expect(formatSubnet(parseSubnet('FD00:0001:0::/64', 6))).toBe('fd00:1::/64');
  });

  it.each([
    ['127.1.0.0/16', 'loopback'],
    ['0.0.0.0/0', '"this network"'],
    ['255.255.255.255/32', 'multicast|broadcast'],
    ['10.0.0.0', 'no prefix length'],
    ['10.0.0.5/24', 'inside of a subnet'],
    ['fd00::/64', 'is IPv6, not IPv4'],
    ['10.0.0.0/24 ', 'not IPv4'],
    ['010.0.0.0/24', 'not IPv4'],
  ])('%s is refused', (text, message) => {
    expect(() => v4(text)).toThrow(UsageError);
    expect(() => v4(text)).toThrow(new RegExp(message));
  });

  it('has no zone', () => {
    expect(() => parseInterface('fd00::1%eth0', 6)).toThrow(UsageError);
  });

  it('overlaps what it contains, and nothing beside it', () => {
    expect(overlap(v4('10.0.0.0/8'), v4('10.9.0.0/16'))).toBe(true);
    expect(overlap(v4('10.0.0.0/24'), v4('10.0.1.0/24'))).toBe(false);
    expect(overlap(v4('10.0.0.0/24'), parseSubnet('fd00::/64', 6))).toBe(false);
  });
});

describe('what a port may have', () => {
  it.each([
    ['10.0.0.0/24', 4, '10.0.0.1', '10.0.0.254'],
    ['10.0.0.0/30', 4, '10.0.0.1', '10.0.0.2'],
    ['10.0.0.0/31', 4, '10.0.0.0', '10.0.0.1'],
    ['10.0.0.7/32', 4, '10.0.0.7', '10.0.0.7'],
    ['fd00::/126', 6, 'fd00::1', 'fd00::3'],
    ['fd00::/127', 6, 'fd00::', 'fd00::1'],
    ['fd00::7/128', 6, 'fd00::7', 'fd00::7'],
  ] as const)('in %s', (text, family, first, last) => {
    const range = assignable(parseSubnet(text, family));
    expect([formatAddress(family, range.first), formatAddress(family, range.last)]).toEqual([first, last]);
  });

  it('is told from what it may not have', () => {
    expect(addressProblem(v4('10.0.0.0/24'), addressIn('10.0.0.9'))).toBeUndefined();
    expect(addressProblem(v4('10.0.0.0/24'), addressIn('10.0.1.9'))).toContain('outside');
    expect(addressProblem(v4('10.0.0.0/24'), addressIn('10.0.0.0'))).toContain('network address');
    expect(addressProblem(v4('10.0.0.0/24'), addressIn('10.0.0.255'))).toContain('broadcast');
    expect(addressProblem(parseSubnet('fd00::/64', 6), parseInterface('fd00::', 6).address)).toContain('anycast');
  });
});

describe('the lowest free address', () => {
  it('is what a search from the bottom finds, until none is left', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 15 })), (reserved) => {
        const subnet = v4('10.0.0.0/28');
        const free = new AddressAllocator(subnet);
        const expected = new Set(Array.from({ length: 14 }, (_, i) => subnet.base + BigInt(i + 1)));
        for (const offset of reserved) {
          const address = subnet.base + BigInt(offset);
          expect(free.reserve(address)).toBe(expected.delete(address));
        }
        for (const address of expected) expect(free.lowestFree()).toBe(address);
        expect(free.lowestFree()).toBeUndefined();
      }),
    );
  });
});

describe('a pool', () => {
  it('gives what is apart from all that is used, lowest first, all of it', () => {
    const used = fc.uniqueArray(fc.tuple(fc.integer({ min: 26, max: 32 }), fc.nat(63)), { maxLength: 6 });
    fc.assert(
      fc.property(used, (blocks) => {
        const pool = v4('10.0.0.0/26');
        const apart = blocks
          .map(([length, offset]) =>
            v4(`${formatAddress(4, pool.base + BigInt(offset - (offset % (1 << (32 - length)))))}/${length}`),
          )
          .filter((subnet, i, all) => !all.slice(0, i).some((other) => overlap(other, subnet)));
        const free = new SubnetAllocator(pool, 31, apart);
        const expected = Array.from({ length: 32 }, (_, i) => v4(`10.0.0.${i * 2}/31`)).filter(
          (subnet) => !apart.some((other) => overlap(other, subnet)),
        );
        for (const subnet of expected) expect(free.lowestFree()).toEqual(subnet);
        expect(free.lowestFree()).toBeUndefined();
      }),
    );
  });

  it('passes over several used ones that lie in one candidate', () => {
    const used = ['10.0.0.4/32', '10.0.0.5/32', '10.0.0.6/31'].map((text) => v4(text));
    const free = new SubnetAllocator(v4('10.0.0.4/30'), 31, used);
    expect(free.lowestFree()).toBeUndefined();
  });

  it('looks past what is used outside of it', () => {
    const pool = v4('10.0.0.0/30');
    expect(new SubnetAllocator(pool, 31, [v4('10.0.0.0/8')]).lowestFree()).toBeUndefined();
    const beside = new SubnetAllocator(pool, 31, [v4('10.0.1.0/24'), parseSubnet('fd00::/64', 6)]).lowestFree();
    expect(contains(pool, beside?.base ?? 0n)).toBe(true);
  });
});
