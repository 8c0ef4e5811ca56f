/**
 * Lets the engines of a switch process run as soon as they are woken, whatever else the machine does (SCHED_RR, ADR 17). Only
 * the agent of root can: the process itself has no rights, and a thread keeps its policy when the agent ends.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { native } from '../native/binding.js';
import { ENGINE_THREAD } from '../model/messages.js';

/** The lowest: before what shares time, after whoever else on the machine asks for more. */
const PRIORITY = 1;

/**
 * Whether engines may be raised here. On a machine with a single processor one that is flooded would leave all else, the
 * agent included, to what the kernel keeps for it (a twentieth).
 */
export function canRaiseEngines(): boolean {
  return availableParallelism() >= 2 && canSetRealtime();
}

/** Does nothing where it may not, the process has ended, or its engines would leave no processor to all else. */
export function raiseEngines(pid: number): void {
  if (!canRaiseEngines()) return;
  const threads = engineThreads(pid);
  if (threads.length >= availableParallelism()) return;
  try {
    for (const thread of threads) native.setRealtime(thread, PRIORITY);
  } catch (error) {
    if ((error as { errno?: string }).errno !== 'ESRCH') throw error;
  }
}

/** Tried on this thread, which shares time again at once. */
function canSetRealtime(): boolean {
  const thread = native.threadId();
  try {
    native.setRealtime(thread, PRIORITY);
  } catch {
    return false;
  }
  native.setRealtime(thread, 0);
  return true;
}

/** Of a switch process; none where it has ended. */
export function engineThreads(pid: number): number[] {
  const threads = `/proc/${pid}/task`;
  try {
    return readdirSync(threads)
      .map(Number)
      .filter((thread) => readFileSync(`${threads}/${thread}/comm`, 'utf8').trim() === ENGINE_THREAD);
  } catch {
    return [];
  }
}
