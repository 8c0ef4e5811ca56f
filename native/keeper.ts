/**
 * Client of the keeper (`keeper.c`): the small process that holds a network's namespaces and a duplicate of each of its
 * TAP and UDP descriptors, so that agent and switches may die without a carrier change.
 *
 * Protocol: AF_UNIX SOCK_SEQPACKET; a message is fields separated by NUL, descriptors ride along as SCM_RIGHTS.
 * A request is `verb NUL argument …`; the answer `ok NUL field …` or `err NUL errno NUL text`. A message has at most
 * 131072 bytes; a longer answer comes as messages `more NUL field …`, then `ok NUL field …`.
 *
 *   put NAME            + 1 fd     keep it under NAME (replaces); 16384 at most, and no more than RLIMIT_NOFILE allows
 *   get NAME            → 1 fd
 *   drop NAME                      close it
 *   list                → NAME …   in order
 *   restrict PREFIX                from now on this connection may only `get` and `list` names that start with PREFIX
 *   host NAME HOSTNAME DIRECTORY   → pid: a process with its own net, mnt, uts, pid and ipc namespaces; DIRECTORY/hosts and DIRECTORY/hostname
 *                                  are bound over /etc's (where the machine has these files); fresh /proc and /sys (cgroups stay visible), lo up
 *   run NAME CWD LOG EXIT n ARGV… ENV…   → pid, as the machine sees it: host NAME's init starts a command (n = length of ARGV) in a session
 *                                  of its own, with no input and exactly ENV; output goes to the file LOG (appended); at its end EXIT is
 *                                  written (at once, by rename): `exited STATUS` or `signalled NUMBER`. When it cannot be started, that
 *                                  is the answer, and EXIT is not written
 *   stop NAME…                     ends the inits of hosts, and with each every process in the host; answers when all are gone. The
 *                                  kernel frees a network namespace shortly after, and only when no TAP opened in it is held any more
 *   hosts               → NAME pid NAME pid …
 *   pid                 → the keeper's own pid
 *   exit                           ends all hosts, then itself; removes its socket. SIGTERM does the same
 *
 * The descriptors handed to `get` are duplicates. Names are bytes without NUL, 1 to 255.
 * Started as `keeper SOCKETPATH`: prints `ready` when it listens, then closes its standard streams and leaves the session.
 */
import { native, syscallError } from './binding.js';
import { RemoteError } from '../model/errors.js';

const TIMEOUT_MS = 10_000;

export class KeeperClient {
  readonly #fd: number;
  #open = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  static connect(path: string): KeeperClient {
    try {
      return new KeeperClient(native.seqpacketConnect(path));
    } catch (cause) {
      throw syscallError(cause, `cannot reach the keeper at ${path}`);
    }
  }

  /** On a connection that another process made (the switch inherits its own). */
  static on(fd: number): KeeperClient {
    return new KeeperClient(fd);
  }

  /** The connection itself, to be inherited by a switch after `restrict`. */
  get fd(): number {
    return this.#fd;
  }

  put(name: string, fd: number): void {
    this.#call(['put', name], [fd]);
  }

  /** The caller owns the descriptor. */
  get(name: string): number {
    const { fds } = this.#call(['get', name]);
    const fd = fds[0];
    if (fd === undefined) throw new RemoteError('keeper', `the keeper sent no descriptor for ${name}`);
    return fd;
  }

  drop(name: string): void {
    this.#call(['drop', name]);
  }

  list(): string[] {
    return this.#call(['list']).fields;
  }

  restrict(prefix: string): void {
    this.#call(['restrict', prefix]);
  }

  /** Returns the init's pid as this machine sees it. */
  host(name: string, hostname: string, directory: string): number {
    return Number(this.#call(['host', name, hostname, directory]).fields[0]);
  }

  run(
    name: string,
    command: { argv: readonly string[]; env: readonly string[]; cwd: string; log: string; exit: string },
  ): number {
    const { argv, env, cwd, log, exit } = command;
    return Number(this.#call(['run', name, cwd, log, exit, String(argv.length), ...argv, ...env]).fields[0]);
  }

  /** Several names at once take as long as the slowest. */
  stop(...names: readonly string[]): void {
    if (names.length > 0) this.#call(['stop', ...names]);
  }

  /** Every host that lives, with its init's pid. */
  hosts(): { name: string; pid: number }[] {
    const { fields } = this.#call(['hosts']);
    const hosts = [];
    for (let i = 0; i < fields.length; i += 2) hosts.push({ name: fields[i] ?? '', pid: Number(fields[i + 1]) });
    return hosts;
  }

  pid(): number {
    return Number(this.#call(['pid']).fields[0]);
  }

  exit(): void {
    this.#call(['exit']);
  }

  close(): void {
    if (this.#open) native.close(this.#fd);
    this.#open = false;
  }

  #call(fields: readonly string[], fds: readonly number[] = []): { fields: string[]; fds: readonly number[] } {
    const what = `'${fields.slice(0, 2).join(' ')}'`;
    if (!this.#open) throw new RemoteError('keeper', `the connection to the keeper is closed: ${what}`);
    if (fields.some((field) => field.includes('\0'))) {
      throw new RemoteError('keeper', `a field has a NUL character: ${what.replaceAll('\0', '\\0')}`);
    }
    const received: string[] = [];
    const receivedFds: number[] = [];
    try {
      native.sendMessage(this.#fd, Buffer.from(fields.join('\0')), fds, TIMEOUT_MS);
      let status;
      do {
        const message = native.receiveMessage(this.#fd, TIMEOUT_MS);
        const [first, ...rest] = message.data.toString().split('\0');
        status = first;
        received.push(...rest);
        receivedFds.push(...message.fds);
      } while (status === 'more');
      if (status === 'ok') return { fields: received, fds: receivedFds };
    } catch (cause) {
      // An answer that comes later would be taken for that of the next request.
      this.close();
      throw new RemoteError('keeper', `the keeper did not answer ${what}`, { cause });
    }
    for (const fd of receivedFds) native.close(fd);
    throw new RemoteError('keeper', `the keeper refused ${what}: ${received.join(' ')}`);
  }
}
