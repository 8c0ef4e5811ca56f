/**
 * The router node kind: a netns host that forwards. Its routes are computed by `routes.ts`; its configuration is a
 * host's with forwarding on.
 */
import type { Network } from '../model/network.js';
import { configuration, type NetnsNode } from '../vhost/netns.js';

/** The section of an `nsrun batch` script for a host or router; `was`: as it is now. */
export function nodeConfiguration(node: NetnsNode, init: string, was?: NetnsNode): string[] {
  return configuration(node, init, node.kind === 'router', was);
}

/** Hosts and routers: all nodes that are namespaces. */
export function netnsNodes(network: Network): NetnsNode[] {
  return network.nodes.filter((node) => node.kind === 'host' || node.kind === 'router');
}
