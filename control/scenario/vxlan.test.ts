import { describe, expect, it } from 'vitest';
import { ScenarioError } from '../../model/errors.js';
import type { Network, VxlanNode } from '../../model/network.js';
import { loadText } from './load.js';
import { resolve } from './resolve.js';

const network = (text: string): Network => resolve(loadText(text, 'x.yaml'));
/** A switch with a host, and a VXLAN with these keys and this link. */
const one = (vxlan: string, link = '', more = ''): string => `name: x
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host }
  vx: { kind: vxlan, ${vxlan} }
links:
  - { endpoints: [vx, s1]${link} }
  - { endpoints: [h1, s1]${more} }
`;
const vxlan = (text: string): VxlanNode => network(text).nodes.find((node) => node.kind === 'vxlan')!;
const mtus = (text: string): number[] =>
  network(text).nodes.flatMap((node) => ('ports' in node ? node.ports.map(({ mtuBytes }) => mtuBytes) : []));
const failure = (text: string): ScenarioError => {
  try {
    network(text);
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('a VXLAN', () => {
  it('comes with every default', () => {
    expect(vxlan(one('vni: 100, remote: 192.0.2.7'))).toEqual({
      kind: 'vxlan',
      name: 'vx',
      machine: 'local',
      vni: 100,
      remotes: ['192.0.2.7'],
      port: 4789,
      hops: 64,
      isPlayed: false,
      mtuBytes: 1450,
    });
    expect(vxlan(one('vni: 0, group: "ff05:0::77", device: eth1, ttl: 3, port: 8472, local: "FD00::1"'))).toMatchObject(
      {
        remotes: [],
        group: 'ff05::77',
        device: 'eth1',
        hops: 3,
        port: 8472,
        local: 'fd00::1',
        mtuBytes: 1430,
      },
    );
    expect(vxlan(one('vni: 1, group: 239.1.1.1'))).toMatchObject({ hops: 1 });
    expect(vxlan(one('vni: 1, remote: [192.0.2.7, 192.0.2.8]')).remotes).toEqual(['192.0.2.7', '192.0.2.8']);
  });

  it('is no member of its LAN, and no switch of it', () => {
    const { lans, links, nodes } = network(one('vni: 1, remote: 192.0.2.7'));
    expect(lans).toEqual([{ name: 's1', subnet: '10.0.1.0/24', switches: ['s1'] }]);
    expect(links[0]!.ends).toEqual([{ node: 'vx' }, { node: 's1' }]);
    expect(nodes.find(({ name }) => name === 'h1')).toMatchObject({ ports: [{ addresses: ['10.0.1.1/24'] }] });
  });

  it('has its switch present on its machine', () => {
    const text = one('vni: 1, remote: 192.0.2.7, machine: b').replace('name: x', 'name: x\nmachines: [a, b]');
    expect(network(text).nodes).toMatchObject([{ machines: ['a', 'b'] }, {}, { machine: 'b', isPlayed: true }]);
  });

  it('leaves its LAN the MTU that it has, where a link says none of its own', () => {
    expect(mtus(one('vni: 1, remote: 192.0.2.7'))).toEqual([1450]);
    expect(mtus(one('vni: 1, remote: "2001:db8::1"'))).toEqual([1430]);
    expect(mtus(one('vni: 1, remote: 192.0.2.7', ', mtu: 8950'))).toEqual([8950]);
    expect(mtus(one('vni: 1, remote: 192.0.2.7', '', ', mtu: 1400'))).toEqual([1400]);
    expect(network(one('vni: 1, remote: 192.0.2.7', ', mtu: 8950')).links[0]!.forward).toEqual({ state: 'up' });
  });

  it('leaves it the least of several, over all of its switches', () => {
    const text = `${one('vni: 1, remote: 192.0.2.7')}  - { endpoints: [s1, s2] }
  - { endpoints: [s2, vy] }
`.replace('links:', '  s2: { kind: switch }\n  vy: { kind: vxlan, vni: 2, remote: "2001:db8::1" }\nlinks:');
    expect(mtus(text)).toEqual([1430]);
  });

  // The place is marked; without a mark it is the node's.
  it.each([
    ['vni: ^16777216, remote: 192.0.2.7', 'vni is at most 16777215'],
    ['vni: ^-1, remote: 192.0.2.7', 'vni is at least 0'],
    ['vni: ^1.5, remote: 192.0.2.7', 'vni is a whole number'],
    ['remote: 192.0.2.7', '"vni" is missing'],
    ['vni: 1', 'a VXLAN has a "remote" or a "group"'],
    ['vni: 1, remote: 192.0.2.7, ^group: 239.1.1.1', 'not both'],
    ['vni: 1, remote: ^[]', 'remote names at least one address'],
    ['vni: 1, remote: ^192.0.2', 'is not IPv4'],
    ['vni: 1, remote: ^192.0.2.7/24', 'has a prefix length'],
    ['vni: 1, remote: ^239.1.1.1', 'is a multicast group'],
    ['vni: 1, remote: ^0.0.0.0', 'is "this network"'],
    ['vni: 1, remote: ^255.255.255.255', 'is broadcast'],
    ['vni: 1, remote: ^"fe80::1"', 'is link-local'],
    ['vni: 1, remote: ^"::ffff:192.0.2.7"', 'stands for IPv4'],
    ['vni: 1, remote: [192.0.2.7, ^192.0.2.7]', 'is named twice'],
    ['vni: 1, remote: [192.0.2.7, ^"2001:db8::1"]', 'is IPv6, and 192.0.2.7 is not'],
    ['vni: 1, group: ^192.0.2.7', 'is no multicast group'],
    ['vni: 1, remote: 192.0.2.7, local: ^239.1.1.1', 'is a multicast group'],
    ['vni: 1, remote: 192.0.2.7, port: ^0', 'port is at least 1'],
    ['vni: 1, remote: 192.0.2.7, port: ^65536', 'port is at most 65535'],
    ['vni: 1, remote: 192.0.2.7, ttl: ^256', 'ttl is at most 255'],
    ['vni: 1, remote: 192.0.2.7, device: ^interface-of-16x', 'a name of 1 to 15 characters'],
    ['vni: 1, remote: 192.0.2.7, machine: ^b', 'there is no machine "b"'],
    ['vni: 1, remote: 192.0.2.7, ^subnet: 10.0.0.0/24', 'unknown key "subnet"'],
  ])('is refused with %s', (text, message) => {
    const error = failure(one(text.replace('^', '')));
    expect(error.message).toContain(message);
    const mark = text.indexOf('^');
    const column = mark === -1 ? 7 : '  vx: { kind: vxlan, '.length + mark + 1;
    expect(error.position).toEqual({ file: 'x.yaml', line: 5, column });
  });

  it.each([
    ['  - { endpoints: [vx, h1] }\n', 'which is no switch'],
    ['  - { endpoints: [vx, s1] }\n  - { endpoints: [vx, s1] }\n', 'has a link already'],
    ['  - { endpoints: ["vx:eth0", s1] }\n', 'takes no port'],
    ['  - { endpoints: [{ node: vx, address: 10.0.1.9 }, s1] }\n', 'takes no address'],
    ['  - { endpoints: [vx, s1], subnet: 10.0.9.0/24 }\n', 'part of that switch’s LAN'],
    ['  - { endpoints: [h1, s1] }\n', 'is linked to nothing'],
  ])('hangs on one switch: %s', (links, message) => {
    const head = one('vni: 1, remote: 192.0.2.7').split('links:\n')[0]!;
    expect(failure(`${head}links:\n${links}`).message).toContain(message);
  });

  it('needs a UDP port of its own on its machine', () => {
    const two = (a: string, b: string): string =>
      `name: x\nmachines: [a, b]\nnodes:\n  s1: { kind: switch }\n  va: { kind: vxlan, vni: 1, ${a} }\n  vb: { kind: vxlan, vni: 2, ${b} }\nlinks:\n  - { endpoints: [va, s1] }\n  - { endpoints: [vb, s1] }\n`;
    const remote = 'remote: 192.0.2.7';
    const error = failure(two(remote, remote));
    expect(error.message).toContain('vb and va would listen at the same UDP port, 4789');
    expect(error.position).toMatchObject({ line: 6, column: 7 });
    expect(failure(two(remote, `${remote}, local: 192.0.2.1`)).message).toContain('same UDP port');
    expect(failure(two(remote, `${remote}, machine: a`)).message).toContain('same UDP port');
    for (const [a, b] of [
      [remote, `${remote}, port: 8472`],
      [remote, `${remote}, machine: b`],
      [remote, 'remote: "2001:db8::1"'],
      [`${remote}, local: 192.0.2.1`, `${remote}, local: 192.0.2.2`],
      [`${remote}, device: eth0`, `${remote}, device: eth1`],
    ] as const)
      expect(network(two(a, b)).nodes).toHaveLength(3);
  });

  it('is refused where a port of its LAN has a larger MTU', () => {
    const error = failure(one('vni: 1, remote: 192.0.2.7', '', ', mtu: 1500'));
    expect(error.message).toContain('an MTU of 1500 does not pass through the VXLAN vx of this LAN, which takes 1450');
    expect(error.position).toEqual({ file: 'x.yaml', line: 8, column: 33 });
    expect(error.hint).toContain('leave it out for 1450');
    const narrow = one('vni: 1, remote: 192.0.2.7', ', mtu: 1279').replace('/24 }', '/24, subnet6: "fd00::/64" }');
    expect(failure(narrow).message).toContain('too small for IPv6');
  });
});
