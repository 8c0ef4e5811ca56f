/**
 * CPU and memory limits of a host: cgroup v2 where its controllers are there, else v1 (the two may be mixed: on a v1
 * machine the unified hierarchy has no controllers). Everything is made below a group `luthier` of our own.
 */
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PrivilegeError } from '../model/errors.js';
import { readCgroupHierarchies } from './cgroup-hierarchies.js';

export interface CgroupLimits {
  /** Cores, 0.5 is half of one. */
  readonly cpu?: number;
  readonly memoryBytes?: number;
}

/** Where controllers are mounted. */
export interface CgroupMounts {
  /** The v2 hierarchy, when `controllers` of it includes what is asked for. */
  readonly v2?: { readonly path: string; readonly controllers: readonly string[] };
  /** Controller → mount point. */
  readonly v1: ReadonlyMap<string, string>;
}

const PERIOD_US = 100_000;

export function readCgroupMounts(): CgroupMounts {
  const v1 = new Map<string, string>();
  let v2: CgroupMounts['v2'];
  for (const { version, directory, controllers } of readCgroupHierarchies()) {
    if (version === 2) v2 = { path: directory, controllers };
    else for (const controller of controllers) v1.set(controller, directory);
  }
  return v2 === undefined ? { v1 } : { v1, v2 };
}

/** A group to be made: its directory and what is written into it. */
export interface CgroupPlan {
  readonly directory: string;
  /** v2: the controllers that its parents must hand down. */
  readonly controllers: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  /** Files that not every kernel has: written where they exist. */
  readonly optional: Readonly<Record<string, string>>;
}

/** Which groups enforce these limits here. Pure. Throws PrivilegeError where a controller is not there. */
export function planCgroups(mounts: CgroupMounts, name: string, limits: CgroupLimits): CgroupPlan[] {
  const wanted = [
    ...(limits.cpu === undefined ? [] : ['cpu']),
    ...(limits.memoryBytes === undefined ? [] : ['memory']),
  ];
  if (wanted.length === 0) return [];
  const quota = Math.round((limits.cpu ?? 0) * PERIOD_US);
  const bytes = String(limits.memoryBytes);
  const { v2 } = mounts;
  if (v2 !== undefined && wanted.every((controller) => v2.controllers.includes(controller))) {
    const files: Record<string, string> = {};
    if (limits.cpu !== undefined) files['cpu.max'] = `${quota} ${PERIOD_US}`;
    if (limits.memoryBytes !== undefined) files['memory.max'] = bytes;
    // One group has both: a limit that it had before and is to have no more is lifted.
    const optional = {
      ...(limits.cpu === undefined ? { 'cpu.max': `max ${PERIOD_US}` } : {}),
      ...(limits.memoryBytes === undefined
        ? { 'memory.max': 'max', 'memory.swap.max': 'max' }
        : { 'memory.swap.max': '0' }),
    };
    return [{ directory: join(v2.path, 'luthier', name), controllers: wanted, files, optional }];
  }
  return wanted.map((controller) => {
    const mount = mounts.v1.get(controller);
    if (mount === undefined)
      throw new PrivilegeError('cgroup', `no cgroup controller '${controller}' on this machine: neither v2 nor v1`, {
        hint: `leave out '${controller}' of the host, or mount the controller; \`luthier doctor\` shows what is there`,
      });
    const directory = join(mount, 'luthier', name);
    return controller === 'cpu'
      ? {
          directory,
          controllers: [],
          files: { 'cpu.cfs_period_us': `${PERIOD_US}`, 'cpu.cfs_quota_us': `${quota}` },
          optional: {},
        }
      : // memsw bounds memory and swap together: without it, a host swaps instead of meeting its limit.
        {
          directory,
          controllers: [],
          files: { 'memory.limit_in_bytes': bytes },
          optional: { 'memory.memsw.limit_in_bytes': bytes },
        };
  });
}

export function makeCgroup(plan: CgroupPlan): void {
  try {
    mkdirSync(plan.directory, { recursive: true });
    if (plan.controllers.length > 0) handDown(plan);
    for (const [file, value] of Object.entries(plan.files)) writeFileSync(join(plan.directory, file), value);
    for (const [file, value] of Object.entries(plan.optional))
      if (existsSync(join(plan.directory, file))) writeFileSync(join(plan.directory, file), value);
  } catch (cause) {
    throw new PrivilegeError(
      'cgroup',
      `cannot limit a host's cpu or memory in ${plan.directory}: ${(cause as Error).message}`,
      {
        hint: 'cpu and memory need root, or a cgroup delegated to this user; leave them out to run without limits',
        cause,
      },
    );
  }
}

/** Moves a process in, unless it has ended; its children follow. */
export function joinCgroup(directory: string, pid: number): void {
  try {
    writeFileSync(join(directory, 'cgroup.procs'), String(pid));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
  }
}

/** Moves a process out, to the group that holds all of ours. */
export function leaveCgroup(directory: string, pid: number): void {
  joinCgroup(join(directory, '../../..'), pid);
}

/** All processes in the pid namespace of a host's init, as this machine sees them. */
export function processesOfHost(init: number): number[] {
  const namespaceOf = (pid: string): string | undefined => {
    try {
      return readlinkSync(`/proc/${pid}/ns/pid`);
    } catch {
      return undefined; // it ended meanwhile
    }
  };
  const own = namespaceOf(String(init));
  if (own === undefined) return [];
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => namespaceOf(pid) === own).map(Number);
}

/** Removes an empty group, and the groups of ours above it that it leaves empty. Idempotent. */
export function removeCgroup(directory: string): void {
  for (let at = directory; ; at = join(at, '..')) {
    if (existsSync(at)) {
      if (readdirSync(at, { withFileTypes: true }).some((entry) => entry.isDirectory())) return;
      try {
        rmdirSync(at);
      } catch (cause) {
        // Somebody else made a group there meanwhile, or processes are still ending: the caller tries again.
        if ((cause as NodeJS.ErrnoException).code !== 'EBUSY' || at === directory) throw cause;
        return;
      }
    }
    if (at.endsWith('/luthier')) return;
  }
}

/** cgroup v2: a controller acts in a group only if every group above hands it down. */
function handDown(plan: CgroupPlan): void {
  const group = join(plan.directory, '..', '..');
  const parents = [join(group, '..'), group, join(plan.directory, '..')];
  const request = plan.controllers.map((controller) => `+${controller}`).join(' ');
  for (const parent of parents) writeFileSync(join(parent, 'cgroup.subtree_control'), request);
}
