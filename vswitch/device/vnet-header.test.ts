import { describe, expect, it } from 'vitest';
import { Arena, Checksum } from '../arena.js';
import { VnetHeaders } from './vnet-header.js';

/** Ethernet, IPv4 or IPv6, TCP or UDP; headers only, all that is looked at. */
function packet(version: 4 | 6, protocol: 6 | 17, tcpFlags = 0x10): Uint8Array {
  const ipBytes = version === 4 ? 20 : 40;
  const bytes = new Uint8Array(14 + ipBytes + (protocol === 6 ? 20 : 8) + 3000);
  bytes.set(version === 4 ? [0x08, 0x00] : [0x86, 0xdd], 12);
  bytes[14] = version === 4 ? 0x45 : 0x60;
  bytes[version === 4 ? 23 : 20] = protocol;
  const transport = 14 + ipBytes;
  if (protocol === 6) bytes.set([0x50, tcpFlags], transport + 12);
  return bytes;
}

function set(): { arena: Arena; vnet: Uint8Array; headers: VnetHeaders } {
  const arena = new Arena(new Uint8Array(2 ** 17));
  const vnet = new Uint8Array(4 * 12);
  return { arena, vnet, headers: new VnetHeaders(arena, vnet) };
}

describe('virtio_net_hdr', () => {
  it('is derived from the frame: type, header length, checksum', () => {
    const { arena, vnet, headers } = set();
    for (const [version, protocol, flags, type, headerBytes] of [
      [4, 6, 0x10, 1, 54],
      [6, 6, 0x10, 4, 74],
      [4, 6, 0x90, 0x81, 54],
      [4, 17, 0, 5, 42],
      [6, 17, 0, 5, 62],
    ] as const) {
      const frame = arena.write(packet(version, protocol, flags));
      const csumStart = version === 4 ? 34 : 54;
      const csumOffset = protocol === 6 ? 16 : 6;
      arena.gsoSize[frame] = 1448;
      arena.csumState[frame] = Checksum.partial;
      arena.csumStart[frame] = csumStart;
      arena.csumOffset[frame] = csumOffset;
      vnet.fill(0xff);
      expect(headers.write(1, frame)).toBe(true);
      const written = [1, type, headerBytes, 0, 1448 & 0xff, 1448 >> 8, csumStart, 0, csumOffset, 0, 0, 0];
      expect([...vnet.subarray(12, 24)]).toEqual(written);
      expect(vnet[11]).toBe(0xff);
      expect(vnet[24]).toBe(0xff);

      const again = arena.write(packet(version, protocol, flags));
      expect(headers.read(1, again)).toBe(true);
      expect([arena.gsoSize[again], arena.csumState[again]]).toEqual([1448, Checksum.partial]);
      expect([arena.csumStart[again], arena.csumOffset[again]]).toEqual([csumStart, csumOffset]);
      arena.release(frame);
      arena.release(again);
    }
  });

  it('says what is known of the checksum of a plain frame', () => {
    const { arena, vnet, headers } = set();
    const frame = arena.write(packet(4, 6));
    for (const [state, flags] of [
      [Checksum.unknown, 0],
      [Checksum.valid, 2],
      [Checksum.partial, 1],
    ] as const) {
      arena.csumState[frame] = state;
      expect(headers.write(0, frame)).toBe(true);
      expect(vnet[0]).toBe(flags);
      const again = arena.write(packet(4, 6));
      expect(headers.read(0, again)).toBe(true);
      expect([arena.csumState[again], arena.gsoSize[again]]).toEqual([state, 0]);
      arena.release(again);
    }
  });

  it('refuses a checksum that is not in the headers of the frame', () => {
    const { arena, vnet, headers } = set();
    for (const [frameBytes, csumStart, csumOffset, isAccepted] of [
      [60, 34, 24, true],
      [60, 34, 25, false],
      [9014, 1902, 16, true],
      [9014, 1903, 16, false],
      [9014, 1990, 6, false],
      [9014, 65_535, 65_535, false],
      [60, 65_535, 1, false],
    ] as const) {
      vnet.set([1, 0, 0, 0, 0, 0, csumStart & 0xff, csumStart >> 8, csumOffset & 0xff, csumOffset >> 8]);
      const frame = arena.write(new Uint8Array(frameBytes));
      expect(headers.read(0, frame), `${frameBytes} ${csumStart} ${csumOffset}`).toBe(isAccepted);
      arena.release(frame);
    }
  });

  it('refuses a super-frame of which no kernel could be told', () => {
    const { arena, headers } = set();
    for (const bytes of [packet(4, 6).fill(0, 12, 14), packet(4, 17).fill(1, 23, 24), new Uint8Array(20)]) {
      const frame = arena.write(bytes);
      arena.gsoSize[frame] = 1448;
      expect(headers.write(0, frame)).toBe(false);
      arena.release(frame);
    }
  });

  it('refuses a super-frame that disagrees with its headers about its checksum', () => {
    const { arena, headers } = set();
    const frame = arena.write(packet(4, 6));
    arena.gsoSize[frame] = 1448;
    arena.csumState[frame] = Checksum.partial;
    for (const [csumStart, csumOffset, isWritten] of [
      [34, 16, true],
      [34, 6, false],
      [54, 16, false],
    ] as const) {
      arena.csumStart[frame] = csumStart;
      arena.csumOffset[frame] = csumOffset;
      expect(headers.write(0, frame)).toBe(isWritten);
    }
    expect([headers.kindAt(0), headers.kindOf(frame)]).toEqual([0, 1]);
  });

  it('calls a super-frame of one segment a frame', () => {
    const { arena, vnet, headers } = set();
    const frame = arena.write(packet(4, 17));
    arena.csumState[frame] = Checksum.partial;
    arena.csumStart[frame] = 34;
    arena.csumOffset[frame] = 6;
    for (const [gsoSize, kind] of [
      [2999, 5],
      [3000, 0],
      [65_535, 0],
    ] as const) {
      arena.gsoSize[frame] = gsoSize;
      expect(headers.write(0, frame)).toBe(true);
      expect([vnet[0], vnet[1], headers.kindAt(0)]).toEqual([1, kind, kind]);
    }
  });
});
