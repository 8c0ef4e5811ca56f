/** Folders that cannot be used: each is named with what to do, and nothing is made; with others, the same `up` works. */
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bench, isRoot, LUTHIER, run, type Result } from './machine.js';

const PAIR = `
name: pair
nodes:
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, h2] }
`;
const VARIABLES = { state: 'LUTHIER_STATE_DIR', runtime: 'LUTHIER_RUNTIME_DIR' } as const;

let bench: Bench;
let file: string;
beforeEach(() => {
  bench = new Bench();
  file = bench.scenario('pair', PAIR);
});
afterEach(() => bench[Symbol.asyncDispose]());

/** `up` where one folder is at `path` and `closed` may not be written to: root is stopped by a read-only mount alone. */
async function up(kind: keyof typeof VARIABLES, path: string, closed?: string): Promise<Result> {
  const options = { env: { ...bench.env, [VARIABLES[kind]]: path }, cwd: bench.directory };
  const args = ['up', '--memory', '8MiB', file];
  if (closed === undefined) return run(LUTHIER, args, options);
  if (isRoot) {
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
    return run('unshare', ['--mount', 'sh', '-c', script, closed, LUTHIER, ...args], options);
  }
  chmodSync(closed, 0o500);
  try {
    return await run(LUTHIER, args, options);
  } finally {
    chmodSync(closed, 0o700);
  }
}

async function expectRefused(result: Result, path: string, why: RegExp): Promise<void> {
  expect(result).toMatchObject({ code: 1, stdout: '' });
  expect(result.stderr).toContain(path);
  expect(result.stderr).toMatch(why);
  expect(result.stderr).toMatch(/set LUTHIER_RUNTIME_DIR and LUTHIER_STATE_DIR to folders of your own/);
  await bench.nothingLeft();
}

describe.each(['state', 'runtime'] as const)('a %s folder', (kind) => {
  it('that may not be written to', async () => {
    const path = bench.path('closed');
    mkdirSync(path, { mode: 0o700 });
    await expectRefused(await up(kind, path, path), path, /EACCES|EROFS/);
    // Nothing of the attempt stands in the way of the next.
    expect(await up(kind, path)).toMatchObject({ code: 0 });
    const env = { ...bench.env, [VARIABLES[kind]]: path };
    expect(await run(LUTHIER, ['down', 'pair'], { env })).toMatchObject({ code: 0 });
    expect(existsSync(path)).toBe(false);
  });

  it('that cannot be made', async () => {
    const path = bench.path('closed/inner/luthier');
    mkdirSync(bench.path('closed'));
    await expectRefused(await up(kind, path, bench.path('closed')), dirname(dirname(path)), /EACCES|EROFS/);
    expect(existsSync(dirname(path))).toBe(false);
  });

  it('that is a file, or in one', async () => {
    const path = bench.path('file');
    writeFileSync(path, 'mine');
    await expectRefused(await up(kind, path), path, /is no folder/);
    await expectRefused(await up(kind, `${path}/luthier`), path, /ENOTDIR/);
    rmSync(path);
  });
});
