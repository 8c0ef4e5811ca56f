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
  try {
    makeFolder(paths.state, 0o700, made);
    makeFolder(paths.runtime, 0o711, made);
    // Somebody else may have been quicker.
    requireOwnFolders(paths);
  } catch (cause) {
    for (const folder of made.toReversed()) removeEmpty(folder);
    throw cause;
  }
}

/** And those above it that are missing; each is added to `made`, as the next one may fail. */
function makeFolder(path: string, mode: number, made: string[]): void {
  try {
    const nearest = nearestFolder(path);
    requireWritable(nearest);
    for (const folder of between(nearest, path)) if (madeNew(folder, mode)) made.push(folder);
  } catch (cause) {
    throw new StateError(`cannot use ${path}: ${(cause as Error).message}`, {
      cause,
      hint: `make it a folder that you may write to, or ${OWN_FOLDERS}`,
    });
  }
}

/** False where somebody else was quicker. */
function madeNew(folder: string, mode: number): boolean {
  try {
    mkdirSync(folder, { mode });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw cause;
  }
}

/** It, or what it is to be made in. */
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

/** Those on the way down from a folder, without it, to the last. */
function between(above: string, last: string): string[] {
  const folders: string[] = [];
  for (let folder = last; folder !== above; folder = dirname(folder)) folders.unshift(folder);
  return folders;
}

/** What is in it already is that of another agent; what cannot be removed is not ours any more. */
function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Why it was to be removed is what is told.
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
