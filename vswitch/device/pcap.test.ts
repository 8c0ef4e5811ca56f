import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { RecordingSink } from '../../test/compliance/recording-sink.js';
import { Arena, Checksum, FrameBatch } from '../arena.js';
import { PcapDevice } from './pcap.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'luthier-pcap-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

interface Written {
  readonly magic?: number;
  readonly linkType?: number;
  readonly littleEndian?: boolean;
  readonly records: readonly [seconds: number, fraction: number, captured: number, frame: number][];
}

function pcapFile({ magic = 0xa1b2c3d4, linkType = 1, littleEndian = true, records }: Written): string {
  const header = new DataView(new ArrayBuffer(24));
  header.setUint32(0, magic, littleEndian);
  header.setUint32(20, linkType, littleEndian);
  const parts = [Buffer.from(header.buffer)];
  for (const [seconds, fraction, captured, frame] of records) {
    const record = new DataView(new ArrayBuffer(16 + captured));
    [seconds, fraction, captured, frame].forEach((value, i) => {
      record.setUint32(4 * i, value, littleEndian);
    });
    parts.push(Buffer.from(record.buffer));
  }
  const path = join(directory, 'in.pcap');
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

function context(clock = new ManualClock()): { arena: Arena; clock: ManualClock; drops: RecordingSink; index: number } {
  return { arena: new Arena(new Uint8Array(2 ** 18)), clock, drops: new RecordingSink(), index: 0 };
}

function lengths(device: PcapDevice, arena: Arena): number[] {
  const batch = new FrameBatch(64);
  device.rxBatch(batch);
  return Array.from(batch.ids.subarray(0, batch.count), (frame) => {
    const length = arena.length[frame]!;
    arena.release(frame);
    return length;
  });
}

describe('PcapDevice', () => {
  it('gives frames when they are due, in both byte orders and resolutions', () => {
    for (const littleEndian of [true, false]) {
      for (const [magic, unitNs] of [
        [0xa1b2c3d4, 1000],
        [0xa1b23c4d, 1],
      ] as const) {
        const input = pcapFile({
          magic,
          littleEndian,
          records: [
            [100, 0, 60, 60],
            [101, 500, 70, 70],
          ],
        });
        const { clock, arena, ...rest } = context();
        const device = new PcapDevice({ clock, arena, ...rest }, { input, startUnixSeconds: 100 });
        expect(lengths(device, arena)).toEqual([60]);
        expect(device.nextNs).toBe(1e9 + 500 * unitNs);
        clock.advance(device.nextNs - 1);
        expect(lengths(device, arena)).toEqual([]);
        clock.advance(1);
        expect(lengths(device, arena)).toEqual([70]);
        expect(device.nextNs).toBe(Infinity);
        device.close();
      }
    }
  });

  it('drops and counts a frame that the capture cut, and goes on behind it', () => {
    const given = context();
    const input = pcapFile({
      records: [
        [0, 0, 60, 1500],
        [0, 0, 70_000, 70_000],
        [0, 0, 61, 61],
      ],
    });
    const device = new PcapDevice(given, { input });
    expect(lengths(device, given.arena)).toEqual([61]);
    expect(given.drops.reasons).toEqual(['malformed', 'malformed']);
    device.close();
  });

  it('refuses what is no capture of Ethernet', () => {
    const notPcap = join(directory, 'text');
    writeFileSync(notPcap, 'this is a text, and long enough to be a header');
    expect(() => new PcapDevice(context(), { input: notPcap })).toThrow('not a classic pcap file');
    const wireless = pcapFile({ linkType: 105, records: [] });
    expect(() => new PcapDevice(context(), { input: wireless })).toThrow('link type 105');
  });

  it('writes time and length, and completes checksums', () => {
    const given = context(new ManualClock(1_234_567_890));
    const output = join(directory, 'out.pcap');
    const device = new PcapDevice(given, { output, startUnixSeconds: 1000 });
    const frame = given.arena.write(new Uint8Array(60));
    given.arena.csumState[frame] = Checksum.partial;
    given.arena.csumStart[frame] = 34;
    given.arena.csumOffset[frame] = 16;
    const batch = new FrameBatch(1);
    batch.push(frame, 0);
    expect(device.txBatch(batch, 0)).toBe(1);
    device.close();
    const file = readFileSync(output);
    expect(file.readUInt32LE(0)).toBe(0xa1b23c4d);
    expect([24, 28, 32, 36].map((at) => file.readUInt32LE(at))).toEqual([1001, 234_567_890, 60, 60]);
    expect(file.readUInt16BE(40 + 34 + 16)).toBe(0xffff);
    expect(given.arena.freeSlots).toBe(given.arena.slotCount);
  });
});
