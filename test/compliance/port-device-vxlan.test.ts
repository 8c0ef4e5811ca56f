/** The compliance suite over a pair of VXLAN devices on loopback, each the other's only remote. */
import { describe, it } from 'vitest';
import type { Native } from '../../native/binding.js';
import { freePort, openVxlan } from '../../vswitch/vxlan/fixture.js';
import { type DevicePair, portDeviceCompliance } from './port-device.js';

const VNI = 0xabcdef;

async function pair(native: Native, mtuBytes: number): Promise<DevicePair> {
  const port = await freePort();
  const a = openVxlan(native, { local: '127.0.0.1', remotes: ['127.0.0.2'], vni: VNI, port, mtuBytes });
  const b = openVxlan(native, { local: '127.0.0.2', remotes: ['127.0.0.1'], vni: VNI, port, mtuBytes });
  return closing(a, b);
}

/** There is only one address to have, so each has a port of its own. */
async function ipv6Pair(native: Native): Promise<DevicePair> {
  const [here, there] = [await freePort('::1'), await freePort('::1')];
  const shared = { local: '::1', remotes: ['::1'], vni: VNI, mtuBytes: 1500 };
  return closing(
    openVxlan(native, { ...shared, localPort: here, port: there }),
    openVxlan(native, { ...shared, localPort: there, port: here }),
  );
}

function closing(a: ReturnType<typeof openVxlan>, b: typeof a): DevicePair {
  const close = (): void => {
    a.close();
    b.close();
  };
  return { a, b, close };
}

const abilities = { channels: false, superFrames: false };
const native = await import('../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);

if (native instanceof Error) {
  describe.skip(`PortDevice: vxlan (${native.message})`, () => it.skip('needs the addon', () => undefined));
} else {
  portDeviceCompliance('vxlan over IPv4', abilities, () => pair(native, 1500));
  portDeviceCompliance('vxlan over IPv4, jumbo frames', abilities, () => pair(native, 9000));
  portDeviceCompliance('vxlan over IPv6', abilities, () => ipv6Pair(native));
}
