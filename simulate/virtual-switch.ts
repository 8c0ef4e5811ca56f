/**
 * The switch process of one machine without its process: the very engine, and the schedule that it is asked for between two
 * breaths, on a clock that somebody else moves. Hosts' ports are `HostDevice`s; what stands for a tunnel is given.
 */
import type { ManualClock } from '../model/clock.js';
import type { DeviceConfig, SwitchConfig } from '../model/messages.js';
import { Arena } from '../vswitch/arena.js';
import type { DeviceContext, PortDevice } from '../vswitch/device/device.js';
import { Engine } from '../vswitch/engine.js';
import type { OfferedFrame } from '../vswitch/recording/lines.js';
import { Schedule } from '../vswitch/schedule.js';
import { HostDevice } from './host-device.js';

export class VirtualSwitch {
  readonly arena: Arena;
  readonly engine: Engine;
  readonly #clock: ManualClock;
  readonly #hosts: Map<string, HostDevice>;
  readonly #schedule: Schedule;

  constructor(clock: ManualClock, arenaBytes: number) {
    this.arena = new Arena(new Uint8Array(arenaBytes));
    this.engine = new Engine({ arena: this.arena, clock });
    this.#clock = clock;
    this.#hosts = new Map();
    this.#schedule = new Schedule();
  }

  /** `openTunnel` makes what is no host's port. */
  apply(config: SwitchConfig, openTunnel: (name: string, context: DeviceContext) => PortDevice): void {
    this.engine.apply(config, (device, context) =>
      device.kind === 'tap' ? this.#openHost(device, context) : openTunnel(device.name, context),
    );
    this.#schedule.replaceAll(config.links);
  }

  /** When there is something to do that a breath, or `changeLinks`, does. */
  get nextNs(): number {
    return Math.min(this.engine.nextNs, this.#schedule.nextNs);
  }

  /** What links become now. */
  changeLinks(): void {
    const due = this.#schedule.takeDue(this.#clock.nowNs());
    if (due.length === 0) return;
    this.engine.topology.setLinks(due.map(({ change }) => change));
  }

  /** Breathes until there is nothing left to do now. */
  settle(): void {
    while (this.engine.breath() > 0);
  }

  /** A host sends a frame by the port that is `device`: the next breath has it. */
  offer(device: string, frame: OfferedFrame): void {
    const host = this.#hosts.get(device)!;
    host.offer(frame);
    this.engine.portReady(host.fd);
  }

  #openHost(config: DeviceConfig & { kind: 'tap' }, context: DeviceContext): HostDevice {
    const host = new HostDevice(context, config.mtuBytes);
    this.#hosts.set(config.name, host);
    return host;
  }
}
