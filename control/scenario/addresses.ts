/**
 * IP addresses and subnets as numbers, and the two things that resolving does with them: giving out the lowest free
 * address of a subnet, and the lowest free subnet of a pool. Parsing, and writing IPv6, are ip-address's.
 *
 * Parsers throw `UsageError`. Called by `topology.ts` and `resolve.ts`.
 */
import { Address4, Address6 } from 'ip-address';
import { UsageError } from '../../model/errors.js';
import { quoted } from '../../model/names.js';
import type { Family } from '../../vrouter/routes.js';

export interface Subnet {
  readonly family: Family;
  /** The lowest address, as a number. */
  readonly base: bigint;
  /** The highest one. */
  readonly last: bigint;
  readonly prefixLength: number;
}

/** Where no port of a network can be: the kernel treats these as its own, as groups, or as nobody. */
const RESERVED: readonly { readonly subnet: string; readonly why: string }[] = [
  { subnet: '0.0.0.0/8', why: 'is "this network" (RFC 1122)' },
  { subnet: '127.0.0.0/8', why: 'is loopback (RFC 1122)' },
  { subnet: '224.0.0.0/4', why: 'is multicast (RFC 5771)' },
  { subnet: '255.255.255.255/32', why: 'is broadcast (RFC 919)' },
  { subnet: '::/127', why: 'is unspecified and loopback (RFC 4291)' },
  { subnet: '::ffff:0:0/96', why: 'stands for IPv4 (RFC 4291)' },
  { subnet: 'fe80::/10', why: 'is link-local (RFC 4291): every port has such an address by itself' },
  { subnet: 'ff00::/8', why: 'is multicast (RFC 4291)' },
];

const BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };
const EXAMPLE: Readonly<Record<Family, string>> = { 4: '10.0.1.0/24', 6: 'fd00:1::/64' };

/** `10.0.1.0/24`: with its prefix length and without host bits. */
export function parseSubnet(text: string, family: Family): Subnet {
  const { address, prefixLength } = parseInterface(text, family);
  if (prefixLength === undefined) {
    throw new UsageError(`${quoted(text)} has no prefix length`, { hint: `write ${quoted(EXAMPLE[family])}` });
  }
  const subnet = subnetOf(family, address, prefixLength);
  if (subnet.base !== address) {
    throw new UsageError(`${quoted(text)} is an address inside of a subnet`, {
      hint: `did you mean ${quoted(formatSubnet(subnet))}?`,
    });
  }
  const reserved = RESERVED_SUBNETS.find((other) => overlap(other.subnet, subnet));
  if (reserved !== undefined) {
    const covered = formatSubnet(reserved.subnet);
    throw new UsageError(`${quoted(text)} covers ${covered}, which ${reserved.why}`, {
      hint:
        family === 4 ? 'private subnets are in 10.0.0.0/8 (RFC 1918)' : 'private subnets are in fd00::/8 (RFC 4193)',
    });
  }
  return subnet;
}

/** A subnet of ours, which is written right; ports may be there or not. */
export function parsePrefix(text: string, family: Family): Subnet {
  const { address, prefixLength } = parseInterface(text, family);
  return subnetOf(family, address, prefixLength ?? BITS[family]);
}

/** `10.0.1.77/24` or `10.0.1.77`. */
export function parseInterface(
  text: string,
  family: Family,
): { readonly address: bigint; readonly prefixLength?: number } {
  if (text.includes(':') !== (family === 6)) {
    const other = family === 4 ? 6 : 4;
    if (readAddress(text, other) !== undefined) {
      throw new UsageError(`${quoted(text)} is IPv${other}, not IPv${family}`, {
        hint: `IPv4 and IPv6 have keys of their own: "subnet" and "subnet6", "address" and "address6"`,
      });
    }
  }
  const read = readAddress(text, family);
  if (read === undefined) {
    throw new UsageError(`${quoted(text)} is not IPv${family}`, { hint: `write ${quoted(EXAMPLE[family])}` });
  }
  return text.includes('/') ? { address: read.bigInt(), prefixLength: read.subnetMask } : { address: read.bigInt() };
}

/** `0000:…:255.255.255.255/128` has 49 characters; ip-address would search a longer text with its patterns. */
const LONGEST_TEXT = 64;

function readAddress(text: string, family: Family): Address4 | Address6 | undefined {
  // A zone belongs to a host, not to a scenario; ip-address would read it.
  if (text.includes('%') || text.length > LONGEST_TEXT) return undefined;
  try {
    return family === 4 ? new Address4(text) : new Address6(text);
  } catch {
    return undefined;
  }
}

function subnetOf(family: Family, address: bigint, prefixLength: number): Subnet {
  const hostBits = BigInt(BITS[family] - prefixLength);
  const base = (address >> hostBits) << hostBits;
  return { family, base, last: base + (1n << hostBits) - 1n, prefixLength };
}

const RESERVED_SUBNETS = RESERVED.map(({ subnet, why }) => {
  const family: Family = subnet.includes(':') ? 6 : 4;
  return { subnet: parsePrefix(subnet, family), why };
});

/** `10.0.1.77`, or as RFC 5952 has it, `fd00:1::77`. */
export function formatAddress(family: Family, address: bigint): string {
  if (family === 6) return Address6.fromBigInt(address).correctForm();
  const bits = Number(address);
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

export function formatSubnet({ family, base, prefixLength }: Subnet): string {
  return `${formatAddress(family, base)}/${prefixLength}`;
}

export function contains(subnet: Subnet, address: bigint): boolean {
  return subnet.base <= address && address <= subnet.last;
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.family === b.family && a.base <= b.last && b.base <= a.last;
}

/**
 * The addresses that a port may have: all but the network's and the broadcast address in IPv4 (RFC 1122, 3.2.1.3), all
 * but the subnet-router anycast address in IPv6 (RFC 4291, 2.6.1). Point-to-point /31 (RFC 3021) and /127 (RFC 6164) use
 * both of theirs, /32 and /128 the only one.
 */
export function assignable({ family, base, last, prefixLength }: Subnet): {
  readonly first: bigint;
  readonly last: bigint;
} {
  if (prefixLength >= BITS[family] - 1) return { first: base, last };
  return { first: base + 1n, last: family === 4 ? last - 1n : last };
}

/** Why a port on `subnet` cannot have `address`; undefined when it can. */
export function addressProblem(subnet: Subnet, address: bigint): string | undefined {
  const { family } = subnet;
  const written = formatAddress(family, address);
  const within = formatSubnet(subnet);
  if (!contains(subnet, address)) return `${written} is outside of the subnet ${within}`;
  const range = assignable(subnet);
  if (address > range.last) return `${written} is the broadcast address of ${within}`;
  if (address < range.first) {
    return family === 4
      ? `${written} is the network address of ${within}`
      : `${written} is the router anycast address of ${within}`;
  }
  return undefined;
}

/** Hands out a subnet's addresses, each once, the lowest first. */
export class AddressAllocator {
  readonly #reserved = new Set<bigint>();
  readonly #last: bigint;
  /** All below are taken, or not assignable. */
  #next: bigint;

  constructor(subnet: Subnet) {
    const { first, last } = assignable(subnet);
    this.#next = first;
    this.#last = last;
  }

  /** Takes `address` out of what is free; false when it is not assignable or taken already. */
  reserve(address: bigint): boolean {
    if (address < this.#next || address > this.#last || this.#reserved.has(address)) return false;
    this.#reserved.add(address);
    return true;
  }

  /** Undefined when the subnet is full. */
  lowestFree(): bigint | undefined {
    while (this.#reserved.has(this.#next)) this.#next++;
    return this.#next > this.#last ? undefined : this.#next++;
  }
}

/** Cuts subnets of one prefix length from a pool, the lowest first, around those that are in use. */
export class SubnetAllocator {
  readonly #pool: Subnet;
  readonly #prefixLength: number;
  /** In order, none overlapping another. */
  readonly #used: readonly Subnet[];
  #nextUsed = 0;
  #next: bigint;

  /** `used`: subnets of any family and size that do not overlap each other. */
  constructor(pool: Subnet, prefixLength: number, used: readonly Subnet[]) {
    this.#pool = pool;
    this.#prefixLength = prefixLength;
    this.#used = used.filter((subnet) => overlap(subnet, pool)).sort((a, b) => (a.base < b.base ? -1 : 1));
    this.#next = pool.base;
  }

  /** Undefined when the pool is used up. */
  lowestFree(): Subnet | undefined {
    for (;;) {
      const candidate = subnetOf(this.#pool.family, this.#next, this.#prefixLength);
      if (candidate.last > this.#pool.last) return undefined;
      let used = this.#used[this.#nextUsed];
      // Several used ones may lie in a candidate that was passed over for the first of them.
      while (used !== undefined && used.last < candidate.base) used = this.#used[++this.#nextUsed];
      if (used !== undefined && overlap(used, candidate)) {
        // Both are aligned to their sizes: past the larger of the two, the next candidate is aligned again.
        this.#next = (used.last > candidate.last ? used.last : candidate.last) + 1n;
        continue;
      }
      this.#next = candidate.last + 1n;
      return candidate;
    }
  }
}
