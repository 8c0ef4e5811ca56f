/**
 * What the cgroups that we are in leave us: the limits of a container, of a systemd unit or slice. What an agent starts is
 * in its groups. Two things are not, and are counted here all the same: a host with limits of its own, which is moved to a
 * group of its own (`../vhost/cgroup.ts`), and what the keeper of an earlier agent starts, which is in that one's groups.
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
/** Version 1 does not say how much of the kernel's own memory it takes back: all of that counts as used. */
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
  const mounts = hierarchiesOf(controller, root);
  for (const device of new Set(mounts.map((mount) => mount.device))) {
    const same = mounts.filter((mount) => mount.device === device);
    for (const directory of ownGroups(same, controller, root)) {
      const room = readRoom(directory, accountsOf(same[0]!.version), root);
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

/**
 * Folders of our own group and of those above it, as far as mounts of the hierarchy show them. Where none shows our own,
 * it is below one that is mounted, as that of a container whose cgroup namespace is not its own; but for one outside of
 * our namespace (`/..`), of which no mount here tells anything.
 */
function ownGroups(mounts: readonly CgroupHierarchy[], controller: string, root: string): string[] {
  const own = ownGroup(mounts[0]!.version, controller, root);
  if (own === undefined || own === '/..' || own.startsWith('/../')) return [];
  const showing = mounts.flatMap(({ directory, top }) => {
    const below = pathBelow(own, top);
    return below === undefined ? [] : [{ directory, below }];
  });
  if (showing.length === 0) return mounts.map(({ directory }) => directory);
  // The one that shows most of those above.
  const { directory, below } = showing.reduce((most, one) => (one.below.length > most.below.length ? one : most));
  const groups: string[] = [];
  for (let group = below; group !== '/'; group = dirname(group)) groups.push(join(directory, group));
  return [...groups, directory];
}

/** Of a group, from the one that is mounted; undefined where that is none of those above it. */
function pathBelow(group: string, top: string): string | undefined {
  if (top === '/' || group === top) return top === '/' ? group : '/';
  return group.startsWith(`${top}/`) ? group.slice(top.length) : undefined;
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
