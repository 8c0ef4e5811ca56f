/** For tests: a VXLAN device on loopback, at an address of its own, and sockets of Node's to talk to it. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { RecordingSink } from '../../test/compliance/recording-sink.js';
import type { Native } from '../../native/binding.js';
import type { Arena } from '../arena.js';
import { NativeIo } from '../device/native-io.js';
import type { Telemetry } from '../telemetry.js';
import { VxlanDevice, type VxlanDeviceOptions } from './vxlan.js';

const ARENA_BYTES = 4 * 2 ** 20;
const BUFFER_BYTES = 2 * 2 ** 20;

export interface VxlanEnd {
  readonly device: VxlanDevice;
  readonly arena: Arena;
  readonly io: NativeIo;
  readonly drops: RecordingSink;
  close(): void;
}

/** Where its socket is bound, and what the device is told. */
export type VxlanEndOptions = Omit<VxlanDeviceOptions, 'fd'> & {
  readonly local: string;
  /** Where that is not the port that the others have. */
  readonly localPort?: number;
  readonly receiveBufferBytes?: number;
  readonly telemetry?: Telemetry;
};

export function openVxlan(
  native: Native,
  { local, localPort, receiveBufferBytes = BUFFER_BYTES, telemetry, ...options }: VxlanEndOptions,
): VxlanEnd {
  const io = new NativeIo(native, ARENA_BYTES);
  const drops = new RecordingSink();
  const bind = { address: local, port: localPort ?? options.port };
  const fd = native.udpOpen({ bind, isVxlan: true, receiveBufferBytes, sendBufferBytes: BUFFER_BYTES });
  const context = { arena: io.arena, io, drops, clock: io, index: 0, ...(telemetry && { telemetry }) };
  const device = new VxlanDevice(context, { fd, ...options });
  const close = (): void => {
    device.close();
    io.close();
  };
  return { device, arena: io.arena, io, drops, close };
}

/** A socket of Node's, and what came to it. */
export class Correspondent implements Disposable {
  readonly got: Buffer[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (data) => this.got.push(data));
  }

  static async at(address: string, port: number): Promise<Correspondent> {
    const type = address.includes(':') ? 'udp6' : 'udp4';
    // Of what is sent at once, it reads nothing before the sender is done.
    const socket = createSocket({ type, recvBufferSize: BUFFER_BYTES }).bind(port, address);
    await once(socket, 'listening');
    return new Correspondent(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(datagram: Uint8Array, address: string, port: number): Promise<unknown> {
    return new Promise((resolve) => {
      this.#socket.send(datagram, port, address, resolve);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** One that nobody has at any of these addresses: one that was free a moment ago. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  using reserved = await Correspondent.at(address, 0);
  return reserved.port;
}
