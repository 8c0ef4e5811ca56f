/**
 * What an ordinary user cannot have of a network, as opposed to root: it is left out, or less, and said once an `up` with
 * its effect. Everything else of a network is the same without root.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Notice } from '../model/messages.js';
import type { Network, Node } from '../model/network.js';
import { deepFreeze } from '../model/freeze.js';
import type { NetnsNode } from '../vhost/netns.js';
import { UDP_BUFFER_BYTES } from './wiring.js';

/** The most that a socket's receive buffer may be asked for by whoever is not root; undefined where it is not told. */
export function readReceiveBufferLimit(file = '/proc/sys/net/core/rmem_max'): number | undefined {
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

/** The network that can be made of `wanted` without root, and what it lacks. Pure. */
export function attainableWithoutRoot(
  wanted: Network,
  receiveBufferLimit: number | undefined,
): { network: Network; notices: Notice[] } {
  const notices: Notice[] = [];
  const limited = wanted.nodes.filter((node) => isNetns(node) && hasLimits(node)).map(({ name }) => name);
  if (limited.length > 0)
    notices.push({
      message: `without root, cpu and memory of ${listed(limited)} are not limited: they may take all of this machine`,
      hint: 'as root they are held to what the scenario says',
    });
  if (wanted.machines.length > 1 && (receiveBufferLimit ?? 0) < UDP_BUFFER_BYTES)
    notices.push({
      message: `without root, tunnels have ${sizeOf(receiveBufferLimit)} of receive buffer instead of 8 MiB: bursts that are longer lose frames`,
      hint: `sudo sysctl -w net.core.rmem_max=${UDP_BUFFER_BYTES} net.core.wmem_max=${UDP_BUFFER_BYTES}`,
    });
  return { network: deepFreeze({ ...wanted, nodes: wanted.nodes.map(withoutLimits) }), notices };
}

function isNetns(node: Node): node is NetnsNode {
  return node.kind === 'host' || node.kind === 'router';
}

function hasLimits(node: NetnsNode): boolean {
  return node.cpu !== undefined || node.memoryBytes !== undefined;
}

function withoutLimits(node: Node): Node {
  if (!isNetns(node) || !hasLimits(node)) return node;
  const { cpu, memoryBytes, ...rest } = node;
  return rest;
}

/** The first three, and how many there are besides. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

function sizeOf(bytes: number | undefined): string {
  return bytes === undefined ? 'less' : `${Number((bytes / 2 ** 20).toFixed(1))} MiB`;
}
