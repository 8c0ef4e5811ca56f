/**
 * A census of the machine: what is there before something runs, and what is left of it afterwards. Nothing here stands on
 * the test runner.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMachineRoot } from '../../control/privileges.js';

export interface Census {
  readonly namespaces: readonly string[];
  readonly interfaces: readonly string[];
  readonly mounts: readonly string[];
  readonly cgroups: readonly string[];
}

/** Namespaces that any process is in, interfaces of this one, mounts, cgroups of ours. */
export function census(): Census {
  const namespaces = new Set<string>();
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    for (const kind of ['net', 'mnt', 'pid', 'uts', 'ipc', 'user']) {
      try {
        namespaces.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch {
        // it ended meanwhile
      }
    }
  }
  const interfaces = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' })) as { ifname: string }[];
  return {
    namespaces: [...namespaces].sort(),
    interfaces: interfaces.map(({ ifname }) => ifname).sort(),
    mounts: readFileSync('/proc/self/mounts', 'utf8').split('\n').sort(),
    // One hierarchy for the whole machine: an ordinary user, who can make none, would see those of others.
    cgroups: isMachineRoot()
      ? ['/sys/fs/cgroup/cpu', '/sys/fs/cgroup/memory', '/sys/fs/cgroup'].flatMap((root) =>
          groupsBelow(join(root, 'luthier')),
        )
      : [],
  };
}

/** This group and all in it. */
function groupsBelow(group: string): string[] {
  try {
    const inner = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [group, ...inner.flatMap(({ name }) => groupsBelow(join(group, name)))];
  } catch {
    return []; // there is none, or it was removed meanwhile
  }
}

/** Processes, other than this one, that name this folder in their command line or environment. */
export function processesOf(directory: string): { pid: number; line: string }[] {
  const found: { pid: number; line: string }[] = [];
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    if (Number(pid) === process.pid) continue;
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const env = readFileSync(`/proc/${pid}/environ`, 'utf8');
      if (line.includes(directory) || env.includes(directory)) found.push({ pid: Number(pid), line });
    } catch {
      // it ended meanwhile
    }
  }
  return found;
}

/** The pid of the agent whose folders are in `directory`, by the environment it was started with. */
export function agentPidOf(directory: string): number | undefined {
  return processesOf(directory).find(({ line }) => line.includes('dist/bin/agent.js'))?.pid;
}

/** Processes and sockets that name this folder. */
function users(directory: string): string[] {
  const sockets = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .filter((line) => line.includes(directory));
  return [...processesOf(directory).map(({ pid, line }) => `${pid} ${line}`), ...sockets];
}

/** What is there now and was not before, and what names this folder. */
export interface Left extends Census {
  readonly users: readonly string[];
  /** Folders of an agent. */
  readonly state: readonly string[];
}

export const NOTHING: Left = { namespaces: [], interfaces: [], mounts: [], cgroups: [], users: [], state: [] };

/** How long what is ending may take: a namespace goes when the last process in it has been reaped. */
const ENDING_MS = 20_000;

/** Of an agent whose folders are `run` and `state` in `directory`. */
export async function whatIsLeft(before: Census, directory: string): Promise<Left> {
  const deadline = performance.now() + ENDING_MS;
  for (;;) {
    const left = lookAround(before, directory);
    if (Object.values(left).every((list) => list.length === 0) || performance.now() > deadline) return left;
    await sleep(20);
  }
}

function lookAround(before: Census, directory: string): Left {
  const now = census();
  const added = (kind: keyof Census): string[] => now[kind].filter((entry) => !before[kind].includes(entry));
  return {
    namespaces: added('namespaces'),
    interfaces: added('interfaces'),
    mounts: added('mounts'),
    cgroups: added('cgroups'),
    users: users(directory),
    state: ['run', 'state'].filter((name) => existsSync(join(directory, name))),
  };
}
