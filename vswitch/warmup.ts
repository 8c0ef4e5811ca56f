/**
 * Plays frames through an engine before the real one starts: its first real frames find compiled code. Called by
 * `worker.ts`, once. Everything it made is garbage afterwards.
 *
 *   tap0 ─┐                    ┌─ tap2         frames of a ping's size, of the MTU's and super-frames, alone and in
 *         s ─ udp:a ══ udp:b ─ t               batches, with checksums still to be completed
 *   tap1 ─┘                    └─ tap3
 *
 * Compiled code stays compiled only while it meets what it has met before. So devices, arena and clock are those of the
 * real engine, on calls in memory (`memory-calls.ts`); and the devices make the addon's own calls too, on a descriptor
 * that nobody has, which the kernel refuses.
 */
import { NO_INPUTS, PLAIN } from '../model/emulation.js';
import type { SwitchConfig } from '../model/messages.js';
import { Checksum, FrameBatch } from './arena.js';
import type { DeviceContext, PortDevice } from './device/device.js';
import { type DeviceCalls, NativeIo } from './device/native-io.js';
import { openDevice } from './device/registry.js';
import { Engine } from './engine.js';
import { MemoryCalls, type OfferedFrame } from './memory-calls.js';
import type { Telemetry } from './telemetry.js';

const BUDGET_NS = 100e6;
/** On a fast machine it ends here: more makes no code faster. */
const ROUNDS = 150;
/** A super-frame takes as long as all the others of a round. */
const SUPER_ROUNDS = 8;
const ARENA_BYTES = 2 * 2 ** 20;
const NETWORK_NUMBER = 1;
/** `open` never returns it: the kernel's limit on descriptors is below. */
const NOBODYS_FD = 0x7fffffff;

const TAPS = ['tap0', 'tap1', 'tap2', 'tap3'] as const;
const TUNNELS = ['udp:a', 'udp:b'] as const;

const CONFIG: SwitchConfig = {
  network: 'warm-up',
  networkNumber: NETWORK_NUMBER,
  seed: 1,
  inputs: NO_INPUTS,
  machine: 'local',
  bridges: ['s', 't'].map((name) => ({ name, transparent: false, ageingSeconds: 300, fdbLimit: 64 })),
  devices: [
    ...TAPS.map((name) => ({ kind: 'tap' as const, name, mtuBytes: 1500, vnetHdr: true })),
    ...TUNNELS.map((name) => ({
      kind: 'udp' as const,
      name,
      peer: { address: '192.0.2.1', port: 7000 },
      pathMtuBytes: 1500,
      ipHeaderBytes: 20,
      seal: 'none' as const,
    })),
  ],
  links: [
    ...TAPS.map((tap, i) => ({
      name: tap,
      ends: [{ tap }, { bridge: i < 2 ? 's' : 't' }] as const,
      forward: PLAIN,
      reverse: PLAIN,
    })),
    { name: 'there', ends: [{ bridge: 's' }, { udp: 'udp:a', channel: 1 }], forward: PLAIN, reverse: PLAIN },
    { name: 'back', ends: [{ udp: 'udp:b', channel: 1 }, { bridge: 't' }], forward: PLAIN, reverse: PLAIN },
  ],
};

/** `native` is the addon; `nowNs` gives the time. */
export function warmUp(native: DeviceCalls, nowNs: () => number): void {
  const network = new WarmUpNetwork(nowNs);
  const refused = new RefusedDevices(native);
  const until = nowNs() + BUDGET_NS;
  for (let n = 0; n < ROUNDS && nowNs() < until; n++) {
    network.round(n);
    refused.round();
  }
  network.close();
  refused.close();
}

/** Also for the test, which sees that frames get where they should. */
export class WarmUpNetwork {
  readonly #calls: MemoryCalls;
  readonly #io: NativeIo;
  readonly #engine: Engine;
  /** By descriptor, the port's index. */
  readonly #ports: Map<number, number>;
  readonly #frames: readonly PortFrames[];

  constructor(nowNs: () => number) {
    this.#calls = new MemoryCalls(nowNs);
    this.#io = new NativeIo(this.#calls, ARENA_BYTES);
    this.#engine = new Engine({ arena: this.#io.arena, clock: this.#io, io: this.#io });
    this.#ports = new Map();
    this.#frames = TAPS.map((_, from) => framesFrom(from));
    const sockets = TUNNELS.map((_, i) => TAPS.length + i);
    TAPS.forEach((_, fd) => this.#calls.openTap(fd));
    this.#calls.openPair(sockets[0]!, sockets[1]!);
    this.#engine.apply(CONFIG, (device, context) => {
      const fd = this.#ports.size;
      this.#ports.set(fd, context.index);
      return openDevice(device, context, fd, NETWORK_NUMBER);
    });
  }

  /** Every TAP gives its frames, one at a time in one round, all at once in the next; now and then a super-frame. */
  round(n: number): void {
    for (let fd = 0; fd < TAPS.length; fd++) {
      const { small, superFrame } = this.#frames[fd]!;
      for (const frame of small) {
        this.#calls.offer(fd, frame);
        if (n % 2 === 0) this.#settle();
      }
      if (n % SUPER_ROUNDS === fd) this.#calls.offer(fd, superFrame);
    }
    this.#settle();
  }

  get telemetry(): Telemetry {
    return this.#engine.telemetry;
  }

  close(): void {
    this.#engine.close();
    this.#io.close();
  }

  /** As the engine's thread does, until nothing is left to read. */
  #settle(): void {
    for (let isReady = true; isReady;) {
      isReady = false;
      for (const [fd, index] of this.#ports) {
        if (!this.#calls.isReadable(fd)) continue;
        this.#engine.portReady(index);
        isReady = true;
      }
      this.#calls.tick();
      while (this.#engine.nextNs <= this.#io.nowNs()) this.#engine.breath();
    }
  }
}

/** Devices on the addon's own calls, which all fail. */
class RefusedDevices {
  readonly #io: NativeIo;
  readonly #devices: readonly PortDevice[];
  readonly #batch: FrameBatch;

  constructor(native: DeviceCalls) {
    this.#io = new NativeIo(native, ARENA_BYTES);
    const context: DeviceContext = {
      arena: this.#io.arena,
      clock: this.#io,
      drops: { drop: () => undefined },
      index: 0,
      io: this.#io,
    };
    const configs = [CONFIG.devices[0]!, CONFIG.devices[TAPS.length]!];
    this.#devices = configs.map((config) => openDevice(config, context, NOBODYS_FD, NETWORK_NUMBER));
    this.#batch = new FrameBatch(256);
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

interface PortFrames {
  readonly small: readonly OfferedFrame[];
  readonly superFrame: OfferedFrame;
}

/** To the next TAP, which is behind the tunnel for every other one; and one frame to everybody. */
function framesFrom(from: number): PortFrames {
  const to = (from + 1) % TAPS.length;
  const ping = frame(from, to, 98);
  const ack = frame(from, to, 66, Checksum.partial);
  return {
    small: [frame(from, 0xff, 60), ping, ack, ping, ack, ping, frame(from, to, 1514, Checksum.partial)],
    superFrame: frame(from, to, 66 + 14 * 1448, Checksum.partial, 1448),
  };
}

/** TCP over IPv4 with the time stamps that Linux sends. The addresses end in `to` and `from`; 0xff: everybody. */
function frame(from: number, to: number, frameBytes: number, checksum: Checksum = 0, gsoSize = 0): OfferedFrame {
  const bytes = new Uint8Array(frameBytes);
  bytes.fill(to === 0xff ? 0xff : 2, 0, 6).fill(2, 6, 12);
  bytes[5] = to;
  bytes[11] = from;
  bytes.set([0x08, 0x00, 0x45, 0x00, (frameBytes - 14) >>> 8, (frameBytes - 14) & 0xff], 12);
  bytes[23] = 6;
  bytes[46] = 0x80;
  const vnet = new Uint8Array(12);
  if (checksum === Checksum.partial)
    vnet.set([1, gsoSize > 0 ? 1 : 0, 66, 0, gsoSize & 0xff, gsoSize >>> 8, 34, 0, 16]);
  return { vnet, bytes };
}
