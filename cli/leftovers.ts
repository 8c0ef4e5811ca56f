/**
 * What one network has on this machine, written down while it runs and looked for after `down`: the demonstration proves
 * with it that nothing was left. Only what this network had counts; another Luthier, or another network of this agent,
 * may come and go meanwhile.
 *
 * All interfaces of a network are made in namespaces of its own and end with them, and a namespace lives as long as a
 * process is in it or a mount holds it. So processes and mounts are looked for by their namespaces too, whatever their
 * names.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { journalFiles, type JournalEntry, type JournalHeader } from '../control/journal.js';
import { agentLog, agentSocket, NetworkPaths, type Paths } from '../control/paths.js';
import { isAlive, processId, type ProcessId } from '../control/process.js';
import { StateError } from '../model/errors.js';
import type { NetworkState } from '../model/messages.js';

/** A process that was told to end is gone when its parent has reaped it. */
const ENDING_MS = 2_000;

/** What is to be gone. */
export interface Footprint {
  readonly processes: readonly ProcessId[];
  /** `net:[4026532281]`, as /proc/PID/ns and /proc/PID/mountinfo name them. */
  readonly namespaces: ReadonlySet<string>;
  /** Folders and files, with all in them and all mounted on them. */
  readonly paths: readonly string[];
  /** Folders that others may use as well: they are to be gone when nothing is in them. */
  readonly sharedFolders: readonly string[];
}

/** Of a network that runs. */
export function footprintOf(network: NetworkState, paths: Paths): Footprint {
  const { header, cgroups } = recordOf(network.name, paths);
  const own = new NetworkPaths(paths, header.number);
  const parents = parentsOfAll();
  const inits = network.nodes.flatMap(({ pid }) => pid ?? []);
  const keepers = inits.flatMap((pid) => parents.get(pid) ?? []);
  const switches = network.switchProcesses.map(({ pid }) => pid);
  const members = [...withDescendants([...keepers, ...inits, ...switches], parents)];
  const ours = namespacesOf('self');
  return {
    processes: members.flatMap((pid) => processId(pid) ?? []),
    namespaces: new Set(members.flatMap((pid) => namespacesOf(String(pid))).filter((name) => !ours.includes(name))),
    paths: [own.runtime, own.state, ...cgroups],
    sharedFolders: [...new Set(cgroups.map(dirname))],
  };
}

/** With that of its agent, which ends with the network when it is the last: the parent of the keeper, the inits' parent. */
export function withAgent(footprint: Footprint, network: NetworkState, paths: Paths): Footprint {
  const parents = parentsOfAll();
  const [init] = network.nodes.flatMap(({ pid }) => pid ?? []);
  const agent = parents.get(parents.get(init ?? 0) ?? 0);
  const id = agent === undefined || agent === 1 ? undefined : processId(agent);
  return {
    ...footprint,
    processes: [...footprint.processes, ...(id === undefined ? [] : [id])],
    paths: [...footprint.paths, agentSocket(paths), agentLog(paths)],
    sharedFolders: [...footprint.sharedFolders, paths.runtime, paths.state],
  };
}

/** What of it is still there, in words. What is about to end gets a moment to do so. */
export async function leftOf(footprint: Footprint, endingMs = ENDING_MS): Promise<string[]> {
  const deadline = performance.now() + endingMs;
  for (;;) {
    const left = [...processesLeft(footprint), ...mountsLeft(footprint), ...pathsLeft(footprint)];
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(20);
  }
}

function processesLeft({ processes, namespaces }: Footprint): string[] {
  const known = new Set(processes.filter(isAlive).map(({ pid }) => String(pid)));
  const inside = pids().filter((pid) => namespacesOf(pid).some((name) => namespaces.has(name)));
  return [...new Set([...known, ...inside])].map((pid) => `process ${pid} (${commandOf(pid)})`);
}

/** proc(5), /proc/PID/mountinfo: the fourth field is what is mounted (a namespace has its name there), the fifth where. */
function mountsLeft({ namespaces, paths }: Footprint): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  return mounts.flatMap((line) => {
    const [, , , what = '', where = ''] = line.split(' ');
    const isOurs = namespaces.has(what) || paths.some((path) => where === path || where.startsWith(`${path}/`));
    return isOurs ? [`mount ${where}`] : [];
  });
}

function pathsLeft({ paths, sharedFolders }: Footprint): string[] {
  const unused = sharedFolders.filter((folder) => existsSync(folder) && !hasEntries(folder));
  return [...paths.filter((path) => existsSync(path)), ...unused];
}

/** A cgroup has files of its own; only groups in it count. */
function hasEntries(folder: string): boolean {
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.some((entry) => entry.isDirectory() || !existsSync(join(folder, 'cgroup.procs')));
}

/** The header of the network's record, and the groups in which its hosts' cgroups are. */
function recordOf(network: string, paths: Paths): { header: JournalHeader; cgroups: string[] } {
  for (const file of journalFiles(paths)) {
    const [first = '', ...rest] = readFileSync(file, 'utf8').trimEnd().split('\n');
    const header = JSON.parse(first) as JournalHeader;
    if (header.name !== network) continue;
    const entries = rest.map((line) => JSON.parse(line) as JournalEntry);
    const groups = entries.flatMap((entry) => (entry.op === 'cgroup' ? dirname(entry.directory) : []));
    return { header, cgroups: [...new Set(groups)] };
  }
  throw new StateError(`network ${network} has no record in ${paths.state}`);
}

function pids(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

/** Parent of each process. */
function parentsOfAll(): ReadonlyMap<number, number> {
  return new Map(
    pids().flatMap((pid) => {
      const parent = /^PPid:\s*(\d+)$/m.exec(readIfThere(`/proc/${pid}/status`))?.[1];
      return parent === undefined ? [] : [[Number(pid), Number(parent)]];
    }),
  );
}

function withDescendants(roots: readonly number[], parents: ReadonlyMap<number, number>): ReadonlySet<number> {
  const found = new Set(roots);
  for (const pid of found)
    // a set's iteration goes on with what is added
    for (const [child, parent] of parents) if (parent === pid) found.add(child);
  return found;
}

function namespacesOf(pid: string): string[] {
  return ['net', 'mnt', 'pid', 'uts'].flatMap((kind) => {
    try {
      return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
    } catch {
      return []; // it ended while we looked
    }
  });
}

function commandOf(pid: string): string {
  return basename(readIfThere(`/proc/${pid}/cmdline`).split('\0')[0] ?? '') || 'ending';
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it ended while we looked
  }
}
