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
const MEASURED = 15;
/** Before that: its code is compiled then, as that of an engine which has been at work for a while. */
const WARM = 1000;
/** How long one takes after a sleep, before any has been seen; and of what is seen, how much each counts. */
const FIRST_NS = 300_000;
const WEIGHT = 0.25;
/** It may take half as long again as is expected. */
const MARGIN = 1.5;
/** Each part of a line of the processor's caches, and more of them than a second-level cache of today holds. */
const LINE_BYTES = 64;
const EVICTING_BYTES = 2 ** 22;
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
  /** The next time it goes from the second wire to the first. */
  #isBack: boolean;
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
    this.#isBack = false;
    this.#batch.push(this.#network.arena.write(pingFrame()), 0);
    // Each way once: then the bridge knows who is where.
    this.run();
    this.run();
  }

  /** From one wire to the other; the next time, back. False: the frame did not arrive. */
  run(): boolean {
    this.#approach();
    return this.#leave();
  }

  /** It is read, and passes one link. */
  #approach(): void {
    const { farEnds } = this.#network;
    farEnds.get(this.#isBack ? 't1' : 't0')!.txBatch(this.#batch, 0);
    this.#batch.count = 0;
    this.#breathe();
    this.#breathe();
  }

  /** It passes the other, and is written. */
  #leave(): boolean {
    const { arena, farEnds } = this.#network;
    this.#breathe();
    farEnds.get(this.#isBack ? 't0' : 't1')!.rxBatch(this.#batch);
    this.#refused.round();
    this.#isBack = !this.#isBack;
    const at = arena.start(this.#batch.ids[0]!);
    arena.bytes[at + 5] = this.#isBack ? 1 : 2;
    arena.bytes[at + 11] = this.#isBack ? 2 : 1;
    return this.#batch.count === 1;
  }

  #breathe(): void {
    this.#clock[0]! += 2 * DELAY_NS;
    this.#network.engine.breath();
  }

  /** How long the last one after a sleep took. */
  took(ns: number): void {
    this.leadNs[0]! += (Math.min(FIRST_NS, ns) * MARGIN - this.leadNs[0]!) * WEIGHT;
  }

  /**
   * What the engine takes of itself from when a frame is due to the TAP that it writes, for each of the emulated links on the
   * way, as each gives back its share: nanoseconds, a median. What it takes on the way in is no part of it, as delays count
   * from when a frame came to the TAP. It is measured as it will be, on `other`, after a sleep in which others have had the
   * caches, and a rehearsal: then code is in them, and what it works on is not. `pause` sleeps for some milliseconds.
   */
  costNs(other: Rehearsal, nowNs: () => number, pause: () => void): number {
    for (let n = 0; n < WARM; n++) other.run();
    const others = new Uint8Array(EVICTING_BYTES);
    const costs = Array.from({ length: MEASURED }, () => {
      other.#approach();
      pause();
      for (let at = 0; at < EVICTING_BYTES; at += LINE_BYTES) others[at]!++;
      this.run();
      const beganNs = nowNs();
      other.#leave();
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
