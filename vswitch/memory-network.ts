/**
 * An engine whose devices are all memory, with the other ends of their wires in hand: what tests, benchmarks and the
 * warm-up play frames through. Same engine, same configuration; no system calls.
 */
import { type Clock, ManualClock } from '../model/clock.js';
import type { SwitchConfig } from '../model/messages.js';
import { Arena, FrameBatch } from './arena.js';
import type { DeviceContext, PortDevice } from './device/device.js';
import { MemoryDevice, type MemoryOptions } from './device/memory.js';
import type { DropSink } from './drops.js';
import { Engine } from './engine.js';
import { FlightRecorder } from './flight-recorder.js';
import type { EngineDevice } from './stack/config.js';
import { Telemetry } from './telemetry.js';

/** The far ends refuse nothing, and what they drop is no concern of the engine's. */
const IGNORE: DropSink = { drop: () => undefined };

export interface MemoryNetworkOptions extends MemoryOptions {
  readonly arenaBytes?: number;
  readonly clock?: Clock;
}

export interface ReceivedFrame {
  readonly bytes: Uint8Array;
  readonly channel: number;
}

export class MemoryNetwork {
  readonly arena: Arena;
  readonly engine: Engine;
  readonly telemetry: Telemetry;
  readonly recorder: FlightRecorder;
  /** By name of the device: the end that is not the engine's. */
  readonly farEnds: Map<string, PortDevice>;
  readonly #clock: Clock;
  readonly #options: MemoryOptions;

  constructor(options: MemoryNetworkOptions = {}) {
    this.arena = new Arena(new Uint8Array(options.arenaBytes ?? 4 * 2 ** 20));
    this.#clock = options.clock ?? new ManualClock();
    this.telemetry = new Telemetry(Telemetry.allocate());
    this.recorder = new FlightRecorder(FlightRecorder.allocate());
    this.engine = new Engine({
      arena: this.arena,
      clock: this.#clock,
      telemetry: this.telemetry,
      recorder: this.recorder,
    });
    this.farEnds = new Map();
    this.#options = options;
  }

  apply(config: SwitchConfig): void {
    this.engine.apply(config, this.open);
  }

  /** Makes a pair, gives its near end to the engine and keeps the far one. */
  readonly open = (config: EngineDevice, context: DeviceContext): PortDevice => {
    const far: DeviceContext = { arena: this.arena, clock: this.#clock, drops: IGNORE, index: context.index };
    const [near, farEnd] = MemoryDevice.pair(context, far, {
      mtuBytes: 'mtuBytes' in config ? config.mtuBytes : 65521,
      ...this.#options,
    });
    this.farEnds.set(config.name, farEnd);
    return near;
  };

  /** Puts a frame on the wire to a device; the engine has it in the next breath. */
  send(device: string, bytes: Uint8Array, channel = 0): void {
    const frame = this.arena.write(bytes);
    if (frame === -1) throw new RangeError('the arena is full');
    const batch = new FrameBatch(1);
    batch.push(frame, channel);
    if (this.#far(device).txBatch(batch, 0) === 0) throw new RangeError(`the wire to ${device} is full`);
  }

  /** Takes what the engine sent to a device so far. */
  receive(device: string): ReceivedFrame[] {
    const far = this.#far(device);
    const batch = new FrameBatch(far.batchSize);
    const received: ReceivedFrame[] = [];
    do {
      batch.count = 0;
      far.rxBatch(batch);
      for (let i = 0; i < batch.count; i++) {
        received.push({ bytes: this.arena.read(batch.ids[i]!), channel: batch.channels[i]! });
        this.arena.release(batch.ids[i]!);
      }
    } while (batch.count > 0);
    return received;
  }

  /** Breathes until there is nothing left to do now. */
  settle(): void {
    while (this.engine.breath() > 0);
  }

  #far(device: string): PortDevice {
    const far = this.farEnds.get(device);
    if (far === undefined) throw new RangeError(`no such device: ${device}`);
    return far;
  }
}
