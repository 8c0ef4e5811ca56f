/** A network in a line, and what is wrong with it. */
import type { NetworkSummary } from '../model/messages.js';
import type { LiveNetwork } from './live.js';
import { NO_LOSSES } from './plan.js';
import { endedOf, inWords } from './repair.js';

export function summary(live: LiveNetwork): NetworkSummary {
  const { header, network } = live;
  const reasons = problems(live);
  const count = (kind: string): number => network.nodes.filter((node) => node.kind === kind).length;
  return {
    name: header.name,
    status: statusOf(live, reasons),
    ...(reasons.length === 0 ? {} : { broken: reasons }),
    machines: network.machines.length,
    hosts: count('host'),
    switches: count('switch'),
    routers: count('router'),
    links: network.links.length,
    seal: network.seal,
    ...(header.file === undefined ? {} : { file: header.file }),
    since: header.since,
    ...(header.zero === undefined ? {} : { zero: header.zero.at }),
  };
}

/** Why a network is not whole, in words; empty when it is, or is on the way. */
export function problems(live: LiveNetwork): string[] {
  if (live.isLost) return ['the machine was restarted since: nothing of it is left'];
  if (live.journal.state.status !== 'running') return [];
  const lost = endedOf(live);
  // What the supervisor mends is there again in a moment.
  const reported = live.isTended ? { ...NO_LOSSES, nodes: lost.nodes } : lost;
  return [
    ...inWords({ ...reported, nodes: new Set() }).map((what) => `${what} has ended; see ${live.paths.state}`),
    ...[...reported.nodes].map((name) => `${name} has lost its init, and everything that ran in it`),
  ];
}

function statusOf(live: LiveNetwork, reasons: readonly string[]): NetworkSummary['status'] {
  const { status } = live.journal.state;
  if (live.isLost) return 'lost';
  if (status === 'clearing') return 'changing';
  return status === 'running' && reasons.length > 0 ? 'broken' : status;
}
