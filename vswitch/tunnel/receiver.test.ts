import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  NETWORK,
  PATIENT,
  TestReceiver,
  TestSender,
  chunksOf,
  datagramOf,
  describeFrame,
  packet,
  pattern,
  plainFrame,
  superFrame,
  testContext,
  type Frame,
} from '../../test/tunnel/fixture.js';
import { Checksum } from '../arena.js';
import { Reassembly, defaultLimits } from './reassembly.js';
import { Delivery } from './delivery.js';
import { ChunkHeader } from './wire.js';

const tcp = (payloadBytes: number, salt = 0): Frame =>
  superFrame({ version: 4, protocol: 'tcp', payload: pattern(payloadBytes, salt) }, 1448, 1 + salt);

const frame = fc.oneof(
  fc.tuple(fc.integer({ min: 14, max: 4000 }), fc.nat(1000)).map(([bytes, salt]) => plainFrame(bytes, salt, 1 + salt)),
  fc.tuple(fc.integer({ min: 1, max: 30_000 }), fc.nat(1000)).map(([bytes, salt]) => tcp(bytes, salt)),
);

describe('frames through a tunnel', () => {
  it('come out as they went in, over any path MTU', () => {
    const path = fc.oneof(fc.constant(1500), fc.integer({ min: 1280, max: 65_535 }));
    fc.assert(
      fc.property(path, fc.array(frame, { maxLength: 8 }), (pathMtuBytes, frames) => {
        const receiver = new TestReceiver().take(...new TestSender(pathMtuBytes).send(frames));
        expect(receiver.frames().map(describeFrame)).toEqual(frames.map(describeFrame));
        expect(receiver.context.drops.reasons).toEqual([]);
        expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
      }),
      { numRuns: 60 },
    );
  });

  it('come out the same for every grouping and order of chunks, from several lanes at once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(frame, fc.nat(2)), { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.nat(0xffff)),
        fc.infiniteStream(fc.integer({ min: 1, max: 5 })),
        fc.nat(30),
        (frames, order, sizes, padding) => {
          // Chunks of one lane can share a datagram; all else is shuffled.
          const lanes = [0, 1, 2].map((lane) => {
            const own = frames.filter(([, its]) => its === lane).map(([sent]) => sent);
            const chunks = new TestSender(1500, lane).send(own).flatMap(chunksOf);
            return chunks
              .map((chunk) => ({ chunk, key: order.next().value }))
              .sort((a, b) => a.key - b.key)
              .map(({ chunk }) => chunk);
          });
          const receiver = new TestReceiver(PATIENT);
          while (lanes.some((chunks) => chunks.length > 0)) {
            const lane = order.next().value % 3;
            const chunks = lanes[lane]!.splice(0, sizes.next().value);
            receiver.take(datagramOf([...chunks, new Uint8Array(padding)], { lane }));
          }
          const sent = frames.map(([its]) => describeFrame(its));
          expect(receiver.frames().map(describeFrame).sort()).toEqual(sent.sort());
          expect(receiver.context.drops.reasons).toEqual([]);
          expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('take over the slot of their datagram when they are whole and the last in it', () => {
    const receiver = new TestReceiver();
    const { arena } = receiver.context;
    const [datagram] = new TestSender().send([plainFrame(100), plainFrame(1000)]);
    receiver.take(datagram!);
    expect(arena.slotCount - arena.freeSlots).toBe(2);
    expect(receiver.frames().map(({ bytes }) => bytes.byteLength)).toEqual([100, 1000]);
  });

  it('have their headers in a row, wherever they lay in a long datagram', () => {
    const frames = Array.from({ length: 40 }, (_, i) =>
      superFrame({ version: 6, protocol: 'udp', payload: pattern(190 + i, i), extensionBytes: 64 }, 0, 1 + i),
    );
    const receiver = new TestReceiver().take(...new TestSender(9000).send(frames));
    expect(receiver.frames().map(describeFrame)).toEqual(frames.map(describeFrame));
  });
});

describe('datagrams that are none of ours', () => {
  const [good] = new TestSender().send([plainFrame(100)]);

  it.each([
    ['empty', new Uint8Array(0)],
    ['a byte short of a header', good!.subarray(0, 19)],
    ['another version', Uint8Array.from([2, ...good!.subarray(1)])],
    ['another type', datagramOf(chunksOf(good!), { type: 9 })],
    ['another network', datagramOf(chunksOf(good!), { network: NETWORK - 1 })],
    ['an epoch that has no key', datagramOf(chunksOf(good!), { epoch: 1 })],
    ['cut short', good!.subarray(0, good!.byteLength - 1)],
    ['with garbage behind', datagramOf([...chunksOf(good!).slice(1), pattern(7)])],
    ['a partial checksum without a header that tells', datagramOf([unparseable()])],
  ])('%s', (_, datagram) => {
    const receiver = new TestReceiver().take(datagram);
    expect(receiver.frames()).toEqual([]);
    expect(receiver.context.drops.reasons).toEqual(['badDatagram']);
    expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
  });

  it('keeps the chunks in front of one that is damaged', () => {
    const [both] = new TestSender().send([plainFrame(100), plainFrame(200)]);
    const receiver = new TestReceiver().take(both!.subarray(0, both!.byteLength - 1));
    expect(receiver.frames().map(({ bytes }) => bytes.byteLength)).toEqual([100]);
    expect(receiver.context.drops.reasons).toEqual(['badDatagram']);
  });

  it('reads 64 chunks of a datagram and no more', () => {
    const chunks = Array.from({ length: 65 }, () => chunksOf(new TestSender().send([plainFrame(14)])[0]!)[0]!);
    const receiver = new TestReceiver().take(datagramOf(chunks.slice(1)), datagramOf(chunks));
    expect(receiver.frames()).toHaveLength(128);
    expect(receiver.context.drops.reasons).toEqual(['badDatagram']);
  });

  it('ends at padding', () => {
    for (const padding of [1, 2, 17, 18, 100]) {
      const receiver = new TestReceiver().take(datagramOf([...chunksOf(good!), new Uint8Array(padding)]));
      expect(receiver.frames()).toHaveLength(1);
      expect(receiver.context.drops.reasons).toEqual([]);
    }
  });
});

/** A whole chunk of a frame with a partial checksum that is neither TCP nor UDP. */
function unparseable(): Uint8Array {
  const bytes = new Uint8Array(18 + 60);
  const fields = { channel: 1, payloadBytes: 60, frameBytes: 60, checksum: Checksum.partial };
  Object.assign(new ChunkHeader(), fields).emit(bytes, 0);
  return bytes;
}

describe('rebuilding', () => {
  it('refuses what overlaps, repeats or disagrees, and rebuilds the frame all the same', () => {
    const sent = plainFrame(4000, 3, 7);
    const [a, b, c] = new TestSender().send([sent]).flatMap(chunksOf);
    const shifted = rewritten(b!, { offset: 1433 });
    const receiver = new TestReceiver().take(datagramOf([a!]), datagramOf([a!]), datagramOf([shifted]));
    expect(receiver.context.drops.reasons).toEqual(['duplicateChunk', 'duplicateChunk']);
    for (const change of [{ channel: 8 }, { frameBytes: 4001 }, { checksum: Checksum.valid }]) {
      receiver.take(datagramOf([rewritten(c!, change)]));
    }
    expect(receiver.context.drops.reasons).toEqual(Array(5).fill('duplicateChunk'));
    receiver.take(datagramOf([c!, b!]));
    expect(receiver.frames().map(describeFrame)).toEqual([describeFrame(sent)]);
  });

  it('tells frames of the same id apart by their lane', () => {
    const frames = [plainFrame(2000, 1), plainFrame(2000, 2)];
    const [[a0, a1], [b0, b1]] = frames.map((sent, lane) => new TestSender(1500, lane).send([sent])) as [
      Uint8Array[],
      Uint8Array[],
    ];
    const receiver = new TestReceiver().take(a0!, b0!, b1!, a1!);
    expect(receiver.frames().map(describeFrame)).toEqual([frames[1]!, frames[0]!].map(describeFrame));
  });

  it('gives a frame up after its time, and says when that is', () => {
    const receiver = new TestReceiver();
    const { arena, clock, drops } = receiver.context;
    expect(receiver.receiver.nextNs).toBe(Infinity);
    clock.advance(5e6);
    receiver.take(new TestSender().send([plainFrame(2000)])[0]!);
    expect(receiver.receiver.nextNs).toBe(105e6);
    receiver.receiver.poll(105e6 - 1);
    expect(drops.reasons).toEqual([]);
    receiver.receiver.poll(105e6);
    expect(drops.reasons).toEqual(['incomplete']);
    expect(receiver.receiver.nextNs).toBe(Infinity);
    expect(arena.freeSlots).toBe(arena.slotCount);
  });

  it('gives a frame up when 128 datagrams have passed it by', () => {
    const receiver = new TestReceiver();
    const sender = new TestSender();
    receiver.take(sender.send([plainFrame(2000)])[0]!);
    for (let i = 0; i < 128; i++) receiver.take(...sender.send([plainFrame(60)]));
    expect(receiver.context.drops.reasons).toEqual([]);
    receiver.take(...sender.send([plainFrame(60)]));
    expect(receiver.context.drops.reasons).toEqual(['incomplete']);
  });

  it('is asked at once while frames wait', () => {
    expect(new TestReceiver().take(...new TestSender().send([plainFrame(60)])).receiver.nextNs).toBe(0);
  });

  it('rebuilds a bounded number of frames at a time, and gives up the oldest for it', () => {
    const receiver = new TestReceiver(PATIENT);
    const sender = new TestSender();
    const datagrams = Array.from({ length: 257 }, (_, i) => sender.send([plainFrame(1600, i)]));
    for (const [first] of datagrams) receiver.take(first!);
    expect(receiver.context.drops.reasons).toEqual(['incomplete']);
    for (const [, second] of datagrams.slice(1)) receiver.take(second!);
    expect(receiver.frames()).toHaveLength(256);
    expect(receiver.receiver.reassemblySlots).toBe(0);
  });

  it('takes bounded memory, and gives up the oldest frame for it', () => {
    const receiver = new TestReceiver();
    const sender = new TestSender();
    const limit = defaultLimits(receiver.context.arena).slots;
    for (let i = 0; i < 40; i++) {
      receiver.take(sender.send([tcp(60_000, i)])[0]!);
      expect(receiver.receiver.reassemblySlots).toBeLessThanOrEqual(limit);
    }
    // 30 slots each.
    expect(receiver.context.drops.reasons).toEqual(Array(40 - Math.floor(limit / 30)).fill('incomplete'));
    receiver.frames();
    receiver.receiver.close();
    expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
  });

  it('counts what a full arena costs', () => {
    const receiver = new TestReceiver();
    const { arena, drops } = receiver.context;
    const [first] = new TestSender().send([tcp(60_000)]);
    while (arena.freeSlots > 10) arena.takeSlot();
    receiver.take(first!);
    receiver.take(...new TestSender().send([plainFrame(1500), plainFrame(60)]));
    expect(drops.reasons).toEqual(['arenaFull']);
    expect(receiver.frames()).toHaveLength(2);
  });

  it('needs room for the longest frame', () => {
    const context = testContext();
    const limits = { ...defaultLimits(context.arena), slots: 32 };
    expect(() => new Reassembly(context, new Delivery(context), limits)).toThrow(RangeError);
  });
});

function rewritten(chunk: Uint8Array, change: Partial<ChunkHeader>): Uint8Array {
  const copy = Uint8Array.from(chunk);
  const header = new ChunkHeader();
  header.parse(copy, 0, copy.byteLength);
  Object.assign(header, change).emit(copy, 0);
  return copy;
}

describe('anything at all', () => {
  // Small numbers collide: the same frames again and again, told differently.
  const small = fc.integer({ min: 0, max: 3 });
  const chunk = fc
    .record({
      channel: fc.oneof(small, fc.nat(0xffff)),
      payloadBytes: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.nat(0xffff)),
      frameId: small,
      checksum: fc.integer({ min: 0, max: 4 }),
      frameBytes: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.nat(0xffffff)),
      copyBytes: fc.oneof(fc.constant(0), fc.nat(255)),
      offset: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.nat(0xffffff)),
      gsoSize: fc.oneof(fc.constant(0), fc.nat(0xffff)),
    })
    .chain((fields) =>
      fc.oneof(fc.constant(fields.payloadBytes + fields.copyBytes), fc.nat(300)).map((bodyBytes) => {
        const bytes = new Uint8Array(18 + Math.min(bodyBytes, 3000));
        Object.assign(new ChunkHeader(), fields).emit(bytes, 0);
        const body = packet({ version: 4, protocol: 'tcp', payload: pattern(2900) });
        bytes.set(body.subarray(0, bytes.byteLength - 18), 18);
        return bytes;
      }),
    );
  const datagram = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.tuple(fc.array(chunk, { maxLength: 6 }), fc.nat(1)).map(([chunks, lane]) => datagramOf(chunks, { lane })),
  );

  it('never throws, never leaks a slot, never exceeds its bounds', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(datagram, fc.nat(60e6)), { maxLength: 30 }), (datagrams) => {
        const receiver = new TestReceiver();
        const { arena, clock } = receiver.context;
        const limit = defaultLimits(arena).slots;
        for (const [bytes, passedNs] of datagrams) {
          clock.advance(passedNs);
          receiver.receiver.poll(clock.nowNs());
          receiver.take(bytes);
          expect(receiver.receiver.reassemblySlots).toBeLessThanOrEqual(limit);
          receiver.frames();
          expect(arena.slotCount - arena.freeSlots).toBe(receiver.receiver.reassemblySlots);
        }
        receiver.receiver.close();
        expect(arena.freeSlots).toBe(arena.slotCount);
      }),
      { numRuns: 300 },
    );
  });

  it('survives bits that flip in real datagrams', () => {
    const frames = [tcp(8000, 1), plainFrame(1514, 2), plainFrame(60, 3), tcp(3000, 4)];
    const datagrams = new TestSender().send(frames);
    const flips = fc.array(fc.tuple(fc.nat(datagrams.length - 1), fc.nat(60), fc.nat(255)), { maxLength: 12 });
    fc.assert(
      fc.property(flips, (changes) => {
        const damaged = datagrams.map((bytes) => Uint8Array.from(bytes));
        for (const [i, at, value] of changes) damaged[i]![at] = value;
        const receiver = new TestReceiver().take(...damaged);
        receiver.receiver.poll(100e6);
        expect(receiver.receiver.reassemblySlots).toBe(0);
        receiver.frames();
        expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
      }),
      { numRuns: 300 },
    );
  });
});
