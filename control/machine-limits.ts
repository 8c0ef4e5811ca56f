/**
 * What there is on this machine of that which networks run out of. Read anew each time: most of it changes. What cannot be
 * read is taken as unlimited: then the step that needs it says what fails.
 *
 * Called by `networks.ts` and `doctor`; `capacity.ts` compares it with what a network needs.
 */
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { NAMESPACES } from './capacity.js';
import type { MachineLimits, Room } from './capacity.js';
import { readCgroupRoom } from './cgroup-room.js';

/** `runtimeDirectory`: of the sockets; need not be there yet. */
export function readMachineLimits(runtimeDirectory: string): MachineLimits {
  const used = runningThreads();
  const group = readCgroupRoom();
  return {
    openFiles: resourceLimit('Max open files', 'hard'),
    pids: { limit: sysctl('kernel/pid_max'), used },
    threads: { limit: sysctl('kernel/threads-max'), used },
    userProcesses: userProcesses(),
    groupProcesses: group.processes,
    groupMemory: group.memory,
    namespaces: Object.fromEntries(
      NAMESPACES.map((kind) => [kind, sysctl(`user/max_${kind}_namespaces`)]),
    ) as MachineLimits['namespaces'],
    memoryBytes: Number(/^MemAvailable:\s+(\d+) kB/m.exec(read('/proc/meminfo'))?.[1] ?? Infinity) * 1024,
    runtimeBytes: roomOf(runtimeDirectory),
    neighbours: {
      ipv4: sysctl('net/ipv4/neigh/default/gc_thresh3'),
      ipv6: sysctl('net/ipv6/neigh/default/gc_thresh3'),
    },
  };
}

/** proc(5), /proc/loadavg: the fourth field is RUNNABLE/ALL, of the whole machine. */
function runningThreads(): number {
  return Number(/ \d+\/(\d+) /.exec(read('/proc/loadavg'))?.[1] ?? 0);
}

/** proc(5), /proc/self/limits: name, soft, hard. */
function resourceLimit(name: string, which: 'soft' | 'hard'): number {
  const [, soft, hard] = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(read('/proc/self/limits')) ?? [];
  const value = which === 'soft' ? soft : hard;
  return value === undefined || value === 'unlimited' ? Infinity : Number(value);
}

/** RLIMIT_NPROC does not hold for the machine's own root (kernel/fork.c, `copy_process`); a namespace's root is its user. */
function userProcesses(): Room | undefined {
  const uid = process.getuid!();
  if (uid === 0 && /^\s*0\s+0\s/.test(read('/proc/self/uid_map'))) return undefined;
  const limit = resourceLimit('Max processes', 'soft');
  return limit === Infinity ? undefined : { limit, used: threadsOf(uid) };
}

function threadsOf(uid: number): number {
  let threads = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid !== uid) continue;
    // Of a folder, links beside `.` and `..` are its folders: one a thread.
    threads += (statSync(`/proc/${pid}/task`, { throwIfNoEntry: false })?.nlink ?? 2) - 2;
  }
  return threads;
}

function roomOf(directory: string): number {
  let existing = directory;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  try {
    const { bavail, bsize } = statfsSync(existing);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

function sysctl(name: string): number {
  const text = read(`/proc/sys/${name}`).trim();
  return text === '' ? Infinity : Number(text);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
