/**
 * Machines whose engines send to each other by lanes: whatever numbers of engines they have, to hosts it is one switch. What
 * a tunnel or a lane sends is carried to the other machine's tunnel here.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { NO_EMULATION, NO_INPUTS, PLAIN } from '../../model/emulation.js';
import type { Fec } from '../../model/fec.js';
import type { DeviceConfig, LinkConfig, LinkEndConfig, SwitchConfig } from '../../model/messages.js';
import { MemoryNetwork } from '../memory-network.js';
import { MemoryStack } from './memory-stack.js';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const STRANGER = '02:00:00:00:00:77';
const PARTS_CHANNEL = 0x8000;
const LINK_CHANNEL = 1;
const SLOW = { state: 'up', emulation: { ...NO_EMULATION, delayNs: 5e6 } } as const;

const link = (
  name: string,
  first: LinkEndConfig,
  second: LinkEndConfig,
  rest: Partial<LinkConfig> = {},
): LinkConfig => {
  return { name, ends: [first, second], forward: PLAIN, reverse: PLAIN, ...rest };
};
const tap = (name: string): DeviceConfig => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: false });

function configOf(machine: string, own: Partial<SwitchConfig>): SwitchConfig {
  const bridges = [{ name: 's', transparent: false, ageingSeconds: 300, fdbLimit: 1024 }];
  return {
    ...{ network: 'n', networkNumber: 1, machine, seed: 1, inputs: NO_INPUTS, bridges, devices: [], links: [] },
    ...own,
  };
}

const TAPS = ['h0', 'h1', 'h2', 'h3'];
/** Of host h0 … on machine a, b, …; the last byte is its own. */
const addressOf = (host: string): string => `02:00:00:00:0${host[0]!}:0${host[3]!}`;

function frame(to: string, from: string, number = 0): Uint8Array {
  const bytes = new Uint8Array(60);
  const mac = (address: string): number[] => address.split(':').map((byte) => parseInt(byte, 16));
  bytes.set([...mac(to), ...mac(from), 0x88, 0xb5, number >> 8, number & 255]);
  return bytes;
}

class Machines {
  readonly clock: ManualClock;
  readonly stacks: Map<string, MemoryStack>;

  /** Machine a, b, … with so many engines each; hosts `a-h0` …; x on a and y on b have a link of their own. */
  constructor(engines: readonly number[], fec?: Fec) {
    this.clock = new ManualClock();
    const names = engines.map((_, i) => 'abc'[i]!);
    this.stacks = new Map(
      names.map((machine, i) => {
        const stack = new MemoryStack(engines[i]!, { clock: this.clock });
        stack.apply(this.#config(machine, names, fec));
        return [machine, stack];
      }),
    );
  }

  get hosts(): string[] {
    return [...this.stacks.keys()].flatMap((machine) => TAPS.map((name) => `${machine}-${name}`));
  }

  send(host: string, bytes: Uint8Array): void {
    this.stacks.get(host[0]!)!.send(host, bytes);
  }

  /** Until nothing moves any more. */
  settle(): void {
    for (let moved = 1; moved > 0;) {
      moved = 0;
      for (const [machine, stack] of this.stacks) {
        stack.settle();
        for (const peer of this.stacks.keys()) {
          if (peer === machine) continue;
          const sent = stack.receive(`udp:${peer}`);
          for (const { bytes, channel } of sent) this.stacks.get(peer)!.send(`udp:${machine}`, bytes, channel);
          moved += sent.length;
        }
      }
    }
  }

  receive(host: string): Uint8Array[] {
    return this.stacks
      .get(host[0]!)!
      .receive(host)
      .map(({ bytes }) => bytes);
  }

  /** Sends, settles, and says how many frames arrived where. */
  play(host: string, bytes: Uint8Array): Record<string, number> {
    this.send(host, bytes);
    this.settle();
    const arrived: Record<string, number> = {};
    for (const stack of this.stacks.values())
      for (const name of stack.farEnds.keys()) {
        const count = name.startsWith('udp:') ? 0 : stack.receive(name).length;
        if (count > 0) arrived[name] = count;
      }
    return arrived;
  }

  /** Frames and notices that all engines of a machine have sent to each other. */
  crossings(machine: string): number {
    let sent = 0;
    for (const { telemetry, topology } of this.stacks.get(machine)!.engines)
      for (const [name, { index }] of topology.ports)
        if (name.startsWith('trunk:')) sent += telemetry.port(index).txPackets;
    return sent;
  }

  engineOf(host: string): number {
    return this.stacks.get(host[0]!)!.shards!.devices.get(host)!;
  }

  drops(): Record<string, number> {
    return Object.assign({}, ...[...this.stacks.values()].map((stack) => stack.dropsByReason())) as Record<
      string,
      number
    >;
  }

  /** Returns how many slots were not given back: none. */
  close(): number {
    return [...this.stacks.values()].reduce((left, stack) => left + stack.close(), 0);
  }

  #config(machine: string, machines: readonly string[], fec?: Fec): SwitchConfig {
    const peers = machines.filter((name) => name !== machine);
    const taps = TAPS.map((name) => `${machine}-${name}`);
    const part = { bridge: 's', horizon: true } as const;
    // As control/wiring.ts has them: on the first machine the tunnel is the second end.
    const single =
      machine === 'a'
        ? [link('x--y', { tap: 'a-x' }, { udp: 'udp:b', channel: LINK_CHANNEL }, { forward: SLOW })]
        : machine === 'b'
          ? [link('x--y', { udp: 'udp:a', channel: LINK_CHANNEL }, { tap: 'b-y' })]
          : [];
    const udp = (peer: string): DeviceConfig => ({
      ...{ kind: 'udp', name: `udp:${peer}`, peer: { address: '192.0.2.1', port: 7000 }, pathMtuBytes: 1500 },
      ...{ ipHeaderBytes: 20, seal: 'none', ...(fec === undefined ? {} : { fec }) },
    });
    return configOf(machine, {
      devices: [
        ...taps.map(tap),
        ...single.flatMap(({ ends }) => ends.flatMap((end) => ('tap' in end ? [tap(end.tap)] : []))),
        ...peers.map(udp),
      ],
      links: [
        ...taps.map((name) => link(`${name}--s`, { tap: name }, { bridge: 's' })),
        ...single,
        ...peers.map((peer) => {
          const tunnel = { udp: `udp:${peer}`, channel: PARTS_CHANNEL };
          return machine < peer ? link(`s ${peer}`, part, tunnel) : link(`s ${peer}`, tunnel, part);
        }),
      ],
    });
  }
}

const one = (hosts: readonly string[]): Record<string, number> => Object.fromEntries(hosts.map((host) => [host, 1]));

describe.each([[[1, 1]], [[2, 1]], [[1, 2]], [[2, 2]], [[3, 2]], [[2, 1, 3]]])(
  'a switch on machines with %j engines',
  (engines) => {
    it('has all reach all, each frame once', () => {
      const net = new Machines(engines);
      const { hosts } = net;
      for (const from of hosts)
        expect(net.play(from, frame(BROADCAST, addressOf(from)))).toEqual(one(hosts.filter((host) => host !== from)));
      for (const from of hosts)
        for (const to of hosts)
          if (from !== to) expect(net.play(from, frame(addressOf(to), addressOf(from)))).toEqual(one([to]));
      for (const from of hosts)
        expect(net.play(from, frame(STRANGER, addressOf(from)))).toEqual(one(hosts.filter((host) => host !== from)));
      expect(net.drops()).toEqual({});
      expect(net.close()).toBe(0);
    });

    it('has no frame cross from engine to engine that leaves for another machine', () => {
      const net = new Machines(engines);
      for (const from of net.hosts) net.play(from, frame(BROADCAST, addressOf(from)));
      const here = net.hosts.filter((host) => host.startsWith('a'));
      const before = net.crossings('a');
      for (const from of here) expect(net.play(from, frame(addressOf('b-h0'), addressOf(from)))).toEqual(one(['b-h0']));
      expect(net.crossings('a')).toBe(before);
      // What comes crosses to the engines that it is for.
      for (const to of here) net.play('b-h0', frame(addressOf(to), addressOf('b-h0')));
      expect(net.crossings('a') - before).toBe(here.filter((host) => net.engineOf(host) !== 0).length);
      expect(net.close()).toBe(0);
    });

    it('keeps the order of flows, whichever engine has them', () => {
      const net = new Machines(engines);
      for (const from of net.hosts) net.play(from, frame(BROADCAST, addressOf(from)));
      for (let n = 0; n < 300; n++) {
        for (const host of TAPS) {
          net.send(`a-${host}`, frame(addressOf(`b-${host}`), addressOf(`a-${host}`), n));
          net.send(`b-${host}`, frame(addressOf(`a-${host}`), addressOf(`b-${host}`), n));
        }
        if (n % 50 === 49) net.settle();
      }
      const numbers = (host: string): number[] => net.receive(host).map((bytes) => (bytes[14]! << 8) | bytes[15]!);
      for (const host of TAPS)
        for (const machine of ['a', 'b'])
          expect(numbers(`${machine}-${host}`)).toEqual(Array.from({ length: 300 }, (_, n) => n));
      expect(net.close()).toBe(0);
    });

    it('follows hosts from machine to machine and engine to engine', () => {
      const net = new Machines(engines);
      for (const from of net.hosts) net.play(from, frame(BROADCAST, addressOf(from)));
      const moving = '02:00:00:00:00:aa';
      for (const at of ['a-h0', 'b-h3', 'a-h3', 'b-h0', 'a-h2']) {
        expect(Object.keys(net.play(at, frame(BROADCAST, moving)))).toHaveLength(net.hosts.length - 1);
        for (const from of net.hosts)
          if (from !== at) expect(net.play(from, frame(moving, addressOf(from)))).toEqual(one([at]));
      }
      expect(net.close()).toBe(0);
    });

    it('forgets in all engines who was behind a peer that is dead', () => {
      const net = new Machines(engines);
      for (const from of net.hosts) net.play(from, frame(BROADCAST, addressOf(from)));
      const { topology } = net.stacks.get('a')!.engines[0]!;
      topology.forgetBehind(topology.ports.get('udp:b')!);
      net.settle();
      for (const from of TAPS.map((name) => `a-${name}`)) {
        const arrived = net.play(from, frame(addressOf('b-h0'), addressOf(from)));
        expect(arrived).toMatchObject(one(TAPS.filter((name) => `a-${name}` !== from).map((name) => `a-${name}`)));
        expect(arrived['b-h0']).toBe(1);
      }
      expect(net.play('b-h0', frame(BROADCAST, addressOf('b-h0')))).toEqual(
        one(net.hosts.filter((host) => host !== 'b-h0')),
      );
      for (const from of TAPS.map((name) => `a-${name}`))
        expect(net.play(from, frame(addressOf('b-h0'), addressOf(from)))).toEqual(one(['b-h0']));
      expect(net.close()).toBe(0);
    });

    it('joins two hosts by a link, with what that does to frames, out and in', () => {
      const net = new Machines(engines);
      const before = net.crossings('a');
      expect(net.play('a-x', frame(BROADCAST, addressOf('a-h0'), 1))).toEqual({});
      net.clock.advance(5e6);
      net.settle();
      expect(net.receive('b-y')).toHaveLength(1);
      expect(net.crossings('a')).toBe(before);
      expect(net.play('b-y', frame(BROADCAST, addressOf('b-h0'), 2))).toEqual(one(['a-x']));
      const down = { state: 'down' } as const;
      net.stacks.get('a')!.setLinks([{ name: 'x--y', forward: down, reverse: down }]);
      expect(net.play('a-x', frame(BROADCAST, addressOf('a-h0')))).toEqual({});
      expect(net.play('b-y', frame(BROADCAST, addressOf('b-h0')))).toEqual({});
      expect(net.drops()).toEqual({ linkDown: 2 });
      expect(net.close()).toBe(0);
    });

    it('delivers what one switch on one machine does, and nothing twice', () => {
      const step = fc.record({
        from: fc.nat(11),
        to: fc.oneof(fc.nat(11), fc.constant(BROADCAST), fc.constant(STRANGER)),
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
          const net = new Machines(engines);
          const { hosts } = net;
          const single = new MemoryNetwork();
          const links = hosts.map((name) => link(name, { tap: name }, { bridge: 's' }));
          single.apply(configOf('all', { devices: hosts.map(tap), links }));
          for (const { from, to } of steps) {
            const host = hosts[from % hosts.length]!;
            const bytes = frame(typeof to === 'string' ? to : addressOf(hosts[to % hosts.length]!), addressOf(host));
            single.send(host, bytes);
            single.settle();
            const expected = hosts.filter((name) => single.receive(name).length > 0);
            const arrived = net.play(host, bytes);
            // More where a machine has not heard of whom it is for.
            expect(arrived).toMatchObject(one(expected));
            expect(Object.values(arrived).every((count) => count === 1)).toBe(true);
            expect(arrived[host]).toBeUndefined();
          }
          expect(net.close()).toBe(0);
        }),
        { numRuns: 40 },
      );
    });
  },
);

it('tells an engine again where an address is, of which it has missed that', () => {
  const net = new Machines([2, 2]);
  for (const from of net.hosts) net.play(from, frame(BROADCAST, addressOf(from)));
  const of = (engine: number): string => net.hosts.find((host) => host[0] === 'a' && net.engineOf(host) === engine)!;
  const { fdb } = net.stacks.get('a')!.engines[1]!.topology.bridges.get('s')!;
  const lowOf = (host: string): number => parseInt(addressOf(host).replaceAll(':', '').slice(4), 16) | 0;
  // As if b-h0 had been in engine 0 of its machine, and had moved while no notice got through.
  fdb.learn(0x0200, lowOf('b-h0'), fdb.lookup(0x0200, lowOf(of(0))));
  const sent = frame(addressOf('b-h0'), addressOf(of(1)));
  expect(net.play(of(1), sent)).toEqual({});
  expect(net.drops()).toEqual({ hairpin: 1 });
  const before = net.crossings('a');
  expect(net.play(of(1), sent)).toEqual(one(['b-h0']));
  expect(net.crossings('a')).toBe(before);
  expect(net.close()).toBe(0);
});

it('has no lanes where there is parity, and delivers the same', () => {
  const net = new Machines([2, 2], 0.1);
  for (const { topology } of net.stacks.get('a')!.engines.slice(1)) expect(topology.ports.has('udp:b')).toBe(false);
  const { hosts } = net;
  for (const from of hosts)
    expect(net.play(from, frame(BROADCAST, addressOf(from)))).toEqual(one(hosts.filter((host) => host !== from)));
  for (const from of hosts)
    for (const to of hosts)
      if (from !== to) expect(net.play(from, frame(addressOf(to), addressOf(from)))).toEqual(one([to]));
  expect(net.drops()).toEqual({});
  expect(net.close()).toBe(0);
});

it('has the lanes of a tunnel from its first day, so that none is without keys when a bridge comes to its engine', () => {
  const net = new Machines([2, 2]);
  const stack = net.stacks.get('a')!;
  const lanes = stack.engines[1]!.topology.ports.get('udp:b')!.device;
  const hosts = ['a-h0', 'a-h1', 'a-h2', 'a-h3', 'a-n0', 'a-n1', 'a-n2'];
  const own = configOf('a', {
    devices: [
      ...hosts.map(tap),
      ...stack.shards!.configs[0]!.devices.filter(({ kind }) => kind === 'udp'),
    ] as DeviceConfig[],
    links: [
      ...hosts.map((name) => link(`${name}--s`, { tap: name }, { bridge: 's' })),
      link('s b', { bridge: 's', horizon: true }, { udp: 'udp:b', channel: PARTS_CHANNEL }),
    ],
  });
  stack.apply(own);
  stack.farEnds.get('a-x')?.close();
  stack.farEnds.delete('a-x');
  expect(stack.engines[1]!.topology.ports.get('udp:b')!.device).toBe(lanes);
  expect(net.play('a-n2', frame(BROADCAST, addressOf('a-h0')))).toMatchObject({ 'b-h0': 1, 'b-h3': 1, 'a-n0': 1 });
  expect(net.close()).toBe(0);
});
