/**
 * Where Luthier keeps its files. Made once from the environment by `cli/` and by the agent's entry, then passed on.
 *
 *            root               others
 *   runtime  /run/luthier       $XDG_RUNTIME_DIR/luthier or /tmp/luthier-UID               sockets
 *   state    /var/lib/luthier   $XDG_STATE_HOME/luthier or $HOME/.local/state/luthier      records and logs of networks
 *
 * A network's folders are named by its number, eight hexadecimal digits: a Unix socket's path has at most 107 bytes,
 * and names of networks and machines may have 63 each.
 */
import { isAbsolute, join } from 'node:path';
import { UsageError } from '../model/errors.js';

export interface Paths {
  readonly runtime: string;
  readonly state: string;
}

/** sun_path has 108 bytes with its NUL; the longest name below the runtime folder is `/1234abcd/switch-1234.sock`. */
const LONGEST_RUNTIME = 107 - 27;

/** `LUTHIER_RUNTIME_DIR` and `LUTHIER_STATE_DIR` override the defaults: a second agent beside the first. */
export function pathsFrom(env: NodeJS.ProcessEnv, uid: number): Paths {
  const runtime = setting(env, 'LUTHIER_RUNTIME_DIR') ?? (uid === 0 ? '/run/luthier' : userRuntime(env, uid));
  const state = setting(env, 'LUTHIER_STATE_DIR') ?? (uid === 0 ? '/var/lib/luthier' : userState(env));
  for (const path of [runtime, state])
    if (!isAbsolute(path)) throw new UsageError(`Luthier's folder '${path}' is not an absolute path`);
  if (Buffer.byteLength(runtime) > LONGEST_RUNTIME)
    throw new UsageError(
      `the path ${runtime} is longer than ${LONGEST_RUNTIME} bytes: sockets in it could not be opened`,
      {
        hint: 'set LUTHIER_RUNTIME_DIR to a shorter one',
      },
    );
  return { runtime, state };
}

function userRuntime(env: NodeJS.ProcessEnv, uid: number): string {
  const runtime = setting(env, 'XDG_RUNTIME_DIR');
  return runtime === undefined ? `/tmp/luthier-${uid}` : join(runtime, 'luthier');
}

function userState(env: NodeJS.ProcessEnv): string {
  const state = setting(env, 'XDG_STATE_HOME');
  if (state !== undefined) return join(state, 'luthier');
  const home = setting(env, 'HOME');
  if (home !== undefined) return join(home, '.local/state/luthier');
  throw new UsageError('Luthier has nowhere to keep its records: HOME is not set', {
    hint: 'set HOME, XDG_STATE_HOME or LUTHIER_STATE_DIR',
  });
}

/** The XDG base directory specification has an empty variable mean what an unset one does. */
function setting(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name] === '' ? undefined : env[name];
}

export function agentSocket(paths: Paths): string {
  return join(paths.runtime, 'agent.sock');
}

/** What a background agent prints. */
export function agentLog(paths: Paths): string {
  return join(paths.state, 'agent.log');
}

/** Paths of one network. */
export class NetworkPaths {
  readonly runtime: string;
  readonly state: string;

  constructor(paths: Paths, number: number) {
    const id = number.toString(16).padStart(8, '0');
    this.runtime = join(paths.runtime, id);
    this.state = join(paths.state, id);
  }

  get journal(): string {
    return join(this.state, 'journal.jsonl');
  }

  get keeperSocket(): string {
    return join(this.runtime, 'keeper.sock');
  }

  switchSocket(machineId: number): string {
    return join(this.runtime, `switch-${machineId}.sock`);
  }

  switchLog(machine: string): string {
    // No node's name has an `@`: a host's log is never taken for it.
    return join(this.state, `switch@${machine}.log`);
  }

  /** Private key and certificate of a machine. */
  identity(machine: string): string {
    return join(this.state, `identity@${machine}.pem`);
  }

  /** A folder for each host, and for each other namespace one whose name begins with `@`. */
  get hosts(): string {
    return join(this.runtime, 'hosts');
  }

  /** hosts, hostname and exit of a host. */
  hostDirectory(node: string): string {
    return join(this.hosts, node);
  }

  /** How a host's `command` ended; there when it has. */
  commandExit(node: string): string {
    return join(this.hostDirectory(node), 'exit');
  }

  /** Output of a host's `command`. */
  log(node: string): string {
    return join(this.state, `${node}.log`);
  }
}
