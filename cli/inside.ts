/**
 * Running a command inside a node, as a child of ours: `nsrun` (native/) enters the node's namespaces and cgroups and
 * becomes the command's parent. Called by `exec` and `shell`; `agent` runs its program the same way. The agent has no part in it: a command
 * goes on when the agent is killed.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { SyscallError } from '../model/errors.js';
import type { NodeAccess } from '../model/messages.js';

/** What to give to `spawn`. */
export interface AttachedCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** `env` goes over the node's own, which goes over the caller's. */
export async function insideCommand(
  access: NodeAccess,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<AttachedCommand> {
  const { execArguments } = await import('../control/exec.js');
  return { ...execArguments(access, argv, process.cwd()), env: { ...process.env, ...access.env, ...env } };
}

/** Runs it on our own standard streams and returns its exit status. */
export async function runInside(
  access: NodeAccess,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  return runAttached(await insideCommand(access, argv, env));
}

/**
 * Runs a program on our own standard streams and returns its exit status: 128+n where signal n ended it. Signals that
 * reach us reach it.
 */
export async function runAttached(command: AttachedCommand): Promise<number> {
  const pass = (signal: NodeJS.Signals): void => {
    if (!(TERMINAL_SIGNALS.has(signal) && inForeground())) child.kill(signal);
  };
  // Before it starts: one that comes in that very moment would end us, and leave it behind.
  for (const signal of PASSED_SIGNALS) process.on(signal, pass);
  const child = spawn(command.file, command.args, { stdio: 'inherit', env: command.env });
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', (cause: NodeJS.ErrnoException) => {
        reject(
          new SyscallError('spawn', cause.code ?? '?', `cannot start ${command.file}: ${cause.message}`, { cause }),
        );
      });
      child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
    });
  } finally {
    for (const signal of PASSED_SIGNALS) process.off(signal, pass);
  }
}

const PASSED_SIGNALS = ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/**
 * A terminal sends these to every process in the foreground, and so to the command as well as to us: passed on, they
 * would arrive twice. Where they came from cannot be seen, so one that `kill` sends to us alone is not passed either.
 */
const TERMINAL_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGWINCH']);

/** Whether our process group is the one that our terminal's keys reach: proc(5), /proc/PID/stat, fields 5 and 8. */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  // The second field, the command's name, may have blanks: what follows its closing parenthesis starts at field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [group, terminal, foregroundGroup] = [fields[2], fields[4], fields[5]];
  return terminal !== '0' && group === foregroundGroup;
}
