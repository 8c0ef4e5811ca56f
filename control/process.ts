/**
 * Processes, named so that a pid used again by another process is never taken for ours: by pid and start time.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { StateError } from '../model/errors.js';

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, proc(5) stat field 22. */
  readonly start: number;
}

/** Undefined when there is no such process, or it is a zombie. */
export function processId(pid: number): ProcessId | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // no such process: that is the answer
  }
  // The second field is the name in parentheses, and may itself contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  if (state === 'Z' || state === 'X') return undefined;
  return { pid, start: Number(fields[19]) };
}

export function isAlive(id: ProcessId): boolean {
  return processId(id.pid)?.start === id.start;
}

/** SIGTERM, then SIGKILL when it has not ended within `graceMs`; returns when it is gone. */
export async function endProcess(id: ProcessId, graceMs: number): Promise<void> {
  if (!isAlive(id)) return;
  signal(id, 'SIGTERM');
  if (await gone(id, graceMs)) return;
  await killProcesses([id]);
}

/** SIGKILL to all at once; returns when the last is gone. */
export async function killProcesses(ids: readonly ProcessId[]): Promise<void> {
  const alive = ids.filter(isAlive);
  for (const id of alive) signal(id, 'SIGKILL');
  for (const id of alive)
    if (!(await gone(id, 10_000)))
      throw new StateError(`process ${id.pid} does not end, though it was killed`, {
        hint: 'it hangs in a system call; try again later',
      });
}

/** Waits until the process is gone; false when it still runs after `timeoutMs`. */
export async function gone(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (isAlive(id)) {
    if (performance.now() > end) return false;
    await sleep(2);
  }
  return true;
}

function signal(id: ProcessId, name: NodeJS.Signals): void {
  try {
    process.kill(id.pid, name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
  }
}

/** Changes at each boot: a record of another boot describes nothing that still runs. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
