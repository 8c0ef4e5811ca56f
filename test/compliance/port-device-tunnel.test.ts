/**
 * The compliance suite over the tunnel's devices on loopback: both ends with Node's sockets, both with the addon, and one
 * of each, which makes either the oracle of the other.
 */
import { describe, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import type { Native } from '../../native/binding.js';
import { Arena } from '../../vswitch/arena.js';
import type { DeviceContext } from '../../vswitch/device/device.js';
import { NativeIo } from '../../vswitch/device/native-io.js';
import { DgramDevice } from '../../vswitch/tunnel/dgram.js';
import { UdpDevice } from '../../vswitch/tunnel/udp.js';
import { portDeviceCompliance, type DevicePair, type PairEnd } from './port-device.js';
import { RecordingSink } from './recording-sink.js';

const ARENA_BYTES = 4 * 2 ** 20;
const BUFFER_BYTES = 2 * 2 ** 20;
const NETWORK = 0xfeedbeef;

interface OpenEnd extends PairEnd {
  readonly port: number;
  close(): void;
}

interface Underlay {
  readonly address: string;
  readonly pathMtuBytes: number;
}

async function dgramEnd({ address, pathMtuBytes }: Underlay): Promise<OpenEnd & { readonly device: DgramDevice }> {
  const arena = new Arena(new Uint8Array(ARENA_BYTES));
  const drops = new RecordingSink();
  const context: DeviceContext = { arena, drops, clock: new ManualClock(), index: 0 };
  const options = { bind: { address, port: 0 }, networkNumber: NETWORK, pathMtuBytes };
  const device = await DgramDevice.open(context, options);
  const close = (): void => {
    device.close();
  };
  return { device, arena, drops, port: device.endpoint.port, close };
}

function udpEnd(native: Native, { address, pathMtuBytes }: Underlay, peerPort: number, port: number): OpenEnd {
  const io = new NativeIo(native, ARENA_BYTES);
  const drops = new RecordingSink();
  const fd = native.udpOpen({
    bind: { address, port },
    connect: { address, port: peerPort },
    receiveBufferBytes: BUFFER_BYTES,
    sendBufferBytes: BUFFER_BYTES,
  });
  const context: DeviceContext = { arena: io.arena, io, drops, clock: io, index: 0 };
  const ipHeaderBytes = address.includes(':') ? 40 : 20;
  const device = new UdpDevice(context, { fd, networkNumber: NETWORK, pathMtuBytes, ipHeaderBytes, seal: 'none' });
  const close = (): void => {
    device.close();
    io.close();
  };
  return { device, arena: io.arena, drops, port: native.udpAddress(fd).port, close };
}

function pairOf(a: OpenEnd, b: OpenEnd): DevicePair {
  return {
    a,
    b,
    close: () => {
      a.close();
      b.close();
    },
  };
}

async function dgramPair(underlay: Underlay): Promise<DevicePair> {
  const [a, b] = [await dgramEnd(underlay), await dgramEnd(underlay)];
  await Promise.all([a.device.connect(b.device.endpoint), b.device.connect(a.device.endpoint)]);
  return pairOf(a, b);
}

async function mixedPair(native: Native, underlay: Underlay): Promise<DevicePair> {
  const dgram = await dgramEnd(underlay);
  const udp = udpEnd(native, underlay, dgram.port, 0);
  await dgram.device.connect({ address: underlay.address, port: udp.port });
  return pairOf(udp, dgram);
}

/** Each needs the other's port: one that was free a moment ago. Others, who look for one too, may have taken it since. */
async function udpPair(native: Native, underlay: Underlay): Promise<DevicePair> {
  for (;;) {
    const reserved = await dgramEnd(underlay);
    const { port } = reserved;
    reserved.close();
    const a = udpEnd(native, underlay, port, 0);
    try {
      return pairOf(a, udpEnd(native, underlay, a.port, port));
    } catch (cause) {
      a.close();
      if ((cause as { errno?: string }).errno !== 'EADDRINUSE') throw cause;
    }
  }
}

const underlays: readonly Underlay[] = [
  { address: '127.0.0.1', pathMtuBytes: 1500 },
  { address: '::1', pathMtuBytes: 1280 },
  { address: '127.0.0.1', pathMtuBytes: 9000 },
];
const abilities = { channels: true, superFrames: true };
const native = await import('../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);

for (const underlay of underlays) {
  const where = `${underlay.address}, path MTU ${underlay.pathMtuBytes}`;
  portDeviceCompliance(`dgram to dgram, ${where}`, abilities, () => dgramPair(underlay));
  if (native instanceof Error) {
    describe.skip(`PortDevice: udp, ${where} (${native.message})`, () => it.skip('needs the addon', () => undefined));
  } else {
    portDeviceCompliance(`udp to dgram, ${where}`, abilities, () => mixedPair(native, underlay));
    portDeviceCompliance(`udp to udp, ${where}`, abilities, () => udpPair(native, underlay));
  }
}
