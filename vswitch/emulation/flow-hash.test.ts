import { describe, expect, it } from 'vitest';
import { chiSquareP, LEAST_P } from '../../test/emulation/statistics.js';
import { Arena, SLOT_BYTES } from '../arena.js';
import { put16, put32 } from '../wire/bytes.js';
import { FlowHash } from './flow-hash.js';

const arena = new Arena(new Uint8Array(4 * SLOT_BYTES));
const hash = new FlowHash(arena, 7);

function hashOf(frame: Uint8Array, by = hash): number {
  const id = arena.write(frame);
  const value = by.of(id);
  arena.release(id);
  return value;
}

/** UDP in IPv4 or IPv6; `change` is done to its bytes. */
function packet(version: 4 | 6, change: (frame: Uint8Array) => void = () => {}): Uint8Array {
  const frame = new Uint8Array(100).fill(9);
  put16(frame, 12, version === 4 ? 0x0800 : 0x86dd);
  frame[14] = version === 4 ? 0x45 : 0x60;
  frame[version === 4 ? 14 + 9 : 14 + 6] = 17;
  if (version === 4) put16(frame, 14 + 6, 0);
  change(frame);
  return frame;
}

describe('FlowHash', () => {
  it.each([
    [4, [14 + 12, 14 + 16, 34, 36], [0, 6, 14 + 1, 14 + 4, 14 + 8, 42]],
    [6, [14 + 8, 14 + 23, 14 + 24, 14 + 39, 54, 56], [0, 6, 14 + 7, 62]],
  ] as const)('IPv%d: addresses and ports make a flow, nothing else does', (version, does, doesNot) => {
    const plain = hashOf(packet(version));
    for (const at of does) expect(hashOf(packet(version, (frame) => frame[at]!++))).not.toBe(plain);
    for (const at of doesNot) expect(hashOf(packet(version, (frame) => frame[at]!++))).toBe(plain);
  });

  it('a fragment has no ports, what is no IP its MAC addresses', () => {
    const fragment = (change: (frame: Uint8Array) => void): Uint8Array =>
      packet(4, (frame) => {
        put16(frame, 14 + 6, 0x2000);
        change(frame);
      });
    expect(hashOf(fragment((frame) => frame[34]!++))).toBe(hashOf(fragment(() => {})));
    const arp = (change: (frame: Uint8Array) => void): Uint8Array =>
      packet(4, (frame) => {
        put16(frame, 12, 0x0806);
        change(frame);
      });
    expect(hashOf(arp((frame) => frame[6]!++))).not.toBe(hashOf(arp(() => {})));
    expect(hashOf(arp((frame) => frame[30]!++))).toBe(hashOf(arp(() => {})));
    expect(hashOf(new Uint8Array(14))).toBeGreaterThanOrEqual(0);
  });

  it('spreads flows that differ a little evenly, and otherwise on each link', () => {
    const flows = 64;
    const counts = new Array<number>(flows).fill(0);
    let same = 0;
    const other = new FlowHash(arena, 8);
    for (let i = 0; i < 64_000; i++) {
      const frame = packet(4, (bytes) => put32(bytes, 34, i));
      const flow = hashOf(frame) % flows;
      counts[flow]!++;
      if (flow === hashOf(frame, other) % flows) same++;
    }
    expect(chiSquareP(counts, new Array<number>(flows).fill(1000))).toBeGreaterThan(LEAST_P);
    expect(chiSquareP([same, 64_000 - same], [1000, 63_000])).toBeGreaterThan(LEAST_P);
  });
});
