/**
 * Lets the engine of a switch process run as soon as it is woken, whatever else the machine does (SCHED_RR, ADR 17). Only
 * the agent of root can: the process itself has no rights, and the thread keeps its policy when the agent ends.
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

/** Does nothing where it may not, or the process has ended. */
export function raiseEngine(pid: number): void {
  if (!canRaiseEngines()) return;
  const thread = engineThread(pid);
  if (thread === undefined) return;
  try {
    native.setRealtime(thread, PRIORITY);
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

/** Of a switch process; undefined: it has none (any more). */
export function engineThread(pid: number): number | undefined {
  const threads = `/proc/${pid}/task`;
  try {
    return readdirSync(threads)
      .map(Number)
      .find((thread) => readFileSync(`${threads}/${thread}/comm`, 'utf8').trim() === ENGINE_THREAD);
  } catch {
    return undefined;
  }
}
