/**
 * The `netns` node kind: a host made of namespaces (net, mnt, uts, pid, ipc) around a small init that the keeper starts.
 * This file says what a host's files and its network configuration are; `control/` has them made.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HostNode, Network, Route, RouterNode } from '../model/network.js';

export type NetnsNode = HostNode | RouterNode;

/**
 * Bytes that every IPv6 link must carry (RFC 8200, section 5). On a port with a smaller MTU Linux has no IPv6 at all: no
 * addresses, and nothing below net/ipv6/conf (net/ipv6/addrconf.c, `ipv6_add_dev`).
 */
export const IPV6_LEAST_MTU = 1280;

/** Writes what is bound over the host's /etc/hosts and /etc/hostname. */
export function writeHostFiles(directory: string, network: Network, node: { readonly name: string }): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  writeFileSync(join(directory, 'hosts'), hostsFile(network, node.name), { mode: 0o644 });
  writeFileSync(join(directory, 'hostname'), `${node.name}\n`, { mode: 0o644 });
}

export function hostsFile(network: Network, self: string): string {
  const own = network.names.some(({ names }) => names.includes(self)) ? '' : `127.0.1.1 ${self}\n`;
  const lines = network.names.map(({ address, names }) => `${address} ${names.join(' ')}\n`);
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n${own}${lines.join('')}`;
}

/** What the files of all hosts take, in whole pages as a file system in memory gives them. */
export function hostFilesBytes(network: Network): number {
  const page = 4096;
  const names = network.names.reduce((sum, { address, names }) => sum + address.length + names.join(' ').length + 2, 0);
  const hosts = network.nodes.filter(({ kind }) => kind !== 'switch').length;
  return hosts * (Math.ceil((names + page) / page) + 1) * page;
}

/**
 * Longest super-frame that a host's kernel may make, as `gso_max_size` counts it: with MAX_TCP_HEADER (include/net/tcp.h,
 * 320 bytes), which is more than the headers take. So 43 segments of an MTU of 1500 and their headers, 62330 bytes, leave a
 * tunnel in one segmented send: cut to what a path MTU of 1500 carries and sealed, they are below the 65507 bytes of a
 * UDP datagram. A longer one would take two.
 */
const GSO_MAX_BYTES = 62592;

/**
 * The host's section of an `nsrun batch` script: sysctls, addresses, ports up, routes. `init`: its process, `PID:START`.
 * `forward`: it routes for others.
 *
 * IPv4 settings of a new namespace are copied from the machine's own (net/core/sysctl_net_core.c,
 * `devconf_inherit_init_net`), so those that decide how a network behaves are written out: the same scenario gives the
 * same network on every machine.
 *
 * A port whose MTU is below `IPV6_LEAST_MTU` has IPv4 alone: resolving gives it no IPv6 address, and no IPv6 route leaves
 * by it.
 *
 * `was`: the node as it is, or may be in part, when the script is run. What stays the same of it is not disturbed.
 */
export function configuration(node: NetnsNode, init: string, forward: boolean, was?: NetnsNode): string[] {
  const on = forward ? '1' : '0';
  const lines = [
    `@${init}`,
    ...(was === undefined ? [] : removal(was, node)),
    `sysctl net/ipv4/ip_forward ${on}`,
    `sysctl net/ipv6/conf/all/forwarding ${on}`,
    `sysctl net/ipv6/conf/default/forwarding ${on}`,
  ];
  for (const name of ['all', 'default', ...node.ports.map((port) => port.name)]) {
    lines.push(
      // An address belongs to its port: answered for there alone (design: hosts on several LANs must not confuse them).
      `sysctl net/ipv4/conf/${name}/arp_ignore 1`,
      `sysctl net/ipv4/conf/${name}/arp_announce 2`,
      `sysctl net/ipv4/conf/${name}/rp_filter 0`,
    );
  }
  const ipv6Ports = node.ports.filter(({ mtuBytes }) => mtuBytes >= IPV6_LEAST_MTU);
  for (const name of ['all', 'default', ...ipv6Ports.map((port) => port.name)]) {
    lines.push(
      // Addresses are unique by construction; detection would hold a link-local one back for a second (RFC 4862 5.4).
      `sysctl net/ipv6/conf/${name}/accept_dad 0`,
      // Addresses and routes are given, so there is nothing to ask for: with Linux's unlimited, ever rarer solicitations a
      // LAN of a thousand hosts is busy with them for minutes. Advertisements, which a router sends when it starts, count.
      `sysctl net/ipv6/conf/${name}/router_solicitations 0`,
    );
  }
  for (const port of node.ports) {
    for (const address of port.addresses)
      lines.push(`addr replace ${address} dev ${port.name}${address.includes(':') ? ' nodad' : ''}`);
    // Speed alone: a machine whose `ip` does not know it has longer super-frames.
    lines.push(`-link set dev ${port.name} gso_max_size ${GSO_MAX_BYTES}`, `link set dev ${port.name} up`);
  }
  for (const route of node.routes) lines.push(`route replace ${routeText(route)}`);
  return lines;
}

/**
 * What a node has and is not to have: routes, addresses (before others are added, as with a primary address the kernel
 * takes its secondary ones away), and what is different about its interfaces. What is gone already may fail.
 */
function removal(was: NetnsNode, node: NetnsNode): string[] {
  const lines: string[] = [];
  const routes = new Set(node.routes.map(routeText));
  for (const route of was.routes.map(routeText)) if (!routes.has(route)) lines.push(`-route del ${route}`);
  for (const port of was.ports) {
    const now = node.ports.find(({ name }) => name === port.name);
    if (now === undefined) continue;
    for (const address of port.addresses)
      if (!now.addresses.includes(address)) lines.push(`-addr del ${address} dev ${port.name}`);
    if (port.mtuBytes !== now.mtuBytes) lines.push(`link set dev ${port.name} mtu ${now.mtuBytes}`);
    // Down first: the link-local address is made from the MAC when the interface goes up.
    if (port.mac !== now.mac)
      lines.push(`link set dev ${port.name} down`, `link set dev ${port.name} address ${now.mac}`);
  }
  return lines;
}

function routeText({ destination, via, port }: Route): string {
  return `${destination} via ${via} dev ${port}`;
}

/** The environment of a host's command: what a login would have, and the node's own. */
export function environment(node: NetnsNode, home: string): string[] {
  const env: Record<string, string> = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: home,
    LUTHIER_NODE: node.name,
    ...node.env,
  };
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}
