/** What follows when the kernel refuses a datagram: errors that ICMP left behind, which anybody can forge, are tried again. */
import { constants } from 'node:os';
import { beforeEach, describe, expect, it } from 'vitest';
import { DatagramWriter, type DatagramWriterParts } from './datagram-writer.js';

const { EHOSTUNREACH, ECONNREFUSED, ENETUNREACH, EPERM } = constants.errno;

let results: number[];
let failed: number[];
let lost: number;
let writer: DatagramWriter;

beforeEach(() => {
  results = [];
  failed = [];
  lost = 0;
  const parts = {
    clock: { nowNs: () => 0 },
    socket: { write: () => results.shift() ?? 1 },
    lengths: new Int32Array(8).fill(1),
    sender: { fail: (datagram: number) => failed.push(datagram) },
    health: { doubtPathMtu: () => undefined },
    roaming: { lost: () => ++lost === 1 },
    hasSegments: true,
  };
  writer = new DatagramWriter(parts as unknown as DatagramWriterParts);
});

describe('an error of an earlier datagram', () => {
  it.each([ECONNREFUSED, EHOSTUNREACH, ENETUNREACH])(
    '(%i) costs none, and does not make anybody look for the peer',
    (errno) => {
      results = [-errno, 1, -errno, 1];
      expect(writer.write(2, 0)).toBe(2);
      results = [-errno, 1];
      expect(writer.writeOne(0)).toBe(1);
      expect([failed, lost]).toEqual([[], 0]);
    },
  );
});

describe('an error of the call itself', () => {
  it('costs the datagram', () => {
    results = [-EHOSTUNREACH, -EHOSTUNREACH, 1, -EPERM];
    expect(writer.write(3, 0)).toBe(3);
    expect([failed, writer.failed]).toEqual([[0, 2], 2]);
    results = [-EPERM];
    expect(writer.writeOne(0)).toBe(-EPERM);
  });

  it('makes the peer be looked for where there is no way, and is tried once more then', () => {
    results = [-ENETUNREACH, -ENETUNREACH, 1];
    expect(writer.write(1, 0)).toBe(1);
    expect([failed, lost]).toEqual([[], 1]);
    results = [-ENETUNREACH, -ENETUNREACH, 1];
    expect(writer.write(1, 0)).toBe(1);
    expect([failed, lost]).toEqual([[0], 2]);
  });
});
