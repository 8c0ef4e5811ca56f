/** Namespaces that the keeper makes: those of hosts, of played machines, and of the underlay between these. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LiveNetwork } from '../live.js';
import { isAlive, killProcesses, processId } from '../process.js';
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
    if (pid === undefined) return true;
    record(live, { [name]: pid });
    onMade(name, pid);
    return false;
  });
  await live.keeper.makeHosts(missing, (index, pid) => {
    const { name } = missing[index]!;
    record(live, { [name]: pid });
    onMade(name, pid);
  });
}

/** Ends those whose role is wanted: on record, known to the keeper alone, or to nobody. */
export async function removeNamespaces(live: LiveNetwork, isWanted: (role: string) => boolean): Promise<void> {
  const inits = [...live.journal.state.processes].filter(([role]) => isWanted(role)).map(([, id]) => id);
  const known = new Set(inits.map(({ pid }) => pid));
  for (const { name, pid } of [...hostsOfKeeper(live), ...strays(live)]) {
    const id = isWanted(name) && !known.has(pid) ? processId(pid) : undefined;
    if (id === undefined) continue;
    known.add(pid);
    inits.push(id);
  }
  await killProcesses(inits);
}

/**
 * Inits that have our files for their /etc/hosts: where an agent was killed before it could write down what the keeper
 * had made for it, and the keeper then too, nothing else tells that they are ours.
 */
function strays({ paths }: LiveNetwork): { name: string; pid: number }[] {
  const files = new Map<string, string>();
  for (const name of existsSync(paths.hosts) ? readdirSync(paths.hosts) : []) {
    const file = identityOf(join(paths.hosts, name, 'hosts'));
    if (file !== undefined) files.set(file, name.startsWith('@') ? name.slice(1) : `host:${name}`);
  }
  if (files.size === 0) return [];
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry) || commandName(entry) !== 'luthier-host') return [];
    const name = files.get(identityOf(`/proc/${entry}/root/etc/hosts`) ?? '');
    return name === undefined ? [] : [{ name, pid: Number(entry) }];
  });
}

function identityOf(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file);
    return `${dev}:${ino}`;
  } catch {
    return undefined; // it ended meanwhile, or is another user's
  }
}

function commandName(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined; // it ended meanwhile
  }
}

/** None where none runs, or somebody removed its socket: it takes all that it has with it when it ends. */
function hostsOfKeeper(live: LiveNetwork): { name: string; pid: number }[] {
  try {
    return live.keeper.hosts();
  } catch {
    return [];
  }
}
