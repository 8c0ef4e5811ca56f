/** The processes of one Luthier, to be killed at random: those on record, and those that name its folder. */
import { readFileSync } from 'node:fs';
import { journalFiles, type JournalEntry } from '../../control/journal.js';
import type { Paths } from '../../control/paths.js';
import { isAlive, processId, type ProcessId } from '../../control/process.js';
import { processesOf } from '../e2e/census.js';
import type { Random } from './random.js';

export interface Victim {
  readonly role: string;
  readonly id: ProcessId;
}

/** Each kind is as likely as any other, however many there are of it. */
export function pickVictim(directory: string, paths: Paths, random: Random): Victim | undefined {
  const kinds = new Map<string, Victim[]>();
  for (const victim of victims(directory, paths)) {
    const kind = victim.role.split(':')[0]!;
    kinds.set(kind, [...(kinds.get(kind) ?? []), victim]);
  }
  const kind = random.pick([...kinds.keys()].sort());
  return kind === undefined ? undefined : random.pick(kinds.get(kind)!);
}

/** True when the process was still there to be killed. */
export function kill({ id }: Victim): boolean {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, 'SIGKILL');
    return true;
  } catch {
    return false; // it ended by itself
  }
}

function victims(directory: string, paths: Paths): Victim[] {
  const recorded = journalFiles(paths).flatMap(processesOnRecord);
  const known = new Set(recorded.map(({ id }) => id.pid));
  const others = processesOf(directory).flatMap(({ pid, line }) => {
    const id = known.has(pid) ? undefined : processId(pid);
    return id === undefined ? [] : [{ role: roleOf(line), id }];
  });
  return [...recorded, ...others].filter(({ id }) => isAlive(id));
}

/** Of one network, those that have ended included. */
export function processesOnRecord(file: string): Victim[] {
  let lines: string[];
  try {
    lines = readFileSync(file, 'utf8').split('\n').slice(1, -1);
  } catch {
    return []; // removed meanwhile
  }
  const roles = new Map<string, ProcessId>();
  for (const line of lines) {
    const entry = JSON.parse(line) as JournalEntry;
    if (entry.op === 'made') for (const [role, id] of Object.entries(entry.processes)) roles.set(role, id);
  }
  return [...roles].map(([role, id]) => ({ role, id }));
}

function roleOf(line: string): string {
  if (line.includes('agent.js')) return 'agent';
  if (line.includes('bin/luthier')) return 'client';
  return `other:${line.split(' ')[0]!.split('/').at(-1)!}`;
}
