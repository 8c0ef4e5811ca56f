/**
 * A network in virtual time: the switches of all its machines on one clock, which jumps to whatever is due next, and hosts
 * that do nothing but send (`flows.ts`). No process, no namespace, no sleep; the same network and seed give the same run, to
 * the nanosecond. Called by `luthier simulate` and tests.
 *
 *   flows ─► HostDevice ─► Engine of machine a ═ wire in memory ═ Engine of machine b ─► HostDevice
 *                            every direction of a link: a Tally
 */
import { switchConfigs, tapName, udpName, vxlans } from '../control/wiring.js';
import { ManualClock } from '../model/clock.js';
import { StateError } from '../model/errors.js';
import type { Network } from '../model/network.js';
import type { SimulationReport } from '../model/simulation.js';
import { Arrivals } from './arrivals.js';
import { FollowedDirection } from './followed-direction.js';
import { flowsOf, type Traffic } from './flows.js';
import type { RecordingTarget } from './recorder.js';
import { TunnelWires } from './tunnel-wires.js';
import { VirtualSwitch } from './virtual-switch.js';

/** Of each machine's switch, as `up` has it without `--memory`. */
export const MEMORY_BYTES = 64 * 2 ** 20;
const NETWORK_NUMBER = 1;

export interface SimulationOptions {
  readonly durationNs: number;
  readonly traffic: Traffic;
  readonly memoryBytes?: number;
  /** Where what comes into emulated links is written, and what becomes of it. */
  readonly recording?: RecordingTarget;
}

export function simulate(network: Network, options: SimulationOptions): SimulationReport {
  const simulation = new Simulation(network, options);
  simulation.run(options.durationNs);
  return simulation.report();
}

class Simulation {
  readonly #network: Network;
  readonly #clock: ManualClock;
  readonly #switches: Map<string, VirtualSwitch>;
  readonly #directions: readonly FollowedDirection[];
  readonly #arrivals: Arrivals;
  readonly #machineOf: ReadonlyMap<string, string>;
  readonly #flows: number;

  constructor(network: Network, { traffic, memoryBytes = MEMORY_BYTES, recording }: SimulationOptions) {
    for (const { name } of vxlans(network))
      throw new StateError(`the VXLAN ${name} leads out of the network, and nobody knows what is there`, {
        hint: 'take it out of the scenario to simulate the rest',
      });
    this.#network = network;
    this.#clock = new ManualClock();
    this.#machineOf = new Map(
      network.nodes.flatMap((node) => (node.kind === 'switch' ? [] : [[node.name, node.machine] as const])),
    );
    const flows = flowsOf(network, traffic);
    this.#flows = flows.length;
    this.#arrivals = new Arrivals(flows);
    this.#switches = this.#makeSwitches(memoryBytes);
    this.#directions = network.links.flatMap((link) =>
      ([0, 1] as const).map((way) => {
        const { engine } = this.#sender(link.name, way);
        return new FollowedDirection(link, way, engine, this.#clock, recording);
      }),
    );
  }

  /** Until then, and not what is due at that very moment. */
  run(untilNs: number): void {
    const switches = [...this.#switches.values()];
    for (;;) {
      this.#settle(switches);
      const nextNs = Math.min(this.#arrivals.nextNs, ...switches.map((each) => each.nextNs));
      if (nextNs >= untilNs) break;
      this.#clock.advance(Math.max(0, nextNs - this.#clock.nowNs()));
      for (const each of switches) each.changeLinks();
      while (this.#arrivals.nextNs <= this.#clock.nowNs()) {
        const { host, port, bytes } = this.#arrivals.take();
        this.#switches.get(this.#machineOf.get(host)!)!.offer(tapName(host, port), { bytes });
      }
    }
    this.#clock.advance(untilNs - this.#clock.nowNs());
  }

  report(): SimulationReport {
    const { name, seed } = this.#network;
    return {
      network: name,
      seed,
      durationNs: this.#clock.nowNs(),
      flows: this.#flows,
      changes: this.#countChanges(),
      directions: this.#directions.map((direction) => direction.report(this.#clock.nowNs())),
    };
  }

  /** Breathes until nobody has anything to do now. */
  #settle(switches: readonly VirtualSwitch[]): void {
    let frames: number;
    do {
      frames = 0;
      for (const { engine } of switches) frames += engine.breath();
    } while (frames > 0);
  }

  #makeSwitches(memoryBytes: number): Map<string, VirtualSwitch> {
    const configs = switchConfigs(this.#network, NETWORK_NUMBER, 0);
    const switches = new Map([...configs.keys()].map((name) => [name, new VirtualSwitch(this.#clock, memoryBytes)]));
    const machines = new Map(this.#network.machines.map(({ name }) => [udpName(name), name]));
    const wires = new TunnelWires();
    for (const [machine, config] of configs)
      switches.get(machine)!.apply(config, (device, context) => {
        const peer = machines.get(device)!;
        return wires.open(machine, peer, context, switches.get(peer)!.arena);
      });
    return switches;
  }

  /** Of the machine that emulates a direction: where its first end is no tunnel. */
  #sender(link: string, way: 0 | 1): VirtualSwitch {
    for (const each of this.#switches.values()) {
      const end = each.engine.topology.links.get(link)?.config.ends[way];
      if (end !== undefined && !('udp' in end)) return each;
    }
    throw new StateError(`no switch has the link ${link}`);
  }

  /** A link between machines is changed on both; it counts once. */
  #countChanges(): number {
    const untilNs = this.#clock.nowNs();
    const { events, passedEvents } = this.#network;
    return events.slice(passedEvents).filter(({ atNs }) => atNs < untilNs).length;
  }
}
