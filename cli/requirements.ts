/**
 * What every `up` needs of the machine, and what can be told before anything is made: the rights of this process, and
 * that the switch processes, which run as users of their own, may read their program. `doctor` shows these checks among
 * its others; `up` and the demonstration refuse to begin where one fails.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LuthierError, PrivilegeError, StateError } from '../model/errors.js';
import type { Check } from './machine-checks.js';

/** capabilities(7): bits of CapEff in /proc/PID/status. */
const NEEDED_CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 };

/** Throws where a network cannot be made, with what to do about it. */
export async function requireMachine(): Promise<void> {
  const rights = privileges();
  if (rights.status === 'missing')
    throw new PrivilegeError(
      'CAP_SYS_ADMIN',
      `Luthier makes network namespaces and TAP devices, and needs root for that: ${rights.detail}`,
      { hint: `${rights.mend!}; 'luthier doctor' tells what else is missing` },
    );
  const program = await readableProgram();
  if (program.status === 'missing')
    throw new StateError(`the switch processes could not read their own program: ${program.detail}`, {
      hint: program.mend!,
    });
}

export function privileges(): Check {
  const name = 'privileges';
  if (process.getuid!() !== 0) return { name, status: 'missing', detail: 'not root', mend: 'run it with sudo' };
  const effective = BigInt(`0x${/^CapEff:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!}`);
  const lacking = Object.entries(NEEDED_CAPABILITIES)
    .filter(([, bit]) => ((effective >> BigInt(bit)) & 1n) === 0n)
    .map(([capability]) => capability);
  if (lacking.length === 0) return { name, status: 'ok', detail: 'root' };
  return {
    name,
    status: 'missing',
    detail: `root without ${lacking.join(' and ')}`,
    mend: 'give the container these capabilities, or run it outside',
  };
}

/** `nsrun confine` shows a switch process the package's folder and node, whatever the modes of the folders above. */
export async function readableProgram(): Promise<Check> {
  const name = 'program files';
  let folder: string;
  try {
    folder = (await import('../native/binding.js')).packageDirectory;
  } catch (error) {
    if (!(error instanceof LuthierError)) throw error;
    return {
      name,
      status: 'missing',
      detail: error.message,
      ...(error.hint === undefined ? {} : { mend: error.hint }),
    };
  }
  const closed = closedToOthers(folder, process.execPath);
  if (closed === undefined) return { name, status: 'ok', detail: 'readable by switch processes' };
  return { name, status: 'missing', detail: `other users may not read ${closed.path}`, mend: closed.mend };
}

/** The first file or folder of a switch process's that other users may not read, and the command that lets them. */
export function closedToOthers(folder: string, node: string): { path: string; mend: string } | undefined {
  const trees = ['package.json', 'dist', 'prebuilds'].map((name) => join(folder, name));
  const path = isClosed(folder) ? folder : trees.flatMap(closedIn)[0];
  if (path !== undefined)
    return { path, mend: `chmod o+rx ${quoted(folder)} && chmod -R o+rX ${trees.map(quoted).join(' ')}` };
  return isClosed(node) ? { path: node, mend: `chmod o+rx ${quoted(node)}` } : undefined;
}

/** A file or a folder, and all that is in it. */
function closedIn(path: string): string[] {
  if (isClosed(path)) return [path];
  if (!statSync(path).isDirectory()) return [];
  return readdirSync(path).flatMap((name) => closedIn(join(path, name)));
}

/** Folders and programs need x beside r. */
function isClosed(path: string): boolean {
  const { mode } = statSync(path);
  const needed = mode & 0o100 ? 0o005 : 0o004;
  return (mode & needed) !== needed;
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}
