/**
 * What an end-to-end test stands on: an agent of its own (sockets and state in a folder of its own), the compiled
 * command, scenario files, and a census of the machine that finds whatever is left behind.
 */
import { execFileSync, spawn, type SpawnOptions } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { pathsFrom, type Paths } from '../../control/paths.js';

export const ROOT = join(import.meta.dirname, '../..');
export const LUTHIER = join(ROOT, 'bin/luthier');

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

/** A place for one test file's agent, scenarios and outputs. */
export class Bench implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'luthier-e2e-'));
  readonly env: NodeJS.ProcessEnv;
  /** For a client within the test itself, which is quicker than the command. */
  readonly paths: Paths;
  readonly #before = census();

  constructor() {
    this.env = {
      ...process.env,
      NO_COLOR: '1',
      LUTHIER_RUNTIME_DIR: join(this.directory, 'run'),
      LUTHIER_STATE_DIR: join(this.directory, 'state'),
    };
    this.paths = pathsFrom(this.env, process.getuid!());
  }

  luthier(...args: string[]): Promise<Result> {
    return run(LUTHIER, args, { env: this.env, cwd: this.directory });
  }

  /** The same, and it must succeed. */
  async ok(...args: string[]): Promise<string> {
    const result = await this.luthier(...args);
    expect(result, `luthier ${args.join(' ')}`).toMatchObject({ code: 0 });
    return result.stdout;
  }

  scenario(name: string, text: string): string {
    const file = join(this.directory, `${name}.yaml`);
    writeFileSync(file, text);
    return file;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Whatever happened, takes everything down; then nothing may be left. */
  async [Symbol.asyncDispose](): Promise<void> {
    const down = await this.luthier('down', '--all');
    expect(down).toMatchObject({ code: 0 });
    await expectNothingLeft(this.#before, this.directory);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async nothingLeft(): Promise<void> {
    await expectNothingLeft(this.#before, this.directory);
  }
}

export interface Census {
  readonly namespaces: readonly string[];
  readonly interfaces: readonly string[];
  readonly mounts: readonly string[];
  readonly cgroups: readonly string[];
}

/** Namespaces that any process is in, interfaces of this one, mounts, cgroups of ours. */
export function census(): Census {
  const namespaces = new Set<string>();
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    for (const kind of ['net', 'mnt', 'pid', 'uts', 'ipc', 'user']) {
      try {
        namespaces.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch {
        // it ended meanwhile
      }
    }
  }
  const interfaces = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' })) as { ifname: string }[];
  const cgroups = ['/sys/fs/cgroup/cpu', '/sys/fs/cgroup/memory', '/sys/fs/cgroup'].map((root) =>
    join(root, 'luthier'),
  );
  return {
    namespaces: [...namespaces].sort(),
    interfaces: interfaces.map(({ ifname }) => ifname).sort(),
    mounts: readFileSync('/proc/self/mounts', 'utf8').split('\n').sort(),
    cgroups: cgroups.filter((path) => existsSync(path)),
  };
}

/** Processes, other than this one, that name this folder in their command line or environment. */
export function processesOf(directory: string): { pid: number; line: string }[] {
  const found: { pid: number; line: string }[] = [];
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    if (Number(pid) === process.pid) continue;
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const env = readFileSync(`/proc/${pid}/environ`, 'utf8');
      if (line.includes(directory) || env.includes(directory)) found.push({ pid: Number(pid), line });
    } catch {
      // it ended meanwhile
    }
  }
  return found;
}

/** The pid of the agent whose folders are in `directory`, by the environment it was started with. */
export function agentPidOf(directory: string): number | undefined {
  return processesOf(directory).find(({ line }) => line.includes('dist/bin/agent.js'))?.pid;
}

/** Processes and sockets that name this folder. */
function users(directory: string): string[] {
  const sockets = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .filter((line) => line.includes(directory));
  return [...processesOf(directory).map(({ pid, line }) => `${pid} ${line}`), ...sockets];
}

async function expectNothingLeft(before: Census, directory: string): Promise<void> {
  // A namespace goes when the last process in it has been reaped, a moment after it ended.
  const deadline = performance.now() + 5_000;
  for (;;) {
    const now = census();
    const left = {
      namespaces: now.namespaces.filter((entry) => !before.namespaces.includes(entry)),
      interfaces: now.interfaces.filter((entry) => !before.interfaces.includes(entry)),
      mounts: now.mounts.filter((entry) => !before.mounts.includes(entry)),
      cgroups: now.cgroups.filter((entry) => !before.cgroups.includes(entry)),
      users: users(directory),
      state: ['run', 'state'].filter((name) => existsSync(join(directory, name))),
    };
    const clean = Object.values(left).every((list) => list.length === 0);
    if (clean) return;
    if (performance.now() > deadline) {
      expect(left).toEqual({ namespaces: [], interfaces: [], mounts: [], cgroups: [], users: [], state: [] });
      return;
    }
    await sleep(20);
  }
}
