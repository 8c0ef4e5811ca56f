/**
 * What every `up` needs of the machine, and what can be told before anything is made: that namespaces and TAPs can be
 * made, as root or in a user namespace, and that the switch processes may read their program. `doctor` shows these
 * checks among its others; `up` and the demonstration refuse to begin where one fails.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isMachineRoot, readPrivileges } from '../control/privileges.js';
import { LuthierError, PrivilegeError, StateError } from '../model/errors.js';
import type { Check } from './machine-checks.js';

const run = promisify(execFile);

/** Throws where a network cannot be made, with what to do about it. */
export async function requireMachine(): Promise<void> {
  const tun = tunDevice();
  if (tun.status === 'missing')
    throw new PrivilegeError('/dev/net/tun', `Luthier makes TAP devices: /dev/net/tun ${tun.detail}`, {
      hint: `${tun.mend!}; ${MORE}`,
    });
  if (!isMachineRoot()) {
    const namespaces = await userNamespaces();
    if (namespaces.status === 'missing')
      throw new PrivilegeError('user namespace', `Luthier needs root or a user namespace: ${namespaces.detail}`, {
        hint: `${namespaces.mend!}; or run it as root; ${MORE}`,
      });
  }
  const program = await readableProgram();
  if (program.status === 'missing')
    throw new StateError(`the switch processes could not read their own program: ${program.detail}`, {
      hint: program.mend!,
    });
}

const MORE = "'luthier doctor' tells what else is missing";

export function privileges(found = readPrivileges()): Check {
  const name = 'privileges';
  if (isMachineRoot(found)) return { name, status: 'ok', detail: 'root' };
  const who = !found.root
    ? 'ordinary user'
    : found.lacking.length > 0
      ? `root without ${found.lacking.join(' and ')}`
      : 'root of a user namespace';
  return { name, status: 'ok', detail: `${who}: a user namespace is used` };
}

/** Makes one, with a network namespace in it, for a program that does nothing. */
export async function userNamespaces(): Promise<Check> {
  const name = 'user namespaces';
  const { nsrunPath } = await import('../control/native-tools.js');
  try {
    await run(nsrunPath, ['rootless', '--', process.execPath, '--version']);
    return { name, status: 'ok', detail: 'may be made' };
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    const detail = (stderr.trim() || message).split('\n')[0]!.replace(/^nsrun: /, '');
    return { name, status: 'missing', detail, mend: mendUserNamespaces() };
  }
}

/** Settings of kernels and distributions that forbid them: user_namespaces(7), Debian's and Ubuntu's own. */
const USER_NAMESPACE_SETTINGS = [
  { setting: 'kernel/unprivileged_userns_clone', forbids: '0', allow: '1' },
  { setting: 'user/max_user_namespaces', forbids: '0', allow: '15000' },
  { setting: 'user/max_net_namespaces', forbids: '0', allow: '15000' },
  { setting: 'kernel/apparmor_restrict_unprivileged_userns', forbids: '1', allow: '0' },
];

/** The command that allows them. */
export function mendUserNamespaces(folder = '/proc/sys'): string {
  const wrong = USER_NAMESPACE_SETTINGS.filter(({ setting, forbids }) => {
    const file = join(folder, setting);
    return existsSync(file) && readFileSync(file, 'utf8').trim() === forbids;
  });
  if (wrong.length === 0) return 'in a container, allow unshare(CLONE_NEWUSER): its seccomp profile may forbid it';
  return `sudo sysctl -w ${wrong.map(({ setting, allow }) => `${setting.replaceAll('/', '.')}=${allow}`).join(' ')}`;
}

export function tunDevice(name = '/dev/net/tun'): Check {
  if (!existsSync(name))
    return {
      name,
      status: 'missing',
      detail: 'does not exist',
      mend: 'modprobe tun; or: mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200',
    };
  try {
    accessSync(name, constants.R_OK | constants.W_OK);
    return { name, status: 'ok', detail: 'may be opened' };
  } catch {
    return { name, status: 'missing', detail: 'may not be opened by this user', mend: `sudo chmod 666 ${name}` };
  }
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
  // Without root they are processes of our own user.
  if (!isMachineRoot()) return { name, status: 'ok', detail: 'readable by this user' };
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

/** For a package of Debian. */
export function installCommand(debianPackage: string): string {
  return `${isRoot() ? '' : 'sudo '}apt-get install ${debianPackage}`;
}

function isRoot(): boolean {
  return process.getuid!() === 0;
}
