/**
 * Plays frames through two engines before the real one starts, over links that pass on what comes and over emulated ones:
 * its first real frames find compiled code. Called by `worker.ts`, once. Everything they made is garbage afterwards.
 *
 *   tap0 ─┐                    ┌─ tap2         frames of a ping's size, of the MTU's and super-frames, alone and in
 *         s ─ udp:a ══ udp:b ─ t               batches, with checksums still to be completed
 *   tap1 ─┘                    └─ tap3
 *
 * Compiled code stays compiled only while it meets what it has met before. So devices, arena and clock are those of the
 * real engine, on calls in memory (`memory-calls.ts`); and the devices make the addon's own calls too, on a descriptor
 * that nobody has, which the kernel refuses.
 */
import { type Emulation, type LinkProperties, NO_EMULATION, NO_INPUTS, PLAIN } from '../model/emulation.js';
import type { SwitchConfig } from '../model/messages.js';
import { Checksum } from './arena.js';
import { type DeviceCalls, NativeIo } from './device/native-io.js';
import { openDevice } from './device/registry.js';
import { Engine } from './engine.js';
import { MemoryCalls, type OfferedFrame } from './memory-calls.js';
import { REFUSED_TAP, REFUSED_TUNNEL, RefusedDevices } from './refused-devices.js';
import type { Telemetry } from './telemetry.js';

const BUDGET_NS = 100e6;
/** On a fast machine it ends here: more makes no code faster. */
const ROUNDS = 150;
/** A super-frame takes as long as all the others of a round. */
const SUPER_ROUNDS = 8;
const ARENA_BYTES = 2 * 2 ** 20;
/** As the engine's clock later: beyond what a small integer holds. */
const START_NS = 1e12;
/** No link holds a frame longer; what else is waited for (tunnels' probes) is not. */
const LONGEST_NS = 1e6;
const NETWORK_NUMBER = 1;

const TAPS = ['tap0', 'tap1', 'tap2', 'tap3'] as const;
const TUNNELS = ['udp:a', 'udp:b'] as const;

/** What TAPs' links do, each way: nothing; and what scenarios ask for most. Short, as it is waited for. */
export const PLAIN_LINKS: readonly LinkProperties[] = [PLAIN];
export const EMULATED_LINKS: readonly LinkProperties[] = [
  emulated({ rateBps: 10e9, delayNs: 10_000 }),
  emulated({
    rateBps: 100e9,
    delayNs: 10_000,
    jitter: { jitterNs: 1000, distribution: 'normal', correlationRatio: 0 },
    loss: { model: 'random', lossRatio: 1e-9, correlationRatio: 0 },
  }),
  emulated({ delayNs: 20_000 }),
];

function emulated(what: Partial<Emulation>): LinkProperties {
  const queue = { discipline: 'drop-tail', limit: { unit: 'bytes', bytes: 2 ** 20 } } as const;
  return { state: 'up', emulation: { ...NO_EMULATION, queue, ...what } };
}

/** `ways` in turn. */
const configOf = (ways: readonly LinkProperties[]): SwitchConfig => ({
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
      forward: ways[i % ways.length]!,
      reverse: ways[i % ways.length]!,
    })),
    { name: 'there', ends: [{ bridge: 's' }, { udp: 'udp:a', channel: 1 }], forward: PLAIN, reverse: PLAIN },
    { name: 'back', ends: [{ udp: 'udp:b', channel: 1 }, { bridge: 't' }], forward: PLAIN, reverse: PLAIN },
  ],
});

/** `native` is the addon; `nowNs` gives the time. */
export function warmUp(native: DeviceCalls, nowNs: () => number): void {
  const networks = [PLAIN_LINKS, EMULATED_LINKS].map((ways) => new WarmUpNetwork(ways));
  const refused = new RefusedDevices(native, [REFUSED_TAP, REFUSED_TUNNEL]);
  const until = nowNs() + BUDGET_NS;
  for (let n = 0; n < ROUNDS && nowNs() < until; n++) {
    for (const network of networks) network.round(n);
    refused.round();
  }
  for (const network of networks) network.close();
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
  /** Its time stands still but for links that hold frames. */
  #nowNs: number;

  constructor(ways: readonly LinkProperties[]) {
    this.#nowNs = START_NS;
    this.#calls = new MemoryCalls(() => this.#nowNs);
    this.#io = new NativeIo(this.#calls, ARENA_BYTES);
    this.#engine = new Engine({ arena: this.#io.arena, clock: this.#io, io: this.#io });
    this.#ports = new Map();
    this.#frames = TAPS.map((_, from) => framesFrom(from));
    const sockets = TUNNELS.map((_, i) => TAPS.length + i);
    TAPS.forEach((_, fd) => this.#calls.openTap(fd));
    this.#calls.openPair(sockets[0]!, sockets[1]!);
    this.#engine.apply(configOf(ways), (device, context) => {
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

  /** As the engine's thread does, until nothing is left to read or to wait for. */
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
      const { nextNs } = this.#engine;
      if (nextNs - this.#nowNs > LONGEST_NS) continue;
      this.#nowNs = nextNs;
      isReady = true;
    }
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
