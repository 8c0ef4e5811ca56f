import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Checksum, MAX_FRAME_BYTES } from '../arena.js';
import { CHUNK_HEADER_BYTES, ChunkHeader, DATAGRAM_HEADER_BYTES, DatagramHeader, tunnelOverheadBytes } from './wire.js';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });

const datagramHeader = fc.record({ type: u8, lane: u8, network: u32, epoch: u32, counterHigh: u32, counterLow: u32 });

const chunkHeader = fc
  .record({
    channel: fc.integer({ min: 1, max: 0xffff }),
    frameId: u32,
    checksum: fc.constantFrom(...Object.values(Checksum)),
    frameBytes: fc.integer({ min: 14, max: MAX_FRAME_BYTES }),
    gsoSize: fc.oneof(fc.constant(0), u16),
    offset: fc.nat(),
    payloadBytes: fc.nat(),
    copyBytes: u8,
  })
  .map((fields) => {
    const payloadBytes = 1 + (fields.payloadBytes % Math.min(fields.frameBytes, 0xffff));
    const isSuper = fields.gsoSize > 0;
    return {
      ...fields,
      payloadBytes,
      offset: fields.offset % (fields.frameBytes - payloadBytes + 1),
      checksum: isSuper ? Checksum.partial : fields.checksum,
      copyBytes: isSuper ? Math.min(fields.copyBytes, fields.frameBytes) : 0,
    };
  });

describe('datagram header', () => {
  it('parse ∘ emit = identity', () => {
    fc.assert(
      fc.property(datagramHeader, u8, (fields, at) => {
        const bytes = new Uint8Array(at + DATAGRAM_HEADER_BYTES);
        Object.assign(new DatagramHeader(), fields).emit(bytes, at);
        const parsed = new DatagramHeader();
        expect(parsed.parse(bytes, at, DATAGRAM_HEADER_BYTES)).toBe(true);
        expect(parsed).toMatchObject(fields);
      }),
    );
  });

  it('refuses another version, flags, and what is too short', () => {
    const bytes = new Uint8Array(DATAGRAM_HEADER_BYTES);
    new DatagramHeader().emit(bytes, 0);
    expect(new DatagramHeader().parse(bytes, 0, DATAGRAM_HEADER_BYTES - 1)).toBe(false);
    for (const [at, value] of [
      [0, 2],
      [2, 1],
    ] as const) {
      const changed = Uint8Array.from(bytes);
      changed[at] = value;
      expect(new DatagramHeader().parse(changed, 0, DATAGRAM_HEADER_BYTES)).toBe(false);
    }
  });

  it('counts beyond 32 bits', () => {
    const header = Object.assign(new DatagramHeader(), { counterHigh: 6, counterLow: 0xffffffff });
    header.advance(1);
    expect([header.counterHigh, header.counterLow]).toEqual([7, 0]);
  });
});

describe('chunk header', () => {
  it('parse ∘ emit = identity', () => {
    fc.assert(
      fc.property(chunkHeader, u8, (fields, at) => {
        const bytes = new Uint8Array(at + CHUNK_HEADER_BYTES);
        const emitted = Object.assign(new ChunkHeader(), fields);
        emitted.emit(bytes, at);
        const parsed = new ChunkHeader();
        expect(parsed.parse(bytes, at, emitted.bytes)).toBe(true);
        expect(parsed).toMatchObject(fields);
        expect(parsed.parse(bytes, at, emitted.bytes - 1)).toBe(false);
      }),
    );
  });

  const good = { channel: 1, payloadBytes: 100, frameBytes: 1000, offset: 900 };
  const superChunk = { ...good, gsoSize: 100, checksum: Checksum.partial, copyBytes: 54 };

  it.each([
    ['padding', { ...good, channel: 0 }],
    ['a payload behind the end', { ...good, offset: 901 }],
    ['nothing in it', { ...good, payloadBytes: 0 }],
    ['a frame shorter than an Ethernet header', { ...good, frameBytes: 13, payloadBytes: 13, offset: 0 }],
    ['a frame longer than any', { ...good, frameBytes: MAX_FRAME_BYTES + 1 }],
    ['an unknown checksum state', { ...good, checksum: 3 }],
    ['an unknown flag', { ...good, checksum: 0x80 }],
    ['a header copy of a frame that is not segmented', { ...good, copyBytes: 54 }],
    ['a super-frame whose checksum is not partial', { ...superChunk, checksum: Checksum.valid }],
    ['a header copy longer than the frame', { ...superChunk, frameBytes: 50, payloadBytes: 50, offset: 0 }],
  ])('refuses %s', (_, fields) => {
    const bytes = new Uint8Array(CHUNK_HEADER_BYTES);
    Object.assign(new ChunkHeader(), fields).emit(bytes, 0);
    expect(new ChunkHeader().parse(bytes, 0, 65_535)).toBe(false);
  });

  it('takes a chunk that has only the header copy', () => {
    const bytes = new Uint8Array(CHUNK_HEADER_BYTES);
    Object.assign(new ChunkHeader(), { ...superChunk, payloadBytes: 0, offset: 1000 }).emit(bytes, 0);
    expect(new ChunkHeader().parse(bytes, 0, CHUNK_HEADER_BYTES + 54)).toBe(true);
  });
});

it('leaves 1434 bytes of a 1500-byte path, 1418 when sealed, 1414 over IPv6', () => {
  expect(1500 - tunnelOverheadBytes(20, 0)).toBe(1434);
  expect(1500 - tunnelOverheadBytes(20, 16)).toBe(1418);
  expect(1500 - tunnelOverheadBytes(40, 0)).toBe(1414);
});
