import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostNode, Network, Port, Route } from '../../model/network.js';
import type { RawLink, RawNode, RawScenario } from '../../model/scenario.js';
import { load } from './load.js';
import { keptIds, resolve } from './resolve.js';

const TWO_LANS = new URL('../../scenarios/two-lans/scenario.yaml', import.meta.url).pathname;

type Given = Omit<RawScenario, 'name'>;
const resolved = (scenario: Given, previous?: Network): Network =>
  resolve(load({ name: 'test', ...scenario }), previous);

const hostLike = (network: Network, name: string): Pick<HostNode, 'ports' | 'routes' | 'machine'> => {
  const node = network.nodes.find((candidate) => candidate.name === name);
  if (node?.kind !== 'host' && node?.kind !== 'router') throw new Error(`no host ${name}`);
  return node;
};
const port = (network: Network, name: string, number = 0): Port => hostLike(network, name).ports[number]!;
const addresses = (network: Network, name: string): string[] =>
  hostLike(network, name).ports.flatMap((own) => own.addresses);
const routes = (network: Network, name: string): readonly Route[] => hostLike(network, name).routes;

const host = { kind: 'host' } as const;
const router = { kind: 'router' } as const;
const lan = (subnet: string, subnet6?: string) =>
  ({ kind: 'switch', subnet, ...(subnet6 ? { subnet6 } : {}) }) as const;
const link = (a: string, b: string): RawLink => ({ endpoints: [a, b] });

describe('two LANs, a router and two machines', () => {
  const network = resolve(load(TWO_LANS));

  it('have every address, route and machine', () => {
    expect(addresses(network, 'r1')).toEqual(['10.0.1.1/24', 'fd00:1::1/64', '10.0.2.1/24']);
    expect(addresses(network, 'h1')).toEqual(['10.0.1.2/24', 'fd00:1::2/64']);
    expect(addresses(network, 'h4')).toEqual(['10.0.2.77/24']);
    expect(routes(network, 'h1')).toEqual([
      { destination: '0.0.0.0/0', via: '10.0.1.1', port: 'eth0' },
      { destination: '::/0', via: 'fd00:1::1', port: 'eth0' },
    ]);
    expect(routes(network, 'h4')).toEqual([]);
    expect(network.links.map(({ name, id }) => `${id} ${name}`)).toEqual([
      '1 r1--s1',
      '2 r1--s2',
      '3 h1--s1',
      '4 h2--s1',
      '5 uplink',
      '6 h4--s2',
    ]);
    expect(network.lans).toEqual([
      { name: 's1', subnet: '10.0.1.0/24', subnet6: 'fd00:1::/64', switches: ['s1'] },
      { name: 's2', subnet: '10.0.2.0/24', switches: ['s2'] },
    ]);
    expect(network.names).toContainEqual({ address: 'fd00:1::3', names: ['h2', 'h2.eth0'] });
    expect(network.names).toContainEqual({ address: '10.0.2.1', names: ['r1.eth1'] });
  });

  it('are frozen through and through, and plain JSON', () => {
    expect(Object.isFrozen(network.nodes[2])).toBe(true);
    expect(Object.isFrozen(port(network, 'h1').addresses)).toBe(true);
    expect(JSON.parse(JSON.stringify(network))).toEqual(network);
  });

  it('are the same every time, and the same again when nothing changes', () => {
    expect(resolve(load(TWO_LANS))).toEqual(network);
    expect(resolve(load(TWO_LANS), network)).toEqual(network);
  });

  it('have MACs of a hash, different in every network', () => {
    expect(port(network, 'h4').mac).toBe('02:00:00:00:00:77');
    expect(port(network, 'h1').mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
    const other = resolved({ nodes: { h1: host, h2: host }, links: [link('h1', 'h2')] });
    expect(port(other, 'h1').mac).not.toBe(port(network, 'h1').mac);
  });
});

describe('ports and links', () => {
  it('are numbered in the order of links, around those that are written', () => {
    const network = resolved({
      nodes: { h1: host, s1: lan('10.0.0.0/24') },
      links: [link('h1', 's1'), link('h1:eth1', 's1'), link('s1', 'h1'), link('h1', 's1')],
    });
    expect(network.links.map(({ name, ends }) => `${name} ${ends.map((end) => end.port ?? '-').join(' ')}`)).toEqual([
      'h1--s1 eth0 -',
      'h1--s1.2 eth1 -',
      's1--h1 - eth2',
      'h1--s1.3 eth3 -',
    ]);
    expect(hostLike(network, 'h1').ports.map(({ name }) => name)).toEqual(['eth0', 'eth1', 'eth2', 'eth3']);
  });

  it('have an MTU, and a state per direction', () => {
    const network = resolved({
      nodes: { h1: host, h2: host },
      links: [{ endpoints: ['h1', 'h2'], mtu: 9000, state: 'down', reverse: { state: 'up' } }],
    });
    expect(port(network, 'h1').mtuBytes).toBe(9000);
    expect(network.links[0]).toMatchObject({ forward: { state: 'down' }, reverse: { state: 'up' } });
  });

  it('keep their numbers while they exist', () => {
    const nodes = { h1: host, h2: host, h3: host, s1: lan('10.0.0.0/24') };
    const before = resolved({ nodes, links: [link('h1', 's1'), link('h2', 's1'), link('h3', 's1')] });
    const after = resolved({ nodes, links: [link('h3', 's1'), link('s1', 'h1'), link('h2', 's1')] }, before);
    expect(after.links.map(({ name, id }) => `${name} ${id}`)).toEqual(['h3--s1 3', 's1--h1 4', 'h2--s1 2']);
  });

  it('give a number that was in use to nobody else at once: frames may be on their way to who had it', () => {
    const named = (...names: string[]) => names.map((name) => ({ name }));
    const before = [
      { name: 'a', id: 1 },
      { name: 'b', id: 2 },
    ];
    expect([...keptIds(named('b', 'c', 'd'), before, 1, 9)]).toEqual([
      ['b', 2],
      ['c', 3],
      ['d', 4],
    ]);
    expect([...keptIds(named('b', 'c', 'd'), before, 1, 3)], 'unless there are no others').toEqual([
      ['b', 2],
      ['c', 3],
      ['d', 1],
    ]);
  });
});

describe('LANs', () => {
  it('reach over switches that are joined, whichever has the subnet', () => {
    const network = resolved({
      nodes: { s1: { kind: 'switch' }, s2: lan('10.0.0.0/24'), s3: { kind: 'switch' }, h1: host, h3: host },
      links: [link('s3', 's2'), link('s1', 's2'), link('h3', 's3'), link('h1', 's1')],
    });
    expect(network.lans).toEqual([{ name: 's1', subnet: '10.0.0.0/24', switches: ['s1', 's2', 's3'] }]);
    expect([addresses(network, 'h3'), addresses(network, 'h1')]).toEqual([['10.0.0.1/24'], ['10.0.0.2/24']]);
  });

  it('without a subnet are layer 2 alone', () => {
    const network = resolved({ nodes: { s1: { kind: 'switch' }, h1: host }, links: [link('h1', 's1')] });
    expect(network.lans).toEqual([{ name: 's1', switches: ['s1'] }]);
    expect(port(network, 'h1')).toMatchObject({ addresses: [], lan: 's1' });
    expect(network.names).toEqual([]);
  });

  it('with names of their own share switches', () => {
    const network = resolved({
      lans: { red: { subnet: '10.0.1.0/24', vlan: 10 }, blue: { subnet: '10.0.2.0/24', vlan: 20 } },
      nodes: { s1: { kind: 'switch' }, s2: { kind: 'switch' }, h1: host, h2: host },
      links: [
        { endpoints: ['s1', { node: 's2', trunk: ['red', 'blue'] }] },
        { endpoints: ['h1', { node: 's1', lan: 'red' }] },
        { endpoints: [{ node: 'h2', lan: 'red' }, 's2'] },
      ],
    });
    expect(network.lans).toEqual([
      { name: 'red', subnet: '10.0.1.0/24', switches: ['s1', 's2'] },
      { name: 'blue', subnet: '10.0.2.0/24', switches: ['s1', 's2'] },
    ]);
    expect(addresses(network, 'h2')).toEqual(['10.0.1.2/24']);
  });
});

describe('links without a switch', () => {
  it('take a /31 and a /127 from the pool, around what is written', () => {
    const network = resolved({
      pool: { subnet: '10.0.0.0/28', subnet6: 'fd00::/120' },
      nodes: { r1: router, r2: router, r3: router, s1: lan('10.0.0.4/30') },
      links: [
        link('r1', 'r2'),
        { endpoints: ['r2', 'r3'], subnet: '10.0.0.0/31' },
        link('r1', 'r3'),
        link('r1', 's1'),
        link('r2', 'r3'),
      ],
    });
    expect(network.lans.map(({ name, subnet, subnet6 }) => [name, subnet, subnet6])).toEqual([
      ['s1', '10.0.0.4/30', undefined],
      ['r1--r2', '10.0.0.2/31', 'fd00::/127'],
      ['r2--r3', '10.0.0.0/31', 'fd00::2/127'],
      ['r1--r3', '10.0.0.8/31', 'fd00::4/127'],
      ['r2--r3.2', '10.0.0.10/31', 'fd00::6/127'],
    ]);
    expect(port(network, 'r1').addresses).toEqual(['10.0.0.2/31', 'fd00::/127']);
    expect(port(network, 'r2').addresses).toEqual(['10.0.0.3/31', 'fd00::1/127']);
  });

  it('have no IPv6 of the pool where their MTU is too small for it', () => {
    const network = resolved({ nodes: { h1: host, h2: host }, links: [{ endpoints: ['h1', 'h2'], mtu: 576 }] });
    expect(addresses(network, 'h1')).toEqual(['10.254.0.0/31']);
  });

  it('keep their subnets while they exist', () => {
    const nodes = { h1: host, h2: host, h3: host };
    const before = resolved({ nodes, links: [link('h1', 'h2'), link('h2', 'h3')] });
    const after = resolved({ nodes, links: [link('h3', 'h1'), { endpoints: ['h2', 'h3'] }] }, before);
    expect(after.lans.map(({ subnet }) => subnet)).toEqual(['10.254.0.0/31', '10.254.0.2/31']);
    const moved = resolved({ nodes, pool: { subnet: '10.9.0.0/24' }, links: [link('h2', 'h3')] }, before);
    expect(moved.lans.map(({ subnet }) => subnet)).toEqual(['10.9.0.0/31']);
  });

  it('are refused when the pool has no more', () => {
    const scenario: Given = {
      pool: { subnet: '10.0.0.0/31' },
      nodes: { h1: host, h2: host },
      links: [link('h1', 'h2'), link('h1', 'h2')],
    };
    expect(() => resolved(scenario)).toThrow(
      /^links\[1\]: the pool 10.0.0.0\/31 has no \/31 left for the link h1--h2.2$/,
    );
  });
});

describe('addresses', () => {
  const nodes = { h1: host, h2: host, h3: host, s1: lan('10.0.0.0/29', 'fd00::/64') };

  it('that are written are never given to another port', () => {
    const network = resolved({
      nodes,
      links: [
        link('h1', 's1'),
        { endpoints: [{ node: 'h2', address: '10.0.0.1', address6: 'fd00::2/64' }, 's1'] },
        link('h3', 's1'),
      ],
    });
    expect(addresses(network, 'h1')).toEqual(['10.0.0.2/29', 'fd00::1/64']);
    expect(addresses(network, 'h2')).toEqual(['10.0.0.1/29', 'fd00::2/64']);
    expect(addresses(network, 'h3')).toEqual(['10.0.0.3/29', 'fd00::3/64']);
  });

  it('that were given are kept while the port exists', () => {
    const before = resolved({ nodes, links: [link('h1', 's1'), link('h2', 's1'), link('h3', 's1')] });
    const after = resolved({ nodes, links: [link('h3', 's1'), link('h2', 's1')] }, before);
    expect([addresses(after, 'h2'), addresses(after, 'h3')]).toEqual([
      ['10.0.0.2/29', 'fd00::2/64'],
      ['10.0.0.3/29', 'fd00::3/64'],
    ]);
    const back = resolved({ nodes, links: [link('h1', 's1'), link('h2', 's1'), link('h3', 's1')] }, after);
    expect(addresses(back, 'h1')).toEqual(['10.0.0.1/29', 'fd00::1/64']);
  });

  it('that were given yield to written ones, and to another subnet', () => {
    const before = resolved({ nodes, links: [link('h1', 's1'), link('h2', 's1')] });
    const taken = resolved(
      { nodes, links: [link('h1', 's1'), { endpoints: [{ node: 'h3', address: '10.0.0.1' }, 's1'] }] },
      before,
    );
    expect(addresses(taken, 'h1')).toEqual(['10.0.0.2/29', 'fd00::1/64']);
    const moved = resolved({ nodes: { ...nodes, s1: lan('10.7.0.0/24') }, links: [link('h1', 's1')] }, before);
    expect(addresses(moved, 'h1')).toEqual(['10.7.0.1/24']);
  });

  it('differ on a LAN, lie in its subnet, and stay through any change that leaves their ports', () => {
    const nodesOfAll = Object.fromEntries(Array.from({ length: 9 }, (_, i): [string, RawNode] => [`h${i}`, host]));
    const members = fc.uniqueArray(fc.nat(8), { minLength: 1 });
    const scenario = (hosts: readonly number[]): Given => ({
      nodes: { ...nodesOfAll, s1: lan('10.0.0.0/28', 'fd00::/124') },
      links: hosts.map((i) => link(`h${i}`, 's1')),
    });
    fc.assert(
      fc.property(members, members, (first, second) => {
        const before = resolved(scenario(first));
        const after = resolved(scenario(second), before);
        const all = after.nodes.flatMap((node) =>
          node.kind === 'host' || node.kind === 'router' ? node.ports.flatMap((own) => own.addresses) : [],
        );
        expect(new Set(all).size).toBe(second.length * 2);
        expect(all.every((address) => /^(10\.0\.0\.([1-9]|1[0-4])\/28|fd00::[1-9a-f]\/124)$/.test(address))).toBe(true);
        for (const i of second.filter((n) => first.includes(n))) {
          expect(addresses(after, `h${i}`)).toEqual(addresses(before, `h${i}`));
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('default routes', () => {
  const nodes = { s1: lan('10.0.1.0/24'), s2: lan('10.0.2.0/24', 'fd00:2::/64'), r1: router, r2: router };

  it('lead to the first router in the order of links, on the lowest port with an address', () => {
    const network = resolved({
      nodes: { ...nodes, h1: host },
      links: [link('h1:eth1', 's2'), link('h1:eth0', 's1'), link('r2', 's1'), link('r1', 's1'), link('r1', 's2')],
    });
    expect(routes(network, 'h1')).toEqual([
      { destination: '0.0.0.0/0', via: '10.0.1.2', port: 'eth0' },
      { destination: '::/0', via: 'fd00:2::2', port: 'eth1' },
    ]);
  });

  it('are what the host says', () => {
    const on = (settings: { readonly gateway?: string; readonly gateway6?: string }): readonly Route[] =>
      routes(
        resolved({
          nodes: { ...nodes, h1: { ...host, ...settings } },
          links: [link('r1', 's2'), link('r2', 's2'), link('h1', 's2')],
        }),
        'h1',
      );
    const v4 = (via: string): Route => ({ destination: '0.0.0.0/0', via, port: 'eth0' });
    const v6 = (via: string): Route => ({ destination: '::/0', via, port: 'eth0' });
    expect(on({})).toEqual([v4('10.0.2.1'), v6('fd00:2::1')]);
    expect(on({ gateway: 'none' })).toEqual([]);
    expect(on({ gateway6: 'none' })).toEqual([v4('10.0.2.1')]);
    expect(on({ gateway: '10.0.2.2' })).toEqual([v4('10.0.2.2'), v6('fd00:2::1')]);
    expect(on({ gateway: 'none', gateway6: 'FD00:2:0::2' })).toEqual([v6('fd00:2::2')]);
  });

  it('are none without a router, and routers have none', () => {
    const network = resolved({ nodes: { ...nodes, h1: host }, links: [link('h1', 's1'), link('r1', 's2')] });
    expect(routes(network, 'h1')).toEqual([]);
    expect(routes(network, 'r1')).toEqual([]);
  });

  it('and routers’ routes cover a chain of routers joined by bare links', () => {
    const network = resolved({
      nodes: { ...nodes, r3: router, h1: host, h2: host },
      links: [
        link('h1', 's1'),
        link('r1', 's1'),
        link('r1', 'r2'),
        link('r2', 'r3'),
        link('r3', 's2'),
        link('h2', 's2'),
      ],
    });
    expect(routes(network, 'r1').filter(({ destination }) => destination.startsWith('10.'))).toEqual([
      { destination: '10.0.2.0/24', via: '10.254.0.1', port: 'eth1' },
      { destination: '10.254.0.2/31', via: '10.254.0.1', port: 'eth1' },
    ]);
    expect(routes(network, 'r1')).toContainEqual({ destination: 'fd00:2::/64', via: 'fd00:ffff::1', port: 'eth1' });
    expect(routes(network, 'h2')[0]).toEqual({ destination: '0.0.0.0/0', via: '10.0.2.1', port: 'eth0' });
  });
});

it('has events in order of time, and of one moment in the order of the file', () => {
  const links = [link('h1', 's1')];
  const at = (time: string, delay: string) => ({ at: time, link: 'h1--s1', set: { delay } });
  const events = [at('1s', '1ms'), { ...at('500ms', '2ms'), from: 'h1' }, at('1s', '3ms')];
  expect(resolved({ nodes: { h1: host, s1: { kind: 'switch' } }, links, events })).toMatchObject({
    events: [
      { atNs: 500e6, link: 'h1--s1', from: 'h1', set: { delay: '2ms' } },
      { atNs: 1e9, set: { delay: '1ms' } },
      { atNs: 1e9, set: { delay: '3ms' } },
    ],
    passedEvents: 0,
  });
});

describe('machines', () => {
  it('are "local" where none is named', () => {
    const network = resolved({ nodes: { h1: host } });
    expect(network.machines).toEqual([{ name: 'local', id: 0 }]);
    expect(hostLike(network, 'h1').machine).toBe('local');
  });

  it('have the switches of their members, in the order in which they are listed', () => {
    const network = resolved({
      machines: ['a', 'b', 'c'],
      nodes: {
        s1: { kind: 'switch' },
        s2: { kind: 'switch' },
        s3: { kind: 'switch', machine: 'c' },
        h1: { kind: 'host', machine: 'c' },
        h2: { kind: 'host', machine: 'b' },
        h3: host,
      },
      links: [link('s1', 'h1'), link('h2', 's1'), link('s1', 's2'), link('s2', 's3'), link('h3', 's3')],
    });
    const machines = network.nodes.flatMap((node) => (node.kind === 'switch' ? [node.machines] : []));
    expect(machines).toEqual([['b', 'c'], ['a'], ['c']]);
    expect(hostLike(network, 'h3').machine).toBe('a');
  });
});

describe('settings', () => {
  it('are kept, with sizes in bytes', () => {
    const network = resolved({
      seed: 7,
      nodes: {
        s1: { kind: 'switch', transparent: true },
        h1: { kind: 'host', command: ['sleep', '1'], env: { A: 'b' }, cpu: 0.5, memory: '256MiB' },
        r1: { kind: 'router', env: { C: 'd' } },
      },
    });
    expect(network.seed).toBe(7);
    expect(network.nodes[0]).toEqual({ kind: 'switch', name: 's1', id: 0, machines: ['local'], transparent: true });
    expect(network.nodes[1]).toMatchObject({
      command: ['sleep', '1'],
      env: { A: 'b' },
      cpu: 0.5,
      memoryBytes: 268435456,
    });
    expect(network.nodes[2]).toMatchObject({
      kind: 'router',
      routing: 'static',
      env: { C: 'd' },
      ports: [],
      routes: [],
    });
    expect(network.nodes[1]).not.toHaveProperty('routing');
  });

  it('of link numbers are bounded', () => {
    const hosts = Array.from({ length: 8 }, (_, i) => `h${i}`);
    const links = Array.from({ length: 65536 }, (_, i) => link(`h${i % 8}`, 's1'));
    const nodes = { ...Object.fromEntries(hosts.map((name) => [name, host])), s1: { kind: 'switch' as const } };
    expect(() => resolved({ nodes, links })).toThrow(/at most 65535 links/);
  });

  it('of ports are bounded', () => {
    const links = Array.from({ length: 10_001 }, () => link('h1', 's1'));
    const nodes = { h1: host, s1: { kind: 'switch' as const } };
    expect(resolved({ nodes, links: links.slice(1) }).links.at(-1)?.ends[0].port).toBe('eth9999');
    expect(() => resolved({ nodes, links })).toThrow(/links\[10000\].*h1 has no port left/);
  });
});
