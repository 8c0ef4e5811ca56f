import { describe, expect, it } from 'vitest';
import type { HostNode, Port } from '../model/network.js';
import { configuration } from './netns.js';

const port = (name: string, mtuBytes: number, ...addresses: string[]): Port => ({
  name,
  mac: '02:00:00:00:00:01',
  addresses,
  mtuBytes,
  link: name,
  lan: name,
});
const host = (...ports: Port[]): HostNode => ({
  kind: 'host',
  type: 'netns',
  name: 'h1',
  machine: 'local',
  env: {},
  ports,
  routes: [{ destination: '0.0.0.0/0', via: '10.0.0.1', port: 'eth0' }],
});

describe('the configuration of a host', () => {
  it('sets what decides how a port behaves, then its addresses, then the port up, then routes', () => {
    expect(configuration(host(port('eth0', 1500, '10.0.0.2/24', 'fd00::2/64')), '42:7', false)).toEqual([
      '@42:7',
      'sysctl net/ipv4/ip_forward 0',
      'sysctl net/ipv6/conf/all/forwarding 0',
      'sysctl net/ipv6/conf/default/forwarding 0',
      ...['all', 'default', 'eth0'].flatMap((name) => [
        `sysctl net/ipv4/conf/${name}/arp_ignore 1`,
        `sysctl net/ipv4/conf/${name}/arp_announce 2`,
        `sysctl net/ipv4/conf/${name}/rp_filter 0`,
      ]),
      ...['all', 'default', 'eth0'].flatMap((name) => [
        `sysctl net/ipv6/conf/${name}/accept_dad 0`,
        `sysctl net/ipv6/conf/${name}/router_solicitations 0`,
      ]),
      'addr replace 10.0.0.2/24 dev eth0',
      'addr replace fd00::2/64 dev eth0 nodad',
      '-link set dev eth0 gso_max_size 62592',
      'link set dev eth0 up',
      'route replace 0.0.0.0/0 via 10.0.0.1 dev eth0',
    ]);
  });

  it('leaves IPv6 out where the MTU is too small for it, port by port: the kernel has none there', () => {
    const lines = configuration(
      host(port('eth0', 1279, '10.0.0.2/24'), port('eth1', 1280, 'fd00::2/64')),
      '42:7',
      true,
    );
    expect(lines.filter((line) => line.includes('net/ipv6/conf/eth'))).toEqual([
      'sysctl net/ipv6/conf/eth1/accept_dad 0',
      'sysctl net/ipv6/conf/eth1/router_solicitations 0',
    ]);
    expect(lines).toContain('sysctl net/ipv4/conf/eth0/arp_ignore 1');
    expect(lines).toContain('addr replace fd00::2/64 dev eth1 nodad');
  });
});
