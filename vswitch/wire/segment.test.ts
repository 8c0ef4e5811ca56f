import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, packet, pattern, type PacketOptions } from '../../test/tunnel/fixture.js';
import { get16, get32 } from './bytes.js';
import { checksumIsRight } from './checksum.js';
import { FrameHeaders } from './headers.js';
import { segmentFrame, writeRunHeaders } from './segment.js';

function parsed(frame: Uint8Array): FrameHeaders {
  const headers = new FrameHeaders();
  expect(headers.parse(frame, 0, frame.byteLength)).toBe(true);
  return headers;
}

const options = fc.record({
  version: fc.constantFrom<4 | 6>(4, 6),
  protocol: fc.constantFrom<'tcp' | 'udp'>('tcp', 'udp'),
  payload: fc.integer({ min: 1, max: 9000 }).map((bytes) => pattern(bytes)),
  tags: fc.nat(2),
  tcpFlags: fc.nat(0xff),
  ipId: fc.nat(0xffff),
  sequence: fc.nat(0xffffffff),
});

describe('segmentation', () => {
  it('says the same as the super-frame: payload, order, lengths, checksums', () => {
    fc.assert(
      fc.property(options, fc.integer({ min: 1, max: 3000 }), (its, gsoSize) => {
        fc.pre(its.payload.byteLength / gsoSize < 100);
        const frame = packet(its);
        const segments = segmentFrame(frame, gsoSize)!;
        expect(segments).toHaveLength(Math.ceil(its.payload.byteLength / gsoSize));
        const payloads = segments.map((segment) => {
          const headers = parsed(segment);
          expect(checksumIsRight(segment, headers)).toBe(true);
          const ipBytes = segment.byteLength - headers.network;
          if (its.version === 4) expect(get16(segment, headers.network + 2)).toBe(ipBytes);
          else expect(get16(segment, headers.network + 4)).toBe(ipBytes - 40);
          return segment.subarray(headers.payload);
        });
        expect(hex(Uint8Array.from(Buffer.concat(payloads)))).toBe(hex(its.payload));
      }),
    );
  });

  it('counts identifications and sequence numbers on, over their ends', () => {
    const its: PacketOptions = {
      version: 4,
      protocol: 'tcp',
      payload: pattern(3000),
      ipId: 0xfffe,
      sequence: 2 ** 32 - 5,
    };
    const segments = segmentFrame(packet(its), 1000)!;
    expect(segments.map((segment) => get16(segment, 18))).toEqual([0xfffe, 0xffff, 0]);
    expect(segments.map((segment) => get32(segment, 38))).toEqual([2 ** 32 - 5, 995, 1995]);
  });

  it('has CWR on the first, FIN and PSH on the last, and all other flags on each', () => {
    const segments = segmentFrame(
      packet({ version: 4, protocol: 'tcp', payload: pattern(3000), tcpFlags: 0xff }),
      1000,
    )!;
    expect(segments.map((segment) => segment[47])).toEqual([0xf6, 0x76, 0x7f]);
  });

  it('leaves the frame as it was', () => {
    const frame = packet({ version: 6, protocol: 'udp', payload: pattern(3000) });
    const before = hex(frame);
    segmentFrame(frame, 1000);
    expect(hex(frame)).toBe(before);
  });

  it('of what cannot be segmented is null', () => {
    expect(segmentFrame(pattern(1000), 100)).toBeNull();
    expect(segmentFrame(packet({ version: 4, protocol: 'tcp', payload: new Uint8Array(0) }), 100)).toBeNull();
  });

  it('of runs of segments is that of the whole: a run is a super-frame again', () => {
    fc.assert(
      fc.property(options, fc.nat(), fc.nat(), (its, a, b) => {
        const gsoSize = 500;
        const frame = packet(its);
        const headers = parsed(frame);
        const segments = segmentFrame(frame, gsoSize)!;
        const first = a % segments.length;
        const after = first + 1 + (b % (segments.length - first));
        const run = Uint8Array.from([
          ...frame.subarray(0, headers.payload),
          ...its.payload.subarray(first * gsoSize, after * gsoSize),
        ]);
        const payloadBytes = run.byteLength - headers.payload;
        writeRunHeaders(run, 0, headers, gsoSize, first, payloadBytes, after === segments.length);
        expect(segmentFrame(run, gsoSize)!.map(hex)).toEqual(segments.slice(first, after).map(hex));
      }),
    );
  });
});
