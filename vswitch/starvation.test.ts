/** What the engine does about a device that has frames and no memory to read them into. */
import { NO_INPUTS, PLAIN } from '../model/emulation.js';
import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../model/clock.js';
import type { SwitchConfig } from '../model/messages.js';
import { Arena, type FrameBatch, MAX_FRAME_SLOTS, SLOT_BYTES } from './arena.js';
import { type PortDevice, RX_NO_MEMORY } from './device/device.js';
import { Engine } from './engine.js';
import { READABLE, WRITABLE } from './port.js';

const SLOTS = 2 * MAX_FRAME_SLOTS;
const FRAME = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 0, 0);

/** As a TAP with super-frames: it reads nothing unless there is room for the longest frame. */
class Tap implements PortDevice {
  readonly mtuBytes = 1500;
  readonly batchSize = 64;
  readonly nextNs = Infinity;
  readonly fd: number;
  readonly #arena: Arena;
  waiting = 0;
  asked = 0;
  isFull = false;

  constructor(arena: Arena, fd: number) {
    this.#arena = arena;
    this.fd = fd;
  }

  rxBatch(out: FrameBatch): number {
    this.asked++;
    if (this.#arena.freeSlots < MAX_FRAME_SLOTS) return RX_NO_MEMORY;
    const read = this.waiting;
    for (; this.waiting > 0; this.waiting--) out.push(this.#arena.write(FRAME), 0);
    return read;
  }

  txBatch(frames: FrameBatch, from: number): number {
    if (this.isFull) return 0;
    for (let i = from; i < frames.count; i++) this.#arena.release(frames.ids[i]!);
    return frames.count - from;
  }

  poll(): void {
    // Nothing here is timed.
  }

  close(): void {
    // Nothing is held.
  }
}

const config = (names: readonly string[]): SwitchConfig => ({
  network: 'n',
  networkNumber: 1,
  seed: 1,
  inputs: NO_INPUTS,
  machine: 'local',
  bridges: [{ name: 's', transparent: false, ageingSeconds: 300, fdbLimit: 64 }],
  devices: names.map((name) => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: true })),
  links: names.map((name) => ({
    name: `${name}--s`,
    ends: [{ tap: name }, { bridge: 's' }],
    forward: PLAIN,
    reverse: PLAIN,
  })),
});

describe('a port without memory to read into', () => {
  let arena: Arena;
  let engine: Engine;
  let taps: Map<string, Tap>;
  /** By descriptor, what an epoll set would hold. */
  let watched: Map<number, number>;

  beforeEach(() => {
    arena = new Arena(new Uint8Array(SLOTS * SLOT_BYTES));
    taps = new Map();
    watched = new Map();
    const poller = {
      add: (fd: number) => void watched.set(fd, READABLE),
      watch: (fd: number, _: number, interest: number) => {
        expect(watched.get(fd)).not.toBe(interest);
        watched.set(fd, interest);
      },
      remove: (fd: number) => expect(watched.delete(fd)).toBe(true),
    };
    engine = new Engine({ arena, clock: new ManualClock(), poller });
    apply(['a', 'b']);
  });

  function apply(names: readonly string[]): void {
    engine.apply(config(names), ({ name }) => {
      const tap = new Tap(arena, 10 + taps.size);
      taps.set(name, tap);
      return tap;
    });
  }

  /** As the engine's thread does: what is watched and ready is read. Returns how often, until nothing is due. */
  function wake(): number {
    for (let breaths = 0; breaths < 100; breaths++) {
      for (const [name, tap] of taps) {
        const interest = watched.get(tap.fd) ?? 0;
        const isReady =
          ((interest & READABLE) !== 0 && tap.waiting > 0) || ((interest & WRITABLE) !== 0 && !tap.isFull);
        if (isReady) engine.portReady(engine.topology.ports.get(name)!.index);
      }
      if (engine.nextNs === Infinity) return breaths;
      engine.breath();
    }
    throw new Error('the engine does not come to rest');
  }

  const interests = (): (number | undefined)[] => [...taps.values()].map(({ fd }) => watched.get(fd));

  it('is not watched, costs no breath, and is read when another port let go of memory', () => {
    const held = Array.from({ length: SLOTS - MAX_FRAME_SLOTS + 1 }, () => arena.alloc(60));
    taps.get('a')!.waiting = 5;
    expect(wake()).toBe(1);
    expect([taps.get('a')!.asked, interests()]).toEqual([1, [0, READABLE]]);
    expect(engine.telemetry.dropsByReason()).toEqual({});

    arena.release(held.pop()!);
    engine.breath();
    expect(interests()).toEqual([READABLE, READABLE]);
    wake();
    expect(engine.telemetry.port(engine.topology.ports.get('b')!.index).txPackets).toBe(5);
    for (const frame of held) arena.release(frame);
    expect(arena.freeSlots).toBe(SLOTS);
  });

  it('is watched for writing while frames wait to go out by it, which is what frees the memory', () => {
    const [a, b] = [taps.get('a')!, taps.get('b')!];
    b.isFull = true;
    a.waiting = SLOTS - MAX_FRAME_SLOTS + 1;
    wake();
    expect(interests()).toEqual([READABLE, READABLE | WRITABLE]);
    [a.waiting, b.waiting] = [1, 1];
    wake();
    expect(interests()).toEqual([0, WRITABLE]);
    b.isFull = false;
    wake();
    expect([a.waiting, b.waiting, interests()]).toEqual([0, 0, [READABLE, READABLE]]);
    expect(arena.freeSlots).toBe(SLOTS);
  });

  it('can be removed', () => {
    const held = Array.from({ length: SLOTS - MAX_FRAME_SLOTS + 1 }, () => arena.alloc(60));
    taps.get('a')!.waiting = 1;
    wake();
    apply(['b']);
    expect([...watched.keys()]).toEqual([11]);
    for (const frame of held) arena.release(frame);
    engine.breath();
    expect([...watched.keys()]).toEqual([11]);
    engine.close();
    expect([watched.size, arena.freeSlots]).toEqual([0, SLOTS]);
  });
});
