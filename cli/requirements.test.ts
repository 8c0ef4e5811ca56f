import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PrivilegeError } from '../model/errors.js';
import { closedToOthers, privileges, requireMachine } from './requirements.js';

let folder: string;
let node: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "luthier-it's-"));
  chmodSync(folder, 0o755);
  for (const name of ['dist', 'dist/bin', 'prebuilds']) mkdirSync(join(folder, name), { mode: 0o755 });
  for (const name of ['package.json', 'dist/bin/vswitch.js', 'prebuilds/addon.node'])
    writeFileSync(join(folder, name), '', { mode: 0o644 });
  node = join(folder, 'node');
  writeFileSync(node, '', { mode: 0o755 });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

describe("a switch process's program", () => {
  it('may be read', () => {
    expect(closedToOthers(folder, node)).toBeUndefined();
  });

  it.each([
    ['package.json', 0o640],
    ['dist', 0o754],
    ['dist/bin/vswitch.js', 0o600],
    ['prebuilds', 0o700],
    ['.', 0o700],
    ['node', 0o754],
  ])('may not where %s has mode %o, until the command that is told was run', (name, mode) => {
    const path = join(folder, name);
    chmodSync(path, mode);
    const closed = closedToOthers(folder, node);
    expect(closed?.path).toBe(path);
    execFileSync('sh', ['-c', closed!.mend]);
    expect(closedToOthers(folder, node)).toBeUndefined();
  });
});

it('an ordinary user is told to use sudo', async () => {
  vi.spyOn(process, 'getuid').mockReturnValue(1000);
  expect(privileges()).toMatchObject({ status: 'missing', mend: 'run it with sudo' });
  await expect(requireMachine()).rejects.toThrow(PrivilegeError);
});
