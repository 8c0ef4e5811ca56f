/**
 * Running a command inside a host. `nsrun exec` enters the host's cgroups and namespaces and passes signals on.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { NodeAccess } from '../model/messages.js';
import { nsrunPath } from './native-tools.js';

export interface ExecOptions {
  /** Given to the command's standard input, which is empty otherwise. */
  readonly input?: string;
  /** Added to the node's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the command (SIGTERM). */
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What it takes to enter a host, or what else has namespaces of its own. */
export type Entrance = Pick<NodeAccess, 'pid' | 'start' | 'cgroups' | 'env'>;

/** The command line that runs `argv` inside the host, in the folder `cwd`: hosts share the machine's file system. */
export function execArguments(
  access: Pick<Entrance, 'pid' | 'start' | 'cgroups'>,
  argv: readonly string[],
  cwd = '/',
): { file: string; args: string[] } {
  const cgroups = access.cgroups.flatMap((directory) => ['--cgroup', directory]);
  return { file: nsrunPath, args: ['exec', ...cgroups, '--cwd', cwd, `${access.pid}:${access.start}`, '--', ...argv] };
}

export function execute(access: Entrance, argv: readonly string[], options: ExecOptions): Promise<ExecResult> {
  const { file, args } = execArguments(access, argv);
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: { ...access.env, ...options.env },
      stdio: 'pipe',
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code: code ?? 128 + constants.signals[signal!], stdout, stderr });
    });
    // A command that does not read its input is no error.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}
