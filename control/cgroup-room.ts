/**
 * What the cgroups that we are in leave us: the limits of a container, of a systemd unit or slice. The keeper, hosts and
 * switch processes that an agent starts are in its groups, so that what holds for it holds for all of them.
 *
 * Called by `machine-limits.ts`.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readCgroupHierarchies, type CgroupHierarchy } from '../vhost/cgroup-hierarchies.js';
import type { GroupRoom } from './capacity.js';

export interface CgroupRoom {
  readonly processes: GroupRoom | undefined;
  readonly memory: GroupRoom | undefined;
}

interface Accounts {
  readonly limit: string;
  readonly used: string;
  /** In `memory.stat`: what the kernel takes back before it refuses, and so nobody lacks. */
  readonly reclaimable?: RegExp;
}

const PIDS: Accounts = { limit: 'pids.max', used: 'pids.current' };
const MEMORY: { readonly [V in 1 | 2]: Accounts } = {
  1: {
    limit: 'memory.limit_in_bytes',
    used: 'memory.usage_in_bytes',
    reclaimable: /^total_(?:in)?active_file (\d+)$/gm,
  },
  2: { limit: 'memory.max', used: 'memory.current', reclaimable: /^(?:(?:in)?active_file|slab_reclaimable) (\d+)$/gm },
};
/** Version 1 writes "none" as the largest number of pages. */
const NO_LIMIT = 2 ** 62;

/** The tightest limits of our groups and all above them; undefined where none is set or it cannot be read. */
export function readCgroupRoom(root = '/'): CgroupRoom {
  return { processes: roomOf('pids', () => PIDS, root), memory: roomOf('memory', (version) => MEMORY[version], root) };
}

function roomOf(
  controller: string,
  accountsOf: (version: CgroupHierarchy['version']) => Accounts,
  root: string,
): GroupRoom | undefined {
  let tightest: GroupRoom | undefined;
  for (const hierarchy of hierarchiesOf(controller, root)) {
    for (const directory of ownGroups(hierarchy, controller, root)) {
      const room = readRoom(directory, accountsOf(hierarchy.version), root);
      // Of two that leave the same, the nearer one: it is first.
      if (room !== undefined && (tightest === undefined || leftOf(room) < leftOf(tightest))) tightest = room;
    }
  }
  return tightest;
}

/** Of what has no cgroups, or no /proc, nothing is known. */
function hierarchiesOf(controller: string, root: string): CgroupHierarchy[] {
  try {
    return readCgroupHierarchies(root).filter(({ controllers }) => controllers.includes(controller));
  } catch {
    return [];
  }
}

/** Folders of our own group and of those above it, as far as they are mounted here. */
function ownGroups({ version, directory, top }: CgroupHierarchy, controller: string, root: string): string[] {
  const own = ownGroup(version, controller, root);
  const below = top === '/' ? own : own === top ? '/' : own?.startsWith(`${top}/`) ? own.slice(top.length) : undefined;
  // A group that is not to be seen from here is below the one that is mounted.
  if (below === undefined || below.startsWith('/..')) return [directory];
  const groups: string[] = [];
  for (let group = below; group !== '/'; group = dirname(group)) groups.push(join(directory, group));
  return [...groups, directory];
}

/** cgroups(7), /proc/PID/cgroup: hierarchy, controllers, group; version 2 has no controllers there. */
function ownGroup(version: CgroupHierarchy['version'], controller: string, root: string): string | undefined {
  for (const line of read(join(root, 'proc/self/cgroup')).trimEnd().split('\n')) {
    const [, , controllers = '', group] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    const isIt = version === 2 ? controllers === '' : controllers.split(',').includes(controller);
    if (isIt && group !== undefined) return group;
  }
  return undefined;
}

function readRoom(directory: string, { limit, used, reclaimable }: Accounts, root: string): GroupRoom | undefined {
  const file = join(directory, limit);
  const most = amount(read(join(root, file)));
  const now = amount(read(join(root, directory, used)));
  if (most === undefined || now === undefined || most >= NO_LIMIT) return undefined;
  const stat = reclaimable === undefined ? '' : read(join(root, directory, 'memory.stat'));
  const cached = reclaimable === undefined ? [] : [...stat.matchAll(reclaimable)].map(([, bytes]) => Number(bytes));
  const back = cached.reduce((sum, bytes) => sum + bytes, 0);
  return { limit: most, used: Math.max(0, now - back), file };
}

function leftOf({ limit, used }: GroupRoom): number {
  return limit - used;
}

/** `max` is none. */
function amount(text: string): number | undefined {
  return /^\d+\n?$/.test(text) ? Number(text) : undefined;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the group above all others has no limits
  }
}
