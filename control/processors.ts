/**
 * Keeping the machine's processors awake for what an emulated link is about to deliver (ADR 23): `/dev/cpu_dma_latency`, by which
 * the kernel is told how long a processor may take to wake up. The device is root's; a switch process, which has no rights,
 * gets it open, and what it asked for ends with it.
 */
import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const DEVICE = '/dev/cpu_dma_latency';
/** All that sleep are woken, each time: what that costs where there are more was not measured. */
const MOST_PROCESSORS = 16;

/** Opens it once for each engine, each of which asks by itself; the caller closes them. None where it may not be. */
export function openLatencyRequests(engines: number): number[] {
  if (availableParallelism() > MOST_PROCESSORS) return [];
  const fds: number[] = [];
  try {
    while (fds.length < engines) fds.push(openSync(DEVICE, 'w'));
    return fds;
  } catch {
    // An ordinary user, or a container that has no such device.
    for (const fd of fds) closeSync(fd);
    return [];
  }
}

/** Whether engines may ask here. */
export function canKeepAwake(): boolean {
  const fds = openLatencyRequests(1);
  for (const fd of fds) closeSync(fd);
  return fds.length > 0;
}
