import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packet, pattern } from '../../test/tunnel/fixture.js';
import { completeChecksum } from '../wire/checksum.js';
import { FrameHeaders } from '../wire/headers.js';
import { segmentFrame } from '../wire/segment.js';
import { PcapngWriter } from './pcapng.js';

const hasTshark = spawnSync('tshark', ['--version']).status === 0;

/** The fields of each packet, as tshark reads them. It takes no capture from a socket, which is what Node's pipes are. */
function tshark(capture: Buffer, ...fields: readonly string[]): string[][] {
  const directory = mkdtempSync(join(tmpdir(), 'luthier-pcapng-'));
  try {
    const file = join(directory, 'capture.pcapng');
    writeFileSync(file, capture);
    const checks = ['tcp', 'udp', 'ip'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
    const args = ['-n', '-r', file, ...checks, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
    const out = execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const lines = out.split('\n').slice(0, -1);
    return lines.map((line) => line.split('\t'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function capture(frames: readonly Uint8Array[], snaplenBytes = 0): Buffer {
  const writer = new PcapngWriter();
  const header = writer.header('tap:h1:eth0', snaplenBytes);
  const packets = frames.map((frame, i) =>
    writer.packet(frame, 1_700_000_000_123_456_780n + BigInt(i), i % 2 === 0 ? 'in' : 'out'),
  );
  return Buffer.concat([header, ...packets]);
}

describe('pcapng', () => {
  it('is made of blocks that say their length at both ends', () => {
    const bytes = capture([pattern(60), pattern(61)]);
    const types: number[] = [];
    for (let at = 0; at < bytes.byteLength;) {
      const length = bytes.readUInt32LE(at + 4);
      expect(length % 4).toBe(0);
      expect(bytes.readUInt32LE(at + length - 4)).toBe(length);
      types.push(bytes.readUInt32LE(at));
      at += length;
    }
    expect(types).toEqual([0x0a0d0d0a, 1, 6, 6]);
  });

  it.each([-1, 1.5, 2 ** 32])('refuses a snap length of %s', (snaplenBytes) => {
    expect(() => new PcapngWriter().header('x', snaplenBytes)).toThrow(RangeError);
  });

  it.skipIf(!hasTshark)('is read by tshark: name, nanoseconds, direction, lengths, data', () => {
    const frames = [pattern(60, 1), pattern(61, 2), pattern(65_549, 3)];
    const rows = tshark(
      capture(frames),
      'frame.interface_name',
      'frame.time_epoch',
      'frame.packet_flags_direction',
      'frame.len',
      'frame.cap_len',
    );
    expect(rows).toEqual(
      frames.map((frame, i) => [
        'tap:h1:eth0',
        `1700000000.12345678${i}`,
        i % 2 === 0 ? '0x00000001' : '0x00000002',
        String(frame.byteLength),
        String(frame.byteLength),
      ]),
    );
  });

  it.skipIf(!hasTshark)('says what was lost, before a packet and in all', () => {
    const writer = new PcapngWriter();
    const bytes = Buffer.concat([
      writer.header('tap:h1:eth0', 0),
      writer.packet(pattern(60), 1n, 'in'),
      writer.packet(pattern(60), 2n, 'in', 7),
      writer.statistics(3n, 9),
    ]);
    expect(tshark(bytes, 'frame.drop_count')).toEqual([[''], ['7']]);
    const statistics = bytes.subarray(bytes.byteLength - 40);
    expect([statistics.readUInt32LE(0), statistics.readUInt32LE(4)]).toEqual([5, 40]);
    expect([statistics.readUInt16LE(20), statistics.readUInt16LE(22)]).toEqual([5, 8]);
    expect(statistics.readBigUInt64LE(24)).toBe(9n);
  });

  it.skipIf(!hasTshark)('cuts packets to the snap length and keeps their own', () => {
    expect(tshark(capture([pattern(100)], 64), 'frame.len', 'frame.cap_len')).toEqual([['100', '64']]);
  });
});

// tshark computes the checksums itself: the oracle for checksum.ts and segment.ts.
describe.skipIf(!hasTshark)('checksums, as tshark sees them', () => {
  const kinds = ([4, 6] as const).flatMap((version) =>
    (['tcp', 'udp'] as const).flatMap((protocol) => [0, 1, 777].map((bytes) => ({ version, protocol, bytes }))),
  );

  it('are right when completed', () => {
    const frames = kinds.map(({ bytes, ...kind }) => {
      const frame = packet({ ...kind, payload: pattern(bytes, bytes), tags: kind.version === 6 ? 1 : 0 });
      const headers = new FrameHeaders();
      headers.parse(frame, 0, frame.byteLength);
      completeChecksum(frame, headers.transport, headers.checksumOffset);
      return frame;
    });
    const rows = tshark(capture(frames), 'tcp.checksum.status', 'udp.checksum.status');
    expect(rows.map((row) => row.join(''))).toEqual(kinds.map(() => '1'));
  });

  it('are right in every segment of a super-frame, of IP too', () => {
    const segments = kinds
      .filter(({ bytes }) => bytes > 0)
      .flatMap(({ bytes, ...kind }) => segmentFrame(packet({ ...kind, payload: pattern(bytes * 20) }), 1000)!);
    const rows = tshark(capture(segments), 'tcp.checksum.status', 'udp.checksum.status');
    expect(rows.map((row) => row.join(''))).toEqual(segments.map(() => '1'));
    const ip = tshark(capture(segments), 'ip.version', 'ip.checksum.status');
    expect(ip.filter(([version]) => version === '4').map(([, status]) => status)).not.toContain('0');
  });

  it('makes one stream without gaps of a TCP super-frame', () => {
    const frame = packet({ version: 4, protocol: 'tcp', payload: pattern(20_000), tcpFlags: 0x99 });
    const rows = tshark(capture(segmentFrame(frame, 1448)!), 'tcp.seq_raw', 'tcp.len', 'tcp.flags', 'ip.id');
    let sequence = 0xffff_f000;
    rows.forEach(([seq, length, flags, id], i) => {
      expect(Number(seq)).toBe(sequence);
      sequence = (sequence + Number(length)) % 2 ** 32;
      const isLast = i === rows.length - 1;
      expect(Number(flags) & 0x89).toBe((i === 0 ? 0x80 : 0) | (isLast ? 0x09 : 0));
      expect(Number(id)).toBe(4711 + i);
    });
    expect(rows).toHaveLength(Math.ceil(20_000 / 1448));
  });
});
