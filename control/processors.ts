/**
 * Keeping the machine's processors awake for what an emulated link is about to deliver (ADR 23): `/dev/cpu_dma_latency`, by which
 * the kernel is told how long a processor may take to wake up. The device is root's; a switch process, which has no rights,
 * gets it open, and what it asked for ends with it.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

const DEVICE = '/dev/cpu_dma_latency';
/** What decides how processors sleep: without it the request is heard by nobody. */
const DRIVER = '/sys/devices/system/cpu/cpuidle/current_driver';
/** Each time all that sleep are woken. It was measured on two; where there are many of them, that may be dear. */
const MOST_PROCESSORS = 16;

/** Why engines may not ask here: there are too many processors, no driver to hear it, or the device may not be opened. */
export type WhyNotAwake = 'processors' | 'driver' | 'device';

/** Undefined: they may. */
export function whyNotAwake(): WhyNotAwake | undefined {
  const opened = openLatencyRequests(1);
  if (typeof opened === 'string') return opened;
  for (const fd of opened) closeSync(fd);
  return undefined;
}

/** Opens it once for each engine, each of which asks by itself; the caller closes them. Or says why it may not be. */
export function openLatencyRequests(engines: number, device = DEVICE, driver = DRIVER): number[] | WhyNotAwake {
  // Of the whole machine, whichever of them this process may use.
  if (cpus().length > MOST_PROCESSORS) return 'processors';
  if (!hasDriver(driver)) return 'driver';
  const fds: number[] = [];
  try {
    while (fds.length < engines) fds.push(openDevice(device));
    return fds;
  } catch {
    // An ordinary user's, or a container that has no such device.
    for (const fd of fds) closeSync(fd);
    return 'device';
  }
}

function openDevice(path: string): number {
  // Not 'w', which would make a file where there is none.
  const fd = openSync(path, constants.O_WRONLY);
  if (fstatSync(fd).isCharacterDevice()) return fd;
  closeSync(fd);
  throw new Error(`${path} is no device`);
}

function hasDriver(path: string): boolean {
  try {
    return readFileSync(path, 'latin1').trim() !== 'none';
  } catch {
    return false;
  }
}
