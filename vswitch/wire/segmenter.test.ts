import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, packet, pattern, type PacketOptions } from '../../test/tunnel/fixture.js';
import { Arena, Checksum, HEADROOM_BYTES, SLOT_BYTES, slotsFor } from '../arena.js';
import { segmentFrame } from './segment.js';
import { Segmenter } from './segmenter.js';

const SLOTS = 128;

const options = fc.record({
  version: fc.constantFrom<4 | 6>(4, 6),
  protocol: fc.constantFrom<'tcp' | 'udp'>('tcp', 'udp'),
  payload: fc.oneof(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: 65_000 })).map((n) => pattern(n)),
  tags: fc.nat(2),
  extensionBytes: fc.constantFrom(0, 0, 8, 256),
  tcpOptionBytes: fc.nat(10).map((words) => words * 4),
  tcpFlags: fc.nat(0xff),
  ipId: fc.nat(0xffff),
  sequence: fc.nat(0xffffffff),
});

/** In a chain of slots, beginning at `offset` of the first. */
function place(arena: Arena, bytes: Uint8Array, offset: number): number {
  const frame = arena.write(new Uint8Array(bytes.byteLength + offset));
  arena.offset[frame] = offset;
  arena.length[frame] = bytes.byteLength;
  for (let done = 0, slot = frame, at = offset; done < bytes.byteLength; slot = arena.next[slot]!, at = 0) {
    const part = bytes.subarray(done, done + SLOT_BYTES - at);
    arena.bytes.set(part, slot * SLOT_BYTES + at);
    done += part.byteLength;
  }
  return frame;
}

/** All segments as the wire has them. */
function cut(arena: Arena, segmenter: Segmenter): string[] {
  return Array.from({ length: segmenter.segments }, (_, i) => {
    const segment = segmenter.run(i, i + 1);
    segmenter.complete(segment);
    const text = hex(arena.read(segment));
    arena.release(segment);
    return text;
  });
}

describe('segmentation in the arena', () => {
  const arena = new Arena(new Uint8Array(SLOTS * SLOT_BYTES));
  const segmenter = new Segmenter(arena);

  it('cuts as segmentFrame does, wherever the frame lies, and leaves it as it was', () => {
    const offset = fc.oneof(fc.constant(HEADROOM_BYTES), fc.nat(1200));
    fc.assert(
      fc.property(options, fc.integer({ min: 1, max: 9000 }), offset, (its, gsoSize, at) => {
        fc.pre(its.payload.byteLength / gsoSize < 100);
        const bytes = packet(its);
        const frame = place(arena, bytes, at);
        expect(segmenter.begin(frame, gsoSize, SLOT_BYTES - at)).toBe(true);
        expect(cut(arena, segmenter)).toEqual(segmentFrame(bytes, gsoSize)!.map(hex));
        expect(hex(arena.read(frame))).toBe(hex(bytes));
        arena.release(frame);
        expect(arena.freeSlots).toBe(SLOTS);
      }),
      { numRuns: 60 },
    );
  });

  it('makes runs that say what their segments say', () => {
    fc.assert(
      fc.property(options, fc.integer({ min: 300, max: 3000 }), fc.nat(), fc.nat(), (its, gsoSize, a, b) => {
        fc.pre(its.payload.byteLength < 50_000);
        const bytes = packet(its);
        const frame = place(arena, bytes, HEADROOM_BYTES);
        expect(segmenter.begin(frame, gsoSize, SLOT_BYTES)).toBe(true);
        const first = a % segmenter.segments;
        const after = first + 1 + (b % (segmenter.segments - first));
        const run = segmenter.run(first, after);
        const isSingle = after - first === 1;
        expect([arena.gsoSize[run], arena.csumState[run]]).toEqual([isSingle ? 0 : gsoSize, Checksum.partial]);
        const expected = segmentFrame(bytes, gsoSize)!.slice(first, after).map(hex);
        expect(segmentFrame(arena.read(run), gsoSize)!.map(hex)).toEqual(expected);
        arena.release(run);
        arena.release(frame);
        expect(arena.freeSlots).toBe(SLOTS);
      }),
    );
  });

  it('cuts all of it into the same runs, and uses it up', () => {
    const offset = fc.oneof(fc.constant(HEADROOM_BYTES), fc.nat(1200));
    const runs = new Int32Array(2048);
    fc.assert(
      fc.property(
        options,
        fc.integer({ min: 300, max: 9000 }),
        fc.integer({ min: 1, max: 12 }),
        offset,
        fc.boolean(),
        fc.nat(60),
        (its, gsoSize, runSegments, at, isHeldElsewhere, slotsFree) => {
          const bytes = packet(its);
          const frame = place(arena, bytes, at);
          if (isHeldElsewhere) arena.retain(frame);
          const held = Array.from({ length: Math.max(0, arena.freeSlots - slotsFree) }, () => arena.takeSlot());
          expect(segmenter.begin(frame, gsoSize, SLOT_BYTES - at)).toBe(true);
          const count = segmenter.cut(runSegments, runs);
          const expected = segmentFrame(bytes, gsoSize)!.map(hex);
          expect(count).toBe(Math.ceil(expected.length / runSegments));
          let slots = 0;
          for (let i = 0; i < count; i++) {
            const run = runs[i]!;
            // There was no slot left for it.
            if (run === -1) continue;
            const own = expected.slice(i * runSegments, (i + 1) * runSegments);
            expect([arena.gsoSize[run], arena.csumState[run]]).toEqual([
              own.length === 1 ? 0 : gsoSize,
              Checksum.partial,
            ]);
            expect(segmentFrame(arena.read(run), gsoSize)!.map(hex)).toEqual(own);
            slots += arena.slotsOf(run);
            // One more than a copy, and none more where that is one.
            const least = slotsFor(arena.length[run]!);
            expect(arena.slotsOf(run)).toBeLessThanOrEqual(least === 1 ? 1 : least + 1);
          }
          if (isHeldElsewhere) {
            expect(hex(arena.read(frame))).toBe(hex(bytes));
            arena.release(frame);
          }
          expect(arena.freeSlots + slots + held.length).toBe(SLOTS);
          for (let i = 0; i < count; i++) if (runs[i] !== -1) arena.release(runs[i]!);
          for (const slot of held) arena.returnSlot(slot);
          expect(arena.freeSlots).toBe(SLOTS);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('copies little of what it cuts', () => {
    const frame = place(arena, tcp(65_000), HEADROOM_BYTES);
    const before = new Set(slotsOf(frame));
    const runs = new Int32Array(2048);
    expect(segmenter.begin(frame, 1448, SLOT_BYTES)).toBe(true);
    const count = segmenter.cut(8, runs);
    const others = Array.from(runs.subarray(0, count)).flatMap((run) =>
      slotsOf(run).filter((slot) => !before.has(slot)),
    );
    // A slot for each, in which it begins; one begins so that it does not fit, and is copied.
    expect(count).toBe(6);
    expect(others.length).toBeLessThan(6 + 7);
    for (let i = 0; i < count; i++) arena.release(runs[i]!);
    expect(arena.freeSlots).toBe(SLOTS);

    function slotsOf(first: number): number[] {
      const slots = [];
      for (let slot = first; slot !== -1; slot = arena.next[slot]!) slots.push(slot);
      return slots;
    }
  });

  const tcp = (payloadBytes: number, more: Partial<PacketOptions> = {}): Uint8Array =>
    packet({ version: 4, protocol: 'tcp', payload: pattern(payloadBytes), ...more });

  it.each([
    ['neither TCP nor UDP', pattern(3000), 1000, 3000],
    ['no payload', tcp(0), 1000, 3000],
    ['headers that are not there', tcp(3000), 1000, 65],
    ['headers longer than a first slot', tcp(3000, { version: 6, extensionBytes: 1880 }), 1000, 3000],
    ['segments of no length', tcp(3000), 0, 3000],
    ['more segments than anybody makes', tcp(2049), 1, 3000],
  ])('refuses %s', (_, bytes, gsoSize, knownBytes) => {
    const frame = place(arena, bytes, 0);
    expect(segmenter.begin(frame, gsoSize, knownBytes)).toBe(false);
    arena.release(frame);
  });

  it('says when the arena is full, and what it made when it is not', () => {
    const frame = place(arena, tcp(3000), HEADROOM_BYTES);
    expect(segmenter.begin(frame, 1000, 1000)).toBe(true);
    const held = Array.from({ length: arena.freeSlots }, () => arena.takeSlot());
    expect(segmenter.run(0, 1)).toBe(-1);
    for (const slot of held) arena.returnSlot(slot);
    const segment = segmenter.run(2, 3);
    expect([arena.gsoSize[segment], arena.csumState[segment]]).toEqual([0, Checksum.partial]);
    segmenter.complete(segment);
    expect(arena.csumState[segment]).toBe(Checksum.unknown);
    arena.release(segment);
    arena.release(frame);
    expect(arena.freeSlots).toBe(SLOTS);
  });
});
