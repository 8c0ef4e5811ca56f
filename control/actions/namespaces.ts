/** Namespaces that the keeper makes: those of hosts, of played machines, and of the underlay between these. */
import type { LiveNetwork } from '../live.js';
import { isAlive, killProcesses, processId } from '../process.js';
import { findKeeper } from './keeper.js';
import { record } from './record.js';

/** `name` is its role: `host:h1`, `machine:a`. */
export interface Namespace {
  readonly name: string;
  readonly hostname: string;
  readonly directory: string;
}

/** Makes those that do not live; `onMade` is told of each, with its init's pid. */
export async function ensureNamespaces(
  live: LiveNetwork,
  wanted: readonly Namespace[],
  onMade: (role: string, pid: number) => void,
): Promise<void> {
  // Some may have been made for an agent that ended before it could write it down, or for a step that failed.
  const known = new Map(live.keeper.hosts().map(({ name, pid }) => [name, pid]));
  const missing = wanted.filter(({ name }) => {
    const recorded = live.processOf(name);
    if (recorded !== undefined && isAlive(recorded)) return false;
    const pid = known.get(name);
    if (pid !== undefined) record(live, { [name]: pid });
    return pid === undefined;
  });
  await live.keeper.makeHosts(missing, (index, pid) => {
    const { name } = missing[index]!;
    record(live, { [name]: pid });
    onMade(name, pid);
  });
}

/** Ends those whose role is wanted: on record, or known to the keeper alone. */
export async function removeNamespaces(live: LiveNetwork, isWanted: (role: string) => boolean): Promise<void> {
  const inits = [...live.journal.state.processes].filter(([role]) => isWanted(role)).map(([, id]) => id);
  if ((await findKeeper(live)) !== undefined)
    for (const { name, pid } of hostsOfKeeper(live)) {
      const id = isWanted(name) ? processId(pid) : undefined;
      if (id !== undefined && !inits.some((other) => other.pid === pid)) inits.push(id);
    }
  await killProcesses(inits);
}

/** None when it cannot be asked, because somebody removed its socket: it takes all that it has with it when it ends. */
function hostsOfKeeper(live: LiveNetwork): { name: string; pid: number }[] {
  try {
    return live.keeper.hosts();
  } catch {
    return [];
  }
}
