/**
 * Passes a frame of its own over emulated links of its own, on memory, along the code that the engine's frames go. A thread
 * that slept for some milliseconds finds its code and tables in no cache: the first frame after that takes 100 µs and more
 * where the next takes 10. So `worker.ts` lets one of these through while it waits for what a link holds, just before it is
 * due. At the start it also tells how long the engine takes itself. Allocates nothing once it is made.
 */
import { NO_EMULATION, NO_INPUTS, type LinkProperties } from '../model/emulation.js';
import type { SwitchConfig } from '../model/messages.js';
import { FrameBatch } from './arena.js';
import type { DeviceCalls } from './device/native-io.js';
import { MemoryNetwork } from './memory-network.js';
import { REFUSED_TAP, RefusedDevices } from './refused-devices.js';

const ARENA_BYTES = 2 ** 16;
const DELAY_NS = 1000;
const FRAME_BYTES = 98;
/** As the engine's clock is: beyond what a small integer holds. */
const START_NS = 1e12;
/** That its frame passes. */
const LINKS = 2;
const MEASURED = 101;
/** How long one takes after a sleep, before any has been seen; and of what is seen, how much each counts. */
const FIRST_NS = 300_000;
const WEIGHT = 0.25;
/** It may take half as long again as is expected. */
const MARGIN = 1.5;
/** More is no engine's cost, but a machine that has no time. */
const MAX_COST_NS = 50_000;

const WAY: LinkProperties = { state: 'up', emulation: { ...NO_EMULATION, rateBps: 100e9, delayNs: DELAY_NS } };

const CONFIG: SwitchConfig = {
  network: 'rehearsal',
  networkNumber: 1,
  seed: 1,
  inputs: NO_INPUTS,
  machine: 'local',
  bridges: [{ name: 's', transparent: false, ageingSeconds: 300, fdbLimit: 64 }],
  devices: ['t0', 't1'].map((name) => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: true })),
  links: ['t0', 't1'].map((tap) => ({ name: tap, ends: [{ tap }, { bridge: 's' }], forward: WAY, reverse: WAY })),
};

export class Rehearsal {
  readonly #network: MemoryNetwork;
  readonly #refused: RefusedDevices;
  readonly #clock: Float64Array;
  readonly #batch: FrameBatch;
  /** `[0]`: how long before something is due to begin. */
  readonly leadNs: Float64Array;

  constructor(native: DeviceCalls) {
    const clock = Float64Array.of(START_NS);
    this.#clock = clock;
    this.#network = new MemoryNetwork({
      arenaBytes: ARENA_BYTES,
      clock: {
        now: clock,
        nowNs: () => clock[0]!,
      },
    });
    this.#network.apply(CONFIG);
    this.#refused = new RefusedDevices(native, [REFUSED_TAP]);
    this.leadNs = Float64Array.of(FIRST_NS);
    this.#batch = new FrameBatch(1);
    this.#batch.push(this.#network.arena.write(pingFrame()), 0);
    // Each way once: then the bridge knows who is where.
    this.run();
    this.run();
  }

  /** From one wire to the other; the next time, back. False: the frame did not arrive. */
  run(): boolean {
    const { arena, engine, farEnds } = this.#network;
    const frame = this.#batch.ids[0]!;
    const at = arena.start(frame);
    const from = arena.bytes[at + 11]!;
    farEnds.get(from === 1 ? 't0' : 't1')!.txBatch(this.#batch, 0);
    this.#batch.count = 0;
    // Read; over one link; over the other.
    for (let breath = 0; breath < 3; breath++) {
      this.#clock[0]! += 2 * DELAY_NS;
      engine.breath();
    }
    farEnds.get(from === 1 ? 't1' : 't0')!.rxBatch(this.#batch);
    this.#refused.round();
    arena.bytes[at + 11] = 3 - from;
    arena.bytes[at + 5] = from;
    return this.#batch.count === 1;
  }

  /** How long the last one after a sleep took. */
  took(ns: number): void {
    this.leadNs[0]! += (Math.min(FIRST_NS, ns) * MARGIN - this.leadNs[0]!) * WEIGHT;
  }

  /**
   * What the engine takes of itself between the TAP that it reads and the one that it writes, for each of the emulated links
   * on the way, as each gives back its share: nanoseconds, a median.
   */
  costNs(nowNs: () => number): number {
    const costs = Array.from({ length: MEASURED }, () => {
      const beganNs = nowNs();
      this.run();
      return nowNs() - beganNs;
    }).sort((a, b) => a - b);
    return Math.min(MAX_COST_NS, costs[(MEASURED - 1) / 2]! / LINKS);
  }

  close(): void {
    this.#network.engine.close();
    this.#refused.close();
  }
}

function pingFrame(): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES).fill(2, 0, 12);
  bytes[5] = 2;
  bytes[11] = 1;
  bytes.set([0x08, 0x00, 0x45, 0x00, 0, FRAME_BYTES - 14], 12);
  bytes[23] = 1;
  return bytes;
}
