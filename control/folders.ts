/**
 * The folders of `paths.ts` on the disk. They hold sockets through which networks are commanded, and records by which
 * processes are ended: only what belongs to our own user is believed. Below /tmp anyone may have made a folder of our
 * name before us.
 */
import { accessSync, constants, existsSync, lstatSync, mkdirSync, rmdirSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { StateError } from '../model/errors.js';
import type { Paths } from './paths.js';

const OWN_FOLDERS = 'set LUTHIER_RUNTIME_DIR and LUTHIER_STATE_DIR to folders of your own';

/** Makes those that are missing. Throws where one is not ours alone to write to, or may not be; then none was made. */
export function makeFolders(paths: Paths): void {
  requireOwnFolders(paths);
  const made: string[] = [];
  for (const [path, mode] of [
    [paths.state, 0o700],
    [paths.runtime, 0o711],
  ] as const) {
    try {
      requireWritable(nearestFolder(path));
      const first = mkdirSync(path, { recursive: true, mode });
      if (first !== undefined) made.push(...between(first, path));
    } catch (cause) {
      for (const folder of made.toReversed()) removeEmpty(folder);
      throw new StateError(`cannot use ${path}: ${(cause as Error).message}`, {
        cause,
        hint: `make it a folder that you may write to, or ${OWN_FOLDERS}`,
      });
    }
  }
  // Somebody else may have been quicker.
  requireOwnFolders(paths);
}

/** It, or what it is to be made in: `mkdirSync` of several at once says ENOENT where it may not make the first. */
function nearestFolder(path: string): string {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** An agent that ends at this moment may take an empty one away: whoever needs it makes it again. */
function requireWritable(path: string): void {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
  }
}

/** A folder and those on the way down from it. */
function between(first: string, last: string): string[] {
  const folders = [last];
  for (let folder = last; folder !== first && dirname(folder) !== folder; folder = dirname(folder))
    folders.unshift(dirname(folder));
  return folders;
}

/** What is in it already is that of another agent. */
function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (cause) {
    if (!['ENOTEMPTY', 'ENOENT'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
  }
}

/** Throws where one that is there is somebody else's. */
export function requireOwnFolders(paths: Paths): void {
  for (const path of [paths.runtime, paths.state]) {
    const found = statIfThere(path);
    if (found === undefined) continue;
    const why = objectionTo(found);
    if (why !== undefined)
      throw new StateError(`${path} ${why}: nothing in it is believed or touched`, {
        hint: `remove it if it is a mistake, or ${OWN_FOLDERS}`,
      });
  }
}

function objectionTo(found: Stats): string | undefined {
  if (!found.isDirectory()) return 'is no folder';
  if (found.uid !== process.geteuid!()) return `belongs to another user (uid ${found.uid})`;
  return (found.mode & 0o022) === 0 ? undefined : `may be written by other users (mode ${modeOf(found)})`;
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

/** lstat: a link leads wherever its owner wants. */
function statIfThere(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new StateError(`cannot look at ${path}: ${message}`, { cause, hint: OWN_FOLDERS });
  }
}
