/**
 * How fast the engine alone forwards: frames between memory devices over one bridge, without a system call. And what a
 * breath leaves to collect, which must be nothing.
 *
 *   npx tsx bench/forward.ts
 */
import { type LinkProperties, NO_EMULATION, PLAIN } from '../model/emulation.js';
import type { Clock } from '../model/clock.js';
import type { SwitchConfig } from '../model/messages.js';
import { Checksum, FrameBatch } from '../vswitch/arena.js';
import { MemoryNetwork } from '../vswitch/memory-network.js';
import { memorySwitch } from './memory-switch.js';

const BATCH = 64;
/** Of one try in `allocatedBytes`: what the two looks at the heap take themselves is little beside it. */
const BREATHS = 5000;

/** A rate that lets all of it pass, so that frames wait, and a delay, so that they fly. */
const EMULATED: LinkProperties = { state: 'up', emulation: { ...NO_EMULATION, rateBps: 100e9, delayNs: 25_000 } };
const JITTERY: LinkProperties = {
  state: 'up',
  emulation: {
    ...EMULATED.emulation!,
    jitter: { jitterNs: 1000, distribution: 'normal', correlationRatio: 0.25 },
    loss: { model: 'random', lossRatio: 1e-9, correlationRatio: 0 },
  },
};

function config(ports: number, ways: LinkProperties): SwitchConfig {
  return memorySwitch(['s'], {
    devices: Array.from({ length: ports }, (_, i) => ({ kind: 'tap', name: `t${i}`, mtuBytes: 1500, vnetHdr: true })),
    links: Array.from({ length: ports }, (_, i) => ({
      name: `l${i}`,
      ends: [{ tap: `t${i}` }, { bridge: 's' }],
      forward: ways,
      reverse: PLAIN,
    })),
  });
}

/** Frames that the far ends pass to and fro: every frame that arrives is sent on, to the next port. */
class PingPong {
  readonly #network: MemoryNetwork;
  readonly #ports: number;
  readonly #batch = new FrameBatch(BATCH);
  /** As the addon's clock: doubles, larger than small integers. */
  readonly #clock = new Float64Array([1e12]);

  constructor(ports: number, frameBytes: number, gsoSize: number, ways: LinkProperties) {
    this.#ports = ports;
    const clock: Clock = { nowNs: () => this.#clock[0]!, now: this.#clock };
    this.#network = new MemoryNetwork({ arenaBytes: 32 * 2 ** 20, clock });
    this.#network.apply(config(ports, ways));
    for (let port = 0; port < ports; port++) this.#fill(port, frameBytes, gsoSize);
  }

  /** Returns how many frames the engine moved. */
  round(): number {
    const { engine, farEnds } = this.#network;
    this.#clock[0]! += 10_000;
    const moved = engine.breath();
    for (let port = 0; port < this.#ports; port++) {
      const far = farEnds.get(names[port]!)!;
      const batch = this.#batch;
      batch.count = 0;
      far.rxBatch(batch);
      for (let i = 0; i < batch.count; i++) this.#address(batch.ids[i]!, port);
      far.txBatch(batch, 0);
    }
    return moved;
  }

  #fill(port: number, frameBytes: number, gsoSize: number): void {
    const { arena, farEnds } = this.#network;
    this.#batch.count = 0;
    for (let i = 0; i < BATCH; i++) {
      const frame = arena.alloc(frameBytes);
      arena.gsoSize[frame] = gsoSize;
      arena.csumState[frame] = Checksum.partial;
      this.#address(frame, port);
      this.#batch.push(frame, 0);
    }
    farEnds.get(names[port]!)!.txBatch(this.#batch, 0);
  }

  #address(frame: number, port: number): void {
    const { arena } = this.#network;
    const at = arena.start(frame);
    for (let i = 0; i < 12; i++) arena.bytes[at + i] = 2;
    arena.bytes[at + 5] = (port + 1) % this.#ports;
    arena.bytes[at + 11] = port;
  }
}

const names = Array.from({ length: 256 }, (_, i) => `t${i}`);

function measure(title: string, ports: number, frameBytes: number, gsoSize = 0, ways = PLAIN): void {
  const traffic = new PingPong(ports, frameBytes, gsoSize, ways);
  for (let i = 0; i < 20_000 / ports; i++) traffic.round();
  console.log(`measuring ${title}`);
  const start = process.hrtime.bigint();
  let frames = 0;
  while (frames < 20_000_000) frames += traffic.round();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  // A frame counts when it is received and when it leaves a direction: three times on its way over a bridge.
  const forwarded = frames / 3;
  console.log(
    `  ${(forwarded / seconds / 1e6).toFixed(2)} Mframes/s, ${((seconds / forwarded) * 1e9).toFixed(0)} ns each, ` +
      `${allocatedBytes(traffic).toFixed(2)} bytes allocated a breath`,
  );
}

/** Bytes of heap that a breath takes; the least of some tries, as a collection or a compilation may fall into one. */
function allocatedBytes(traffic: PingPong): number {
  const tries = Array.from({ length: 5 }, () => {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < BREATHS; i++) traffic.round();
    return (process.memoryUsage().heapUsed - before) / BREATHS;
  });
  return Math.min(...tries.map(Math.abs));
}

measure('2 ports, 60 bytes', 2, 60);
measure('2 ports, 1514 bytes', 2, 1514);
measure('100 ports, 1514 bytes', 100, 1514);
measure('2 ports, super-frames', 2, 65_226, 1448);
measure('2 ports, 1514 bytes, rate and delay', 2, 1514, 0, EMULATED);
measure('2 ports, 1514 bytes, jitter and loss as well', 2, 1514, 0, JITTERY);
