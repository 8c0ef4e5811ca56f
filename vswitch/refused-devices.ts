/**
 * Devices whose every call into the addon is refused: on a descriptor that nobody has. So the calls themselves are made,
 * by the warm-up and by rehearsals, and move nothing.
 */
import type { DeviceConfig } from '../model/messages.js';
import { FrameBatch } from './arena.js';
import type { DeviceContext, PortDevice } from './device/device.js';
import { type DeviceCalls, NativeIo } from './device/native-io.js';
import { openDevice } from './device/registry.js';
import { MAX_BATCH } from './port.js';

/** `open` never returns it: the kernel's limit on descriptors is below. */
const NOBODYS_FD = 0x7fffffff;
const ARENA_BYTES = 2 * 2 ** 20;

export const REFUSED_TAP: DeviceConfig = { kind: 'tap', name: 'tap', mtuBytes: 1500, vnetHdr: true };
export const REFUSED_TUNNEL: DeviceConfig = {
  kind: 'udp',
  name: 'udp',
  peer: { address: '192.0.2.1', port: 7000 },
  pathMtuBytes: 1500,
  ipHeaderBytes: 20,
  seal: 'none',
};

export class RefusedDevices {
  readonly #io: NativeIo;
  readonly #devices: readonly PortDevice[];
  readonly #batch: FrameBatch;

  constructor(native: DeviceCalls, devices: readonly DeviceConfig[]) {
    this.#io = new NativeIo(native, ARENA_BYTES);
    const context: DeviceContext = {
      arena: this.#io.arena,
      clock: this.#io,
      drops: { drop: () => undefined },
      index: 0,
      io: this.#io,
    };
    this.#devices = devices.map((config) => openDevice(config, context, NOBODYS_FD, 1));
    this.#batch = new FrameBatch(MAX_BATCH);
  }

  round(): void {
    for (const device of this.#devices) {
      this.#batch.count = 0;
      device.rxBatch(this.#batch);
      this.#batch.push(this.#io.arena.alloc(60), 1);
      device.txBatch(this.#batch, 0);
    }
  }

  /** The devices stay open, as they have nothing that could be closed. */
  close(): void {
    this.#io.close();
  }
}
