/**
 * Datagrams as an enemy would make them: real ones with anything changed, and garbage. What a seed chose is chosen again.
 * Called by `tunnel-fuzz.ts`, which sends them.
 */
import { datagramOf, packet, pattern, plainFrame, superFrame, TestSender, type Frame } from '../tunnel/fixture.js';
import type { Random } from '../chaos/random.js';
import { Probe, PROBE_BYTES, ProbeKind } from '../../vswitch/tunnel/health/probe.js';
import { CHUNK_HEADER_BYTES, DATAGRAM_HEADER_BYTES, DatagramType } from '../../vswitch/tunnel/wire.js';

/** Offset, bytes, and values at and around the ends of what it may be. */
type Field = readonly [at: number, bytes: number, values: readonly number[]];

const HEADER_FIELDS: readonly Field[] = [
  [0, 1, [0, 2, 255]],
  [1, 1, [1, 2, 3, 255]],
  [2, 1, [1, 128, 255]],
  [3, 1, [1, 2, 255]],
  [4, 4, [0, 1, 0xfeedbeee, 0xffffffff]],
  [8, 4, [0, 1, 8, 0xffffffff]],
  [12, 4, [0, 1, 0xffffffff]],
  [16, 4, [0, 1, 0xffffffff]],
];

const CHUNK_FIELDS: readonly Field[] = [
  [0, 2, [0, 1, 2, 0xffff]],
  [2, 2, [0, 1, 13, 1434, 0xffff]],
  [4, 4, [0, 1, 2, 0xffffffff]],
  [8, 1, [0, 1, 2, 3, 4, 255]],
  [9, 3, [0, 13, 14, 15, 1500, 65_553, 65_554, 0xffffff]],
  [12, 1, [0, 1, 66, 255]],
  [13, 3, [0, 1, 14, 1434, 65_552, 0xffffff]],
  [16, 2, [0, 1, 2, 1448, 0xfffe, 0xffff]],
];

/** Of a packet within a frame: what parsing, cutting and checksums go by. */
const PACKET_FIELDS: readonly Field[] = [
  [12, 2, [0x0800, 0x86dd, 0x8100, 0x88a8, 0]],
  [14, 1, [0x45, 0x46, 0x4f, 0x40, 0x60, 0]],
  [16, 2, [0, 1, 0xffff]],
  [20, 1, [0, 6, 17, 43, 60]],
  [20, 2, [0x2000, 0x1fff, 0x4000]],
  [23, 1, [6, 17, 0, 255]],
  [46, 1, [0, 0x40, 0x50, 0xf0]],
  [54, 2, [0, 0x3c00, 0x3cff, 0x2bff]],
  [66, 1, [0, 0x40, 0x50, 0xf0]],
];

const PATH_MTUS = [1280, 1500, 1500, 1500, 9000, 65_000] as const;
/** The longest that one UDP datagram can be over IPv4. */
const LONGEST = 65_507;

export class HostileDatagrams {
  readonly #random: Random;
  /** By path MTU and lane: frame ids go on. */
  readonly #senders = new Map<string, TestSender>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Frames as hosts send them, and some that no host would. */
  frame(): Frame {
    const random = this.#random;
    const channel = random.int(1, 3);
    if (random.chance(0.4))
      return plainFrame(random.int(14, random.pick([60, 1514, 9000])), random.int(0, 99), channel);
    const sent = superFrame(
      {
        version: random.pick([4, 6]),
        protocol: random.pick(['tcp', 'udp']),
        payload: pattern(random.int(1, random.pick([100, 5000, 30_000, 60_000])), random.int(0, 99)),
        tags: random.pick([0, 0, 1, 2]),
        extensionBytes: random.pick([0, 0, 0, 8, 264]),
        tcpFlags: random.int(0, 255),
      },
      random.pick([1, 2, 13, 536, 1448, 9000, 0xfffe, 0xffff]),
      channel,
    );
    if (random.chance(0.5)) this.#setField(sent.bytes, 0, random.pick(PACKET_FIELDS)!);
    return random.chance(0.8) ? sent : { ...sent, gsoSize: 0 };
  }

  /** Real datagrams of such frames, in their order. */
  real(): Uint8Array[] {
    const random = this.#random;
    const sender = this.#sender(random.pick(PATH_MTUS), random.chance(0.1) ? 1 : 0);
    sender.context.drops.reasons.length = 0;
    const frames = Array.from({ length: random.int(1, 3) }, () => this.frame());
    return sender.send(frames.filter(({ bytes, gsoSize, checksum }) => isSendable(bytes, gsoSize, checksum)));
  }

  /** One with something changed, or nothing at all that was one. */
  mutated(data: Uint8Array, other: Uint8Array): Uint8Array {
    const random = this.#random;
    let bytes: Uint8Array = Uint8Array.from(data);
    for (let changes = random.int(1, 3); changes > 0; changes--) {
      switch (random.int(0, 7)) {
        case 0:
          for (let flips = random.int(1, 8); flips > 0 && bytes.byteLength > 0; flips--)
            bytes[random.int(0, bytes.byteLength - 1)]! ^= 1 << random.int(0, 7);
          break;
        case 1:
          bytes = bytes.slice(0, random.int(0, bytes.byteLength));
          break;
        case 2:
          bytes = joined(bytes, this.#filler(random.int(1, 2000)));
          break;
        case 3:
          bytes = joined(bytes.slice(0, random.int(0, bytes.byteLength)), other.slice(random.int(0, other.byteLength)));
          break;
        case 4:
          this.#setField(bytes, 0, random.pick(HEADER_FIELDS)!);
          break;
        case 5:
        case 6:
          this.#setField(bytes, DATAGRAM_HEADER_BYTES, random.pick(CHUNK_FIELDS)!);
          break;
        default:
          this.#setField(bytes, DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES, random.pick(PACKET_FIELDS)!);
      }
    }
    return bytes.byteLength > LONGEST ? bytes.slice(0, LONGEST) : bytes;
  }

  /** Of the tunnel's health: as real as it looks, and lying. */
  probe(): Uint8Array {
    const random = this.#random;
    const probe = new Probe();
    probe.kind = random.pick([ProbeKind.request, ProbeKind.reply, ProbeKind.reply, 0, 3]);
    probe.packetBytes = random.pick([0, 1, 1279, 1280, 1400, 1500, 9000, 0xffff]);
    probe.timeNs = random.pick([0, 1, random.int(0, 2 ** 31 - 1), 2 ** 53, 2 ** 64 - 2 ** 11]);
    probe.sent = random.pick([0, 1, random.int(0, 10_000), 2 ** 53, 2 ** 64 - 2 ** 11]);
    probe.bufferBytes = random.pick([0, 0, 1, 4096, 212_992, 2 ** 53, 2 ** 64 - 2 ** 11]);
    probe.received = random.pick([0, 0, 1, random.int(0, 10_000), 2 ** 64 - 2 ** 11]);
    const body = new Uint8Array(PROBE_BYTES + random.pick([0, 0, 1, 1200, 4000]));
    probe.emit(body, 0);
    return datagramOf([body.subarray(0, random.chance(0.9) ? body.byteLength : random.int(0, PROBE_BYTES))], {
      type: DatagramType.probe,
    });
  }

  /**
   * Parity whose row is made up, so that what it rebuilds is anything; not sealed, of counters that nobody else uses, as who
   * can send it can also send in place of what it is of.
   */
  parity(): Uint8Array {
    const random = this.#random;
    const count = random.pick([1, 1, 2, 16, 44, 80, 0, 81]);
    const distance = count + random.pick([0, 0, 1, 20, 300, 65_000]);
    const header = [count, random.pick([0, 0, 1, 2, 31, 32]), (distance >> 8) & 255, distance & 255];
    const row = this.#filler(random.pick([0, 4, 5, 100, 1400, 1448, 8004, 8005]));
    if (row.byteLength >= 4 && random.chance(0.7)) row.set([random.pick([0, 1, 3, 4]), 0, row.byteLength >> 10, 20]);
    return datagramOf([Uint8Array.from(header), row], {
      type: DatagramType.parity,
      counterLow: 1e6 + random.int(0, 3000),
    });
  }

  garbage(): Uint8Array {
    return this.#filler(this.#random.int(0, this.#random.pick([1, 40, 2000, 2000, LONGEST])));
  }

  /** A packet with anything in its headers, for who cuts it. */
  packet(): Uint8Array {
    const random = this.#random;
    const bytes = packet({
      version: random.pick([4, 6]),
      protocol: random.pick(['tcp', 'udp']),
      payload: pattern(random.int(0, random.pick([10, 3000, 60_000]))),
      tags: random.int(0, 2),
      extensionBytes: random.pick([0, 0, 8, 1800, 2000]),
      tcpOptionBytes: 4 * random.int(0, 10),
    });
    for (let changes = random.int(0, 2); changes > 0; changes--) this.#setField(bytes, 0, random.pick(PACKET_FIELDS)!);
    return random.chance(0.1) ? bytes.slice(0, random.int(14, bytes.byteLength)) : bytes;
  }

  #sender(pathMtuBytes: number, lane: number): TestSender {
    const key = `${pathMtuBytes} ${lane}`;
    const sender = this.#senders.get(key) ?? new TestSender(pathMtuBytes, lane);
    this.#senders.set(key, sender);
    return sender;
  }

  #filler(count: number): Uint8Array {
    const salt = this.#random.int(0, 255);
    return this.#random.chance(0.3) ? new Uint8Array(count).fill(this.#random.pick([0, 1, 255])) : pattern(count, salt);
  }

  #setField(bytes: Uint8Array, from: number, [at, count, values]: Field): void {
    const value = this.#random.chance(0.8) ? this.#random.pick(values)! : this.#random.int(0, 2 ** 31 - 1);
    for (let i = 0; i < count && from + at + i < bytes.byteLength; i++)
      bytes[from + at + i] = Math.floor(value / 2 ** (8 * (count - 1 - i)));
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Uint8Array.from(Buffer.concat([a, b]));
}

/** Whether the sender takes it: what it refuses makes no datagram. */
function isSendable(bytes: Uint8Array, gsoSize: number, checksum: number): boolean {
  return bytes.byteLength >= 14 && (gsoSize === 0 || checksum === 1);
}
