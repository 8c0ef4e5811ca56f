import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  NETWORK,
  TestReceiver,
  TestSender,
  batchOf,
  describeFrame,
  packet,
  pattern,
  plainFrame,
  superFrame,
  testContext,
  type Frame,
} from '../../test/tunnel/fixture.js';
import { Checksum, FrameBatch } from '../arena.js';
import { DropReason } from '../drops.js';
import { checksumIsRight } from '../wire/checksum.js';
import { FrameHeaders } from '../wire/headers.js';
import { TunnelSender } from './sender.js';

const tcp = (payloadBytes: number): Frame =>
  superFrame({ version: 4, protocol: 'tcp', payload: pattern(payloadBytes) }, 1448);

const frame = fc.oneof(
  fc.tuple(fc.integer({ min: 14, max: 3000 }), fc.nat(1000)).map(([bytes, salt]) => plainFrame(bytes, salt, 1 + salt)),
  fc.integer({ min: 1, max: 65_000 }).map((payloadBytes) => tcp(payloadBytes)),
);

describe('packing', () => {
  it('lets small frames share a datagram, and never waits for more', () => {
    const sender = new TestSender();
    expect(sender.send([plainFrame(60)])).toHaveLength(1);
    expect(sender.send([plainFrame(60), plainFrame(60), plainFrame(700), plainFrame(200)])).toHaveLength(1);
  });

  it('does not cut a frame that fits an empty datagram', () => {
    const lengths = new TestSender().send([plainFrame(700), plainFrame(1434), plainFrame(60)]).map((d) => d.byteLength);
    expect(lengths).toEqual([20 + 18 + 700, 20 + 18 + 1434, 20 + 18 + 60]);
  });

  it('makes 11 datagrams of ten frames of 1514 bytes over a path of 1500, all full but the last', () => {
    const frames = Array.from({ length: 10 }, (_, i) => plainFrame(1514, i));
    const lengths = new TestSender().send(frames).map((datagram) => datagram.byteLength);
    expect(lengths).toHaveLength(11);
    expect(lengths.slice(0, -1)).toEqual(Array(10).fill(1472));
  });

  it('never makes a datagram longer than the path takes, at any path MTU', () => {
    const path = fc.integer({ min: 1280, max: 65_535 });
    fc.assert(
      fc.property(path, fc.array(frame, { maxLength: 6 }), (pathMtuBytes, frames) => {
        for (const datagram of new TestSender(pathMtuBytes).send(frames)) {
          expect(datagram.byteLength).toBeLessThanOrEqual(pathMtuBytes - 28);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('cuts a super-frame into equal datagrams but the last, from a datagram of its own', () => {
    const lengths = new TestSender().send([plainFrame(60), tcp(60_000)]).map((datagram) => datagram.byteLength);
    expect(lengths[0]).toBe(20 + 18 + 60);
    expect(new Set(lengths.slice(1, -1))).toEqual(new Set([1472]));
  });

  it('gives each datagram the next counter, and each frame the next id', () => {
    const datagrams = new TestSender().send([tcp(5000), tcp(5000)]);
    expect(datagrams.map((datagram) => datagram[19])).toEqual(datagrams.map((_, i) => i));
    expect(datagrams.map((datagram) => datagram[20 + 7])).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  });
});

describe('frames that cannot be sent as they are', () => {
  it('drops and counts what is too short, too long, or cannot be segmented', () => {
    const sender = new TestSender();
    const datagrams = sender.send([
      { ...plainFrame(60), bytes: new Uint8Array(13) },
      plainFrame(65_521 + 14 + 1),
      { ...plainFrame(3000), gsoSize: 1000 },
      { ...plainFrame(3000), gsoSize: 1000, checksum: Checksum.partial },
      plainFrame(60),
    ]);
    expect(datagrams).toHaveLength(1);
    expect(sender.context.drops.reasons).toEqual(['malformed', 'tooLong', 'malformed', 'malformed']);
  });

  it('completes a checksum that the receiver would not find, also in a frame that others hold', () => {
    const sender = new TestSender();
    const { arena } = sender.context;
    const sent = { ...plainFrame(60), bytes: packet({ version: 4, protocol: 'udp', payload: pattern(50) }) };
    const batch = batchOf(arena, [sent]);
    const id = batch.ids[0]!;
    arena.retain(id);
    // An inner checksum: its start is not where the outer header's is.
    arena.csumState[id] = Checksum.partial;
    arena.csumStart[id] = 42;
    arena.csumOffset[id] = 6;
    const receiver = new TestReceiver().take(...sender.datagrams(sender.sender.pack(batch, 0)));
    expect(sender.sender.finish(1)).toBe(1);
    expect(arena.csumState[id]).toBe(Checksum.unknown);
    const [received] = receiver.frames();
    expect(received!.checksum).toBe(Checksum.unknown);
    expect(received!.bytes).toEqual(arena.read(id));
    expect(received!.bytes).not.toEqual(sent.bytes);
    arena.release(id);
  });

  it('keeps a partial checksum that the receiver finds by parsing', () => {
    const sent: Frame = {
      ...plainFrame(0),
      bytes: packet({ version: 6, protocol: 'tcp', payload: pattern(500), tags: 1 }),
      checksum: Checksum.partial,
    };
    const receiver = new TestReceiver().take(...new TestSender().send([sent]));
    const batch = new FrameBatch(1);
    receiver.receiver.drain(batch, 1);
    const id = batch.ids[0]!;
    const { arena } = receiver.context;
    expect([arena.csumState[id], arena.csumStart[id], arena.csumOffset[id]]).toEqual([Checksum.partial, 58, 16]);
    const headers = new FrameHeaders();
    expect(headers.parse(sent.bytes, 0, sent.bytes.byteLength)).toBe(true);
    expect(checksumIsRight(sent.bytes, headers)).toBe(false);
  });
});

describe('a socket that takes only a part', () => {
  it('loses nothing, repeats nothing, whatever it takes at a time', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.infiniteStream(fc.nat(20)), (frames, takes) => {
        const sender = new TestSender();
        const { arena, drops } = sender.context;
        const free = arena.freeSlots;
        const batch = batchOf(arena, frames);
        const receiver = new TestReceiver();
        for (let done = 0, idle = 0; done < batch.count;) {
          const count = sender.sender.pack(batch, done);
          const taken = Math.min(count, idle > 3 ? 1 : takes.next().value);
          idle = taken === 0 ? idle + 1 : 0;
          receiver.take(...sender.datagrams(count).slice(0, taken));
          done += sender.sender.finish(taken);
        }
        expect(receiver.frames().map(describeFrame)).toEqual(frames.map(describeFrame));
        expect(drops.reasons).toEqual([]);
        expect(receiver.context.drops.reasons).toEqual([]);
        expect(arena.freeSlots).toBe(free);
      }),
      { numRuns: 60 },
    );
  });

  it('forgets a frame that the caller dropped in between', () => {
    const sender = new TestSender();
    const { arena } = sender.context;
    const free = arena.freeSlots;
    const batch = batchOf(arena, [tcp(20_000)]);
    sender.sender.pack(batch, 0);
    expect(sender.sender.finish(3)).toBe(0);
    arena.release(batch.ids[0]!);
    expect(arena.freeSlots).toBeLessThan(free);
    const receiver = new TestReceiver().take(...sender.send([plainFrame(60)]));
    expect(receiver.frames()).toHaveLength(1);
    expect(arena.freeSlots).toBe(free);
  });

  it('does not take the same frame on another channel for the rest', () => {
    const sender = new TestSender();
    const { arena } = sender.context;
    const batch = batchOf(arena, [tcp(20_000)]);
    arena.retain(batch.ids[0]!);
    const receiver = new TestReceiver().take(...sender.datagrams(sender.sender.pack(batch, 0)).slice(0, 3));
    sender.sender.finish(3);
    batch.channels[0] = 9;
    receiver.take(...sender.datagrams(sender.sender.pack(batch, 0)));
    expect(receiver.frames().map(({ channel }) => channel)).toEqual([9]);
  });

  it('counts a frame once, whatever of it fails', () => {
    const sender = new TestSender();
    const batch = batchOf(sender.context.arena, [plainFrame(60), tcp(20_000), plainFrame(60), plainFrame(61)]);
    const count = sender.sender.pack(batch, 0);
    sender.sender.fail(2, DropReason.deviceError);
    expect(sender.sender.finish(4)).toBe(1);
    const rest = sender.sender.pack(batch, 1);
    expect(rest).toBe(count - 4);
    sender.sender.fail(0, DropReason.deviceError);
    expect(sender.sender.finish(rest)).toBe(3);
    expect(sender.context.drops.reasons).toEqual(['deviceError']);
  });
});

describe('limits', () => {
  it('packs any number of frames in turns', () => {
    const frames = Array.from({ length: 1500 }, (_, i) => plainFrame(14 + (i % 40), i, 1 + i));
    const receiver = new TestReceiver().take(...new TestSender().send(frames));
    expect(receiver.frames().map(describeFrame)).toEqual(frames.map(describeFrame));
    expect(receiver.context.drops.reasons).toEqual([]);
  });

  it.each([
    { pathMtuBytes: 1279 },
    { pathMtuBytes: 65_536 },
    { networkNumber: 0 },
    { networkNumber: 2 ** 32 },
    { lane: 256 },
    { ipHeaderBytes: 24 },
    { iov: new Int32Array(8) },
    { lengths: new Int32Array(8) },
  ])('refuses %j', (change) => {
    const scatter = { iov: new Int32Array(16_384), lengths: new Int32Array(128) };
    const options = { networkNumber: NETWORK, lane: 0, pathMtuBytes: 1500, ipHeaderBytes: 20, ...scatter };
    expect(() => new TunnelSender(testContext(), { ...options, ...change })).toThrow(RangeError);
  });

  it('refuses an arena without room, and takes nothing of it', () => {
    const context = testContext(4 * 2048);
    const scatter = { iov: new Int32Array(16_384), lengths: new Int32Array(128) };
    const options = { networkNumber: NETWORK, lane: 0, pathMtuBytes: 1500, ipHeaderBytes: 20, ...scatter };
    expect(() => new TunnelSender(context, options)).toThrow(RangeError);
    expect(context.arena.freeSlots).toBe(4);
  });
});
