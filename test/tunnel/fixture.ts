/**
 * What the tunnel's tests stand on: frames as kernels make them, a sender whose datagrams come out as plain bytes, and a
 * receiver that takes them. No sockets: the tests put anything between the two.
 */
import { ManualClock } from '../../model/clock.js';
import { Arena, Checksum, FrameBatch } from '../../vswitch/arena.js';
import type { DeviceContext } from '../../vswitch/device/device.js';
import type { ReassemblyLimits } from '../../vswitch/tunnel/reassembly.js';
import { TunnelReceiver } from '../../vswitch/tunnel/receiver.js';
import { TunnelSender } from '../../vswitch/tunnel/sender.js';
import { ChunkHeader, DATAGRAM_HEADER_BYTES, DatagramHeader } from '../../vswitch/tunnel/wire.js';
import { put16, put32 } from '../../vswitch/wire/bytes.js';
import { internetChecksum, pseudoHeaderSum } from '../../vswitch/wire/checksum.js';
import { Ecn } from '../../vswitch/wire/ecn.js';
import { FrameHeaders } from '../../vswitch/wire/headers.js';
import { RecordingSink } from '../compliance/recording-sink.js';

export const NETWORK = 0xfeedbeef;
/** Larger than any test reorders. */
export const PATIENT: ReassemblyLimits = { frames: 256, slots: 1024, ageNs: 100e6, reorderDatagrams: 1e6 };

export interface PacketOptions {
  readonly version: 4 | 6;
  readonly protocol: 'tcp' | 'udp';
  readonly payload: Uint8Array;
  readonly tags?: number;
  /** IPv6: bytes of a destination-options header in between, a multiple of 8. */
  readonly extensionBytes?: number;
  readonly tcpOptionBytes?: number;
  readonly tcpFlags?: number;
  readonly ipId?: number;
  readonly sequence?: number;
  readonly ecn?: Ecn;
}

/** An Ethernet frame as a kernel with checksum and segmentation offload leaves it: the pseudo-header sum in place. */
export function packet(options: PacketOptions): Uint8Array {
  const { version, protocol, payload, tags = 0, extensionBytes = 0, tcpOptionBytes = 12 } = options;
  const ipBytes = version === 4 ? 20 : 40 + extensionBytes;
  const transportBytes = protocol === 'tcp' ? 20 + tcpOptionBytes : 8;
  const network = 14 + 4 * tags;
  const transport = network + ipBytes;
  const frame = new Uint8Array(transport + transportBytes + payload.byteLength);
  frame.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
  for (let i = 0; i < tags; i++) {
    put16(frame, 12 + 4 * i, i === 0 && tags === 2 ? 0x88a8 : 0x8100);
    put16(frame, 14 + 4 * i, 100 + i);
  }
  put16(frame, network - 2, version === 4 ? 0x0800 : 0x86dd);
  const number = protocol === 'tcp' ? 6 : 17;
  const lengthBytes = transportBytes + payload.byteLength;
  if (version === 4) {
    frame[network] = 0x45;
    put16(frame, network + 2, 20 + lengthBytes);
    put16(frame, network + 4, options.ipId ?? 4711);
    put16(frame, network + 6, 0x4000);
    frame[network + 8] = 64;
    frame[network + 9] = number;
    frame[network + 1] = options.ecn ?? Ecn.notEct;
    frame.set([10, 0, 1, 2, 10, 0, 2, 3], network + 12);
    put16(frame, network + 10, internetChecksum(frame, network, 20));
  } else {
    frame[network] = 0x60;
    frame[network + 1] = (options.ecn ?? Ecn.notEct) << 4;
    put16(frame, network + 4, extensionBytes + lengthBytes);
    frame[network + 6] = extensionBytes > 0 ? 60 : number;
    frame[network + 7] = 64;
    frame.set([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], network + 8);
    frame.set([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], network + 24);
    if (extensionBytes > 0) frame.set([number, extensionBytes / 8 - 1, 1, extensionBytes - 4], network + 40);
  }
  put16(frame, transport, 40_000);
  put16(frame, transport + 2, 5001);
  if (protocol === 'tcp') {
    put32(frame, transport + 4, options.sequence ?? 0xffff_f000);
    put32(frame, transport + 8, 77);
    frame[transport + 12] = (transportBytes / 4) << 4;
    frame[transport + 13] = options.tcpFlags ?? 0x18;
    put16(frame, transport + 14, 501);
    frame.fill(1, transport + 20, transport + transportBytes);
  } else {
    put16(frame, transport + 4, lengthBytes);
  }
  frame.set(payload, transport + transportBytes);
  const headers = new FrameHeaders();
  if (!headers.parse(frame, 0, frame.byteLength)) throw new Error('the fixture makes frames that do not parse');
  put16(frame, transport + headers.checksumOffset, pseudoHeaderSum(frame, 0, headers, lengthBytes));
  return frame;
}

/** Bytes that differ everywhere and with `salt`. */
export function pattern(lengthBytes: number, salt = 0): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => (i * 31 + (i >>> 8) * 7 + salt * 101) & 0xff);
}

/** A frame and what the arena says of it. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly channel: number;
  readonly gsoSize: number;
  readonly checksum: Checksum;
}

export function plainFrame(lengthBytes: number, salt = 0, channel = 1): Frame {
  return { bytes: pattern(lengthBytes, salt), channel, gsoSize: 0, checksum: Checksum.unknown };
}

export function superFrame(options: PacketOptions, gsoSize: number, channel = 1): Frame {
  return { bytes: packet(options), channel, gsoSize, checksum: Checksum.partial };
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** As text: equality of frames is equality of these. */
export function describeFrame({ bytes, channel, gsoSize, checksum }: Frame): string {
  return `${channel} ${gsoSize} ${checksum} ${hex(bytes)}`;
}

export function testContext(arenaBytes = 4 * 2 ** 20): DeviceContext & { drops: RecordingSink; clock: ManualClock } {
  return {
    arena: new Arena(new Uint8Array(arenaBytes)),
    drops: new RecordingSink(),
    clock: new ManualClock(),
    index: 0,
  };
}

export function batchOf(arena: Arena, frames: readonly Frame[]): FrameBatch {
  const batch = new FrameBatch(frames.length);
  const headers = new FrameHeaders();
  for (const { bytes, channel, gsoSize, checksum } of frames) {
    const id = arena.write(bytes);
    if (id === -1) throw new Error('the arena is too small for this test');
    arena.gsoSize[id] = gsoSize;
    arena.csumState[id] = checksum;
    if (checksum === Checksum.partial && headers.parse(bytes, 0, bytes.byteLength)) {
      arena.csumStart[id] = headers.transport;
      arena.csumOffset[id] = headers.checksumOffset;
    }
    batch.push(id, channel);
  }
  return batch;
}

/** A sender whose datagrams come out as plain bytes. */
export class TestSender {
  readonly context = testContext();
  readonly sender: TunnelSender;
  readonly #iov = new Int32Array(16_384);
  readonly #lengths = new Int32Array(128);
  readonly #ecn = new Uint8Array(128);

  constructor(pathMtuBytes = 1500, lane = 0) {
    const scatter = { iov: this.#iov, lengths: this.#lengths, ecn: this.#ecn };
    const options = { networkNumber: NETWORK, lane, pathMtuBytes, ipHeaderBytes: 20, ...scatter };
    this.sender = new TunnelSender(this.context, options);
  }

  /** The datagrams of the last `pack`. */
  datagrams(count: number): Uint8Array[] {
    const datagrams: Uint8Array[] = [];
    let entry = 0;
    for (let i = 0; i < count; i++) {
      const parts: Uint8Array[] = [];
      for (const end = entry + this.#lengths[i]!; entry < end; entry++) {
        const at = this.#iov[2 * entry]!;
        parts.push(this.context.arena.bytes.slice(at, at + this.#iov[2 * entry + 1]!));
      }
      datagrams.push(Uint8Array.from(Buffer.concat(parts)));
    }
    return datagrams;
  }

  /** Sends all of `frames` as one batch. */
  send(frames: readonly Frame[]): Uint8Array[] {
    return this.sendMarked(frames).map(({ datagram }) => datagram);
  }

  /** The same, with the ECN field that each datagram gets. */
  sendMarked(frames: readonly Frame[]): { datagram: Uint8Array; ecn: Ecn }[] {
    const batch = batchOf(this.context.arena, frames);
    const all: { datagram: Uint8Array; ecn: Ecn }[] = [];
    for (let done = 0; done < batch.count;) {
      const count = this.sender.pack(batch, done);
      all.push(...this.datagrams(count).map((datagram, i) => ({ datagram, ecn: this.#ecn[i] as Ecn })));
      done += this.sender.finish(count);
    }
    return all;
  }
}

/** A receiver that takes plain datagrams and gives plain frames. */
export class TestReceiver {
  readonly context = testContext();
  readonly receiver: TunnelReceiver;

  constructor(limits?: ReassemblyLimits) {
    this.receiver = new TunnelReceiver(this.context, {
      networkNumber: NETWORK,
      ...(limits === undefined ? {} : { limits }),
    });
  }

  take(...datagrams: readonly Uint8Array[]): this {
    return this.takeMarked(Ecn.notEct, ...datagrams);
  }

  /** Datagrams whose IP headers have this ECN field. */
  takeMarked(ecn: Ecn, ...datagrams: readonly Uint8Array[]): this {
    for (const datagram of datagrams) {
      const frame = this.context.arena.write(datagram);
      if (frame === -1) throw new Error('the arena is too small for this test');
      this.receiver.datagram(frame, this.context.clock.nowNs(), ecn);
    }
    return this;
  }

  /** Frames that have come out, read and released. */
  frames(): Frame[] {
    const { arena } = this.context;
    const batch = new FrameBatch(this.receiver.waiting);
    this.receiver.drain(batch, batch.capacity);
    const frames: Frame[] = [];
    for (let i = 0; i < batch.count; i++) {
      const id = batch.ids[i]!;
      frames.push({
        bytes: arena.read(id),
        channel: batch.channels[i]!,
        gsoSize: arena.gsoSize[id]!,
        checksum: arena.csumState[id] as Checksum,
      });
      arena.release(id);
    }
    return frames;
  }
}

/** The chunks of a datagram, each with its header. */
export function chunksOf(datagram: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const chunk = new ChunkHeader();
  for (let at = DATAGRAM_HEADER_BYTES; at < datagram.byteLength; at += chunk.bytes) {
    if (!chunk.parse(datagram, at, datagram.byteLength - at)) throw new Error('the sender made a chunk that is none');
    chunks.push(datagram.slice(at, at + chunk.bytes));
  }
  return chunks;
}

/** A datagram of these chunks (or of anything else). */
export function datagramOf(chunks: readonly Uint8Array[], fields: Partial<DatagramHeader> = {}): Uint8Array {
  const header = new Uint8Array(DATAGRAM_HEADER_BYTES);
  Object.assign(new DatagramHeader(), { network: NETWORK }, fields).emit(header, 0);
  return Uint8Array.from(Buffer.concat([header, ...chunks]));
}

/** What stands in a golden file: datagrams are separated by empty lines, `#` begins a comment, space means nothing. */
export function datagramsIn(text: string): Uint8Array[] {
  const blocks = text.split(/\n\s*\n/).map((block) => block.replace(/#.*/g, '').replace(/\s/g, ''));
  return blocks.filter((block) => block !== '').map((block) => Uint8Array.from(Buffer.from(block, 'hex')));
}
