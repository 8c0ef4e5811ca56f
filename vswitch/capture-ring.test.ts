import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Arena, Checksum } from './arena.js';
import { CapturePoint, CaptureReader } from './capture-ring.js';

const ARENA_BYTES = 2 ** 18;

function capture(arena: Arena, point: CapturePoint, bytes: Uint8Array, nowNs = 0): void {
  const frame = arena.write(bytes);
  point.record(arena, frame, 0, 0, nowNs);
  arena.release(frame);
}

describe('a capture ring', () => {
  it('carries a frame with time, direction and checksum state', () => {
    const arena = new Arena(new Uint8Array(ARENA_BYTES));
    const reader = new CaptureReader();
    const point = new CapturePoint(1, reader.buffer, -1);
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 3) & 0xff);
    const frame = arena.write(bytes);
    arena.csumState[frame] = Checksum.partial;
    arena.csumStart[frame] = 34;
    arena.csumOffset[frame] = 16;
    point.record(arena, frame, 9, 1, 1e12 + 1);
    expect(reader.next()).toEqual({
      nowNs: 1e12 + 1,
      direction: 1,
      csumState: Checksum.partial,
      csumStart: 34,
      csumOffset: 16,
      lostBefore: 0,
      bytes,
    });
    expect(reader.next()).toBeUndefined();
  });

  it('gives what was written, in order, and counts what did not fit', () => {
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant('write' as const), length: fc.integer({ min: 14, max: 65_000 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), count: fc.nat(40) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 100, maxLength: 300 }), (steps) => {
        const arena = new Arena(new Uint8Array(ARENA_BYTES));
        const reader = new CaptureReader();
        const point = new CapturePoint(1, reader.buffer, -1);
        const expected: { serial: number; lostBefore: number }[] = [];
        let lost = 0;
        let lostSince = 0;
        let serial = 0;
        const readOne = (): boolean => {
          const frame = reader.next();
          expect(frame === undefined).toBe(expected.length === 0);
          if (frame === undefined) return false;
          expect({ serial: frame.nowNs, lostBefore: frame.lostBefore }).toEqual(expected.shift());
          expect(frame.bytes[frame.bytes.byteLength - 1]).toBe(frame.nowNs & 0xff);
          return true;
        };
        for (const step of steps) {
          if (step.kind === 'write') {
            capture(arena, point, new Uint8Array(step.length).fill(serial & 0xff), serial);
            if (reader.lostFrames === lost) {
              expected.push({ serial, lostBefore: lostSince });
              lostSince = 0;
            } else {
              lost++;
              lostSince++;
              expect(reader.lostFrames).toBe(lost);
            }
            serial++;
          } else {
            for (let i = 0; i < step.count && readOne(); i++);
          }
        }
        while (readOne());
        expect(arena.freeSlots).toBe(arena.slotCount);
      }),
      { numRuns: 20 },
    );
  });

  it('wakes the reader when there is something, and when it is told to', async () => {
    const arena = new Arena(new Uint8Array(ARENA_BYTES));
    const reader = new CaptureReader();
    const point = new CapturePoint(1, reader.buffer, -1);
    const first = reader.wait();
    capture(arena, point, new Uint8Array(60));
    await first;
    await reader.wait();
    reader.next();
    const second = reader.wait();
    reader.wake();
    await second;
  });
});
