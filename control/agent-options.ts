/**
 * What an agent is given by its entries (`agent-main.ts` in the background, `luthier agent` in the foreground): they
 * alone read the environment.
 */
import type { OnRecord } from './journal.js';
import { pathsFrom, type Paths } from './paths.js';
import { readPrivileges } from './privileges.js';

export interface AgentOptions {
  readonly paths: Paths;
  readonly log: (message: string) => void;
  /** Added to the environment of switch processes. */
  readonly switchEnv: Readonly<Record<string, string>>;
  /** HOME of what runs in hosts. */
  readonly home: string;
  /** It is root of a user namespace that has no other users: switch processes cannot have uids of their own. */
  readonly rootless: boolean;
  /** An observer of every record: tests end the agent at each. */
  readonly onRecord?: OnRecord;
}

/** How a sanitizer's build of the addon is chosen (scripts/with-asan): the confined switch needs it too. */
const SANITIZER_VARIABLES = ['LD_PRELOAD', 'LUTHIER_PREBUILD', 'ASAN_OPTIONS', 'UBSAN_OPTIONS'];

export function agentOptionsFrom(env: NodeJS.ProcessEnv, uid: number): AgentOptions {
  const switchEnv: Record<string, string> = {};
  if (env.LUTHIER_PREBUILD !== undefined)
    for (const name of SANITIZER_VARIABLES) if (env[name] !== undefined) switchEnv[name] = env[name];
  const rootless = !readPrivileges().switchUids;
  return {
    paths: pathsFrom(env, uid),
    log: (message) => process.stderr.write(`${new Date().toISOString()} ${message}\n`),
    switchEnv,
    // Without root, hosts have the files of their user, who may not read root's.
    home: (rootless ? env.HOME : undefined) ?? '/root',
    rootless,
  };
}
