/**
 * For the tests of tunnels in this folder: datagrams by hand, as the format says and as node:crypto seals them; two sockets
 * that are connected; keyrings.
 */
import { createCipheriv } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect } from 'vitest';
import { native, type AeadAlgorithm, type AeadLibrary } from './binding.js';
import { HEADROOM_BYTES, Io, own, SLOT_BYTES } from './fixture.js';

export const DATAGRAM_HEADER = 20;
export const HEADERS = 38;
/** Beyond 2³¹, as numbers may be. */
export const NETWORK = 0xfffe_0063;
export const SECRET = Uint8Array.from({ length: 44 }, (_, i) => i * 7 + 1);
/** Where the test's own datagrams stand in the arena; what is read goes to the slots in front. */
export const OURS_AT = 100 * SLOT_BYTES;

export interface Fields {
  readonly version?: number;
  readonly type?: number;
  readonly lane?: number;
  readonly network?: number;
  readonly epoch?: number;
  readonly counter?: bigint;
  readonly channel?: number;
  readonly frameId?: number;
  readonly frameBytes?: number;
  readonly offset?: number;
  readonly gsoSize?: number;
  readonly payload: Uint8Array;
  readonly copy?: Uint8Array;
}

/** A datagram of one chunk, written by the tables of docs/wire-format.md. */
export function datagram(fields: Fields): Buffer {
  const { payload, copy = new Uint8Array(0) } = fields;
  const headers = Buffer.alloc(HEADERS);
  headers[0] = fields.version ?? 1;
  headers[1] = fields.type ?? 0;
  headers[3] = fields.lane ?? 0;
  headers.writeUInt32BE(fields.network ?? NETWORK, 4);
  headers.writeUInt32BE(fields.epoch ?? 0, 8);
  headers.writeBigUInt64BE(fields.counter ?? 0n, 12);
  headers.writeUInt16BE(fields.channel ?? 1, 20);
  headers.writeUInt16BE(payload.byteLength, 22);
  headers.writeUInt32BE(fields.frameId ?? 5, 24);
  headers[28] = 1;
  headers.writeUIntBE(fields.frameBytes ?? payload.byteLength, 29, 3);
  headers[32] = copy.byteLength;
  headers.writeUIntBE(fields.offset ?? 0, 33, 3);
  headers.writeUInt16BE(fields.gsoSize ?? 1448, 36);
  return Buffer.concat([headers, payload, copy]);
}

export function bytes(count: number, salt = 0): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => (i * 31 + (i >>> 8) * 7 + salt * 13) & 0xff));
}

/** A socket of Node's own, what came to it, and one of ours that sends there. */
export async function plainPeer() {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const got: Buffer[] = [];
  socket.on('message', (data) => got.push(data));
  const connect = { address: '127.0.0.1', port: socket.address().port };
  const fd = own(native.udpOpen({ bind: { address: '127.0.0.1', port: 0 }, connect }));
  return { fd, got, socket };
}

/** As node:crypto seals it. */
export function seal(plain: Buffer, algorithm: AeadAlgorithm, secret: Uint8Array = SECRET): Buffer {
  const nonce = Buffer.from(secret.subarray(32));
  for (let i = 0; i < 8; i++) nonce[4 + i]! ^= plain[12 + i]!;
  // The types know GCM alone by name.
  const cipher = createCipheriv(algorithm as 'aes-256-gcm', secret.subarray(0, 32), nonce, { authTagLength: 16 });
  cipher.setAAD(plain.subarray(0, DATAGRAM_HEADER));
  const sealed = Buffer.concat([cipher.update(plain.subarray(DATAGRAM_HEADER)), cipher.final()]);
  return Buffer.concat([plain.subarray(0, DATAGRAM_HEADER), sealed, cipher.getAuthTag()]);
}

/** Two sockets, connected; `a` sends to `b`. */
export class Line {
  /** The ECN fields of what `receive` gave last, one by one. */
  readonly ecn: number[] = [];
  readonly io = new Io(200, 1024, 2048);
  readonly a: number;
  readonly b: number;
  readonly buffers: number;

  constructor(a: number, b: number) {
    this.a = a;
    this.b = b;
    this.buffers = native.udpReceiverCreate(NETWORK);
  }

  static over(address = '127.0.0.1', receiveBufferBytes = 4 << 20): Line {
    const bind = { address, port: 0 };
    const first = native.udpOpen({ bind });
    const b = own(native.udpOpen({ bind, connect: native.udpAddress(first), receiveBufferBytes }));
    const place = native.udpAddress(first);
    native.close(first);
    const a = own(native.udpOpen({ bind: place, connect: native.udpAddress(b), sendBufferBytes: 4 << 20 }));
    return new Line(a, b);
  }

  /** Sends datagrams, each in one piece of the arena; `cuts` as the addon takes them. Returns what the addon says. */
  send(
    datagrams: readonly Buffer[],
    options: {
      cuts?: readonly number[];
      ecn?: readonly number[];
      ring?: number;
      segments?: number;
      parity?: number;
    } = {},
  ) {
    const { arrays, handle } = this.io;
    let at = OURS_AT;
    datagrams.forEach((data, i) => {
      arrays.arena.set(data, at);
      arrays.iov.set([at, data.byteLength], 2 * i);
      arrays.lengths[i] = 1;
      arrays.cuts[i] = options.cuts?.[i] ?? 0;
      arrays.ecn[i] = options.ecn?.[i] ?? 0;
      at += data.byteLength;
    });
    const { ring = 0, segments = 1, parity = 0 } = options;
    return native.udpWrite(handle, this.a, 0, 0, datagrams.length, ring, segments, 0, parity);
  }

  /** All that has come, joined as the addon joins it; refusals as numbers. */
  receive(ring = 0, slots = 90, isOpen = 0): (Buffer | number)[] {
    const { arrays, handle } = this.io;
    const all: (Buffer | number)[] = [];
    this.ecn.length = 0;
    for (;;) {
      this.io.offerSlots(slots);
      const n = native.udpRead(handle, this.buffers, this.b, slots, ring, isOpen);
      expect(n).toBeGreaterThanOrEqual(0);
      let slot = 0;
      for (let i = 0; i < n; i++) {
        const length = arrays.lengths[i]!;
        if (length < 0) {
          all.push(-length);
          continue;
        }
        this.ecn.push(arrays.ecn[i]!);
        const parts = [Buffer.from(arrays.arena.subarray(slot * SLOT_BYTES + HEADROOM_BYTES, (slot + 1) * SLOT_BYTES))];
        for (slot++; parts.reduce((sum, part) => sum + part.byteLength, 0) < length; slot++)
          parts.push(Buffer.from(arrays.arena.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES)));
        all.push(Buffer.concat(parts).subarray(0, length));
      }
      if (n === 0 && native.udpMore(this.buffers) === 0) return all;
    }
  }

  close(): void {
    native.udpReceiverDestroy(this.buffers);
  }
}

const rings = new Set<number>();

/** What its keys seal with is what there is where `library` is not said. */
export function keyring(
  seals: boolean,
  algorithm: AeadAlgorithm = 'aes-256-gcm',
  epochs: readonly number[] = [7],
  library?: AeadLibrary,
): number {
  const ring = native.keyringCreate();
  rings.add(ring);
  const by = library === undefined ? {} : { library };
  for (const epoch of epochs) native.keyringAdd(ring, { epoch, lane: 0, algorithm, seals, secret: SECRET, ...by });
  return ring;
}

/** After a test. */
export function destroyKeyrings(): void {
  for (const ring of rings) native.keyringDestroy(ring);
  rings.clear();
}
