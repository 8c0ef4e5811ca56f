/** What actions share: where they work, and how they record what they made. */
import { LuthierError } from '../../model/errors.js';
import type { Network } from '../../model/network.js';
import type { NetnsNode } from '../../vhost/netns.js';
import { netnsNodes } from '../../vrouter/router.js';
import type { LiveNetwork } from '../live.js';
import { processId, type ProcessId } from '../process.js';

/** From what is there, in whole or in part (absent: nothing), to what is to be. */
export interface Target {
  readonly live: LiveNetwork;
  readonly was?: Network | undefined;
  readonly to: Network;
}

/** Records the processes that came of an action, by role. */
export function record(live: LiveNetwork, pids: Readonly<Record<string, number>>): void {
  const processes: Record<string, ProcessId> = {};
  for (const [role, pid] of Object.entries(pids)) {
    const id = processId(pid);
    if (id === undefined) throw new LuthierError('E_PROCESS', `the process for '${role}' (pid ${pid}) ended at once`);
    processes[role] = id;
  }
  if (Object.keys(processes).length > 0) live.journal.append({ op: 'made', processes });
}

/** The named hosts and routers of a network, in its order. */
export function pick(network: Network, names: readonly string[]): NetnsNode[] {
  const wanted = new Set(names);
  return netnsNodes(network).filter((node) => wanted.has(node.name));
}
