import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { processId } from '../control/process.js';
import { leftOf, type Footprint } from './leftovers.js';

/** A busy machine is no failure. */
const PATIENCE_MS = 20_000;
const NOTHING: Footprint = { processes: [], namespaces: new Set(), paths: [], sharedFolders: [] };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'luthier-leftovers-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

it('finds a process by its pid, and one that it does not know by its namespace, until they end', async () => {
  // The shell in the new namespace says that it is there, and stays what it is: no other program takes its name.
  const child = spawn('unshare', ['--net', 'sh', '-c', 'echo; read -r line'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const pid = child.pid!;
  const known = { ...NOTHING, processes: [processId(pid)!] };
  const unknown = { ...NOTHING, namespaces: new Set([readlinkSync(`/proc/${pid}/ns/net`)]) };
  try {
    expect(await leftOf(known, 0)).toEqual([`process ${pid} (sh)`]);
    expect(await leftOf(unknown, 0)).toEqual([`process ${pid} (sh)`]);
  } finally {
    child.kill('SIGKILL');
  }
  expect(await leftOf(known, PATIENCE_MS)).toEqual([]);
  expect(await leftOf(unknown, PATIENCE_MS)).toEqual([]);
});

it("finds the network's own folders, and shared ones that nobody uses any more", async () => {
  const own = join(folder, 'own');
  const shared = join(folder, 'shared');
  const footprint = { ...NOTHING, paths: [own], sharedFolders: [shared] };
  expect(await leftOf(footprint)).toEqual([]);
  mkdirSync(own);
  mkdirSync(join(shared, "another's"), { recursive: true });
  expect(await leftOf(footprint, 0)).toEqual([own]);
  rmSync(join(shared, "another's"), { recursive: true });
  expect(await leftOf(footprint, 0)).toEqual([own, shared]);
});
