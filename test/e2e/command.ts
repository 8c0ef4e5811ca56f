/** The compiled command, and running programs. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');
export const LUTHIER = join(ROOT, 'bin/luthier');
/** For networks of which only matters what becomes of them: small, and nothing measured, switches start in half the time. */
export const QUICK = { memoryBytes: 8 << 20, compensation: false };

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(
  file: string,
  args: readonly string[],
  options: SpawnOptions & { input?: string } = {},
): Promise<Result> {
  const { input = '', ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...rest, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr });
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** Resolves once it has said something, on standard output if not said otherwise; throws when it ends without a word there. */
export function speaks(child: ChildProcess, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
  let errors = '';
  child.stderr?.on('data', (data: Buffer | string) => (errors += data.toString()));
  return new Promise((resolve, reject) => {
    child[stream]!.once('data', () => {
      resolve();
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      reject(new Error(`${child.spawnargs.join(' ')} ended with ${code ?? signal}, and said: ${errors}`));
    });
  });
}
