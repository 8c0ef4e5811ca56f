import { type LinkProperties, NO_EMULATION, NO_INPUTS, PLAIN } from '../model/emulation.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../model/clock.js';
import type { BridgeConfig, DeviceConfig, LinkConfig, LinkEndConfig, SwitchConfig } from '../model/messages.js';
import { Arena, FrameBatch } from './arena.js';
import { CaptureReader } from './capture-ring.js';
import type { PortDevice } from './device/device.js';
import { MemoryDevice } from './device/memory.js';
import { DROP_REASONS } from './drops.js';
import { linkOf } from './drop-counter.js';
import { Engine } from './engine.js';
import { MAX_LINKS, MAX_PORTS } from './limits.js';
import { MemoryNetwork } from './memory-network.js';
import { READABLE, TX_FRAMES, WRITABLE } from './port.js';
import { deviceOf, type Poller } from './topology.js';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';

function bridge(name: string, options: Partial<BridgeConfig> = {}): BridgeConfig {
  return { name, transparent: false, ageingSeconds: 300, fdbLimit: 1024, ...options };
}

function tap(name: string): DeviceConfig {
  return { kind: 'tap', name, mtuBytes: 1500, vnetHdr: false };
}

function udp(name: string): DeviceConfig {
  return {
    kind: 'udp',
    name,
    peer: { address: '192.0.2.1', port: 7000 },
    pathMtuBytes: 1500,
    ipHeaderBytes: 20,
    seal: 'none',
  };
}

function link(first: LinkEndConfig, second: LinkEndConfig, options: Partial<LinkConfig> = {}): LinkConfig {
  const nameOf = (end: LinkEndConfig): string =>
    'bridge' in end ? end.bridge : 'udp' in end ? `${end.udp}.${end.channel}` : deviceOf(end);
  return {
    name: `${nameOf(first)}--${nameOf(second)}`,
    ends: [first, second],
    forward: PLAIN,
    reverse: PLAIN,
    ...options,
  };
}

function config(parts: Partial<SwitchConfig>): SwitchConfig {
  return {
    network: 'n',
    networkNumber: 1,
    machine: 'local',
    bridges: [],
    devices: [],
    links: [],
    seed: 1,
    inputs: NO_INPUTS,
    ...parts,
  };
}

const DOWN: LinkProperties = { state: 'down' };

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

function started(config: SwitchConfig, options: ConstructorParameters<typeof MemoryNetwork>[0] = {}): MemoryNetwork {
  const network = new MemoryNetwork(options);
  network.apply(config);
  return network;
}

/** Sends, settles, and says how many frames arrived where. */
function play(network: MemoryNetwork, device: string, bytes: Uint8Array, channel = 0): Record<string, number> {
  network.send(device, bytes, channel);
  network.settle();
  const arrived: Record<string, number> = {};
  for (const name of network.farEnds.keys()) {
    const count = network.receive(name).length;
    if (count > 0) arrived[name] = count;
  }
  return arrived;
}

/** Nothing may be left behind once all frames were taken and the engine closed. */
function expectNoLeak(network: MemoryNetwork): void {
  for (const name of network.farEnds.keys()) network.receive(name);
  network.engine.close();
  for (const far of network.farEnds.values()) far.close();
  expect(network.arena.freeSlots).toBe(network.arena.slotCount);
}

describe('a bridge', () => {
  it('floods what it does not know and forwards what it does', () => {
    const network = started(oneSwitch(['a', 'b', 'c']));
    expect(play(network, 'a', frame(BROADCAST, A))).toEqual({ b: 1, c: 1 });
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1 });
    expect(play(network, 'a', frame(B, A))).toEqual({ b: 1 });
    expect(play(network, 'a', frame(C, A))).toEqual({ b: 1, c: 1 });
    expectNoLeak(network);
  });

  it('does with frames that come together what it does with each of them alone', () => {
    const sent = fc.record({ to: fc.constantFrom(A, B, C, BROADCAST), from: fc.constantFrom(A, B, C) });
    // Often several in a row are alike.
    const runs = fc.array(fc.tuple(sent, fc.integer({ min: 1, max: 5 })), { maxLength: 12 });
    fc.assert(
      fc.property(fc.constantFrom('a', 'b'), runs, (device, all) => {
        const frames = all.flatMap(([{ to, from }, times], i) =>
          Array.from({ length: times }, (_, n) => frame(to, from, 60 + 5 * i + n)),
        );
        const [together, alone] = [0, 1].map(() => {
          const network = started(oneSwitch(['a', 'b', 'c']));
          play(network, 'b', frame(BROADCAST, B));
          play(network, 'c', frame(BROADCAST, C));
          return network;
        }) as [MemoryNetwork, MemoryNetwork];
        for (const bytes of frames) {
          together.send(device, bytes);
          alone.send(device, bytes);
          alone.settle();
        }
        together.settle();
        for (const name of ['a', 'b', 'c']) {
          const lengths = [together, alone].map((network) =>
            network.receive(name).map(({ bytes }) => bytes.byteLength),
          );
          expect(lengths[0]).toEqual(lengths[1]);
        }
        expectNoLeak(together);
        expectNoLeak(alone);
      }),
    );
  });

  it('delivers the bytes as they were', () => {
    const network = started(oneSwitch(['a', 'b', 'c']));
    const bytes = frame(BROADCAST, A, 1514).map((byte, i) => (i < 14 ? byte : i & 0xff));
    network.send('a', bytes);
    network.settle();
    expect(network.receive('b')[0]!.bytes).toEqual(bytes);
    expect(network.receive('c')[0]!.bytes).toEqual(bytes);
    expectNoLeak(network);
  });

  it('follows a host that moves', () => {
    const network = started(oneSwitch(['a', 'b', 'c']));
    play(network, 'a', frame(BROADCAST, A));
    play(network, 'c', frame(BROADCAST, A));
    expect(play(network, 'b', frame(A, B))).toEqual({ c: 1 });
    expectNoLeak(network);
  });

  it('forgets an address after the ageing time', () => {
    const clock = new ManualClock();
    const network = started(oneSwitch(['a', 'b', 'c'], { ageingSeconds: 10 }), { clock });
    play(network, 'a', frame(BROADCAST, A));
    clock.advance(9.9e9);
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1 });
    clock.advance(0.1e9);
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1, c: 1 });
    expectNoLeak(network);
  });

  it('sends nothing back to where it came from', () => {
    const network = started(oneSwitch(['a', 'b']));
    play(network, 'a', frame(BROADCAST, A));
    play(network, 'a', frame(BROADCAST, B));
    expect(play(network, 'a', frame(B, A))).toEqual({});
    expect(network.telemetry.dropsByReason()).toEqual({ hairpin: 1 });
    expect(network.telemetry.port(0).rxDropped).toBe(0);
    expectNoLeak(network);
  });

  it('with one port, has nowhere to flood to', () => {
    const network = started(oneSwitch(['a']));
    expect(play(network, 'a', frame(BROADCAST, A))).toEqual({});
    expect(network.telemetry.dropsByReason()).toEqual({ noPort: 1 });
    expectNoLeak(network);
  });

  it('forwards reserved group addresses only when it is transparent (802.1D table 7-10)', () => {
    for (const [address, isReserved] of [
      ['01:80:c2:00:00:00', true],
      ['01:80:c2:00:00:0e', true],
      ['01:80:c2:00:00:0f', true],
      ['01:80:c2:00:00:10', false],
      ['01:80:c2:00:01:00', false],
    ] as const) {
      for (const transparent of [false, true]) {
        const network = started(oneSwitch(['a', 'b'], { transparent }));
        const dropped = isReserved && !transparent;
        expect(play(network, 'a', frame(address, A))).toEqual(dropped ? {} : { b: 1 });
        expect(network.telemetry.dropsByReason()).toEqual(dropped ? { reservedGroup: 1 } : {});
        expectNoLeak(network);
      }
    }
  });

  it('does not learn a group source address', () => {
    const network = started(oneSwitch(['a', 'b', 'c']));
    play(network, 'a', frame(BROADCAST, '03:00:00:00:00:01'));
    expect(network.engine.topology.bridges.get('s')!.addresses()).toEqual([]);
    expectNoLeak(network);
  });

  it('keeps a horizon: nothing goes from one such end to another', () => {
    const network = started(
      config({
        bridges: [bridge('s')],
        devices: [tap('a'), udp('u'), udp('v')],
        links: [
          link({ tap: 'a' }, { bridge: 's' }),
          link({ bridge: 's', horizon: true }, { udp: 'u', channel: 5 }),
          link({ bridge: 's', horizon: true }, { udp: 'v', channel: 5 }),
        ],
      }),
    );
    expect(play(network, 'a', frame(BROADCAST, A))).toEqual({ u: 1, v: 1 });
    expect(play(network, 'u', frame(BROADCAST, B), 5)).toEqual({ a: 1 });
    expect(play(network, 'v', frame(B, C), 5)).toEqual({});
    expect(network.telemetry.dropsByReason()).toEqual({ hairpin: 1 });
    expectNoLeak(network);
  });
});

describe('an engine', () => {
  it('carries several links over one tunnel, by channel', () => {
    const network = started(
      config({
        bridges: [bridge('s'), bridge('t')],
        devices: [tap('a'), tap('b'), udp('u')],
        links: [
          link({ tap: 'a' }, { bridge: 's' }),
          link({ tap: 'b' }, { bridge: 't' }),
          link({ bridge: 's' }, { udp: 'u', channel: 1 }),
          link({ bridge: 't' }, { udp: 'u', channel: 65535 }),
        ],
      }),
    );
    network.send('a', frame(BROADCAST, A));
    network.send('b', frame(BROADCAST, B));
    network.settle();
    expect(network.receive('u').map(({ channel }) => channel)).toEqual([1, 65535]);
    expect(play(network, 'u', frame(A, C), 1)).toEqual({ a: 1 });
    expect(play(network, 'u', frame(B, C), 65535)).toEqual({ b: 1 });
    expect(play(network, 'u', frame(B, C), 2)).toEqual({});
    expect(network.telemetry.dropsByReason()).toEqual({ unknownChannel: 1 });
    expectNoLeak(network);
  });

  it('joins two devices without a bridge', () => {
    const network = started(config({ devices: [tap('a'), tap('b')], links: [link({ tap: 'a' }, { tap: 'b' })] }));
    expect(play(network, 'a', frame(B, A))).toEqual({ b: 1 });
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1 });
    expectNoLeak(network);
  });

  it('counts packets and bytes of devices and links', () => {
    const network = started(oneSwitch(['a', 'b']));
    play(network, 'a', frame(BROADCAST, A, 100));
    play(network, 'b', frame(A, B, 200));
    const none = { rxDropped: 0, txDropped: 0 };
    expect(network.telemetry.port(0)).toEqual({ rxPackets: 1, rxBytes: 100, txPackets: 1, txBytes: 200, ...none });
    expect(network.telemetry.port(1)).toEqual({ rxPackets: 1, rxBytes: 200, txPackets: 1, txBytes: 100, ...none });
    expect(network.telemetry.link(0)).toEqual({
      forwardPackets: 1,
      forwardBytes: 100,
      reversePackets: 1,
      reverseBytes: 200,
    });
    expectNoLeak(network);
  });

  it('drops frames that are too short or too long, and counts them where they are', () => {
    const network = started(oneSwitch(['a', 'b']), { mtuBytes: 1500 });
    expect(play(network, 'a', new Uint8Array(13))).toEqual({});
    expect(network.telemetry.port(0).rxDropped).toBe(1);
    const jumbo = network.farEnds.get('a')! as { mtuBytes: number };
    jumbo.mtuBytes = 9000;
    expect(play(network, 'a', frame(BROADCAST, A, 2000))).toEqual({});
    expect(network.telemetry.port(1)).toMatchObject({ txPackets: 0, txBytes: 0, txDropped: 1 });
    expect(network.telemetry.dropsByReason()).toEqual({ malformed: 1, tooLong: 1 });
    expectNoLeak(network);
  });

  it('records drops with time, place and header', () => {
    const clock = new ManualClock(1234);
    const network = started(oneSwitch(['a']), { clock });
    const bytes = frame(BROADCAST, A, 200);
    play(network, 'a', bytes);
    const drops = network.recorder.read();
    expect(drops).toEqual([
      {
        nowNs: 1234,
        where: expect.any(Number),
        lengthBytes: 200,
        reason: expect.any(Number),
        header: bytes.slice(0, 64),
      },
    ]);
    expect(network.engine.topology.linkNames[linkOf(drops[0]!.where)]).toBe('a--s');
    expect(DROP_REASONS[drops[0]!.reason]).toBe('noPort');
    expectNoLeak(network);
  });

  it('drops on a link that is down, forgets what was behind it, and does not flood to it', () => {
    const network = started(oneSwitch(['a', 'b', 'c']));
    play(network, 'a', frame(BROADCAST, A));
    play(network, 'b', frame(BROADCAST, B));
    network.engine.topology.setLinks([{ name: 'a--s', forward: DOWN, reverse: DOWN }]);
    expect(play(network, 'a', frame(B, A))).toEqual({});
    expect(network.telemetry.dropsByReason()).toEqual({ linkDown: 1 });
    expect(network.telemetry.port(0).rxDropped).toBe(1);
    expect(play(network, 'b', frame(A, B))).toEqual({ c: 1 });
    network.engine.topology.setLinks([{ name: 'a--s', forward: PLAIN, reverse: PLAIN }]);
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1, c: 1 });
    expect(() => network.engine.topology.setLinks([{ name: 'x', forward: PLAIN, reverse: PLAIN }])).toThrow(
      'there is no link x',
    );
    expectNoLeak(network);
  });

  it('keeps what a slow device does not take, up to a bound, and sends it later in order', () => {
    const network = started(oneSwitch(['a', 'b']), { capacity: 64 });
    const frames = Array.from({ length: 3 }, (_, round) =>
      Array.from({ length: 64 }, (_, i) => frame(B, A, 60 + round * 64 + i)),
    );
    for (const burst of frames) {
      for (const bytes of burst) network.send('a', bytes);
      network.settle();
    }
    const received: number[] = [];
    for (let i = 0; i < 4; i++) {
      received.push(...network.receive('b').map(({ bytes }) => bytes.byteLength));
      network.settle();
    }
    expect(received).toEqual(frames.flat().map((bytes) => bytes.byteLength));
    expect(network.telemetry.port(1).txPackets).toBe(192);

    for (let burst = 0; burst * 64 < 2 * TX_FRAMES; burst++) {
      for (let i = 0; i < 64; i++) network.send('a', frame(B, A));
      network.settle();
    }
    const dropped = 2 * TX_FRAMES - TX_FRAMES - 64;
    expect(network.telemetry.dropsByReason()).toEqual({ queueFull: dropped });
    expect(network.telemetry.port(1).txDropped).toBe(dropped);
    expectNoLeak(network);
  });

  it('bounds what waits in bytes too: an eighth of the arena', () => {
    const network = started(oneSwitch(['a', 'b']), { capacity: 16, mtuBytes: 65521 });
    for (let i = 0; i < 40; i++) {
      network.send('a', frame(B, A, 60_000));
      network.settle();
    }
    const waiting = Math.floor(network.arena.bytes.byteLength / 8 / 60_000);
    expect(network.telemetry.dropsByReason()).toEqual({ queueFull: 40 - 16 - waiting });
    expect(network.telemetry.port(1)).toMatchObject({ txPackets: 16, txBytes: 16 * 60_000 });
    network.receive('b');
    network.settle();
    expect(network.receive('b').length).toBe(waiting);
    expectNoLeak(network);
  });

  it('survives a loop of bridges, and goes on serving others', () => {
    const network = started(
      config({
        bridges: [bridge('s'), bridge('t'), bridge('u')],
        devices: ['a', 'b', 'c'].map(tap),
        links: [
          link({ tap: 'a' }, { bridge: 's' }),
          link({ bridge: 's' }, { bridge: 't' }, { name: 'one' }),
          link({ bridge: 's' }, { bridge: 't' }, { name: 'two' }),
          link({ tap: 'b' }, { bridge: 'u' }),
          link({ tap: 'c' }, { bridge: 'u' }),
        ],
      }),
    );
    network.send('a', frame(BROADCAST, A));
    for (let i = 0; i < 20; i++) network.engine.breath();
    expect(network.engine.nextNs).toBe(0);
    network.send('b', frame(BROADCAST, B));
    for (let i = 0; i < 5; i++) network.engine.breath();
    expect(network.receive('c').length).toBe(1);
    expectNoLeak(network);
  });

  it('adds and removes ports while it runs, and leaves the others alone', () => {
    const network = started(oneSwitch(['a', 'b']));
    play(network, 'a', frame(BROADCAST, A));
    play(network, 'b', frame(BROADCAST, B));
    network.apply(oneSwitch(['a', 'b', 'c']));
    expect(play(network, 'c', frame(A, C))).toEqual({ a: 1 });
    expect(network.telemetry.link(0).forwardPackets).toBe(1);
    network.apply(oneSwitch(['a', 'c']));
    network.farEnds.delete('b');
    expect(play(network, 'a', frame(B, A))).toEqual({ c: 1 });
    expect(play(network, 'a', frame(C, A))).toEqual({ c: 1 });
    expect(network.engine.topology.devicesToOpen(oneSwitch(['a', 'b', 'c']))).toEqual(['b']);
    network.apply(oneSwitch([]));
    expect(network.engine.topology.links.size).toBe(0);
    expectNoLeak(network);
  });

  it('replaces a device whose configuration changed', () => {
    const network = started(oneSwitch(['a', 'b']));
    play(network, 'a', frame(BROADCAST, A));
    const changed = oneSwitch(['a', 'b']);
    network.apply({ ...changed, devices: [tap('b'), { ...tap('a'), mtuBytes: 9000 } as DeviceConfig] });
    expect(play(network, 'a', frame(BROADCAST, A))).toEqual({ b: 1 });
    expectNoLeak(network);
  });

  it('changes nothing when a device cannot be opened', () => {
    const network = started(oneSwitch(['a', 'b']));
    play(network, 'a', frame(BROADCAST, A));
    const open: typeof network.open = (device, context) => {
      if (device.name === 'd') throw new Error('no such descriptor');
      return network.open(device, context);
    };
    expect(() => {
      network.engine.apply(oneSwitch(['b', 'c', 'd']), open);
    }).toThrow('no such descriptor');
    network.farEnds.delete('c');
    expect([...network.engine.topology.ports.keys()]).toEqual(['a', 'b']);
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1 });
    expectNoLeak(network);
  });

  it('changes nothing when there are more devices or links than it has counters for', () => {
    const network = started(oneSwitch(['a', 'b']));
    play(network, 'a', frame(BROADCAST, A));
    const { bridges, devices, links } = oneSwitch(['b', 'c']);
    const between = (_: unknown, i: number): LinkConfig => ({
      ...link({ bridge: 's' }, { bridge: 's' }),
      name: `x${i}`,
    });
    const tooManyLinks = [...links, ...Array.from({ length: MAX_LINKS - 1 }, between)];
    expect(() => network.apply(config({ bridges, devices, links: tooManyLinks }))).toThrow('at most 10240 links');
    const tooManyTaps = [...devices, ...Array.from({ length: MAX_PORTS - 1 }, (_, i) => tap(`t${i}`))];
    expect(() => network.apply(config({ bridges, devices: tooManyTaps, links }))).toThrow('at most 4096 devices');
    expect([...network.engine.topology.links.keys()]).toEqual(['a--s', 'b--s']);
    expect([...network.farEnds.keys()]).toEqual(['a', 'b']);
    expect(play(network, 'b', frame(A, B))).toEqual({ a: 1 });
    network.apply(config({ bridges, devices, links: tooManyLinks.slice(1) }));
    expect(network.engine.topology.links.size).toBe(MAX_LINKS);
    network.farEnds.delete('a');
    expectNoLeak(network);
  });

  it('has 10 000 emulated links, and what is on each leaves when it is due', () => {
    const leaves = Array.from({ length: MAX_LINKS - 1 }, (_, i) => `s${i}`);
    const delayed = (i: number): LinkProperties => ({
      state: 'up',
      // Every other one of them before the one before it.
      emulation: { ...NO_EMULATION, delayNs: 1e6 + (i % 2 === 0 ? i : -i) * 50 },
    });
    const clock = new ManualClock();
    const network = started(
      config({
        bridges: ['s', ...leaves].map((name) => bridge(name, { fdbLimit: 1 })),
        devices: [tap('a')],
        links: [
          link({ tap: 'a' }, { bridge: 's' }),
          ...leaves.map((leaf, i) => link({ bridge: 's' }, { bridge: leaf }, { forward: delayed(i) })),
        ],
      }),
      { clock, arenaBytes: 2 ** 26 },
    );
    play(network, 'a', frame(BROADCAST, A));
    expect(network.telemetry.dropsByReason()).toEqual({});
    while (network.engine.nextNs < Infinity) {
      clock.advance(network.engine.nextNs - clock.nowNs());
      network.settle();
    }
    const late = leaves.map((_, i) => network.telemetry.emulation(i + 1, 0)?.lateness);
    expect(late).toEqual(leaves.map(() => [1]));
    expect(network.telemetry.dropsByReason()).toEqual({ noPort: leaves.length });
    expectNoLeak(network);
  });

  it('lets go of a device that is gone, until it is configured again', () => {
    const network = started(oneSwitch(['a', 'b']));
    const near = network.engine.topology.ports.get('a')!.device as unknown as { rxBatch: () => number };
    near.rxBatch = () => -1;
    network.settle();
    expect(network.engine.topology.devicesToOpen(oneSwitch(['a', 'b']))).toEqual(['a']);
    expect(play(network, 'b', frame(BROADCAST, B))).toEqual({});
    expect(network.telemetry.dropsByReason()).toEqual({ deviceError: 1 });
    network.apply(oneSwitch(['a', 'b']));
    expect(play(network, 'b', frame(BROADCAST, B))).toEqual({ a: 1 });
    expectNoLeak(network);
  });

  it('captures what a device receives and sends, or one channel of it, and nothing once it is stopped', () => {
    const network = started(
      config({
        bridges: [bridge('s')],
        devices: [tap('a'), udp('u')],
        links: [
          link({ tap: 'a' }, { bridge: 's' }),
          link({ bridge: 's' }, { udp: 'u', channel: 1 }),
          link({ bridge: 's' }, { udp: 'u', channel: 2 }),
        ],
      }),
    );
    const all = new CaptureReader();
    const one = new CaptureReader();
    network.engine.startCapture(1, 'u', -1, all.buffer);
    network.engine.startCapture(2, 'u', 2, one.buffer);
    network.send('a', frame(BROADCAST, A, 100));
    network.settle();
    network.send('u', frame(A, B, 3000), 2);
    network.settle();
    const read = (reader: CaptureReader): [number, number][] => {
      const frames: [number, number][] = [];
      for (let next = reader.next(); next; next = reader.next()) frames.push([next.direction, next.bytes.byteLength]);
      return frames;
    };
    expect(read(all)).toEqual([
      [1, 100],
      [1, 100],
      [0, 3000],
    ]);
    expect(read(one)).toEqual([
      [1, 100],
      [0, 3000],
    ]);
    network.engine.stopCapture(1);
    network.engine.stopCapture(2);
    network.send('a', frame(BROADCAST, A));
    network.settle();
    expect(read(all)).toEqual([]);
    expect(() => {
      network.engine.startCapture(3, 'x', -1, all.buffer);
    }).toThrow('there is no device x');
    expectNoLeak(network);
  });

  it('conserves frames: every copy that a bridge makes is delivered or counted as dropped', () => {
    const names = ['a', 'b', 'c', 'd'];
    const hosts = [A, B, C, BROADCAST, '01:80:c2:00:00:00'];
    const step = fc.record({
      from: fc.constantFrom(...names),
      source: fc.constantFrom(...hosts.slice(0, 3)),
      to: fc.constantFrom(...hosts),
      down: fc.option(fc.constantFrom(...names), { freq: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const network = started(oneSwitch(names), { capacity: 8 });
        let sent = 0;
        let delivered = 0;
        for (const { from, source, to, down } of steps) {
          for (const name of names) {
            const way = name === down ? DOWN : PLAIN;
            network.engine.topology.setLinks([{ name: `${name}--s`, forward: way, reverse: way }]);
          }
          network.send(from, frame(to, source));
          sent++;
          network.settle();
          if (sent % 16 === 0) for (const name of names) delivered += network.receive(name).length;
        }
        for (let i = 0; i < 20; i++) {
          for (const name of names) delivered += network.receive(name).length;
          network.settle();
        }
        const { telemetry } = network;
        const drops = Object.values(telemetry.dropsByReason()).reduce((sum, n) => sum + n, 0);
        let forward = 0;
        let reverse = 0;
        let received = 0;
        for (let i = 0; i < names.length; i++) {
          forward += telemetry.link(i).forwardPackets;
          reverse += telemetry.link(i).reversePackets;
          received += telemetry.port(i).rxPackets;
        }
        expect(received).toBe(sent);
        expect(reverse).toBe(delivered);
        // What reached the bridge left it in at least one copy, or was dropped there; the rest was dropped before.
        expect(sent - forward).toBeLessThanOrEqual(drops);
        expect(forward).toBeLessThanOrEqual(reverse + drops);
        expectNoLeak(network);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a tunnel whose peer dies', () => {
  it('has the addresses behind it forgotten, and no others', () => {
    const network = new MemoryNetwork();
    const peer = { nextNs: Infinity, peerIsDead: false };
    const tunnel = config({
      bridges: [bridge('s'), bridge('t')],
      devices: [tap('a'), udp('udp:b')],
      links: [
        link({ tap: 'a' }, { bridge: 's' }),
        link({ bridge: 's' }, { udp: 'udp:b', channel: 1 }),
        link({ bridge: 't' }, { udp: 'udp:b', channel: 2 }),
      ],
    });
    network.engine.apply(tunnel, (device, context) => {
      const memory = network.open(device, context);
      if (device.kind !== 'udp') return memory;
      return {
        mtuBytes: memory.mtuBytes,
        batchSize: memory.batchSize,
        fd: -1,
        get nextNs() {
          return peer.nextNs;
        },
        get peerIsDead() {
          return peer.peerIsDead;
        },
        rxBatch: (out) => memory.rxBatch(out),
        txBatch: (frames, from) => memory.txBatch(frames, from),
        poll: () => {
          peer.nextNs = Infinity;
        },
        close: () => {
          memory.close();
        },
      };
    });
    const known = (name: string): number => network.engine.topology.bridges.get(name)!.fdb.count;
    const say = (isDead: boolean): void => {
      Object.assign(peer, { nextNs: 0, peerIsDead: isDead });
      // As in rxBatch, from which the engine learns when a poll is due.
      play(network, 'a', frame(BROADCAST, A));
      network.engine.breath();
    };
    play(network, 'a', frame(BROADCAST, A));
    play(network, 'udp:b', frame(BROADCAST, B), 1);
    play(network, 'udp:b', frame(BROADCAST, C), 2);
    expect([known('s'), known('t')]).toEqual([2, 1]);
    say(false);
    expect([known('s'), known('t')]).toEqual([2, 1]);
    say(true);
    expect([known('s'), known('t')]).toEqual([1, 0]);
    // It is alive again, and dies again.
    say(false);
    play(network, 'udp:b', frame(BROADCAST, B), 1);
    expect(known('s')).toBe(2);
    say(true);
    expect(known('s')).toBe(1);
    expectNoLeak(network);
  });
});

describe('a device that had something to wait for', () => {
  it('wakes nobody for it once it has come', () => {
    const clock = new ManualClock();
    const engine = new Engine({ arena: new Arena(new Uint8Array(2 ** 20)), clock });
    let nextNs = clock.nowNs();
    let polls = 0;
    engine.apply(config({ devices: [udp('x')] }), () => ({
      ...{ fd: 1, mtuBytes: 1500, batchSize: 16 },
      get nextNs() {
        return nextNs;
      },
      rxBatch: () => {
        // An answer to what was asked 5 ms ago.
        if (clock.nowNs() === 5e6) nextNs = 1e9;
        return 0;
      },
      txBatch: (frames: FrameBatch, from: number) => frames.count - from,
      // It asks, and would again in 100 ms.
      poll: (nowNs: number) => {
        polls++;
        nextNs = nowNs + 100e6;
      },
      close: () => undefined,
    }));
    engine.portReady(0);
    engine.breath();
    engine.breath();
    expect([polls, engine.nextNs]).toEqual([1, 100e6]);
    clock.advance(5e6);
    engine.portReady(0);
    engine.breath();
    expect([polls, engine.nextNs]).toEqual([1, 1e9]);
    engine.close();
  });
});

describe('a device that holds frames back', () => {
  it('gets them when it is due, and is not watched for being writable meanwhile', () => {
    const clock = new ManualClock();
    const watched: number[] = [];
    const arena = new Arena(new Uint8Array(2 ** 20));
    const poller: Poller = {
      add: () => undefined,
      watch: (_, __, interest) => void watched.push(interest),
      remove: () => undefined,
    };
    const engine = new Engine({ arena, clock, poller });
    // Takes two frames each millisecond; or, when it is full, none.
    const tunnel = { nextNs: Infinity, sent: 0, isFull: false };
    let near: PortDevice | undefined;
    let far: PortDevice | undefined;
    engine.apply(
      config({ devices: [tap('a'), udp('udp:b')], links: [link({ tap: 'a' }, { udp: 'udp:b', channel: 1 })] }),
      (device, context) => {
        if (device.kind !== 'udp') {
          [near, far] = MemoryDevice.pair(context, context);
          return near;
        }
        return {
          mtuBytes: 1500,
          batchSize: 64,
          fd: 99,
          get nextNs() {
            return tunnel.nextNs;
          },
          get isHolding() {
            return tunnel.nextNs !== Infinity;
          },
          rxBatch: () => 0,
          txBatch: (frames, from) => {
            if (tunnel.isFull || tunnel.nextNs !== Infinity) return 0;
            const taken = Math.min(2, frames.count - from);
            for (let i = from; i < from + taken; i++) arena.release(frames.ids[i]!);
            tunnel.sent += taken;
            if (from + taken < frames.count) tunnel.nextNs = clock.nowNs() + 1e6;
            return taken;
          },
          poll: (nowNs) => {
            if (nowNs >= tunnel.nextNs) tunnel.nextNs = Infinity;
          },
          close: () => undefined,
        };
      },
    );
    const batch = new FrameBatch(8);
    for (let i = 0; i < 5; i++) batch.push(arena.write(frame(BROADCAST, A)), 0);
    expect(far!.txBatch(batch, 0)).toBe(5);
    engine.portReady(0);
    const settle = (): void => {
      while (engine.breath() > 0);
    };
    settle();
    expect(tunnel.sent).toBe(2);
    expect(watched).toEqual([]);
    for (const sent of [4, 5]) {
      // It sleeps until then, and breathes in vain when it is woken sooner.
      expect(engine.nextNs).toBe(clock.nowNs() + 1e6);
      settle();
      clock.advance(1e6);
      settle();
      expect(tunnel.sent).toBe(sent);
    }
    expect(engine.nextNs).toBe(Infinity);
    expect(watched).toEqual([]);
    // A full one is watched, as it is not holding.
    tunnel.isFull = true;
    batch.count = 0;
    batch.push(arena.write(frame(BROADCAST, A)), 0);
    expect(far!.txBatch(batch, 0)).toBe(1);
    engine.portReady(0);
    settle();
    expect(watched).toEqual([READABLE | WRITABLE]);
    engine.close();
    far!.close();
    expect(arena.freeSlots).toBe(arena.slotCount);
  });
});

it('waits for a device that only sends while it is full, and never for frames of its', () => {
  const waits: string[] = [];
  const arena = new Arena(new Uint8Array(2 ** 20));
  const poller: Poller = {
    add: (fd, _, interest) => void waits.push(`add ${fd}: ${interest}`),
    watch: (fd, _, interest) => void waits.push(`${fd}: ${interest}`),
    remove: (fd) => void waits.push(`remove ${fd}`),
  };
  const engine = new Engine({ arena, clock: new ManualClock(), poller });
  let far: PortDevice | undefined;
  let isFull = true;
  engine.apply(
    config({ devices: [tap('a'), udp('udp:b')], links: [link({ tap: 'a' }, { udp: 'udp:b', channel: 1 })] }),
    (device, context) => {
      const [near, other] = MemoryDevice.pair(context, context);
      if (device.kind !== 'udp') {
        far = other;
        return near;
      }
      other.close();
      return {
        ...{ mtuBytes: 1500, batchSize: 1, fd: 99, nextNs: Infinity, sendsOnly: true },
        rxBatch: () => 0,
        txBatch: (frames, from) => {
          if (isFull) return 0;
          for (let i = from; i < frames.count; i++) arena.release(frames.ids[i]!);
          return frames.count - from;
        },
        poll: () => undefined,
        close: () => undefined,
      };
    },
  );
  expect(waits).toEqual(['add 99: 0']);
  const batch = new FrameBatch(1);
  batch.push(arena.write(frame(BROADCAST, A)), 0);
  far!.txBatch(batch, 0);
  const settle = (): void => {
    while (engine.breath() > 0);
  };
  settle();
  expect(waits).toEqual(['add 99: 0', `99: ${WRITABLE}`]);
  isFull = false;
  engine.portReady(1);
  settle();
  engine.close();
  far!.close();
  expect(waits).toEqual(['add 99: 0', `99: ${WRITABLE}`, '99: 0', 'remove 99']);
  expect(arena.freeSlots).toBe(arena.slotCount);
});
