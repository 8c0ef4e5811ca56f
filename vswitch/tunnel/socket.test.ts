/** A socket of ours that is open and then connected, and plain ones of Node's that send to it. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { native, UdpRefusal } from '../../native/binding.js';
import { NativeIo } from '../device/native-io.js';
import { ENDPOINT_BYTES, parseEndpoint } from './roaming/endpoint.js';
import { TunnelSocket } from './socket.js';
import { DATAGRAM_HEADER_BYTES, DatagramHeader, DatagramType } from './wire.js';

const ADDRESS = '127.0.0.1';
const NETWORK = 1;
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

/** An unsealed datagram with 40 bytes behind its header. */
function datagram(type: number, counter: number): Uint8Array {
  const bytes = new Uint8Array(DATAGRAM_HEADER_BYTES + 40);
  const header = new DatagramHeader();
  Object.assign(header, { type, network: NETWORK, counterLow: counter });
  header.emit(bytes, 0);
  return bytes;
}

function ours(): { io: NativeIo; socket: TunnelSocket; port: number } {
  const io = new NativeIo(native, 2 ** 20);
  const fd = native.udpOpen({ bind: { address: ADDRESS, port: 0 } });
  const socket = new TunnelSocket(io, fd, NETWORK, false);
  closing.push(() => {
    socket.close();
    io.close();
  });
  return { io, socket, port: native.udpAddress(fd).port };
}

/** The endpoint of a plain socket, which has sent these. */
async function sender(to: number, datagrams: readonly Uint8Array[]): Promise<Uint8Array> {
  const socket = createSocket('udp4').bind(0, ADDRESS);
  closing.push(() => socket.close());
  await once(socket, 'listening');
  for (const data of datagrams)
    await new Promise<void>((resolve, reject) => {
      socket.send(data, to, ADDRESS, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  return parseEndpoint(ADDRESS, socket.address().port);
}

/** Lengths, or refusals below zero, of one call after another with so many slots; and where each came from. */
function read({ io, socket }: ReturnType<typeof ours>, slots: number, ring: number): [number, Uint8Array | null][] {
  io.offerSlots(slots);
  const n = socket.read(slots, ring, false);
  expect(n).toBeGreaterThanOrEqual(0);
  const entries = Array.from({ length: n }, (_, i) => [io.lengths[i]!, io.sources[i]!] as const);
  return entries.map(([length, number]) => {
    const endpoint = new Uint8Array(ENDPOINT_BYTES);
    if (number !== 0) socket.source(number, endpoint);
    return [length, number === 0 ? null : endpoint];
  });
}

it('tells what came while it was open from whom it is connected to now, though others were asked about meanwhile', async () => {
  const end = ours();
  const ring = native.keyringCreate();
  closing.push(() => {
    native.keyringDestroy(ring);
  });
  const handshakes = [1, 2, 3].map((counter) => datagram(DatagramType.handshake, counter));
  const peer = await sender(end.port, handshakes);
  const other = await sender(end.port, handshakes.slice(0, 1));
  end.socket.open(peer);
  expect(read(end, 1, ring)).toEqual([[60, null]]);
  expect(end.socket.more()).toBe(2);
  end.socket.connect(peer);
  // Somebody else's call.
  end.io.endpoint.set(other);
  expect(read(end, 8, ring)).toEqual([
    [60, null],
    [60, null],
    [-UdpRefusal.stranger, other],
  ]);
});

it('hears where nothing is sealed nobody but whom it sends to, also while it is connected to nobody', async () => {
  const end = ours();
  const peer = await sender(end.port, [datagram(DatagramType.frames, 1)]);
  const other = await sender(end.port, [datagram(DatagramType.frames, 2), datagram(DatagramType.handshake, 3)]);
  end.socket.open(peer);
  expect(read(end, 8, 0)).toEqual([
    [60, null],
    [-UdpRefusal.stranger, other],
    [-UdpRefusal.stranger, other],
  ]);
});
