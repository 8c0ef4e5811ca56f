/** The keeper: started first, ended last. */
import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveNetwork } from '../live.js';
import { startKeeper } from '../native-tools.js';
import { endProcess, isAlive, processId, type ProcessId } from '../process.js';
import { record, type Target } from './record.js';

const END_MS = 5_000;

export async function ensureKeeper({ live }: Target): Promise<void> {
  const recorded = live.processOf('keeper');
  if (recorded !== undefined && isAlive(recorded)) return;
  live.closeKeeper();
  mkdirSync(live.paths.runtime, { recursive: true, mode: 0o711 });
  rmSync(live.paths.keeperSocket, { force: true });
  record(live, { keeper: await startKeeper(live.paths.keeperSocket) });
  // Of a keeper before: its hosts live on.
  for (const [role, id] of live.journal.state.processes)
    if (isNamespace(role) && isAlive(id)) live.keeper.adopt(role, id);
}

export async function endKeeper(live: LiveNetwork): Promise<void> {
  // SIGTERM is the keeper's `exit`: it ends the hosts that are left, then itself.
  const keeper = await findKeeper(live);
  live.closeKeeper();
  if (keeper !== undefined) await endProcess(keeper, END_MS);
  rmSync(live.paths.runtime, { recursive: true, force: true });
}

/** Of what the keeper makes, not the keeper itself and the switch processes. */
function isNamespace(role: string): boolean {
  return role === 'underlay' || /^(?:host|machine):/.test(role);
}

/** The keeper that runs; one that was started but not yet recorded is found by its socket. */
export async function findKeeper(live: LiveNetwork): Promise<ProcessId | undefined> {
  const recorded = live.processOf('keeper');
  if (recorded !== undefined) return isAlive(recorded) ? recorded : undefined;
  // Started by an agent that was killed in that very moment, it may still be about to listen.
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      const id = processId(live.keeper.pid());
      if (id !== undefined) record(live, { keeper: id.pid });
      return id;
    } catch {
      live.closeKeeper();
      await sleep(10);
    }
  }
  return undefined;
}
