/**
 * Open vSwitch forwarding in its own process (`datapath_type=netdev`), with a database and sockets of its own: one that the
 * machine may run is not touched. Its ports are veths, which it reads by AF_PACKET and so without the checksums that a
 * sender leaves to a device: hosts complete them (`tx off`, and with it no super-frames).
 */
import { existsSync } from 'node:fs';
import type { Peer } from './peer.js';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const PORTS = ['p1', 'p2'];

export const ovs: Peer = {
  name: 'ovs',
  title: 'Open vSwitch, userspace',
  place: 'switch',
  programs: {
    'ovs-vswitchd': 'openvswitch-switch',
    'ovsdb-server': 'openvswitch-switch',
    'ovs-vsctl': 'openvswitch-switch',
    ethtool: 'ethtool',
  },
  version: ['ovs-vswitchd', '--version'],
  async start(site) {
    const { folder } = site;
    const { at } = site.sides[0];
    const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder, OVS_SYSCONFDIR: folder };
    const [database, socket] = [`${folder}/conf.db`, `${folder}/db.sock`];
    const vsctl = (...words: string[]): Promise<string> =>
      site.output(at, ['ovs-vsctl', `--db=unix:${socket}`, '--timeout=10', ...words], env);

    await site.output(at, ['ovsdb-tool', 'create', database, SCHEMA], env);
    await site.run(at, ['ovsdb-server', database, `--remote=punix:${socket}`], env);
    await site.until('ovsdb-server listens', () => existsSync(site.path(at, socket)));
    await vsctl('--no-wait', 'init');
    await site.run(at, ['ovs-vswitchd', `unix:${socket}`], env);

    for (const [i, { host, address }] of site.sides.entries()) {
      const port = PORTS[i]!;
      const cable = `link add name ${port} type veth peer name eth0 netns ${site.pid(host)}`;
      await site.configure(at, [cable, `link set dev ${port} up`]);
      await site.address(host, address);
      await site.output(host, ['ethtool', '-K', 'eth0', 'tx', 'off']);
    }
    const ports = PORTS.flatMap((port) => ['--', 'add-port', 'br', port]);
    // Returns when ovs-vswitchd has done it.
    await vsctl('add-br', 'br', '--', 'set', 'bridge', 'br', 'datapath_type=netdev', ...ports);
  },
};
