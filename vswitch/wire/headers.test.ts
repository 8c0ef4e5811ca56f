import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packet, pattern, type PacketOptions } from '../../test/tunnel/fixture.js';
import { FrameHeaders } from './headers.js';

function parsed(frame: Uint8Array, lengthBytes = frame.byteLength): FrameHeaders | null {
  const headers = new FrameHeaders();
  // Not at the start of the array: (bytes, at).
  const shifted = new Uint8Array(7 + frame.byteLength);
  shifted.set(frame, 7);
  return headers.parse(shifted, 7, lengthBytes) ? headers : null;
}

function changed(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(frame);
  copy[at] = value;
  return copy;
}

const payload = pattern(100);

describe('headers', () => {
  it.each<[PacketOptions, object]>([
    [
      { version: 4, protocol: 'tcp', payload },
      { network: 14, transport: 34, payload: 66, checksumOffset: 16 },
    ],
    [
      { version: 4, protocol: 'udp', payload, tags: 1 },
      { network: 18, transport: 38, payload: 46, checksumOffset: 6 },
    ],
    [
      { version: 6, protocol: 'tcp', payload, tags: 2 },
      { network: 22, transport: 62, payload: 94, protocol: 6 },
    ],
    [
      { version: 6, protocol: 'udp', payload, extensionBytes: 16 },
      { network: 14, transport: 70, payload: 78, protocol: 17 },
    ],
  ])('of %o', (options, expected) => {
    expect(parsed(packet(options))).toMatchObject({ version: options.version, ...expected });
  });

  it('must be within the bytes that stand in a row', () => {
    for (const version of [4, 6] as const) {
      const frame = packet({ version, protocol: 'tcp', payload, tags: 1, extensionBytes: 8 });
      const headerBytes = parsed(frame)!.payload;
      expect(parsed(frame, headerBytes)).not.toBeNull();
      for (let bytes = 0; bytes < headerBytes; bytes++) expect(parsed(frame, bytes)).toBeNull();
    }
  });

  const v4 = packet({ version: 4, protocol: 'tcp', payload });
  const v6 = packet({ version: 6, protocol: 'tcp', payload, extensionBytes: 8 });

  it.each([
    ['ARP', changed(v4, 13, 0x06)],
    ['another IP version', changed(v4, 14, 0x65)],
    ['an IPv4 header shorter than 20 bytes', changed(v4, 14, 0x44)],
    ['a first fragment', changed(v4, 20, 0x20)],
    ['a later fragment', changed(v4, 21, 1)],
    ['ICMP', changed(v4, 23, 1)],
    ['a TCP header shorter than 20 bytes', changed(v4, 46, 0x40)],
    ['an IPv6 fragment', changed(v6, 20, 44)],
    ['extensions without end', changed(v6, 54, 60)],
    ['three tags', changed(packet({ version: 4, protocol: 'tcp', payload, tags: 2 }), 20, 0x81)],
  ])('are not those of %s', (_, frame) => {
    expect(parsed(frame)).toBeNull();
  });

  it('are never behind what there is, whatever the bytes', () => {
    const start = fc.constantFrom([0x08, 0, 0x45], [0x86, 0xdd, 0x60], [0x81, 0, 0, 1, 0x86, 0xdd, 0x60]);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (types, rest) => {
        const frame = Uint8Array.from([...new Uint8Array(12), ...types, ...rest]);
        const headers = parsed(frame);
        if (headers === null) return;
        expect(headers.transport).toBeGreaterThan(headers.network);
        expect(headers.payload).toBeLessThanOrEqual(frame.byteLength);
      }),
    );
  });
});
