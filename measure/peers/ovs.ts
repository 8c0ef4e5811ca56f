/**
 * Open vSwitch forwarding in its own process (`datapath_type=netdev`), with a database and sockets of its own: one that the
 * machine may run is not touched. Its ports are veths, which it reads by AF_PACKET and so without the checksums that a
 * sender leaves to a device: hosts complete them (`tx off`, and with it no super-frames).
 */
import { existsSync } from 'node:fs';
import type { Peer } from './peer.js';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
export const OVS_PORTS = ['p1', 'p2'] as const;

/** Its programs, all files in a folder of its own. `tap`: it makes its ports itself. */
export function ovsCommands(folder: string): {
  readonly env: Readonly<Record<string, string>>;
  readonly socket: string;
  readonly create: string[];
  readonly server: string[];
  readonly init: string[];
  readonly daemon: string[];
  /** Returns when ovs-vswitchd has done it. */
  readonly join: (type?: 'tap') => string[];
} {
  const [database, socket] = [`${folder}/conf.db`, `${folder}/db.sock`];
  const vsctl = ['ovs-vsctl', `--db=unix:${socket}`, '--timeout=10'];
  return {
    env: { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder, OVS_SYSCONFDIR: folder },
    socket,
    create: ['ovsdb-tool', 'create', database, SCHEMA],
    server: ['ovsdb-server', database, `--remote=punix:${socket}`],
    init: [...vsctl, '--no-wait', 'init'],
    daemon: ['ovs-vswitchd', `unix:${socket}`],
    join: (type) => {
      const made = (port: string): string[] =>
        type === undefined ? [] : ['--', 'set', 'interface', port, `type=${type}`];
      const ports = OVS_PORTS.flatMap((port) => ['--', 'add-port', 'br', port, ...made(port)]);
      return [...vsctl, 'add-br', 'br', '--', 'set', 'bridge', 'br', 'datapath_type=netdev', ...ports];
    },
  };
}

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
    const { env, socket, create, server, init, daemon, join } = ovsCommands(folder);

    await site.output(at, create, env);
    await site.run(at, server, env);
    await site.until('ovsdb-server listens', () => existsSync(site.path(at, socket)));
    await site.output(at, init, env);
    await site.run(at, daemon, env);

    for (const [i, { host, address }] of site.sides.entries()) {
      const port = OVS_PORTS[i]!;
      const cable = `link add name ${port} type veth peer name eth0 netns ${site.pid(host)}`;
      await site.configure(at, [cable, `link set dev ${port} up`]);
      await site.address(host, address);
      await site.output(host, ['ethtool', '-K', 'eth0', 'tx', 'off']);
    }
    await site.output(at, join(), env);
  },
};
