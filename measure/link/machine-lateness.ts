/**
 * How late the machine itself is: a thread of this process does nothing but wait for one moment after another, in real time where
 * that is allowed, and is awake before each for as long as an engine ever is. No switch on this machine can be later more seldom.
 */
import { native } from '../../native/binding.js';
import type { MachineLateness } from '../../model/bench-link.js';
import { leastArrays } from '../../native/least-arrays.js';
import { quantile } from '../statistics.js';

const AWAKE_NS = 5e6;
const INTERVAL_NS = 20e6;
const PRIORITY = 1;

/** `moments`: how many, each takes 20 ms. */
export async function measureMachineLateness(moments: number, signal: AbortSignal): Promise<MachineLateness> {
  const arrays = leastArrays();
  const { clock } = arrays;
  const io = native.ioCreate(arrays);
  const epoll = native.epollCreate();
  const isRealtime = setPriority(PRIORITY);
  const us: number[] = [];
  try {
    while (us.length < moments) {
      signal.throwIfAborted();
      native.tick(io);
      const dueNs = clock[0]! + INTERVAL_NS;
      clock.set([dueNs, AWAKE_NS, 0], 1);
      native.wait(io, epoll);
      us.push((clock[0]! - dueNs) / 1e3);
      // What else this process has to do.
      await new Promise(setImmediate);
    }
  } finally {
    if (isRealtime) setPriority(0);
    native.close(epoll);
    native.ioDestroy(io);
  }
  return { p50Us: quantile(us, 0.5), p99Us: quantile(us, 0.99), p999Us: quantile(us, 0.999) };
}

function setPriority(priority: number): boolean {
  try {
    native.setRealtime(native.threadId(), priority);
    return true;
  } catch {
    return false;
  }
}
