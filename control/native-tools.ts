/**
 * Starting our own native programs: the keeper, and `nsrun` in its verbs.
 */
import { execFile, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { nativeDirectory } from '../native/binding.js';
import { MORE_PROCESSES } from '../native/keeper.js';
import { LuthierError } from '../model/errors.js';
import type { ProcessId } from './process.js';

export const keeperPath = join(nativeDirectory, 'keeper');
export const nsrunPath = join(nativeDirectory, 'nsrun');

/**
 * Starts the keeper, detached: it outlives us. Resolves once it listens. `onStarted` is told its pid before: when it
 * throws, or we are killed until it has returned, the keeper ends by itself.
 */
export function startKeeper(socket: string, onStarted: (pid: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(keeperPath, ['--await', socket], { detached: true, stdio: 'pipe', cwd: '/' });
    // It may have ended: that is told otherwise.
    child.stdin.on('error', () => undefined);
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.once('error', (cause) => {
      reject(new LuthierError('E_KEEPER', `cannot start the keeper ${keeperPath}: ${cause.message}`, { cause }));
    });
    child.once('exit', (code, signal) => {
      const why = errors.trim() || `it ended with ${signal ?? `status ${code ?? '?'}`}`;
      reject(new LuthierError('E_KEEPER', `the keeper did not start: ${why}`));
    });
    child.stdout.once('data', () => {
      child.removeAllListeners('exit');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      try {
        onStarted(child.pid!);
        child.stdin.end('.', resolve);
      } catch (cause) {
        child.stdin.destroy();
        reject(cause);
      }
    });
  });
}

/**
 * Runs an `nsrun batch` script: sysctls and `ip` commands in namespaces, in order, up to the first failure. `inside`: a
 * process in the user namespace that those belong to, where we are not in it ourselves.
 */
export function runBatch(lines: readonly string[], inside?: ProcessId): Promise<void> {
  if (lines.length === 0) return Promise.resolve();
  const entering = inside === undefined ? [] : ['rootless', '--join', `${inside.pid}:${inside.start}`, '--', nsrunPath];
  return new Promise((resolve, reject) => {
    const args = [...entering, 'batch'];
    const child = execFile(nsrunPath, args, { cwd: '/', maxBuffer: 1 << 20 }, (cause, _stdout, stderr) => {
      if (cause === null) resolve();
      else {
        const message = `cannot configure the network: ${stderr.trim() || cause.message}`;
        const hint = lacksProcesses(cause, stderr) ? { hint: MORE_PROCESSES } : {};
        reject(new LuthierError('E_CONFIGURE', message, { ...hint, cause }));
      }
    });
    // A script that failed early leaves the rest unread: its exit status says why.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(`${lines.join('\n')}\n`);
  });
}

/** `nsrun` could not be started, or not start `ip`: EAGAIN of fork(2). */
export function lacksProcesses(cause: { readonly code?: unknown }, stderr: string): boolean {
  return cause.code === 'EAGAIN' || /^nsrun: (?:fork|ip): Resource temporarily unavailable$/m.test(stderr);
}

/** Two for each processor: one waits for the kernel's locks while another computes. */
const BATCHES_AT_ONCE = Math.min(8, 2 * availableParallelism());

/**
 * Runs sections of an `nsrun batch` script that do not depend on one another, such as those of hosts, several at a time.
 * After a failure the others' are still done, so that nothing is configured any more when the first of the failures is
 * thrown.
 */
export async function runSections(sections: readonly (readonly string[])[]): Promise<void> {
  const each = Math.ceil(sections.length / BATCHES_AT_ONCE);
  const batches = Array.from({ length: BATCHES_AT_ONCE }, (_, i) => sections.slice(i * each, (i + 1) * each).flat());
  const failed = (await Promise.allSettled(batches.map((lines) => runBatch(lines)))).find(
    (result) => result.status === 'rejected',
  );
  if (failed !== undefined) throw failed.reason as Error;
}

/**
 * Output of a program run in a namespace process's namespaces (`nsrun exec`); rejects unless it ends with status 0. `env`:
 * its environment, in place of ours.
 */
export function capture(
  { pid, start }: ProcessId,
  argv: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      nsrunPath,
      ['exec', `${pid}:${start}`, '--', ...argv],
      { cwd: '/', maxBuffer: 64 << 20, ...(env === undefined ? {} : { env }) },
      (cause, out, err) => {
        if (cause === null) resolve(out);
        else
          reject(
            new LuthierError('E_COMMAND', `'${argv.join(' ')}' failed: ${err.trim() || cause.message}`, { cause }),
          );
      },
    );
  });
}
