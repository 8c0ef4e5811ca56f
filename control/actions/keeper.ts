/** The keeper: started first, ended last. */
import { mkdirSync, rmSync } from 'node:fs';
import type { LiveNetwork } from '../live.js';
import { startKeeper } from '../native-tools.js';
import { endProcess, isAlive } from '../process.js';
import { record, type Target } from './record.js';

const END_MS = 5_000;

export async function ensureKeeper({ live }: Target): Promise<void> {
  const recorded = live.processOf('keeper');
  if (recorded === undefined || !isAlive(recorded)) {
    live.closeKeeper();
    mkdirSync(live.paths.runtime, { recursive: true, mode: 0o711 });
    rmSync(live.paths.keeperSocket, { force: true });
    await startKeeper(live.paths.keeperSocket, (pid) => {
      record(live, { keeper: pid });
    });
  }
  // Of a keeper before: its hosts live on.
  const known = new Set(live.keeper.hosts().map(({ name }) => name));
  for (const [role, id] of live.journal.state.processes)
    if (isNamespace(role) && isAlive(id) && !known.has(role)) live.keeper.adopt(role, id);
}

export async function endKeeper(live: LiveNetwork): Promise<void> {
  // SIGTERM is the keeper's `exit`: it ends the hosts that are left, then itself.
  const keeper = live.processOf('keeper');
  live.closeKeeper();
  if (keeper !== undefined) await endProcess(keeper, END_MS);
  rmSync(live.paths.runtime, { recursive: true, force: true });
}

/** Of what the keeper makes, not the keeper itself and the switch processes. */
function isNamespace(role: string): boolean {
  return role === 'underlay' || /^(?:host|machine):/.test(role);
}
