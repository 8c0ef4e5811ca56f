/**
 * Losses at each position. The oracle is the software segmentation of the whole super-frame: of its wire frames exactly
 * those must come out, to the byte, of which no byte was lost.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  PATIENT,
  TestReceiver,
  TestSender,
  chunksOf,
  hex,
  packet,
  pattern,
  plainFrame,
  superFrame,
  type Frame,
  type PacketOptions,
} from '../../test/tunnel/fixture.js';
import { Checksum } from '../arena.js';
import { completeChecksum } from '../wire/checksum.js';
import { FrameHeaders } from '../wire/headers.js';
import { segmentFrame } from '../wire/segment.js';
import { ChunkHeader } from './wire.js';

/** What a wire would carry of a frame that came out. */
function onWire({ bytes, gsoSize, checksum }: Frame): string[] {
  expect(checksum).toBe(Checksum.partial);
  if (gsoSize > 0) return segmentFrame(bytes, gsoSize)!.map(hex);
  const headers = new FrameHeaders();
  expect(headers.parse(bytes, 0, bytes.byteLength)).toBe(true);
  completeChecksum(bytes, headers.transport, headers.checksumOffset);
  return [hex(bytes)];
}

/** The wire frames that must survive when these datagrams are lost. */
function survivors(sent: Frame, datagrams: readonly Uint8Array[], isLost: (i: number) => boolean): string[] {
  const headers = new FrameHeaders();
  headers.parse(sent.bytes, 0, sent.bytes.byteLength);
  const isThere = new Uint8Array(sent.bytes.byteLength);
  const chunks = datagrams.filter((_, i) => !isLost(i)).flatMap((datagram) => chunksOf(datagram).map(headerOf));
  for (const { offset, payloadBytes } of chunks) isThere.fill(1, offset, offset + payloadBytes);
  const hasHeaders = (chunk: ChunkHeader): boolean =>
    chunk.copyBytes > 0 || (chunk.offset === 0 && chunk.payloadBytes >= headers.payload);
  if (!chunks.some(hasHeaders)) return [];
  return segmentFrame(sent.bytes, sent.gsoSize)!
    .filter((_, k) => {
      const from = headers.payload + k * sent.gsoSize;
      return isThere.subarray(from, from + sent.gsoSize).every((there) => there === 1);
    })
    .map(hex);
}

function headerOf(bytes: Uint8Array): ChunkHeader {
  const chunk = new ChunkHeader();
  expect(chunk.parse(bytes, 0, bytes.byteLength)).toBe(true);
  return chunk;
}

function salvaged(
  datagrams: readonly Uint8Array[],
  isLost: (i: number) => boolean,
): { frames: Frame[]; drops: string[] } {
  const receiver = new TestReceiver(PATIENT).take(...datagrams.filter((_, i) => !isLost(i)));
  receiver.receiver.poll(100e6);
  const frames = receiver.frames();
  expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
  return { frames, drops: receiver.context.drops.reasons };
}

const payload = pattern(20_000);
const kinds: readonly (readonly [string, PacketOptions])[] = [
  ['TCP over IPv4, with FIN, PSH and CWR', { version: 4, protocol: 'tcp', payload, tcpFlags: 0x99 }],
  ['TCP over IPv6, tagged', { version: 6, protocol: 'tcp', payload, tags: 2 }],
  ['UDP over IPv4', { version: 4, protocol: 'udp', payload, ipId: 0xffff }],
  ['UDP over IPv6 with an extension header', { version: 6, protocol: 'udp', payload, extensionBytes: 24 }],
];

describe.each(kinds)('%s', (_, options) => {
  const sent = superFrame(options, 1448, 5);
  const datagrams = new TestSender().send([sent]);

  it.each(datagrams.map((_, i) => i))('saves all but the segments in datagram %i', (lost) => {
    const { frames, drops } = salvaged(datagrams, (i) => i === lost);
    const expected = survivors(sent, datagrams, (i) => i === lost);
    // A segment is longer than a chunk here, so a chunk touches two; the chunk with the end, one or two.
    expect(expected.length).toBeGreaterThanOrEqual(segmentFrame(sent.bytes, 1448)!.length - 2);
    expect(frames.flatMap(onWire)).toEqual(expected);
    expect(frames.length).toBeLessThanOrEqual(2);
    expect(frames.map(({ channel }) => channel)).toEqual(frames.map(() => 5));
    // Where the last datagram has nothing but the header copy, nothing of the frame is missing.
    expect(drops).toEqual(frames[0]?.bytes.byteLength === sent.bytes.byteLength ? [] : ['incomplete']);
  });

  it('saves nothing when both copies of the headers are lost', () => {
    const last = datagrams.length - 1;
    expect(salvaged(datagrams, (i) => i === 0 || i === last).frames).toEqual([]);
  });
});

it('saves what it can of any frame, whatever is lost', () => {
  const kind = fc.record({
    version: fc.constantFrom<4 | 6>(4, 6),
    protocol: fc.constantFrom<'tcp' | 'udp'>('tcp', 'udp'),
    payload: fc.integer({ min: 1, max: 50_000 }).map((bytes) => pattern(bytes)),
    tags: fc.nat(2),
    tcpFlags: fc.nat(0xff),
    tcpOptionBytes: fc.nat(10).map((words) => words * 4),
    ipId: fc.nat(0xffff),
    sequence: fc.nat(0xffffffff),
  });
  const gsoSize = fc.integer({ min: 200, max: 9000 });
  const path = fc.integer({ min: 1280, max: 9000 });
  fc.assert(
    fc.property(kind, gsoSize, path, fc.infiniteStream(fc.nat(4)), (options, size, pathMtuBytes, luck) => {
      const sent = superFrame(options, size);
      const datagrams = new TestSender(pathMtuBytes).send([sent]);
      const lost = datagrams.map(() => luck.next().value === 0);
      if (!lost.includes(true)) return;
      const { frames } = salvaged(datagrams, (i) => lost[i]!);
      expect(frames.flatMap(onWire)).toEqual(survivors(sent, datagrams, (i) => lost[i]!));
    }),
    { numRuns: 150 },
  );
});

it('sends the header copy in a datagram of its own when the last chunk has no room for it', () => {
  // Headers of 66 bytes, two full chunks, and a rest of 1424 that leaves 10 bytes.
  const sent = superFrame({ version: 4, protocol: 'tcp', payload: pattern(3 * 1434 - 66 - 10) }, 1448);
  const datagrams = new TestSender().send([sent]);
  expect(datagrams.map((datagram) => datagram.byteLength)).toEqual([1472, 1472, 1462, 20 + 18 + 66]);
  expect(salvaged(datagrams, (i) => i === 3).frames).toMatchObject([{ gsoSize: 1448, bytes: sent.bytes }]);
  const { frames } = salvaged(datagrams, (i) => i === 0);
  expect(frames.flatMap(onWire)).toEqual(survivors(sent, datagrams, (i) => i === 0));
  expect(frames).toHaveLength(1);
});

it('lets the first chunk have the last word over the copy of the headers', () => {
  const sent = superFrame({ version: 4, protocol: 'tcp', payload: pattern(5000) }, 1448);
  const datagrams = new TestSender().send([sent]);
  const forged = datagrams.map((datagram) => Uint8Array.from(datagram));
  forged.at(-1)!.fill(0xee, -66);
  expect(salvaged(forged.reverse(), () => false)).toMatchObject({ drops: [], frames: [{ bytes: sent.bytes }] });
});

it('is exact about the fixture: a super-frame is what its segments say together', () => {
  const bytes = packet({ version: 4, protocol: 'tcp', payload: pattern(100) });
  expect(segmentFrame(bytes, 40)).toHaveLength(3);
});

it('is not put off by another lane on which nothing comes any more', () => {
  const broken = (lane: number, sender = new TestSender(1500, lane)): [TestSender, Uint8Array[]] => [
    sender,
    sender.send([superFrame({ version: 4, protocol: 'tcp', payload }, 1448)]).filter((_, i) => i !== 3),
  ];
  const [, quiet] = broken(1);
  const [busy, pieces] = broken(0);
  const later = busy.send(Array.from({ length: 10 }, (_, i) => plainFrame(1400, i)));
  const receiver = new TestReceiver({ ...PATIENT, reorderDatagrams: 5 }).take(...quiet, ...pieces, ...later);
  const salvagedFrames = receiver.frames().filter(({ gsoSize }) => gsoSize > 0);
  expect(salvagedFrames.length).toBeGreaterThan(0);
  // The other lane's waits for its age.
  receiver.receiver.poll(100e6);
  expect(receiver.frames().length).toBe(salvagedFrames.length);
});
