/**
 * From a device's configuration to the device: one line per kind. Called by the engine's thread (`worker.ts`), which has
 * the descriptors.
 */
import type { EngineDevice } from '../stack/config.js';
import { TrunkDevice } from '../stack/trunk.js';
import { LaneDevice } from '../tunnel/lane-device.js';
import { UdpDevice } from '../tunnel/udp.js';
import { VxlanDevice } from '../vxlan/vxlan.js';
import type { DeviceContext, PortDevice } from './device.js';
import { TapDevice } from './tap.js';

/** The device owns `fd` from here on, and closes it; a trunk needs none. */
export function openDevice(
  config: EngineDevice,
  context: DeviceContext,
  fd: number,
  networkNumber: number,
): PortDevice {
  switch (config.kind) {
    case 'tap':
      return new TapDevice(context, { fd, ...config });
    case 'udp':
      return new UdpDevice(context, { fd, networkNumber, ...config });
    case 'lane':
      return new LaneDevice(context, { fd, networkNumber, board: context.board!, ...config });
    case 'vxlan':
      return new VxlanDevice(context, { fd, ...config });
    case 'trunk':
      return new TrunkDevice(context, context.trunks!.get(config.engine)!);
  }
}
