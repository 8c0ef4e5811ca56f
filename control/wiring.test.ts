import { NO_INPUTS, PLAIN } from '../model/emulation.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LaterChange, SwitchConfig } from '../model/messages.js';
import type { HostNode, Link, Network, NetworkEvent, Node, Port, SwitchNode } from '../model/network.js';
import type { RawNode, RawScenario } from '../model/scenario.js';
import { parseConfig } from '../vswitch/config.js';
import { advance } from './schedule.js';
import { load, resolve } from './scenario/index.js';
import { refuseUnsupported } from './unsupported.js';
import {
  FIRST_SWITCH_CHANNEL,
  machinesOf,
  scheduledLinks,
  switchConfigs,
  tapName,
  tunnelEnd,
  tunnels,
  udpName,
  underlayAddress,
} from './wiring.js';

const host = (name: string, machine: string, ports = 1): HostNode => ({
  kind: 'host',
  type: 'netns',
  name,
  machine,
  env: {},
  routes: [],
  ports: Array.from({ length: ports }, (_, i) => ({
    name: `eth${i}`,
    mac: '02:00:00:00:00:01',
    addresses: [],
    mtuBytes: 1500,
    link: '',
    lan: '',
  })),
});
const bridge = (name: string, ...machines: string[]): SwitchNode => ({
  kind: 'switch',
  name,
  id: Number(/\d+/.exec(name)?.[0] ?? 1) - 1,
  machines,
  transparent: false,
});
const end = (text: string): { node: string; port?: string } => {
  const [node, port] = text.split(':') as [string, string?];
  return port === undefined ? { node } : { node, port };
};
const link = (id: number, a: string, b: string): Link => ({
  name: `${a}--${b}`,
  id,
  ends: [end(a), end(b)],
  forward: PLAIN,
  reverse: PLAIN,
});
const network = (machines: string[], nodes: Node[], links: Link[]): Network => ({
  name: 'n',
  seed: 1,
  seal: 'none',
  machines: machines.map((name, id) => ({ name, id })),
  nodes,
  links,
  lans: [],
  inputs: NO_INPUTS,
  events: [],
  passedEvents: 0,
  names: [],
});

describe('switchConfigs', () => {
  it('joins a host and a switch of one machine in one process, without a tunnel', () => {
    const configs = switchConfigs(network(['a'], [host('h1', 'a'), bridge('s1', 'a')], [link(1, 'h1:eth0', 's1')]), 7);
    expect([...configs.keys()]).toEqual(['a']);
    const config = configs.get('a')!;
    expect(config.networkNumber).toBe(7);
    expect(config.devices.map(({ name }) => name)).toEqual(['tap:h1:eth0']);
    expect(config.links).toEqual([
      { name: 'h1:eth0--s1', ends: [{ tap: 'tap:h1:eth0' }, { bridge: 's1' }], forward: PLAIN, reverse: PLAIN },
    ]);
  });

  it('makes a link between machines a channel with the same number on both sides, first end first', () => {
    const net = network(['a', 'b'], [host('h1', 'b'), bridge('s1', 'a')], [link(5, 'h1:eth0', 's1')]);
    const configs = switchConfigs(net, 7);
    expect(configs.get('a')!.links[0]!.ends).toEqual([{ udp: 'udp:b', channel: 5 }, { bridge: 's1' }]);
    expect(configs.get('b')!.links[0]!.ends).toEqual([{ tap: 'tap:h1:eth0' }, { udp: 'udp:a', channel: 5 }]);
    const peer = tunnelEnd(net.machines[1]!, net.machines[0]!);
    expect(configs.get('a')!.devices).toEqual([
      { kind: 'udp', name: 'udp:b', peer, pathMtuBytes: 1500, ipHeaderBytes: 20, seal: 'none' },
    ]);
    expect(tunnels(net, configs)).toEqual([['a', 'b']]);
    const [device] = switchConfigs({ ...net, seal: 'auto' }, 7).get('a')!.devices;
    expect(device).toMatchObject({ name: 'udp:b', seal: 'required' });
    expect(switchConfigs({ ...net, fec: 0.1 }, 7).get('a')!.devices[0]).toMatchObject({ fec: 0.1 });
  });

  it('has each direction emulated once, by the machine that sends it', () => {
    const scenario: RawScenario = {
      name: 'n',
      machines: ['a', 'b', 'c'],
      nodes: {
        s1: { kind: 'switch' },
        s2: { kind: 'switch', machine: 'c' },
        h1: { kind: 'host', machine: 'a' },
        h2: { kind: 'host', machine: 'b' },
      },
      links: [
        { endpoints: ['h1', 'h2'], delay: '10ms', forward: { rate: '1mbit' }, reverse: { state: 'down' } },
        { endpoints: ['h1', 's1'], delay: '1ms' },
        { endpoints: ['h2', 's1'], delay: '2ms' },
        { endpoints: ['s2', 's1'], delay: '3ms', mtu: 1400, reverse: { loss: '1%' } },
      ],
    };
    const net = resolve(load(scenario));
    const configs = switchConfigs(net, 7);
    const emulated = [...configs].flatMap(([machine, { links }]) =>
      links.flatMap(({ name, forward, reverse }) => [
        ...(forward.emulation === undefined ? [] : [`${machine} ${name} forward ${forward.emulation.delayNs / 1e6}`]),
        ...(reverse.emulation === undefined ? [] : [`${machine} ${name} reverse ${reverse.emulation.delayNs / 1e6}`]),
      ]),
    );
    expect(emulated.sort()).toEqual([
      'a h1--h2 forward 10',
      'a h1--s1 forward 1',
      'a h1--s1 reverse 1',
      'a s2--s1 reverse 3',
      'b h1--h2 reverse 10',
      'b h2--s1 forward 2',
      'b h2--s1 reverse 2',
      'c s2--s1 forward 3',
    ]);
    for (const machine of ['a', 'b']) {
      const { forward, reverse } = configs.get(machine)!.links.find(({ name }) => name === 'h1--h2')!;
      expect([forward.state, reverse.state]).toEqual(['up', 'down']);
    }
    const [there, back] = ['c', 'a'].map((machine) =>
      configs.get(machine)!.links.find(({ name }) => name === 's2--s1')!,
    );
    expect(there?.forward.emulation).toMatchObject({ mtuBytes: 1400 });
    expect(back?.reverse.emulation).toMatchObject({ mtuBytes: 1400, loss: { lossRatio: 0.01 } });
    for (const config of configs.values()) expect(parseConfig(config)).toEqual(config);
  });

  it('keeps local frames local where a switch has a part on each machine, and joins the parts with split horizon', () => {
    const net = network(
      ['a', 'b', 'c'],
      [host('h1', 'a'), host('h2', 'b'), host('h3', 'c'), bridge('s1', 'a', 'b', 'c')],
      [link(1, 'h1:eth0', 's1'), link(2, 'h2:eth0', 's1'), link(3, 'h3:eth0', 's1')],
    );
    const configs = switchConfigs(net, 7);
    for (const machine of ['a', 'b', 'c']) {
      const { links } = configs.get(machine)!;
      expect(links[0]!.ends.some((linkEnd) => 'tap' in linkEnd)).toBe(true);
      expect(links.slice(1)).toHaveLength(2);
      for (const mesh of links.slice(1)) {
        expect(mesh.ends).toContainEqual({ bridge: 's1', horizon: true });
        expect(mesh.ends).toContainEqual(expect.objectContaining({ channel: FIRST_SWITCH_CHANNEL }));
      }
    }
    expect(tunnels(net, configs)).toEqual([
      ['a', 'b'],
      ['a', 'c'],
      ['b', 'c'],
    ]);
  });

  it('joins two switches that share machines once only, or there would be a loop', () => {
    const net = network(['a', 'b'], [bridge('s1', 'a', 'b'), bridge('s2', 'a', 'b')], [link(1, 's1', 's2')]);
    const between = [...switchConfigs(net, 7).values()].flatMap(({ links }) =>
      links.filter(({ ends }) => ends.every((linkEnd) => 'bridge' in linkEnd)),
    );
    expect(between).toHaveLength(1);
  });

  it('gives the joins of a switch names of their own, short enough for whatever names a scenario has', () => {
    const long = (letter: string): string => letter.repeat(63);
    const network = resolve(
      load({
        name: long('n'),
        machines: [long('a'), long('b'), long('c')],
        nodes: {
          [long('s')]: { kind: 'switch' },
          [long('t')]: { kind: 'switch' },
          [long('h')]: { kind: 'host', machine: long('a') },
          [long('i')]: { kind: 'host', machine: long('c') },
        },
        links: [
          { endpoints: [`${long('h')}:eth9998`, long('s')] },
          { endpoints: [`${long('i')}:eth9999`, long('s')] },
          { endpoints: [long('s'), long('t')] },
          { endpoints: [`${long('h')}:eth9999`, long('i')] },
        ],
      }),
    );
    const configs = switchConfigs(network, 7);
    expect([...configs.keys()]).toEqual([long('a'), long('c')]);
    for (const config of configs.values()) {
      expect(parseConfig(config)).toEqual(config);
      expect(config.links.map(({ name }) => name)).toContain(`${long('s')}@0-2`);
    }
  });

  it('leaves out machines on which nothing is', () => {
    const net = network(['a', 'b'], [host('h1', 'a'), host('h2', 'a')], [link(1, 'h1:eth0', 'h2:eth0')]);
    expect([...switchConfigs(net, 7).keys()]).toEqual(['a']);
  });
});

describe('the layer-2 graph of a network', () => {
  it('has exactly one way between any two ports of a LAN and none out of it, wherever the switches are', () => {
    fc.assert(
      fc.property(forests, (scenario) => {
        const checked = load(scenario);
        refuseUnsupported(checked);
        const net = resolve(checked);
        const configs = switchConfigs(net, 7);
        const ports = net.nodes.flatMap((node) =>
          !('ports' in node) ? [] : node.ports.map((port) => ({ ...port, machine: node.machine, node: node.name })),
        );
        const tap = ({ node, name }: Port & { node: string }): string => tapName(node, name);
        for (const config of configs.values()) expect(parseConfig(config)).toEqual(config);
        for (const port of ports) {
          const sameLan = ports.filter((other) => other !== port && other.lan === port.lan);
          expect(flood(configs, port.machine, tap(port)).sort()).toEqual(sameLan.map(tap).sort());
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** Trees of switches, each pinned to a machine or not, with hosts and routers on them and links between hosts. */
const forests: fc.Arbitrary<RawScenario> = fc
  .record({
    machines: fc.integer({ min: 1, max: 4 }),
    switches: fc.array(
      fc.record({ above: fc.option(fc.nat()), machine: fc.option(fc.nat()), downwards: fc.boolean() }),
      { minLength: 1, maxLength: 6 },
    ),
    hosts: fc.array(fc.record({ on: fc.array(fc.nat(), { maxLength: 2 }), machine: fc.nat(), router: fc.boolean() }), {
      maxLength: 7,
    }),
    bare: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 2 }),
  })
  .map(({ machines: count, switches, hosts, bare }) => {
    const nodes: Record<string, RawNode> = {};
    const links: [string, string][] = [];
    switches.forEach(({ above, machine, downwards }, i) => {
      nodes[`s${i}`] = { kind: 'switch', ...(machine === null ? {} : { machine: `m${machine % count}` }) };
      if (i === 0 || above === null) return;
      links.push(downwards ? [`s${above % i}`, `s${i}`] : [`s${i}`, `s${above % i}`]);
    });
    hosts.forEach(({ on, machine, router }, i) => {
      nodes[`h${i}`] = { kind: router ? 'router' : 'host', machine: `m${machine % count}` };
      for (const above of on) links.push([`h${i}`, `s${above % switches.length}`]);
    });
    for (const [a, b] of bare) {
      const [first, second] = [a % hosts.length, b % hosts.length];
      if (hosts.length > 1 && first !== second) links.push([`h${first}`, `h${second}`]);
    }
    const machines = Array.from({ length: count }, (_, i) => `m${i}`);
    return { name: 'n', machines, nodes, links: links.map((endpoints) => ({ endpoints })) };
  });

/** Where copies of a broadcast that a host sends into `tap` arrive, as bridges without addresses forward them. */
function flood(configs: ReadonlyMap<string, SwitchConfig>, machine: string, tap: string): string[] {
  const arrived: string[] = [];
  const onItsWay: Place[] = endsWhere(configs, machine, (linkEnd) => 'tap' in linkEnd && linkEnd.tap === tap);
  expect(onItsWay).toHaveLength(1);
  for (let steps = 0; onItsWay.length > 0; steps++) {
    if (steps > 10_000) throw new Error('frames circle');
    const at = opposite(onItsWay.pop()!);
    const here = endOf(configs, at);
    if ('tap' in here) {
      arrived.push(here.tap);
    } else if ('udp' in here) {
      const back = udpName(at.machine);
      const isPeer = (linkEnd: LinkEnd): boolean =>
        'udp' in linkEnd && linkEnd.udp === back && linkEnd.channel === here.channel;
      const peers = endsWhere(configs, here.udp.slice('udp:'.length), isPeer);
      expect(peers).toHaveLength(1);
      onItsWay.push(...peers);
    } else if ('bridge' in here) {
      const others = endsWhere(configs, at.machine, (linkEnd) => 'bridge' in linkEnd && linkEnd.bridge === here.bridge);
      for (const other of others) {
        const linkEnd = endOf(configs, other);
        const back = other.link === at.link && other.end === at.end;
        const mesh = here.horizon === true && 'bridge' in linkEnd && linkEnd.horizon === true;
        if (!back && !mesh) onItsWay.push(other);
      }
    }
  }
  return arrived;
}

type LinkEnd = SwitchConfig['links'][number]['ends'][number];

/** An end of a link, on the machine that it is configured on. */
interface Place {
  readonly machine: string;
  readonly link: number;
  readonly end: 0 | 1;
}

function opposite(place: Place): Place {
  return { ...place, end: place.end === 0 ? 1 : 0 };
}

function endOf(configs: ReadonlyMap<string, SwitchConfig>, { machine, link, end: index }: Place): LinkEnd {
  return configs.get(machine)!.links[link]!.ends[index];
}

function endsWhere(
  configs: ReadonlyMap<string, SwitchConfig>,
  machine: string,
  matches: (linkEnd: LinkEnd) => boolean,
): Place[] {
  return configs
    .get(machine)!
    .links.flatMap(({ ends }, link) =>
      ends.flatMap((linkEnd, i) => (matches(linkEnd) ? [{ machine, link, end: i as 0 | 1 }] : [])),
    );
}

describe('a link with events', () => {
  const event = (atNs: number, set: NetworkEvent['set'], from?: string): NetworkEvent => ({
    atNs,
    link: 'h1:eth0--s1',
    set,
    ...(from === undefined ? {} : { from }),
  });
  const events = [event(1e9, { delay: '10ms' }), event(2e9, { state: 'down' }, 's1'), event(3e9, { state: 'up' })];
  const links = [link(1, 'h1:eth0', 's1'), link(2, 'h2:eth0', 's1')];
  const nodes = [host('h1', 'a'), bridge('s1', 'b'), host('h2', 'b')];
  const over = { ...network(['a', 'b'], nodes, links), events, passedEvents: 1 };
  const ms10 = { state: 'up', emulation: { delayNs: 10e6 } };

  it('is told what it becomes to both machines, each with what its own engine does', () => {
    const later = (machine: string): LaterChange[] =>
      switchConfigs(advance({ ...over, passedEvents: 0 }, 1e9), 7, 100e9).get(machine)!.links[0]!
        .later as LaterChange[];
    expect(later('a')).toMatchObject([
      { atNs: 102e9, forward: ms10, reverse: { state: 'down' } },
      { atNs: 103e9, forward: ms10, reverse: { state: 'up' } },
    ]);
    expect(later('a')[0]!.reverse).toEqual({ state: 'down' });
    expect(later('b')).toMatchObject([
      { atNs: 102e9, forward: { state: 'up' }, reverse: { ...ms10, state: 'down' } },
      { atNs: 103e9, forward: { state: 'up' }, reverse: ms10 },
    ]);
    expect(later('b')[0]!.forward).toEqual({ state: 'up' });
  });

  it('says nothing of time to whoever compares', () => {
    for (const config of switchConfigs(over, 7).values())
      for (const one of config.links) expect(one).not.toHaveProperty('later');
  });

  it('can be told alone, to the machines that it is on', () => {
    const told = scheduledLinks(over, new Set(['h1:eth0--s1']), 100e9);
    const configs = switchConfigs(over, 7, 100e9);
    expect([...told.keys()]).toEqual(['a', 'b']);
    for (const [machine, [own, ...more]] of told) {
      const { ends: _, ...config } = configs.get(machine)!.links.find(({ name }) => name === 'h1:eth0--s1')!;
      expect([own, more]).toEqual([config, []]);
    }
    expect([...scheduledLinks(over, new Set(['h2:eth0--s1']), 100e9).keys()]).toEqual(['b']);
    expect(machinesOf(over, links[0]!)).toEqual(['a', 'b']);
  });
});

it('gives each machine an address of its own, over 255 machines too', () => {
  const addresses = Array.from({ length: 1000 }, (_, id) => underlayAddress({ name: 'm', id }));
  expect(new Set(addresses).size).toBe(1000);
  expect(addresses[0]).toBe('100.64.0.1');
  expect(addresses[255]).toBe('100.64.1.0');
});
