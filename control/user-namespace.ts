/**
 * Where an agent works: root's on the machine itself, an ordinary user's as root of a user namespace, in which it has
 * every right over what it makes there (docs/adr/0007-without-root.md).
 */
import { join } from 'node:path';
import { packageDirectory } from '../native/binding.js';
import { journalFiles, readJournal } from './journal.js';
import { nsrunPath } from './native-tools.js';
import type { Paths } from './paths.js';
import { isMachineRoot } from './privileges.js';
import { bootId, type ProcessId } from './process.js';

/**
 * The command line that starts an agent. What an agent before made belongs to its user namespace, and can be worked on
 * from there alone: so the next one joins it through any process on record that lives.
 */
export function agentCommand(
  paths: Paths,
  entry = join(packageDirectory, 'dist/bin/agent.js'),
): readonly [string, ...string[]] {
  const agent = [process.execPath, entry] as const;
  if (isMachineRoot()) return agent;
  const joins = recordedProcesses(paths).flatMap(({ pid, start }) => ['--join', `${pid}:${start}`]);
  return [nsrunPath, 'rootless', ...joins, '--', ...agent];
}

/** The environment of an agent: whatever its own user is called there, it looks after the networks of these folders. */
export function agentEnvironment(paths: Paths, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, LUTHIER_STATE_DIR: paths.state, LUTHIER_RUNTIME_DIR: paths.runtime };
}

/** Keepers first, hosts and switches of the same network after theirs: in the order in which they were made. */
function recordedProcesses(paths: Paths): ProcessId[] {
  const boot = bootId();
  return journalFiles(paths).flatMap((file) => {
    try {
      const state = readJournal(file);
      return state?.header.boot === boot ? [...state.processes.values()] : [];
    } catch {
      return []; // the agent tells of a record that cannot be read
    }
  });
}
