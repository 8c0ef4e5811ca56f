/** Where records are, for whoever only asks whether there are any: what is in them takes all that reads scenarios (`journal.ts`). */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LuthierError, SyscallError } from '../model/errors.js';
import type { Paths } from './paths.js';

/** Files of all journals below the state directory. */
export function journalFiles(paths: Paths): string[] {
  let entries: string[];
  try {
    entries = readdirSync(paths.state);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw recordError(paths.state, cause);
  }
  return entries
    .filter((entry) => /^[0-9a-f]{8}$/.test(entry))
    .map((entry) => join(paths.state, entry, 'journal.jsonl'));
}

export function recordError(path: string, cause: unknown): Error {
  if (cause instanceof LuthierError) return cause;
  const { syscall = 'write', code = 'EIO', message } = cause as NodeJS.ErrnoException;
  return new SyscallError(syscall, code, `cannot record the network in ${path}: ${message}`, {
    cause,
    hint: code === 'ENOSPC' ? 'free some disk space there' : `check who owns ${dirname(path)}`,
  });
}
