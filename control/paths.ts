/**
 * Where Luthier keeps its files. Made once from the environment by `cli/` and by the agent's entry, then passed on.
 *
 *   runtime  /run/luthier            or $XDG_RUNTIME_DIR/luthier    sockets; empty after a reboot
 *   state    /var/lib/luthier        or $XDG_STATE_HOME/luthier     the journal and logs of each network
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
  const home = env.HOME ?? '/';
  const runtime =
    env.LUTHIER_RUNTIME_DIR ??
    (uid === 0 ? '/run/luthier' : join(env.XDG_RUNTIME_DIR ?? `/tmp/luthier-${uid}`, 'luthier'));
  const state =
    env.LUTHIER_STATE_DIR ??
    (uid === 0 ? '/var/lib/luthier' : join(env.XDG_STATE_HOME ?? join(home, '.local/state'), 'luthier'));
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

  /** `index`: the machine's place in the network. */
  switchSocket(index: number): string {
    return join(this.runtime, `switch-${index}.sock`);
  }

  switchLog(machine: string): string {
    // No node's name has an `@`: a host's log is never taken for it.
    return join(this.state, `switch@${machine}.log`);
  }

  /** hosts, hostname and exit of a host. */
  hostDirectory(node: string): string {
    return join(this.runtime, 'hosts', node);
  }

  /** Output of a host's `command`. */
  log(node: string): string {
    return join(this.state, `${node}.log`);
  }
}
