/** What the kernel has accounted to processors and processes (proc(5)). Called by `run.ts` before and after each phase. */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, in which /proc/stat counts: 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Seconds that all processors together have been busy since boot: neither idle, waiting for a disk, nor stolen. */
export function busySeconds(stat = readFileSync('/proc/stat', 'utf8')): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = /^cpu +(.*)$/m
    .exec(stat)![1]!
    .split(' ')
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/**
 * CPU seconds of these processes with all their threads, to the nanosecond: /proc/PID/task/TID/schedstat, whose first
 * field is time on a processor. A thread that ends takes its share with it; those of switch processes do not end.
 */
export function cpuSeconds(pids: readonly number[]): number {
  const threads = pids.flatMap((pid) => entriesOf(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}`));
  return threads.reduce((sum, thread) => sum + Number(textOf(`${thread}/schedstat`).split(' ')[0]) / 1e9, 0);
}

/** Memory of these processes that is in RAM, what they share counted in each. */
export function rssBytes(pids: readonly number[]): number {
  const sizes = pids.map((pid) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0));
  return sizes.reduce((sum, size) => sum + size * 1024, 0);
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // it has ended
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it has ended
  }
}
