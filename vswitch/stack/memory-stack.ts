/**
 * The engines of a switch process in one thread, in turn, on one clock, with trunks between them and all other devices in
 * memory: what tests play frames through, as through a `MemoryNetwork`.
 */
import { type Clock, ManualClock } from '../../model/clock.js';
import type { LinkChange, SwitchConfig } from '../../model/messages.js';
import { FrameBatch } from '../arena.js';
import type { DeviceContext, PortDevice } from '../device/device.js';
import { MemoryDevice } from '../device/memory.js';
import { NativeIo } from '../device/native-io.js';
import { Engine } from '../engine.js';
import { MemoryCalls } from '../memory-calls.js';
import type { ReceivedFrame } from '../memory-network.js';
import type { EngineDevice } from './config.js';
import { NOTHING_PLACED, shard, shardLinks, type Shards } from './shards.js';
import { allocateWay, TrunkDevice, type TrunkWay } from './trunk.js';

export interface MemoryStackOptions {
  readonly clock?: Clock;
  readonly arenaBytes?: number;
  readonly ringBytes?: number;
}

const MOST_RECEIVED = 64;

export class MemoryStack {
  readonly engines: readonly Engine[];
  /** By name of the device: the end that is not an engine's. */
  readonly farEnds: Map<string, PortDevice>;
  /** The same of lanes, which have the name of their tunnel. */
  readonly #laneEnds: Map<string, { readonly far: PortDevice; readonly arena: NativeIo['arena'] }[]>;
  shards: Shards | undefined;
  readonly #ios: readonly NativeIo[];
  /** [from][to] */
  readonly #ways: readonly (readonly TrunkWay[])[];

  constructor(engines: number, options: MemoryStackOptions = {}) {
    const { clock = new ManualClock(), arenaBytes = 4 * 2 ** 20, ringBytes = 2 ** 18 } = options;
    const each = <Value>(value: (engine: number) => Value): Value[] =>
      Array.from({ length: engines }, (_, i) => value(i));
    this.#ios = each(() => new NativeIo(new MemoryCalls(() => clock.nowNs()), arenaBytes));
    this.#ways = each(() => each(() => allocateWay(ringBytes, -1)));
    this.engines = this.#ios.map((io) => new Engine({ arena: io.arena, clock, io }));
    this.farEnds = new Map();
    this.#laneEnds = new Map();
    this.shards = undefined;
  }

  apply(config: SwitchConfig): void {
    const shards = shard(config, this.engines.length, this.shards ?? NOTHING_PLACED);
    const prepared = this.engines.map((engine, i) => engine.topology.prepare(shards.configs[i]!, this.#opener(i)));
    this.engines.forEach((engine, i) => {
      engine.topology.commit(prepared[i]!);
    });
    this.shards = shards;
  }

  setLinks(changes: readonly LinkChange[]): void {
    shardLinks(changes, this.shards!).forEach((told, i) => {
      this.engines[i]!.topology.setLinks(told);
    });
  }

  /** `cameNs`: as `Arena` has it. */
  send(device: string, bytes: Uint8Array, channel = 0, cameNs = 0): void {
    const batch = new FrameBatch(1);
    const arena = this.#arenaOf(device);
    const frame = arena.write(bytes);
    arena.cameNs[frame] = cameNs;
    batch.push(frame, channel);
    this.farEnds.get(device)!.txBatch(batch, 0);
  }

  /** Of a tunnel: what came by it, then what came by each of its lanes. */
  receive(device: string): ReceivedFrame[] {
    const main = { far: this.farEnds.get(device)!, arena: this.#arenaOf(device) };
    const batch = new FrameBatch(MOST_RECEIVED);
    const received: ReceivedFrame[] = [];
    for (const { far, arena } of [main, ...(this.#laneEnds.get(device) ?? [])]) {
      do {
        batch.count = 0;
        far.rxBatch(batch);
        for (let i = 0; i < batch.count; i++) {
          received.push({ bytes: arena.read(batch.ids[i]!), channel: batch.channels[i]! });
          arena.release(batch.ids[i]!);
        }
      } while (batch.count > 0);
    }
    return received;
  }

  /** Until there is nothing left to do now in any of them. */
  settle(): void {
    while (this.engines.map((engine) => engine.breath()).some((frames) => frames > 0));
  }

  /** Of all engines, by reason. */
  dropsByReason(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { telemetry } of this.engines)
      for (const [reason, frames] of Object.entries(telemetry.dropsByReason()))
        sums[reason] = (sums[reason] ?? 0) + frames;
    return sums;
  }

  /** Returns how many slots were not given back: none. */
  close(): number {
    this.settle();
    for (const device of this.farEnds.keys()) this.receive(device);
    for (const engine of this.engines) engine.close();
    for (const far of this.farEnds.values()) far.close();
    for (const { far } of [...this.#laneEnds.values()].flat()) far.close();
    return this.#ios.reduce((sum, { arena }) => sum + arena.slotCount - arena.freeSlots, 0);
  }

  #opener(self: number): (config: EngineDevice, context: DeviceContext) => PortDevice {
    return (config, context) => {
      if (config.kind === 'trunk') {
        const [out, back] = [this.#ways[self]![config.engine]!, this.#ways[config.engine]![self]!];
        return new TrunkDevice(context, { out, in: back });
      }
      const mtuBytes = 'mtuBytes' in config ? config.mtuBytes : 65521;
      const far = { ...context, drops: { drop: () => undefined } };
      const [near, farEnd] = MemoryDevice.pair(context, far, { mtuBytes });
      if (config.kind === 'lane') {
        const others = this.#laneEnds.get(config.name) ?? [];
        this.#laneEnds.set(config.name, [...others, { far: farEnd, arena: context.arena }]);
      } else {
        this.farEnds.set(config.name, farEnd);
      }
      return near;
    };
  }

  #arenaOf(device: string): NativeIo['arena'] {
    return this.#ios[this.shards!.devices.get(device)!]!.arena;
  }
}
