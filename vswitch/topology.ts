/**
 * What an engine runs: ports, bridges and links, and how they become what a configuration says. `apply` compares the
 * configuration with what is and changes the difference: FDB, counters and queues of what stays are left alone.
 * Called by `engine.ts` between two breaths; nothing here is on a frame's way.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../model/clock.js';
import type { LinkProperties } from '../model/emulation.js';
import { StateError } from '../model/errors.js';
import type { BridgeConfig, LinkChange } from '../model/messages.js';
import type { ActiveList } from './active-list.js';
import type { Arena } from './arena.js';
import { Bridge, Horizon } from './bridge.js';
import type { DeviceContext, PortDevice } from './device/device.js';
import type { NativeIo } from './device/native-io.js';
import { type DropCounter, whereLink } from './drop-counter.js';
import { QuantileTable } from './emulation/jitter.js';
import type { Lateness } from './emulation/lateness.js';
import { EmulatorParts, type NetworkInputs } from './emulation/parts.js';
import { MAX_LINKS, MAX_PORTS } from './limits.js';
import { type DirectionState, LinkDirection } from './link.js';
import { listensTo, MAX_BATCH, Port } from './port.js';
import { NO_QDISC } from './qdisc/qdisc.js';
import type { EngineConfig, EngineDevice, EngineLink, EngineLinkEnd } from './stack/config.js';
import { StackMember, Trunk } from './stack/member.js';
import type { Telemetry } from './telemetry.js';
import type { TransmitList } from './transmit-list.js';

/** What waits for descriptors on the engine's behalf; absent where all devices are polled. */
export interface Poller {
  /** Wait for `interest` in it (`Port.interest`); `token` says which port is ready. */
  add(fd: number, token: number, interest: number): void;
  /** Wait for something else from now on: `Port.interest`. For 0, errors are not waited for either. */
  watch(fd: number, token: number, interest: number): void;
  remove(fd: number): void;
}

/** A configuration whose devices are open. */
export interface Prepared {
  readonly config: EngineConfig;
  /** By name, those that are new. */
  readonly opened: ReadonlyMap<string, Port>;
}

/** Makes the device of a configuration; throws what `model/errors.ts` has when it cannot. */
export type OpenDevice = (config: EngineDevice, context: DeviceContext) => PortDevice;

/** What the parts of an engine share. */
export interface EngineParts {
  readonly arena: Arena;
  readonly clock: Clock;
  readonly io: NativeIo | undefined;
  readonly poller: Poller | undefined;
  readonly telemetry: Telemetry;
  readonly drops: DropCounter;
  readonly transmitList: TransmitList;
  /** Ports to read in the next breath, and ports to flush at its end. */
  readonly readyPorts: ActiveList<Port>;
  readonly dirtyPorts: ActiveList<Port>;
  /** Ports that wait for memory to read into. */
  readonly starvedPorts: ActiveList<Port>;
}

export interface Link {
  readonly index: number;
  readonly config: EngineLink;
  /** Forward: from the first end to the second. */
  readonly directions: readonly [LinkDirection, LinkDirection];
  /** By end: its index in the bridge there; -1 where the end is a port. */
  readonly bridgeEnds: readonly [number, number];
  state: 'up' | 'down';
}

/** Indices of shared counters: one given back is used again as late as can be, as records of drops still name it. */
class IndexPool {
  readonly #what: string;
  readonly #limit: number;
  readonly #returned: number[] = [];
  #used = 0;

  constructor(what: string, limit: number) {
    this.#what = what;
    this.#limit = limit;
  }

  take(): number {
    if (this.#used < this.#limit) return this.#used++;
    const index = this.#returned.shift();
    if (index === undefined) throw new StateError(`a switch process has at most ${this.#limit} ${this.#what}`);
    return index;
  }

  giveBack(index: number): void {
    this.#returned.push(index);
  }
}

export class Topology {
  readonly ports: Map<string, Port>;
  readonly bridges: Map<string, Bridge>;
  readonly links: Map<string, Link>;
  /** The bridges again, for a breath. */
  readonly bridgeList: Bridge[];
  /** Names by index, those of the past included until their index is used again. */
  readonly portNames: string[];
  readonly linkNames: string[];
  /** By index; null where none is. */
  readonly portsByIndex: (Port | null)[];
  readonly #parts: EngineParts;
  readonly #portIndices: IndexPool;
  readonly #linkIndices: IndexPool;
  readonly #emulatorParts: EmulatorParts;
  /** Of frames that left emulated links: told by the engine, when they are written. */
  readonly lateness: Lateness;
  /** Since the first configuration. */
  #inputs: NetworkInputs | undefined;

  constructor(parts: EngineParts) {
    this.ports = new Map();
    this.bridges = new Map();
    this.links = new Map();
    this.bridgeList = [];
    this.portNames = [];
    this.linkNames = [];
    this.portsByIndex = [];
    this.#parts = parts;
    this.#emulatorParts = new EmulatorParts(parts);
    this.lateness = this.#emulatorParts.lateness;
    this.#portIndices = new IndexPool('devices', MAX_PORTS);
    this.#linkIndices = new IndexPool('links', MAX_LINKS);
  }

  /** Names of the devices that `apply` would open: those that are new, changed, or gone. */
  devicesToOpen(config: EngineConfig): string[] {
    return config.devices.filter((device) => !this.#portStays(device)).map(({ name }) => name);
  }

  /**
   * Either all of it is done, or (when there is too much, or a device cannot be opened) nothing. `config` was checked
   * (`config.ts`).
   */
  apply(config: EngineConfig, open: OpenDevice): void {
    this.commit(this.prepare(config, open));
  }

  /** What can fail of `apply`: other engines may fail in theirs, before anything is changed. */
  prepare(config: EngineConfig, open: OpenDevice): Prepared {
    refuseMore('devices', config.devices.length, MAX_PORTS);
    refuseMore('links', config.links.length, MAX_LINKS);
    return { config, opened: this.#openDevices(config, open) };
  }

  /** The rest of it. */
  commit({ config, opened }: Prepared): void {
    this.#setInputs(config);
    const bridgesStay = new Set(config.bridges.filter((bridge) => this.#bridgeStays(bridge)).map(({ name }) => name));
    const portsStay = new Set(config.devices.filter(({ name }) => !opened.has(name)).map(({ name }) => name));
    const endStays = (end: EngineLinkEnd): boolean =>
      'bridge' in end ? bridgesStay.has(end.bridge) : portsStay.has(deviceOf(end));
    const linkStays = (link: EngineLink): boolean =>
      isDeepStrictEqual(this.links.get(link.name)?.config.ends, link.ends) && link.ends.every(endStays);
    const linksStay = new Set(config.links.filter(linkStays).map(({ name }) => name));

    for (const [name, link] of this.links) if (!linksStay.has(name)) this.#removeLink(link);
    for (const name of this.bridges.keys()) if (!bridgesStay.has(name)) this.bridges.delete(name);
    for (const [name, port] of this.ports) if (!portsStay.has(name)) this.#removePort(port);

    for (const bridge of config.bridges) {
      if (bridgesStay.has(bridge.name)) continue;
      this.bridges.set(bridge.name, new Bridge(bridge, this.#parts.arena, this.#parts.drops, this.#parts.clock));
    }
    for (const port of opened.values()) this.#addPort(port);
    for (const link of config.links) {
      if (!linksStay.has(link.name)) this.#addLink(link);
      this.#setLink(this.links.get(link.name)!, link.forward, link.reverse);
    }
    this.bridgeList.splice(0, this.bridgeList.length, ...this.bridges.values());
    this.#showPresence();
  }

  /** Closes what `prepare` opened. */
  abandon({ opened }: Prepared): void {
    for (const port of opened.values()) this.#closePort(port);
  }

  /**
   * All of them, or none where one does not exist. A direction that goes down drops what waits and what is sent into it.
   * When both are down, interfaces at the ends have no carrier, and the addresses behind the link are forgotten.
   */
  setLinks(changes: readonly LinkChange[]): void {
    for (const { name } of changes) if (!this.links.has(name)) throw new StateError(`there is no link ${name}`);
    for (const { name, forward, reverse } of changes) this.#setLink(this.links.get(name)!, forward, reverse);
    this.#showPresence();
  }

  /** See `LinkDirection.restart`. */
  restart({ config, directions }: Link, way: 0 | 1): boolean {
    return directions[way].restart(config.name, this.#emulatorParts, this.#inputs!);
  }

  /**
   * Takes out what a link holds and all that its emulation knows, forward and reverse, as plain data: for `importLink` of
   * another engine, with another arena and clock, whose link of that name has the same properties.
   */
  exportLink(name: string): readonly [DirectionState, DirectionState] {
    const [there, back] = this.#linkNamed(name).directions;
    return [there.exportState(), back.exportState()];
  }

  /** The link goes on as the one would have that `states` are of. Nothing has passed on it yet. */
  importLink(name: string, states: readonly [DirectionState, DirectionState]): void {
    for (const [i, direction] of this.#linkNamed(name).directions.entries())
      direction.importState(states[i]!, name, this.#emulatorParts, this.#inputs!);
  }

  #linkNamed(name: string): Link {
    const link = this.links.get(name);
    if (link === undefined) throw new StateError(`there is no link ${name}`);
    return link;
  }

  #setLink(link: Link, forward: LinkProperties, reverse: LinkProperties): void {
    const [there, back] = link.directions;
    there.set(link.config.name, forward, this.#emulatorParts, this.#inputs!);
    back.set(link.config.name, reverse, this.#emulatorParts, this.#inputs!);
    const state = there.up || back.up ? 'up' : 'down';
    if (link.state === state) return;
    link.state = state;
    this.#setCarrier(link.config, state);
    if (state === 'down') this.#forget(link);
  }

  /** The peer that a port led to is dead: so are the hosts there, or they are somewhere else now. */
  forgetBehind(port: Port): void {
    for (const link of this.links.values()) {
      const ends = link.config.ends;
      if (ends.some((end) => !('bridge' in end) && deviceOf(end) === port.config.name)) this.#forget(link);
    }
  }

  /** Forgets the addresses that a link's bridges have learnt from it. */
  #forget({ bridgeEnds, config }: Link): void {
    config.ends.forEach((end, i) => {
      if ('bridge' in end) this.bridges.get(end.bridge)!.forget(bridgeEnds[i]!);
    });
  }

  /** Other engines need not send what they flood to bridges that have no way out here. */
  #showPresence(): void {
    for (const bridge of this.bridgeList) bridge.member?.showPresence();
  }

  #setCarrier({ ends }: EngineLink, state: 'up' | 'down'): void {
    for (const end of ends) if ('tap' in end) this.ports.get(end.tap)!.device.setCarrier?.(state === 'up');
  }

  /** Releases every frame and device. */
  close(): void {
    for (const link of this.links.values()) this.#removeLink(link);
    this.bridges.clear();
    for (const port of this.ports.values()) this.#removePort(port);
  }

  #setInputs({ seed, inputs: { traces, distributions } }: EngineConfig): void {
    const tables = Object.entries(distributions).map(([name, table]) => [name, new QuantileTable(table)] as const);
    this.#inputs = { seed, traces, distributions: new Map(tables) };
  }

  #portStays(config: EngineDevice): boolean {
    const port = this.ports.get(config.name);
    return port !== undefined && !port.gone && isDeepStrictEqual(port.config, config);
  }

  #bridgeStays(config: BridgeConfig): boolean {
    return isDeepStrictEqual(this.bridges.get(config.name)?.config, config);
  }

  #openDevices(config: EngineConfig, open: OpenDevice): Map<string, Port> {
    const opened = new Map<string, Port>();
    try {
      for (const device of config.devices) {
        if (!this.#portStays(device)) opened.set(device.name, this.#openPort(device, open));
      }
    } catch (error) {
      for (const port of opened.values()) this.#closePort(port);
      throw error;
    }
    return opened;
  }

  #openPort(config: EngineDevice, open: OpenDevice): Port {
    const { arena, clock, drops, io, poller, telemetry } = this.#parts;
    const index = this.#portIndices.take();
    const context: DeviceContext = { arena, clock, drops, index, telemetry, ...(io === undefined ? {} : { io }) };
    let device: PortDevice | undefined;
    try {
      device = open(config, context);
      if (device.batchSize > MAX_BATCH) throw new RangeError(`${config.name}: a batch has at most ${MAX_BATCH} frames`);
      if (device.fd !== -1) poller?.add(device.fd, index, listensTo(device));
    } catch (error) {
      device?.close();
      this.#portIndices.giveBack(index);
      throw error;
    }
    return new Port(index, config, device, this.#parts);
  }

  #closePort(port: Port): void {
    if (port.device.fd !== -1 && !port.gone) this.#parts.poller?.remove(port.device.fd);
    port.close();
    this.#portIndices.giveBack(port.index);
  }

  #addPort(port: Port): void {
    this.ports.set(port.config.name, port);
    this.portsByIndex[port.index] = port;
    this.portNames[port.index] = port.config.name;
    this.#parts.telemetry.clearPort(port.index);
    if (port.device.fd === -1) {
      port.listed = true;
      this.#parts.readyPorts.push(port);
    }
  }

  #removePort(port: Port): void {
    this.ports.delete(port.config.name);
    this.portsByIndex[port.index] = null;
    this.#parts.readyPorts.remove(port);
    this.#parts.dirtyPorts.remove(port);
    this.#parts.starvedPorts.remove(port);
    this.#closePort(port);
  }

  #addLink(config: EngineLink): void {
    const index = this.#linkIndices.take();
    const directions = [
      new LinkDirection(index, 0, NO_QDISC, this.#parts),
      new LinkDirection(index, 1, NO_QDISC, this.#parts),
    ] as const;
    const [first, second] = config.ends;
    const bridgeEnds = [
      this.#join(first, second, index, directions[1], directions[0]),
      this.#join(second, first, index, directions[0], directions[1]),
    ] as const;
    this.links.set(config.name, { index, config, directions, bridgeEnds, state: 'up' });
    this.linkNames[index] = config.name;
    this.#parts.telemetry.clearLink(index);
    this.#parts.transmitList.reserve(2 * (index + 1));
    // The port may have had another link, which was down. For one that begins down, `#setLink` follows.
    if (config.forward.state === 'up' || config.reverse.state === 'up') this.#setCarrier(config, 'up');
  }

  /** Joins one end of a link: `arriving` ends there, `leaving` begins there. Returns the index of the end of a bridge. */
  #join(
    end: EngineLinkEnd,
    other: EngineLinkEnd,
    link: number,
    arriving: LinkDirection,
    leaving: LinkDirection,
  ): number {
    if ('bridge' in end) {
      const bridge = this.bridges.get(end.bridge)!;
      const where = whereLink(link);
      if ('trunk' in other) {
        const { presence } = this.ports.get(other.trunk)!.device;
        bridge.member ??= new StackMember(bridge, this.#parts);
        const index = bridge.member.join(new Trunk(leaving, presence!, other.channel), link, where);
        arriving.toBridge(bridge.member, index);
        return index;
      }
      const index = bridge.addEnd({
        egress: leaving,
        link,
        where,
        horizon: end.horizon ? Horizon.machines : Horizon.none,
        way: 'way' in end ? end.way : 0,
        sendsOnly: 'lane' in other,
      });
      arriving.toBridge(bridge, index);
      return index;
    }
    arriving.toPort(this.ports.get(deviceOf(end))!, channelOf(end));
    const from = entryOf(end);
    if (from === undefined) return -1;
    const port = this.ports.get(deviceOf(from))!;
    const channel = channelOf(from);
    leaving.fromPort(port);
    while (port.directions.length <= channel) port.directions.push(null);
    port.directions[channel] = leaving;
    return -1;
  }

  #removeLink(link: Link): void {
    for (const direction of link.directions) {
      direction.observer?.gone();
      direction.observer = null;
      direction.up = false;
      direction.drain();
      this.#parts.transmitList.remove(direction);
    }
    link.config.ends.forEach((end, i) => {
      if ('bridge' in end) {
        this.bridges.get(end.bridge)!.removeEnd(link.bridgeEnds[i]!);
        return;
      }
      const from = entryOf(end);
      if (from !== undefined) this.ports.get(deviceOf(from))!.directions[channelOf(from)] = null;
    });
    this.links.delete(link.config.name);
    this.#linkIndices.giveBack(link.index);
  }
}

function refuseMore(what: string, count: number, limit: number): void {
  if (count <= limit) return;
  throw new StateError(`a switch process has at most ${limit} ${what}, not ${count}`, {
    hint: 'place some of the switches on another machine',
  });
}

type PortEnd = Exclude<EngineLinkEnd, { bridge: string }>;

/** The name of the device that an end of a link is at: where its frames go out. */
export function deviceOf(end: PortEnd): string {
  if ('tap' in end) return end.tap;
  if ('udp' in end) return end.udp;
  if ('vxlan' in end) return end.vxlan;
  return 'lane' in end ? end.lane : end.trunk;
}

/** The end where frames come in: the same one, but for a lane. */
function entryOf(end: PortEnd): PortEnd | undefined {
  return 'lane' in end ? end.from : end;
}

function channelOf(end: PortEnd): number {
  return 'channel' in end ? end.channel : 0;
}
