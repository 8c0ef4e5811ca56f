/**
 * What an end-to-end test stands on: an agent of its own (sockets and state in a folder of its own), the compiled
 * command, scenario files, and a census of the machine (census.ts) that finds whatever is left behind.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { pathsFrom, type Paths } from '../../control/paths.js';
import { isMachineRoot } from '../../control/privileges.js';
import { census, NOTHING, whatIsLeft } from './census.js';
import { LUTHIER, run, type Result } from './command.js';

export { agentPidOf, processesOf } from './census.js';
/** Whether networks are made on the machine itself, or in a user namespace. */
export const isRoot = isMachineRoot();

export { LUTHIER, QUICK, ROOT, run, speaks, type Result } from './command.js';

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
    expect(result.code, `luthier ${args.join(' ')}: ${result.stderr}${result.stdout}`).toBe(0);
    return result.stdout;
  }

  /**
   * A host reaches another, in whatever time it takes: what was lost is asked again, and that `ping` waits for an answer does
   * not help where its kernel says before that nobody is there.
   */
  async reach(from: string, to: string): Promise<void> {
    const ping = async (): Promise<number | null> =>
      (await this.luthier('exec', from, '--', 'ping', '-c1', '-i0.2', '-w5', to)).code;
    await expect.poll(ping, { timeout: 60_000, message: `${from} reaches ${to}` }).toBe(0);
  }

  /**
   * The numbers of so many answers, in whatever time they take: 1 to `count` where none is lost. `ping` itself waits for the
   * last of them no longer than twice what another took; with a deadline, until all are there, and asks on meanwhile.
   */
  async answers(from: string, to: string, count: number, ...options: string[]): Promise<number[]> {
    const text = await this.ok('exec', from, '--', 'ping', `-c${count}`, '-w60', ...options, to);
    return [...text.matchAll(/icmp_seq=(\d+)/g)].map(([, number]) => Number(number));
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
    await this.ok('down', '--all');
    await this.nothingLeft();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async nothingLeft(): Promise<void> {
    expect(await whatIsLeft(this.#before, this.directory)).toEqual(NOTHING);
  }
}
