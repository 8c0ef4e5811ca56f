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
 *   end NAME EXIT GRACE            ends the command of host NAME that was started with this EXIT, and all that descends from it, whatever its
 *                                  session, also when the command itself has ended: SIGTERM, and after GRACE ms (0: at once; 60000
 *                                  at most) SIGKILL. Answers when all is gone; also when there is no such command. Until then the host's
 *                                  other requests wait
 *   commands NAME       → EXIT …   the commands of host NAME of which a process lives
 *   stop NAME…                     ends the inits of hosts, and with each every process in the host; answers when all are gone. The
 *                                  kernel frees a network namespace shortly after, and only when no TAP opened in it is held any more
 *   adopt NAME PID:START           takes over, as host NAME, the init of a host whose keeper was killed (START: field 22 of /proc/PID/stat);
 *                                  its commands go on. A keeper that lives gives none away
 *   hosts               → NAME pid NAME pid …
 *   pid                 → the keeper's own pid
 *   exit                           ends all hosts, then itself; removes its socket. SIGTERM does the same
 *
 * The descriptors handed to `get` are duplicates. Names are bytes without NUL, 1 to 255.
 * Started as `keeper [--await] SOCKETPATH`: prints `ready` when it listens, then closes its standard streams and leaves the
 * session; with `--await` once a byte has come on its standard input, at the end of which it ends instead.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { native, syscallError } from './binding.js';
import { RemoteError } from '../model/errors.js';

const TIMEOUT_MS = 10_000;
/** How often a connection is looked at for an answer that may take long. */
const POLL_MS = 2;

/** More than there are processors: a birth also waits for locks of the kernel. */
const BIRTHS_AT_ONCE = 8;

export const MORE_PROCESSES =
  'there may be no more processes: end some, or raise ulimit -u, kernel.pid_max or the pids.max of its cgroup';

/**
 * What to do where the keeper met a limit of the machine: clone(2), fork(2), execve(2), dup(2). By the step too, with which
 * its text begins: an init that takes no requests is EAGAIN as well, and a full disk ENOSPC.
 */
export function limitHint(errno: string, text: string): string | undefined {
  switch (errno) {
    case 'EAGAIN':
      return /^(?:clone|fork|exec): /.test(text) ? MORE_PROCESSES : undefined;
    case 'ENOSPC':
      return text.startsWith('clone: ')
        ? 'there may be no more namespaces: raise user.max_net_namespaces and its like'
        : undefined;
    case 'EMFILE':
      return 'as root, raise the hard limit of the shell that calls luthier: ulimit -Hn';
    case 'ENOMEM':
      return 'there is not enough memory: end something else, or make the network smaller';
    default:
      return undefined;
  }
}

export interface HostRequest {
  readonly name: string;
  readonly hostname: string;
  /** Of the files that are bound over the host's /etc/hosts and /etc/hostname. */
  readonly directory: string;
}

interface Answer {
  readonly fields: string[];
  readonly fds: readonly number[];
}

export class KeeperClient {
  readonly #fd: number;
  /** Where the keeper listens; undefined on a connection that was inherited. */
  readonly #path: string | undefined;
  #open = true;

  private constructor(fd: number, path?: string) {
    this.#fd = fd;
    this.#path = path;
  }

  static connect(path: string): KeeperClient {
    try {
      return new KeeperClient(native.seqpacketConnect(path), path);
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

  /**
   * Many hosts, several at a time; resolves with their inits' pids, in order. `made` is told of each as it comes. At the
   * first failure no further ones are begun, and when those under way have been answered it is thrown: `made` knows of all
   * that exist.
   */
  async makeHosts(requests: readonly HostRequest[], made: (index: number, pid: number) => void): Promise<void> {
    const lanes = Array.from({ length: Math.min(BIRTHS_AT_ONCE, requests.length) }, () => this.#another());
    let next = 0;
    let failure: unknown;
    const work = async (lane: KeeperClient): Promise<void> => {
      for (let index = next++; index < requests.length && failure === undefined; index = next++) {
        const { name, hostname, directory } = requests[index]!;
        try {
          const { fields } = await lane.#callLater(['host', name, hostname, directory], TIMEOUT_MS);
          made(index, Number(fields[0]));
        } catch (cause) {
          failure ??= cause;
        }
      }
    };
    try {
      await Promise.all(lanes.map(work));
    } finally {
      for (const lane of lanes) lane.close();
    }
    if (failure !== undefined) throw failure as Error;
  }

  run(
    name: string,
    command: { argv: readonly string[]; env: readonly string[]; cwd: string; log: string; exit: string },
  ): number {
    const { argv, env, cwd, log, exit } = command;
    return Number(this.#call(['run', name, cwd, log, exit, String(argv.length), ...argv, ...env]).fields[0]);
  }

  /** Ends what `run` started with this `exit`, and all that descends from it; several calls wait side by side. */
  async end(name: string, exit: string, graceMs: number): Promise<void> {
    const own = this.#another();
    try {
      await own.#callLater(['end', name, exit, String(graceMs)], graceMs + TIMEOUT_MS);
    } finally {
      own.close();
    }
  }

  /** The `exit` of each command of which a process lives. */
  commands(name: string): string[] {
    return this.#call(['commands', name]).fields;
  }

  /** Takes over a host's init whose keeper was killed. */
  adopt(name: string, { pid, start }: { readonly pid: number; readonly start: number }): void {
    this.#call(['adopt', name, `${pid}:${start}`]);
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

  #another(): KeeperClient {
    if (this.#path === undefined) throw new RemoteError('keeper', 'an inherited connection is the only one');
    return KeeperClient.connect(this.#path);
  }

  #call(fields: readonly string[], fds: readonly number[] = []): Answer {
    const what = this.#send(fields, fds);
    const answer = this.#receive(what, TIMEOUT_MS);
    if (answer === undefined) throw this.#lost(what, undefined);
    return answer;
  }

  /** Without holding up the event loop while the keeper is at it. */
  async #callLater(fields: readonly string[], timeoutMs: number): Promise<Answer> {
    const what = this.#send(fields, []);
    const end = performance.now() + timeoutMs;
    for (;;) {
      const answer = this.#receive(what, 0);
      if (answer !== undefined) return answer;
      if (performance.now() > end) throw this.#lost(what, undefined);
      await sleep(POLL_MS);
    }
  }

  /** Returns what the request is called in messages. */
  #send(fields: readonly string[], fds: readonly number[]): string {
    const what = `'${fields.slice(0, 2).join(' ')}'`;
    if (!this.#open) throw new RemoteError('keeper', `the connection to the keeper is closed: ${what}`);
    if (fields.some((field) => field.includes('\0'))) {
      throw new RemoteError('keeper', `a field has a NUL character: ${what.replaceAll('\0', '\\0')}`);
    }
    try {
      native.sendMessage(this.#fd, Buffer.from(fields.join('\0')), fds, TIMEOUT_MS);
    } catch (cause) {
      throw this.#lost(what, cause);
    }
    return what;
  }

  /** The whole answer; undefined when none has begun to arrive within `timeoutMs`. */
  #receive(what: string, timeoutMs: number): Answer | undefined {
    const fields: string[] = [];
    const fds: number[] = [];
    let status: string | undefined;
    while (status === undefined || status === 'more') {
      let message;
      try {
        message = native.receiveMessage(this.#fd, status === undefined ? timeoutMs : TIMEOUT_MS);
      } catch (cause) {
        if (status === undefined && (cause as { errno?: string }).errno === 'ETIMEDOUT') return undefined;
        throw this.#lost(what, cause);
      }
      const [first, ...rest] = message.data.toString().split('\0');
      status = first;
      fields.push(...rest);
      fds.push(...message.fds);
    }
    if (status === 'ok') return { fields, fds };
    for (const fd of fds) native.close(fd);
    const hint = limitHint(fields[0] ?? '', fields[1] ?? '');
    throw new RemoteError(
      'keeper',
      `the keeper refused ${what}: ${fields.join(' ')}`,
      hint === undefined ? {} : { hint },
    );
  }

  /** An answer that comes later would be taken for that of the next request: the connection is given up. */
  #lost(what: string, cause: unknown): RemoteError {
    this.close();
    return new RemoteError('keeper', `the keeper did not answer ${what}`, cause === undefined ? {} : { cause });
  }
}
