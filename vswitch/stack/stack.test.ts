import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { type LinkProperties, NO_EMULATION, NO_INPUTS, PLAIN } from '../../model/emulation.js';
import type { BridgeConfig, DeviceConfig, LinkConfig, LinkEndConfig, SwitchConfig } from '../../model/messages.js';
import { MemoryNetwork } from '../memory-network.js';
import { deviceOf } from '../topology.js';
import { MemoryStack, type MemoryStackOptions } from './memory-stack.js';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';
const DOWN: LinkProperties = { state: 'down' };
const DELAYED: LinkProperties = { state: 'up', emulation: { ...NO_EMULATION, delayNs: 5e6 } };

const tap = (name: string): DeviceConfig => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: false });
const udp = (name: string): DeviceConfig => ({
  kind: 'udp',
  name,
  peer: { address: '192.0.2.1', port: 7000 },
  pathMtuBytes: 1500,
  ipHeaderBytes: 20,
  seal: 'none',
});
const bridge = (name: string, options: Partial<BridgeConfig> = {}): BridgeConfig => {
  return { name, transparent: false, ageingSeconds: 300, fdbLimit: 1024, ...options };
};

function link(first: LinkEndConfig, second: LinkEndConfig, options: Partial<LinkConfig> = {}): LinkConfig {
  const nameOf = (end: LinkEndConfig): string => ('bridge' in end ? end.bridge : deviceOf(end));
  return {
    name: `${nameOf(first)}--${nameOf(second)}`,
    ends: [first, second],
    forward: PLAIN,
    reverse: PLAIN,
    ...options,
  };
}

function config(parts: Partial<SwitchConfig>): SwitchConfig {
  const nothing = { bridges: [], devices: [], links: [] };
  return { network: 'n', networkNumber: 1, machine: 'local', seed: 1, inputs: NO_INPUTS, ...nothing, ...parts };
}

/** A switch `s` with a TAP per name. */
function oneSwitch(taps: readonly string[], options: Partial<BridgeConfig> = {}): SwitchConfig {
  return config({
    bridges: [bridge('s', options)],
    devices: taps.map(tap),
    links: taps.map((name) => link({ tap: name }, { bridge: 's' })),
  });
}

function frame(to: string, from: string, frameBytes = 60): Uint8Array {
  const bytes = new Uint8Array(frameBytes);
  const mac = (address: string): number[] => address.split(':').map((byte) => parseInt(byte, 16));
  bytes.set([...mac(to), ...mac(from), 0x88, 0xb5]);
  return bytes;
}

const ones = (names: readonly string[]): Record<string, number> => Object.fromEntries(names.map((name) => [name, 1]));

function started(engines: number, config: SwitchConfig, options: MemoryStackOptions = {}): MemoryStack {
  const stack = new MemoryStack(engines, options);
  stack.apply(config);
  return stack;
}

/** Sends, settles, and says how many frames arrived where. */
function play(
  net: MemoryStack | MemoryNetwork,
  device: string,
  bytes: Uint8Array,
  channel = 0,
): Record<string, number> {
  net.send(device, bytes, channel);
  net.settle();
  const arrived: Record<string, number> = {};
  for (const name of net.farEnds.keys()) {
    const count = net.receive(name).length;
    if (count > 0) arrived[name] = count;
  }
  return arrived;
}

describe.each([1, 2, 3])('a switch with its ports in %i engines', (engines) => {
  it('has a part of the ports in each', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd', 'e', 'f']));
    const ports = stack.engines.map(({ topology }) => [...topology.ports.keys()].filter((name) => name.length === 1));
    expect(ports.map((names) => names.length)).toEqual(new Array(engines).fill(6 / engines));
    expect(ports.flat().sort()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(stack.close()).toBe(0);
  });

  it('floods what it does not know and forwards what it does', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c']));
    expect(play(stack, 'a', frame(BROADCAST, A))).toEqual({ b: 1, c: 1 });
    expect(play(stack, 'b', frame(A, B))).toEqual({ a: 1 });
    expect(play(stack, 'a', frame(B, A))).toEqual({ b: 1 });
    expect(play(stack, 'c', frame('02:00:00:00:00:77', C))).toEqual({ a: 1, b: 1 });
    expect(stack.dropsByReason()).toEqual({});
    expect(stack.close()).toBe(0);
  });

  it('delivers the bytes as they were', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c']));
    const bytes = frame(BROADCAST, A, 1514).map((byte, i) => (i < 14 ? byte : i & 0xff));
    stack.send('a', bytes);
    stack.settle();
    for (const to of ['b', 'c']) expect(stack.receive(to).map((got) => got.bytes)).toEqual([bytes]);
    expect(stack.close()).toBe(0);
  });

  it('knows in all of them who was heard in one', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd', 'e', 'f']));
    play(stack, 'b', frame(BROADCAST, B));
    // Nobody but b hears it.
    expect(play(stack, 'a', frame(B, A))).toEqual({ b: 1 });
    for (const from of ['c', 'd', 'e', 'f']) expect(play(stack, from, frame(A, C))).toEqual({ a: 1 });
    expect(stack.close()).toBe(0);
  });

  it('follows a host that moves, though nobody else hears its first frame there', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd', 'e', 'f']));
    play(stack, 'a', frame(BROADCAST, A));
    for (const [to, neighbour] of [
      ['f', 'e'],
      ['c', 'd'],
      ['a', 'b'],
    ] as const) {
      play(stack, neighbour, frame(BROADCAST, B));
      expect(play(stack, to, frame(B, A))).toEqual({ [neighbour]: 1 });
      for (const from of ['a', 'b', 'c', 'd', 'e', 'f'])
        if (from !== to) expect(play(stack, from, frame(A, C))).toEqual({ [to]: 1 });
    }
    expect(stack.close()).toBe(0);
  });

  it('forgets an address after the ageing time, wherever it was heard', () => {
    const clock = new ManualClock();
    const stack = started(engines, oneSwitch(['a', 'b', 'c'], { ageingSeconds: 10 }), { clock });
    play(stack, 'a', frame(BROADCAST, A));
    clock.advance(9.9e9);
    expect(play(stack, 'b', frame(A, B))).toEqual({ a: 1 });
    clock.advance(0.1e9);
    expect(play(stack, 'b', frame(A, B))).toEqual({ a: 1, c: 1 });
    expect(stack.close()).toBe(0);
  });

  it('does not forget who is heard in one engine only', () => {
    const clock = new ManualClock();
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd', 'e', 'f'], { ageingSeconds: 10 }), { clock });
    play(stack, 'b', frame(BROADCAST, B));
    play(stack, 'a', frame(BROADCAST, A));
    for (let second = 0; second < 60; second++) {
      clock.advance(0.5e9);
      expect(play(stack, 'a', frame(B, A))).toEqual({ b: 1 });
      clock.advance(0.5e9);
      expect(play(stack, 'b', frame(A, B))).toEqual({ a: 1 });
    }
    expect(play(stack, 'f', frame(A, C))).toEqual({ a: 1 });
    expect(stack.close()).toBe(0);
  });

  it('forgets in all of them what is behind a link that goes down, and floods to where it may be', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd', 'e', 'f']));
    play(stack, 'a', frame(BROADCAST, A));
    stack.setLinks([{ name: 'a--s', forward: DOWN, reverse: DOWN }]);
    for (const [i, from] of ['b', 'd', 'f'].entries()) {
      const arrived = play(stack, from, frame(A, `02:00:00:00:01:0${i}`));
      expect(Object.keys(arrived).sort()).toEqual(['b', 'c', 'd', 'e', 'f'].filter((name) => name !== from));
    }
    stack.setLinks([{ name: 'a--s', forward: PLAIN, reverse: PLAIN }]);
    play(stack, 'e', frame(BROADCAST, A));
    expect(play(stack, 'b', frame(A, B))).toEqual({ e: 1 });
    expect(stack.close()).toBe(0);
  });

  it('forgets it in those too that were not told, as there was no room for it: a second later', () => {
    const clock = new ManualClock();
    const taps = ['a', 'b', 'c', 'd', 'e', 'f'];
    const stack = started(engines, oneSwitch(taps), { clock, ringBytes: 2 ** 13 });
    const engineOf = (name: string): number => stack.shards!.devices.get(name)!;
    const near = taps.filter((name) => engineOf(name) === engineOf('a'));
    const far = taps.filter((name) => engineOf(name) !== engineOf('a'));
    play(stack, 'a', frame(BROADCAST, A));
    const teller = stack.engines[engineOf('a')]!;
    // As short as notices, in the end: there is no room for one.
    for (let n = 0; n < 100; n++) stack.send(near[1]!, frame(BROADCAST, B, n < 20 ? 1000 : 14));
    while (teller.breath() > 0);
    stack.setLinks([{ name: 'a--s', forward: DOWN, reverse: DOWN }]);
    while (teller.breath() > 0);
    stack.settle();
    for (const name of taps) stack.receive(name);
    for (const from of far) expect(play(stack, from, frame(A, C))).toEqual(ones(near.slice(1)));
    clock.advance(1e9);
    // It says so again when it has something to do; and to those who know it, nothing has changed.
    play(stack, near[1]!, frame(BROADCAST, B));
    for (let second = 0; second < 3; second++) {
      for (const from of far)
        expect(play(stack, from, frame(A, C))).toEqual(ones(taps.filter((name) => name !== from && name !== 'a')));
      clock.advance(1e9);
    }
    expect(play(stack, 'e', frame(BROADCAST, A))).toEqual(ones(['b', 'c', 'd', 'f']));
    for (let second = 0; second < 3; second++) {
      for (const from of ['b', 'c', 'd', 'f']) expect(play(stack, from, frame(A, C))).toEqual({ e: 1 });
      clock.advance(1e9);
    }
    expect(stack.close()).toBe(0);
  });

  it('has nowhere to flood to when the other links are down', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c']));
    stack.setLinks(['b--s', 'c--s'].map((name) => ({ name, forward: DOWN, reverse: DOWN })));
    expect(play(stack, 'a', frame(BROADCAST, A))).toEqual({});
    expect(stack.dropsByReason()).toEqual({ noPort: 1 });
    expect(stack.close()).toBe(0);
  });

  it('sends nothing back to where it came from', () => {
    const stack = started(engines, oneSwitch(['a', 'b']));
    play(stack, 'a', frame(BROADCAST, A));
    play(stack, 'a', frame(BROADCAST, B));
    expect(play(stack, 'a', frame(B, A))).toEqual({});
    expect(stack.dropsByReason()).toEqual({ hairpin: 1 });
    expect(stack.close()).toBe(0);
  });

  it('keeps the horizon of tunnels, and has frames of all engines pass them', () => {
    const horizon = { bridge: 's', horizon: true } as const;
    const stack = started(
      engines,
      config({
        bridges: [bridge('s')],
        devices: [...['a', 'b', 'c', 'd'].map(tap), udp('u'), udp('v')],
        links: [
          ...['a', 'b', 'c', 'd'].map((name) => link({ tap: name }, { bridge: 's' })),
          link(horizon, { udp: 'u', channel: 5 }),
          link(horizon, { udp: 'v', channel: 5 }),
        ],
      }),
    );
    for (const from of ['a', 'b', 'c', 'd']) {
      const others = Object.fromEntries(
        ['a', 'b', 'c', 'd', 'u', 'v'].filter((to) => to !== from).map((to) => [to, 1]),
      );
      expect(play(stack, from, frame(BROADCAST, A))).toEqual(others);
    }
    expect(play(stack, 'u', frame(BROADCAST, B), 5)).toEqual({ a: 1, b: 1, c: 1, d: 1 });
    for (const from of ['a', 'b', 'c', 'd']) expect(play(stack, from, frame(B, A))).toEqual({ u: 1 });
    expect(play(stack, 'v', frame(B, C), 5)).toEqual({});
    expect(stack.dropsByReason()).toEqual({ hairpin: 1 });
    expect(stack.close()).toBe(0);
  });

  it('joins devices and bridges of any engine by links', () => {
    const stack = started(
      engines,
      config({
        bridges: [bridge('s'), bridge('t')],
        devices: ['a', 'b', 'c', 'd', 'e', 'f'].map(tap),
        links: [
          link({ tap: 'a' }, { tap: 'f' }),
          link({ tap: 'b' }, { bridge: 's' }),
          link({ tap: 'e' }, { bridge: 's' }),
          link({ bridge: 's' }, { bridge: 't' }),
          link({ tap: 'c' }, { bridge: 't' }),
          link({ tap: 'd' }, { bridge: 't' }),
        ],
      }),
    );
    expect(play(stack, 'a', frame(BROADCAST, A))).toEqual({ f: 1 });
    expect(play(stack, 'f', frame(A, B))).toEqual({ a: 1 });
    expect(play(stack, 'b', frame(BROADCAST, B))).toEqual({ c: 1, d: 1, e: 1 });
    expect(play(stack, 'd', frame(B, C))).toEqual({ b: 1 });
    stack.setLinks([{ name: 'a--f', forward: DOWN, reverse: DOWN }]);
    expect([play(stack, 'a', frame(B, A)), play(stack, 'f', frame(A, B))]).toEqual([{}, {}]);
    expect(stack.dropsByReason()).toEqual({ linkDown: 2 });
    expect(stack.close()).toBe(0);
  });

  it('delays by a link what passes it, from whichever engine', () => {
    const clock = new ManualClock();
    const stack = started(
      engines,
      config({
        bridges: [bridge('s')],
        devices: ['a', 'b', 'c', 'd'].map(tap),
        links: [
          link({ tap: 'a' }, { bridge: 's' }, { forward: DELAYED, reverse: DELAYED }),
          ...['b', 'c'].map((name) => link({ tap: name }, { bridge: 's' })),
        ],
      }),
      { clock },
    );
    expect(play(stack, 'a', frame(BROADCAST, A))).toEqual({});
    clock.advance(5e6);
    stack.settle();
    expect(['b', 'c'].map((to) => stack.receive(to).length)).toEqual([1, 1]);
    expect(play(stack, 'c', frame(A, C))).toEqual({});
    clock.advance(5e6);
    stack.settle();
    expect(stack.receive('a').length).toBe(1);
    expect(stack.close()).toBe(0);
  });

  it('delays by a link as of when a frame came, in whichever engine, however late that and the link’s own are', () => {
    const clock = new ManualClock();
    const stack = started(
      engines,
      config({
        devices: ['a', 'b', 'c', 'd', 'e', 'f'].map(tap),
        links: [link({ tap: 'a' }, { tap: 'f' }, { forward: DELAYED, reverse: DELAYED })],
      }),
      { clock },
    );
    clock.advance(1e6);
    for (const [from, to] of [
      ['a', 'f'],
      ['f', 'a'],
    ] as const) {
      const cameNs = clock.nowNs();
      clock.advance(2e6);
      stack.send(from, frame(BROADCAST, A), 0, cameNs);
      stack.engines[stack.shards!.devices.get(from)!]!.breath();
      clock.advance(2e6);
      stack.settle();
      clock.advance(1e6 - 1);
      stack.settle();
      expect(stack.receive(to)).toEqual([]);
      clock.advance(1);
      stack.settle();
      expect(stack.receive(to).length).toBe(1);
    }
    expect(stack.close()).toBe(0);
  });

  it('delays by one link as of when a frame left another, in whichever engine', () => {
    const clock = new ManualClock();
    const taps = ['a', 'b', 'c', 'd', 'e', 'f'];
    const stack = started(
      engines,
      config({
        bridges: [bridge('s')],
        devices: taps.map(tap),
        links: taps.map((name) => link({ tap: name }, { bridge: 's' }, { forward: DELAYED, reverse: DELAYED })),
      }),
      { clock },
    );
    clock.advance(1e6);
    // Each learns of it.
    stack.send('f', frame(BROADCAST, B));
    for (let ms = 0; ms < 12; ms++) {
      clock.advance(1e6);
      stack.settle();
    }
    for (const name of taps) stack.receive(name);
    stack.send('a', frame(B, A));
    stack.settle();
    // It was due a millisecond ago; and goes on two later.
    clock.advance(6e6);
    stack.engines[stack.shards!.devices.get('a')!]!.breath();
    clock.advance(2e6);
    stack.settle();
    clock.advance(2e6 - 1);
    stack.settle();
    expect(stack.receive('f')).toEqual([]);
    clock.advance(1);
    stack.settle();
    expect(stack.receive('f').length).toBe(1);
    expect(stack.close()).toBe(0);
  });

  it('leaves what stays alone when ports come and go', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd']));
    for (const [name, address] of [
      ['a', A],
      ['b', B],
    ] as const)
      play(stack, name, frame(BROADCAST, address));
    const before = new Map(stack.farEnds);
    const places = stack.shards!.devices;
    stack.apply(oneSwitch(['b', 'd', 'x', 'y', 'z']));
    stack.farEnds.delete('a');
    stack.farEnds.delete('c');
    for (const name of ['b', 'd']) {
      expect(stack.farEnds.get(name)).toBe(before.get(name));
      expect(stack.shards!.devices.get(name)).toBe(places.get(name));
    }
    expect(play(stack, 'd', frame(B, C))).toEqual({ b: 1 });
    expect(play(stack, 'x', frame(A, '02:00:00:00:00:77'))).toEqual({ b: 1, d: 1, y: 1, z: 1 });
    for (const name of ['a', 'c']) before.get(name)!.close();
    expect(stack.close()).toBe(0);
  });

  it('keeps the order of a flow', () => {
    const stack = started(engines, oneSwitch(['a', 'b', 'c', 'd']));
    for (let n = 0; n < 500; n++) {
      if (n === 200) stack.send('d', frame(A, B));
      const bytes = frame(B, A);
      bytes.set([n >> 8, n & 255], 14);
      stack.send('a', bytes);
      if (n % 60 === 59) stack.settle();
    }
    stack.settle();
    const numbers = stack.receive('d').map(({ bytes }) => (bytes[14]! << 8) | bytes[15]!);
    expect(numbers).toEqual(Array.from({ length: 500 }, (_, n) => n));
    expect(stack.close()).toBe(0);
  });
});

describe('a stack of engines beside a single one', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const address = fc.constantFrom(A, B, C, '02:00:00:00:00:0d', BROADCAST, '01:00:5e:00:00:fb');
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ from: fc.constantFrom(...names), to: address, as: fc.constantFrom(A, B, C) }) },
    { weight: 1, arbitrary: fc.record({ set: fc.constantFrom(...names), up: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ ports: fc.shuffledSubarray(names, { minLength: 1 }) }) },
  );

  it.each([2, 3])('delivers what that delivers, and more only after it was told to forget: %i engines', (engines) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const stack = started(engines, oneSwitch(names));
        const single = new MemoryNetwork();
        single.apply(oneSwitch(names));
        let ports: readonly string[] = names;
        let hasForgotten = false;
        for (const [n, todo] of steps.entries()) {
          if ('from' in todo) {
            if (!ports.includes(todo.from)) continue;
            const bytes = frame(todo.to, todo.as, 60 + n);
            const [got, expected] = [play(stack, todo.from, bytes), play(single, todo.from, bytes)];
            if (!hasForgotten) expect(got).toEqual(expected);
            else expect(got).toMatchObject(expected);
          } else if ('set' in todo) {
            if (!ports.includes(todo.set)) continue;
            const way: LinkProperties = { state: todo.up ? 'up' : 'down' };
            const changes = [{ name: `${todo.set}--s`, forward: way, reverse: way }];
            stack.setLinks(changes);
            single.engine.topology.setLinks(changes);
            hasForgotten ||= !todo.up;
          } else {
            hasForgotten ||= ports.some((name) => !todo.ports.includes(name));
            ({ ports } = todo);
            for (const net of [stack, single]) {
              net.apply(oneSwitch(ports));
              for (const name of net.farEnds.keys()) if (!ports.includes(name)) net.farEnds.delete(name);
            }
          }
        }
        stack.settle();
        const reasons = Object.keys(stack.dropsByReason());
        expect(
          reasons.every((reason) => ['noPort', 'hairpin', 'linkDown'].includes(reason)),
          reasons.join(),
        ).toBe(true);
      }),
      { numRuns: 30 },
    );
  });
});
