import fc from 'fast-check';
import { expect, it } from 'vitest';
import { NO_EMULATION, NO_INPUTS, PLAIN } from '../../model/emulation.js';
import type { DeviceConfig, LinkConfig, LinkEndConfig, SwitchConfig } from '../../model/messages.js';
import { deviceOf } from '../topology.js';
import type { EngineLinkEnd } from './config.js';
import { NOTHING_PLACED, type Placement, shard, shardLinks, type Shards } from './shards.js';

const SLOW = { state: 'up', emulation: { ...NO_EMULATION, delayNs: 1e6 } } as const;

function device(name: string): DeviceConfig {
  if (name.startsWith('t')) return { kind: 'tap', name, mtuBytes: 1500, vnetHdr: false };
  const peer = { address: '192.0.2.1', port: 7000 };
  return { kind: 'udp', name, peer, pathMtuBytes: 1500, ipHeaderBytes: 20, seal: 'none' };
}

const TAPS = ['t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7'];
const BRIDGES = ['s0', 's1', 's2'];
const TUNNELS = ['u0', 'u1'];

/** Each TAP at a bridge, another TAP, or a tunnel; bridges in a row. */
const configs = fc
  .record({
    taps: fc.shuffledSubarray(TAPS),
    bridges: fc.subarray(BRIDGES, { minLength: 1 }),
    places: fc.array(fc.nat({ max: 5 }), { minLength: TAPS.length, maxLength: TAPS.length }),
  })
  .map(({ taps, bridges, places }): SwitchConfig => {
    const links: LinkConfig[] = [];
    const add = (...ends: [LinkEndConfig, LinkEndConfig]): void => {
      links.push({ name: `l${JSON.stringify(ends)}`, ends, forward: SLOW, reverse: PLAIN });
    };
    const single = taps.filter((_, i) => places[i] === 0);
    for (let i = 0; i + 1 < single.length; i += 2) add({ tap: single[i]! }, { tap: single[i + 1]! });
    for (const [i, tap] of taps.entries()) {
      if (places[i]! > 1) add({ bridge: bridges[places[i]! % bridges.length]! }, { tap });
      if (places[i] === 1) add({ tap }, { udp: TUNNELS[i % 2]!, channel: i + 1 });
    }
    for (const [i, bridge] of bridges.entries()) {
      if (i > 0) add({ bridge: bridges[i - 1]! }, { bridge });
      add({ bridge, horizon: true }, { udp: 'u0', channel: 100 + i });
    }
    return {
      ...{ network: 'n', networkNumber: 1, machine: 'm', seed: 1, inputs: NO_INPUTS, links },
      bridges: bridges.map((name) => ({ name, transparent: false, ageingSeconds: 300, fdbLimit: 64 })),
      devices: [...taps, ...TUNNELS].map(device),
    };
  });

/** Who can reach whom: devices and bridges, by links and from trunk to trunk. */
function reach({ configs: parts }: Pick<Shards, 'configs'>): string[] {
  const found = new Set<string>();
  const nameOf = (end: EngineLinkEnd): string => ('bridge' in end ? end.bridge : deviceOf(end));
  const byChannel = new Map<string, string[]>();
  for (const [self, { links }] of parts.entries())
    for (const { ends } of links) {
      const trunk =
        ends.find((end) => 'trunk' in end) ?? ends.flatMap((end) => ('lane' in end ? (end.from ?? []) : []))[0];
      const [a, b] = ends.map(nameOf);
      if (trunk === undefined) found.add([a, b].sort().join(' '));
      else {
        const pair = [self, Number(trunk.trunk.slice('trunk:'.length))].sort().join();
        const key = `${pair} ${trunk.channel}`;
        byChannel.set(key, [...(byChannel.get(key) ?? []), 'trunk' in ends[0] || 'lane' in ends[0] ? b! : a!]);
      }
    }
  for (const ends of byChannel.values()) {
    expect(ends).toHaveLength(2);
    if (ends[0] !== ends[1]) found.add(ends.sort().join(' '));
  }
  return [...found].sort();
}

it('gives every part to an engine, joins what belongs together, and moves nothing that stays', () => {
  fc.assert(
    fc.property(
      fc.array(configs, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 4 }),
      (wanted, engines) => {
        let before: Placement = NOTHING_PLACED;
        for (const config of wanted) {
          const shards = shard(config, engines, before);
          const { configs: parts, devices, links, relays, channels } = shards;
          expect(parts).toHaveLength(engines);
          const own = parts.map((part) =>
            part.devices.filter(({ kind }) => kind !== 'trunk' && kind !== 'lane').map(({ name }) => name),
          );
          expect(own.flat().sort()).toEqual(config.devices.map(({ name }) => name).sort());
          for (const tunnel of TUNNELS) expect(own[0]).toContain(tunnel);
          for (const [self, part] of parts.entries())
            expect(part.devices.flatMap((one) => (one.kind === 'lane' ? [[one.name, one.lane]] : []))).toEqual(
              self === 0 ? [] : TUNNELS.map((tunnel) => [tunnel, self]),
            );
          for (const [name, engine] of before.devices) if (devices.has(name)) expect(devices.get(name)).toBe(engine);
          for (const [name, channel] of before.channels.byOwner)
            expect([channel, undefined]).toContain(channels.byOwner.get(name));
          // What was given back is not given to another at once.
          const given = [...channels.byOwner].filter(([name]) => !before.channels.byOwner.has(name));
          for (const [, channel] of given) expect([...before.channels.byOwner.values()]).not.toContain(channel);

          expect(reach(shards)).toEqual(reach({ configs: [config] }));
          for (const link of config.links) {
            const owner = parts[links.get(link.name)!]!.links.find(({ name }) => name === link.name);
            expect(owner).toMatchObject({ forward: link.forward, reverse: link.reverse });
            const relay = relays.get(link.name);
            if (relay === undefined) continue;
            expect(parts[relay]!.links.find(({ name }) => name === link.name)).toMatchObject({ forward: PLAIN });
          }
          for (const part of parts)
            for (const { ends } of part.links)
              for (const end of ends)
                if ('bridge' in end) expect(part.bridges.map(({ name }) => name)).toContain(end.bridge);
                else expect(part.devices.map(({ name }) => name)).toContain(deviceOf(end));
          before = shards;
        }
      },
    ),
  );
});

it('keeps the hosts of small switches together, and spreads those of a large one', () => {
  const at = (tap: string, bridge: string): LinkConfig => {
    return { name: tap, ends: [{ tap }, { bridge }], forward: PLAIN, reverse: PLAIN };
  };
  const config = (homes: readonly (readonly [string, string])[]): SwitchConfig => ({
    ...{ network: 'n', networkNumber: 1, machine: 'm', seed: 1, inputs: NO_INPUTS },
    bridges: BRIDGES.map((name) => ({ name, transparent: false, ageingSeconds: 300, fdbLimit: 64 })),
    devices: homes.map(([tap]) => device(tap)),
    links: homes.map(([tap, bridge]) => at(tap, bridge)),
  });
  const placed = (homes: readonly (readonly [string, string])[]): number[] => {
    const { devices } = shard(config(homes), 2, NOTHING_PLACED);
    return homes.map(([tap]) => devices.get(tap)!);
  };
  const [first, ...others] = placed(TAPS.map((tap, i) => [tap, BRIDGES[i % 2]!]));
  expect([first, ...others]).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
  expect(placed(TAPS.map((tap) => [tap, 's0']))).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
});

it('tells a change of a link to both engines that have an end of it, and what it does to the first alone', () => {
  const link: LinkConfig = { name: 'l', ends: [{ tap: 't0' }, { tap: 't1' }], forward: SLOW, reverse: PLAIN };
  const config: SwitchConfig = {
    ...{ network: 'n', networkNumber: 1, machine: 'm', seed: 1, inputs: NO_INPUTS, bridges: [], links: [link] },
    devices: ['t0', 't1'].map(device),
  };
  const shards = shard(config, 2, NOTHING_PLACED);
  const down = { state: 'down' } as const;
  const change = { name: 'l', forward: SLOW, reverse: SLOW, later: [{ atNs: 5, forward: down, reverse: SLOW }] };
  expect(shardLinks([change], shards)).toEqual([
    [change],
    [{ name: 'l', forward: PLAIN, reverse: PLAIN, later: [{ atNs: 5, forward: down, reverse: PLAIN }] }],
  ]);
  expect(() => shardLinks([{ ...change, name: 'm' }], shards)).toThrow('there is no link m');
});
