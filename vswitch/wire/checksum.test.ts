import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packet, pattern } from '../../test/tunnel/fixture.js';
import { Arena, Checksum, SLOT_BYTES } from '../arena.js';
import { put16 } from './bytes.js';
import {
  checksumIsRight,
  completeChecksum,
  completeFrameChecksum,
  internetChecksum,
  sumBytes,
  sumFrame,
} from './checksum.js';
import { FrameHeaders } from './headers.js';

function parsed(frame: Uint8Array): FrameHeaders {
  const headers = new FrameHeaders();
  expect(headers.parse(frame, 0, frame.byteLength)).toBe(true);
  return headers;
}

/** RFC 1071 §4.1, word for word. */
function reference(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.byteLength; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

describe('the Internet checksum', () => {
  it('of the example of RFC 1071 §3', () => {
    expect(sumBytes(Uint8Array.of(0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8)).toBe(0xddf2);
  });

  it('is that of the reference, at any place and length', () => {
    const lengths = fc.oneof(fc.nat(100), fc.nat(70_000));
    fc.assert(
      fc.property(lengths, fc.nat(9), fc.nat(0xff), (length, at, fill) => {
        const bytes = pattern(at + length, fill).fill(0xff, at, at + Math.floor(length / 2));
        expect(internetChecksum(bytes, at, length)).toBe(reference(bytes.subarray(at)));
      }),
      { numRuns: 50 },
    );
  });

  it('of a frame in the arena is that of its bytes, wherever its slots end', () => {
    const arena = new Arena(new Uint8Array(40 * 2048));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20_000 }), fc.nat(), fc.nat(200), (length, from, offset) => {
        // Odd offsets in the first slot make every later part begin at an odd position.
        const bytes = pattern(offset + length);
        const frame = arena.write(bytes);
        arena.offset[frame]! += offset;
        arena.length[frame]! -= offset;
        const start = from % length;
        expect(sumFrame(arena, frame, start)).toBe(sumBytes(bytes, offset + start, length - start));
        arena.release(frame);
      }),
    );
  });
});

describe('a partial checksum', () => {
  const kinds = ([4, 6] as const).flatMap((version) =>
    (['tcp', 'udp'] as const).map((protocol) => ({ version, protocol })),
  );

  it.each(kinds)('of %o is right once completed, in plain bytes and in the arena alike', (kind) => {
    for (const payloadBytes of [0, 1, 2, 1999, 5000]) {
      const frame = packet({ ...kind, payload: pattern(payloadBytes, payloadBytes) });
      const headers = parsed(frame);
      expect(checksumIsRight(frame, headers)).toBe(false);
      const arena = new Arena(new Uint8Array(8 * 2048));
      const id = arena.write(frame);
      arena.csumState[id] = Checksum.partial;
      arena.csumStart[id] = headers.transport;
      arena.csumOffset[id] = headers.checksumOffset;
      completeFrameChecksum(arena, id);
      completeChecksum(frame, headers.transport, headers.checksumOffset);
      expect(checksumIsRight(frame, headers)).toBe(true);
      expect(arena.read(id)).toEqual(frame);
      expect(arena.csumState[id]).toBe(Checksum.unknown);
    }
  });

  it('is never written outside of its frame, whatever is said of its place', () => {
    const arena = new Arena(new Uint8Array(40 * SLOT_BYTES));
    const number = fc.oneof(fc.nat(0xffff), fc.nat(2100));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 66_000 }),
        number,
        number,
        fc.nat(1900),
        (length, start, offset, pulled) => {
          const bytes = pattern(length + pulled);
          const frame = arena.write(bytes);
          arena.offset[frame]! += pulled;
          arena.length[frame]! -= pulled;
          arena.csumState[frame] = Checksum.partial;
          arena.csumStart[frame] = start;
          arena.csumOffset[frame] = offset;
          const before = arena.bytes.slice();
          const at = arena.start(frame) + start + offset;
          const hasField = start + offset + 2 <= length && at + 2 <= (frame + 1) * SLOT_BYTES;
          expect(completeFrameChecksum(arena, frame)).toBe(hasField);
          expect(arena.csumState[frame]).toBe(hasField ? Checksum.unknown : Checksum.partial);
          if (hasField) before.set(arena.bytes.subarray(at, at + 2), at);
          expect(Buffer.compare(arena.bytes, before)).toBe(0);
          arena.release(frame);
        },
      ),
      {
        examples: [
          [8000, 1921, 0, 0],
          [8000, 1918, 0, 0],
          [8000, 1919, 0, 0],
          [60, 34, 25, 0],
          [60, 34, 24, 0],
        ],
      },
    );
  });

  it('is never completed to zero, which UDP takes for none', () => {
    const frame = packet({ version: 4, protocol: 'udp', payload: new Uint8Array(2) });
    const headers = parsed(frame);
    // What is missing to 0xffff.
    put16(frame, headers.payload, internetChecksum(frame, headers.transport, frame.byteLength - headers.transport));
    completeChecksum(frame, headers.transport, headers.checksumOffset);
    expect([...frame.subarray(headers.transport + 6, headers.transport + 8)]).toEqual([0xff, 0xff]);
    expect(checksumIsRight(frame, headers)).toBe(true);
  });

  it('that is absent in UDP is right, in TCP it is not', () => {
    for (const [protocol, isRight] of [
      ['udp', true],
      ['tcp', false],
    ] as const) {
      const frame = packet({ version: 4, protocol, payload: pattern(50) });
      const headers = parsed(frame);
      put16(frame, headers.transport + headers.checksumOffset, 0);
      expect(checksumIsRight(frame, headers)).toBe(isRight);
    }
  });
});
