/**
 * What every `PortDevice` must do, as a suite over a connected pair: what `a` sends, `b` receives, and the other way.
 * The suite tells its own frames from others by their source address, so that a kernel in between may chatter.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Arena, Checksum, FrameBatch } from '../../vswitch/arena.js';
import { type PortDevice, RX_NO_MEMORY } from '../../vswitch/device/device.js';
import type { RecordingSink } from './recording-sink.js';

export interface PairEnd {
  readonly device: PortDevice;
  readonly arena: Arena;
  readonly drops: RecordingSink;
}

export interface DevicePair {
  readonly a: PairEnd;
  readonly b: PairEnd;
  /** Closes both devices and whatever they stood on; afterwards no slot of either arena is in use. */
  close(): void | Promise<void>;
}

export interface DeviceAbilities {
  /** It carries channels. */
  readonly channels: boolean;
  /** It carries super-frames and the checksum state. */
  readonly superFrames: boolean;
}

interface SentFrame {
  readonly bytes: Uint8Array;
  readonly channel?: number;
  readonly gsoSize?: number;
  /** From the frame's start to where checksumming starts, and from there to the field. */
  readonly partial?: { readonly start: number; readonly offset: number };
}

interface ReceivedFrame {
  readonly bytes: Uint8Array;
  readonly channel: number;
  readonly gsoSize: number;
  readonly csumState: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

/** That frames may take to arrive: a busy machine is no failure. */
const PATIENCE_MS = 20_000;
const MAC_A = [0x02, 0x00, 0x00, 0x53, 0x00, 0x0a];
const MAC_B = [0x02, 0x00, 0x00, 0x53, 0x00, 0x0b];
/** IEEE 802 local experimental EtherType 1. */
const ETHERTYPE = [0x88, 0xb5];

export function portDeviceCompliance(
  name: string,
  abilities: DeviceAbilities,
  make: () => DevicePair | Promise<DevicePair>,
): void {
  describe(`PortDevice: ${name}`, () => {
    let pair: DevicePair;

    beforeEach(async () => {
      pair = await make();
    });

    afterEach(async () => {
      await pair.close();
      for (const { arena } of [pair.a, pair.b]) expect(arena.freeSlots, 'slots leaked').toBe(arena.slotCount);
    });

    it('says what it is', () => {
      for (const { device } of [pair.a, pair.b]) {
        expect(device.mtuBytes).toBeGreaterThanOrEqual(1280);
        expect(device.batchSize).toBeGreaterThan(0);
        expect(device.nextNs).toBeGreaterThanOrEqual(0);
      }
    });

    it('gives nothing when nothing was sent', () => {
      const { arena, device } = pair.a;
      const batch = new FrameBatch(device.batchSize);
      const count = device.rxBatch(batch);
      expect(count).toBe(batch.count);
      expect(ownFrames(pair.a, batch)).toEqual([]);
      expect(arena.freeSlots).toBeLessThanOrEqual(arena.slotCount);
    });

    it('carries frames of every length, unchanged and in order, both ways', async () => {
      for (const [from, to] of ways(pair)) {
        const sizes = [14, 15, 59, 60, 61, 64, 127, 128, 590, 1023, 1024, 1379, 1400, 1499, 1500, 1513, 1514];
        const sent = sizes.map((size, i) => frameOf(pair, from, size, i));
        send(from, sent);
        const received = await receive(to, sent.length);
        expect(received.map((frame) => hex(frame.bytes))).toEqual(sent.map((frame) => hex(frame.bytes)));
        expect(from.drops.reasons).toEqual([]);
        expect(to.drops.reasons).toEqual([]);
      }
    });

    it('carries a frame of its largest MTU, and with a VLAN tag one that is 4 bytes longer', async () => {
      const mtu = Math.min(pair.a.device.mtuBytes, pair.b.device.mtuBytes, 9000);
      const tagged = frameOf(pair, pair.a, 14 + 4 + mtu, 2);
      tagged.bytes.set([0x81, 0x00, 0x00, 0x05, ...ETHERTYPE], 12);
      const sent = [frameOf(pair, pair.a, 14 + mtu, 1), tagged];
      send(pair.a, sent);
      const received = await receive(pair.b, 2);
      expect(received.map((frame) => hex(frame.bytes))).toEqual(sent.map((frame) => hex(frame.bytes)));
    });

    it('drops and counts a frame that is too long, and sends those around it', async () => {
      const tooLong = 14 + pair.a.device.mtuBytes + 1;
      if (tooLong > 65_000) return;
      const sent = [60, tooLong, 61].map((size, i) => frameOf(pair, pair.a, size, i));
      send(pair.a, sent);
      const received = await receive(pair.b, 2);
      expect(received.map((frame) => frame.bytes.byteLength)).toEqual([60, 61]);
      expect(pair.a.drops.reasons).toEqual(['tooLong']);
    });

    it('leaves frames where they are while there is no memory for them, and loses none', async () => {
      const { arena, device, drops } = pair.b;
      if (device.fd === -1) return;
      const sent = [60, 61, 62].map((size, i) => frameOf(pair, pair.a, size, i));
      send(pair.a, sent);
      const held: number[] = [];
      for (let slot = arena.takeSlot(); slot !== -1; slot = arena.takeSlot()) held.push(slot);
      const batch = new FrameBatch(device.batchSize);
      for (let i = 0; i < 3; i++) expect(device.rxBatch(batch)).toBe(RX_NO_MEMORY);
      expect([batch.count, drops.reasons]).toEqual([0, []]);
      for (const slot of held) arena.returnSlot(slot);
      const received = await receive(pair.b, sent.length);
      expect(received.map((frame) => hex(frame.bytes))).toEqual(sent.map((frame) => hex(frame.bytes)));
    });

    it('gives at most a batch at a time, and loses none of a burst', async () => {
      const count = Math.min(3 * pair.a.device.batchSize + 1, 250);
      const sent = Array.from({ length: count }, (_, i) => frameOf(pair, pair.a, 60 + i, i));
      send(pair.a, sent);
      const received = await receive(pair.b, count);
      expect(received.map((frame) => hex(frame.bytes))).toEqual(sent.map((frame) => hex(frame.bytes)));
    });

    it('appends to a batch, and gives no more than there is room for', async () => {
      const sent = [0, 1, 2].map((i) => frameOf(pair, pair.a, 100, i));
      send(pair.a, sent);
      const { arena, device } = pair.b;
      const full = new FrameBatch(1);
      const held = arena.write(new Uint8Array(60));
      full.push(held, 7);
      expect(device.rxBatch(full)).toBe(0);
      expect([full.count, full.ids[0], full.channels[0]]).toEqual([1, held, 7]);
      arena.release(held);

      const received: ReceivedFrame[] = [];
      const endMs = performance.now() + PATIENCE_MS;
      while (received.length < sent.length && performance.now() < endMs) {
        const one = new FrameBatch(1);
        expect(device.rxBatch(one)).toBe(one.count);
        received.push(...ownFrames(pair.b, one));
        await nextTurn();
      }
      expect(received.map((frame) => hex(frame.bytes))).toEqual(sent.map((frame) => hex(frame.bytes)));
    });

    it('sends from where it is told, and leaves the batch as it was', async () => {
      const frames = [0, 1, 2].map((i) => frameOf(pair, pair.a, 70, i));
      const batch = batchOf(pair.a, frames);
      const ids = [...batch.ids];
      expect(pair.a.device.txBatch(batch, 1)).toBe(2);
      expect([batch.count, ...batch.ids]).toEqual([3, ...ids]);
      pair.a.arena.release(batch.ids[0]!);
      const received = await receive(pair.b, 2);
      expect(received.map((frame) => hex(frame.bytes))).toEqual(frames.slice(1).map((frame) => hex(frame.bytes)));
    });

    it('leaves a frame that others hold as it was', async () => {
      const frame = frameOf(pair, pair.a, 1000, 1);
      const batch = batchOf(pair.a, [frame]);
      const id = batch.ids[0]!;
      pair.a.arena.retain(id);
      expect(pair.a.device.txBatch(batch, 0)).toBe(1);
      const [received] = await receive(pair.b, 1);
      expect(hex(received!.bytes)).toBe(hex(frame.bytes));
      expect(pair.a.arena.refs[id]).toBe(1);
      expect(hex(pair.a.arena.read(id))).toBe(hex(frame.bytes));
      pair.a.arena.release(id);
    });

    it('sends frames whose data starts elsewhere in the first slot', async () => {
      const frame = frameOf(pair, pair.a, 200, 1);
      const batch = batchOf(pair.a, [frame]);
      const id = batch.ids[0]!;
      pair.a.arena.offset[id]! += 40;
      pair.a.arena.length[id]! -= 40;
      const shorter = pair.a.arena.read(id);
      shorter.set(frame.bytes.subarray(0, 14));
      pair.a.arena.bytes.set(shorter.subarray(0, 14), pair.a.arena.start(id));
      expect(pair.a.device.txBatch(batch, 0)).toBe(1);
      const [received] = await receive(pair.b, 1);
      expect(hex(received!.bytes)).toBe(hex(shorter));
    });

    it.runIf(abilities.channels)('carries channels', async () => {
      const channels = [1, 65535, 300, 1, 2];
      const sent = channels.map((channel, i) => ({ ...frameOf(pair, pair.a, 100 + i, i), channel }));
      send(pair.a, sent);
      const received = await receive(pair.b, sent.length);
      expect(received.map((frame) => frame.channel)).toEqual(channels);
    });

    it.runIf(abilities.superFrames)('carries super-frames and what is known of the checksum', async () => {
      for (const payloadBytes of [2000, 1448 * 8 + 17, 63_000]) {
        const frame = tcpSuperFrame(payloadBytes);
        send(pair.a, [frame]);
        const [received] = await receive(pair.b, 1);
        expect(hex(received!.bytes)).toBe(hex(frame.bytes));
        expect(received).toMatchObject({
          gsoSize: 1448,
          csumState: Checksum.partial,
          csumStart: 34,
          csumOffset: 16,
        });
      }
    });

    it.runIf(abilities.superFrames)('carries small frames and super-frames in any order', async () => {
      const frames = Array.from({ length: 90 }, (_, i) =>
        i % 30 === 17 ? tcpSuperFrame(20_000 + i) : frameOf(pair, pair.a, 60 + 15 * i, i),
      );
      const received: ReceivedFrame[] = [];
      // Not more at once than a device's queue holds.
      for (let from = 0; from < frames.length; from += 45) {
        const some = frames.slice(from, from + 45);
        send(pair.a, some);
        received.push(...(await receive(pair.b, some.length)));
      }
      expect(received.map(({ bytes }) => hex(bytes))).toEqual(frames.map(({ bytes }) => hex(bytes)));
    });

    it('closes twice, with frames under way', () => {
      send(pair.a, [frameOf(pair, pair.a, 100, 1)]);
      pair.a.device.close();
      pair.a.device.close();
      pair.b.device.close();
    });
  });
}

function ways({ a, b }: DevicePair): [PairEnd, PairEnd][] {
  return [
    [a, b],
    [b, a],
  ];
}

/** A frame from this end to the other, filled with a pattern that differs with `salt`. */
function frameOf(pair: DevicePair, from: PairEnd, frameBytes: number, salt: number): SentFrame {
  const bytes = new Uint8Array(frameBytes);
  for (let i = 0; i < frameBytes; i++) bytes[i] = (i * 7 + salt * 13) & 0xff;
  const [to, source] = from === pair.a ? [MAC_B, MAC_A] : [MAC_A, MAC_B];
  bytes.set([...to, ...source, ...ETHERTYPE]);
  return { bytes };
}

/** IPv4 and TCP with a pseudo-header sum where the checksum goes, as a kernel with TSO leaves it. */
function tcpSuperFrame(payloadBytes: number): SentFrame {
  const headers = 14 + 20 + 32;
  const bytes = new Uint8Array(headers + payloadBytes);
  const view = new DataView(bytes.buffer);
  bytes.set([...MAC_B, ...MAC_A, 0x08, 0x00]);
  view.setUint8(14, 0x45);
  view.setUint16(16, bytes.byteLength - 14);
  view.setUint16(18, 4711);
  view.setUint16(20, 0x4000);
  view.setUint8(22, 64);
  view.setUint8(23, 6);
  bytes.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  view.setUint16(24, onesComplement(bytes, 14, 34));
  view.setUint16(34, 40_000);
  view.setUint16(36, 5001);
  view.setUint32(38, 1_000_000);
  view.setUint32(42, 2_000_000);
  view.setUint8(46, 0x80);
  view.setUint8(47, 0x18);
  view.setUint16(48, 500);
  // Options: NOP NOP timestamps.
  bytes.set([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], 54);
  for (let i = 0; i < payloadBytes; i++) bytes[headers + i] = (i * 31) & 0xff;
  const pseudo = new Uint8Array(12);
  pseudo.set(bytes.subarray(26, 34));
  pseudo[9] = 6;
  new DataView(pseudo.buffer).setUint16(10, bytes.byteLength - 34);
  view.setUint16(50, ~onesComplement(pseudo, 0, 12) & 0xffff);
  return { bytes, gsoSize: 1448, partial: { start: 34, offset: 16 } };
}

/** RFC 1071, over an even number of bytes. */
function onesComplement(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function batchOf({ arena }: PairEnd, frames: readonly SentFrame[]): FrameBatch {
  const batch = new FrameBatch(frames.length);
  for (const frame of frames) {
    const id = arena.write(frame.bytes);
    if (id === -1) throw new Error('the arena is too small for this test');
    arena.gsoSize[id] = frame.gsoSize ?? 0;
    if (frame.partial !== undefined) {
      arena.csumState[id] = Checksum.partial;
      arena.csumStart[id] = frame.partial.start;
      arena.csumOffset[id] = frame.partial.offset;
    }
    batch.push(id, frame.channel ?? 1);
  }
  return batch;
}

function send(end: PairEnd, frames: readonly SentFrame[]): void {
  const batch = batchOf(end, frames);
  expect(end.device.txBatch(batch, 0)).toBe(frames.length);
}

/** Takes frames until there are `count` of the suite's own. */
async function receive(end: PairEnd, count: number): Promise<ReceivedFrame[]> {
  const received: ReceivedFrame[] = [];
  const batch = new FrameBatch(end.device.batchSize);
  const endMs = performance.now() + PATIENCE_MS;
  while (received.length < count && performance.now() < endMs) {
    batch.count = 0;
    const got = end.device.rxBatch(batch);
    expect(got).toBe(batch.count);
    expect(got).toBeLessThanOrEqual(end.device.batchSize);
    received.push(...ownFrames(end, batch));
    if (got === 0) await nextTurn();
  }
  expect(received.length, 'frames that arrived').toBe(count);
  return received;
}

/** Reads and releases the batch; the suite's own frames are returned. */
function ownFrames({ arena }: PairEnd, batch: FrameBatch): ReceivedFrame[] {
  const own: ReceivedFrame[] = [];
  for (let i = 0; i < batch.count; i++) {
    const id = batch.ids[i]!;
    expect(arena.refs[id]).toBe(1);
    const bytes = arena.read(id);
    const source = hex(bytes.subarray(6, 12));
    if (source === hex(MAC_A) || source === hex(MAC_B)) {
      own.push({
        bytes,
        channel: batch.channels[i]!,
        gsoSize: arena.gsoSize[id]!,
        csumState: arena.csumState[id]!,
        csumStart: arena.csumStart[id]!,
        csumOffset: arena.csumOffset[id]!,
      });
    }
    arena.release(id);
  }
  return own;
}

function hex(bytes: Iterable<number>): string {
  return Buffer.from(Uint8Array.from(bytes)).toString('hex');
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
