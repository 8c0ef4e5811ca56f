/**
 * Has the kernel write down when hosts send, where links are emulated: then what a link does counts from there, and not from when
 * the switch process was woken (`native/arrivals.c`). The keeper holds what is written beside the TAP. Without the right to
 * (CAP_BPF, which ordinary users do not have in a namespace of their own), links count from when frames are read.
 */
import { arrivalsName, type SwitchConfig } from '../../model/messages.js';
import { isEmulated } from '../../model/emulation.js';
import { LuthierError, RemoteError } from '../../model/errors.js';
import { native } from '../../native/binding.js';
import type { LiveNetwork } from '../live.js';
import { hold } from './ports.js';

/** Names that the keeper has room for, half of all it has: the others are for what must be held. */
const MOST_NAMES = 8192;

/**
 * Of TAPs that their switch processes are about to be told of, or have, and that have none yet. What the kernel or the keeper
 * refuses is done without.
 */
export function watchArrivals(live: LiveNetwork, configs: Iterable<SwitchConfig>): void {
  const wanted = [...configs].filter(({ links }) => links.some(isEmulated));
  if (wanted.length === 0) return;
  try {
    const held = new Set(live.keeper.list());
    let room = MOST_NAMES - held.size;
    for (const { machine, devices } of wanted)
      for (const { kind, name } of devices) {
        if (kind !== 'tap' || held.has(`${machine}/${arrivalsName(name)}`) || room-- <= 0) continue;
        watch(live, machine, name);
      }
  } catch (error) {
    // Without a keeper, or without the right. `luthier verdict` says that it is so.
    if (!(error instanceof LuthierError) && (error as { errno?: string }).errno === undefined) throw error;
  }
  for (const { machine } of wanted) live.watchedMachines.add(machine);
}

/** Throws where the next one would fail as well. */
function watch(live: LiveNetwork, machine: string, tap: string): void {
  let fd: number | undefined;
  try {
    fd = live.keeper.get(`${machine}/${tap}`);
    hold(live, machine, arrivalsName(tap), native.arrivalsOpen(fd));
  } catch (error) {
    // It is this TAP: it is gone with its host, and perhaps the keeper has let go of it.
    const isItsOwn = error instanceof RemoteError || (error as { errno?: string }).errno === 'EBADFD';
    if (!isItsOwn) throw error;
  } finally {
    if (fd !== undefined) native.close(fd);
  }
}
