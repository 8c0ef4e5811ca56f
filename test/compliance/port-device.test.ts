/** The compliance suite over the devices that need no tunnel. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { Arena } from '../../vswitch/arena.js';
import type { DeviceContext } from '../../vswitch/device/device.js';
import { type DeviceCalls, NativeIo } from '../../vswitch/device/native-io.js';
import { PcapDevice } from '../../vswitch/device/pcap.js';
import { TapDevice } from '../../vswitch/device/tap.js';
import { MemoryDevice } from '../../vswitch/device/memory.js';
import { MemoryCalls } from '../../vswitch/memory-calls.js';
import { allocateWay, TrunkDevice } from '../../vswitch/stack/trunk.js';
import { portDeviceCompliance, type DevicePair } from './port-device.js';
import { RecordingSink } from './recording-sink.js';

function plainContext(arena: Arena, index: number): DeviceContext & { readonly drops: RecordingSink } {
  return { arena, drops: new RecordingSink(), clock: new ManualClock(), index };
}

function memoryPair(arenaA: Arena, arenaB: Arena): DevicePair {
  const a = plainContext(arenaA, 0);
  const b = plainContext(arenaB, 1);
  const [deviceA, deviceB] = MemoryDevice.pair(a, b);
  return {
    a: { device: deviceA, ...a },
    b: { device: deviceB, ...b },
    close: () => {
      deviceA.close();
      deviceB.close();
    },
  };
}

const MiB = 2 ** 20;

portDeviceCompliance('memory, between two engines', { channels: true, superFrames: true }, () =>
  memoryPair(new Arena(new Uint8Array(2 * MiB)), new Arena(new Uint8Array(2 * MiB))),
);

portDeviceCompliance('memory, within an engine', { channels: true, superFrames: true }, () => {
  const arena = new Arena(new Uint8Array(4 * MiB));
  return memoryPair(arena, arena);
});

/** Of two engines. `bells`: eventfds, or -1 twice. */
function trunkPair(calls: () => DeviceCalls, bells: readonly [number, number], close: () => void): DevicePair {
  const [there, back] = [allocateWay(MiB, bells[0]), allocateWay(MiB, bells[1])];
  const ios = [calls, calls].map((make) => new NativeIo(make(), 2 * MiB));
  const [a, b] = ios.map((io, index) => ({ ...plainContext(io.arena, index), io }));
  const devices = [
    new TrunkDevice(a!, { out: there, in: back }),
    new TrunkDevice(b!, { out: back, in: there }),
  ] as const;
  return {
    a: { device: devices[0], ...a! },
    b: { device: devices[1], ...b! },
    close: () => {
      for (const device of devices) device.close();
      for (const io of ios) io.close();
      close();
    },
  };
}

portDeviceCompliance('trunk, in memory', { channels: true, superFrames: true }, () =>
  trunkPair(
    () => new MemoryCalls(() => 0),
    [-1, -1],
    () => undefined,
  ),
);

/** Each writes the file that the other reads. */
function pcapPair(): DevicePair {
  const directory = mkdtempSync(join(tmpdir(), 'luthier-pcap-'));
  const [there, back] = [join(directory, 'there.pcap'), join(directory, 'back.pcap')];
  for (const file of [there, back]) writeFileSync(file, '');
  const a = plainContext(new Arena(new Uint8Array(2 * MiB)), 0);
  const b = plainContext(new Arena(new Uint8Array(2 * MiB)), 1);
  const devices = [
    new PcapDevice(a, { input: back, output: there }),
    new PcapDevice(b, { input: there, output: back }),
  ] as const;
  return {
    a: { device: devices[0], ...a },
    b: { device: devices[1], ...b },
    close: () => {
      for (const device of devices) device.close();
      rmSync(directory, { recursive: true });
    },
  };
}

portDeviceCompliance('pcap', { channels: false, superFrames: false }, pcapPair);

/** Two TAPs on a bridge of the kernel's, in a namespace of their own: what one writes, the other reads. */
async function tapPair(vnetHdr: boolean, ioUring: boolean): Promise<DevicePair> {
  const { SwitchLab } = await import('../lab/switch-lab.js');
  const { native } = await import('../../native/binding.js');
  const lab = await SwitchLab.start();
  const host = lab.bareHost('taps');
  const fds = ['tap0', 'tap1'].map((name, i) => lab.openTap(host, name, `02:00:00:00:01:0${i}`, { vnetHdr }));
  const script = `
    echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
    ip link add br0 type bridge mcast_snooping 0
    for name in tap0 tap1; do ip link set $name master br0; ip link set $name up; done; ip link set br0 up`;
  await lab.exec('taps', 'sh', '-ec', script);
  const io = new NativeIo(native, 8 * MiB);
  if (ioUring) expect(native.ringStart(io.handle)).toBe(0);
  const ends = fds.map((fd, index) => {
    const context = { arena: io.arena, io, drops: new RecordingSink(), clock: io, index };
    return { device: new TapDevice(context, { fd, mtuBytes: 1500, vnetHdr }), ...context };
  });
  const [a, b] = ends as [(typeof ends)[0], (typeof ends)[0]];
  return {
    a,
    b,
    close: async () => {
      a.device.close();
      b.device.close();
      io.close();
      await lab.close();
    },
  };
}

const unavailable = await import('../lab/switch-lab.js').then(
  ({ labUnavailable }) => labUnavailable(),
  (error: unknown) => (error as Error).message,
);

const addon = await import('../../native/binding.js').catch(() => undefined);
if (addon === undefined) {
  it.skip('PortDevice: trunk: there is no addon');
} else {
  const { native } = addon;
  portDeviceCompliance('trunk', { channels: true, superFrames: true }, () => {
    const bells = [native.eventfd(), native.eventfd()] as const;
    return trunkPair(
      () => native,
      bells,
      () => {
        for (const bell of bells) native.close(bell);
      },
    );
  });
}

if (unavailable === undefined) {
  const { Io } = await import('../../native/fixture.js');
  const { native } = await import('../../native/binding.js');
  const hasIoUring = native.ringStart(new Io(1).handle) === 0;
  if (!hasIoUring) it.skip('PortDevice: tap, by io_uring: it cannot be had here');
  for (const ioUring of hasIoUring ? [false, true] : [false]) {
    const by = ioUring ? 'by io_uring' : 'by calls';
    const plain = { channels: false, superFrames: false };
    portDeviceCompliance(`tap, ${by}`, plain, () => tapPair(false, ioUring));
    const vnet = { channels: false, superFrames: true };
    portDeviceCompliance(`tap with vnet headers, ${by}`, vnet, () => tapPair(true, ioUring));
  }
} else {
  describe('PortDevice: tap', () => {
    it.skip(`skipped: ${unavailable}`);
  });
}
