/**
 * The folders of `paths.ts` on the disk. They hold sockets through which networks are commanded, and records by which
 * processes are ended: only what belongs to our own user is believed. Below /tmp anyone may have made a folder of our
 * name before us.
 */
import { lstatSync, mkdirSync, type Stats } from 'node:fs';
import { StateError } from '../model/errors.js';
import type { Paths } from './paths.js';

const OWN_FOLDERS = 'set LUTHIER_RUNTIME_DIR and LUTHIER_STATE_DIR to folders of your own';

/** Makes those that are missing. Throws where one is not ours alone to write to, and has changed nothing then. */
export function makeFolders(paths: Paths): void {
  requireOwnFolders(paths);
  try {
    mkdirSync(paths.state, { recursive: true, mode: 0o700 });
    mkdirSync(paths.runtime, { recursive: true, mode: 0o711 });
  } catch (cause) {
    const { path = paths.state, message } = cause as NodeJS.ErrnoException;
    throw new StateError(`cannot use ${path}: ${message}`, {
      cause,
      hint: `run as the user who owns it, or ${OWN_FOLDERS}`,
    });
  }
  // Somebody else may have been quicker.
  requireOwnFolders(paths);
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
