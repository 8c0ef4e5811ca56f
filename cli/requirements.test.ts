import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { closedToOthers, mendUserNamespaces, privileges, tunDevice } from './requirements.js';

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

it.each([
  [true, [], true, 'root'],
  [false, ['CAP_SYS_ADMIN'], true, 'ordinary user: a user namespace is used'],
  [true, ['CAP_SYS_ADMIN'], true, 'root without CAP_SYS_ADMIN: a user namespace is used'],
  [true, [], false, 'root of a user namespace: a user namespace is used'],
])('privileges: root %j, lacking %j, uids %j', (root, lacking, switchUids, detail) => {
  expect(privileges({ root, lacking, switchUids })).toEqual({ name: 'privileges', status: 'ok', detail });
});

it('/dev/net/tun may be opened, or is not there', () => {
  expect(tunDevice('/dev/null').status).toBe('ok');
  expect(tunDevice(join(folder, 'tun'))).toMatchObject({ status: 'missing', detail: 'does not exist' });
});

describe('user namespaces', () => {
  const set = (setting: string, value: string): void => {
    mkdirSync(join(folder, dirname(setting)), { recursive: true });
    writeFileSync(join(folder, setting), `${value}\n`);
  };

  it('are allowed by the settings that forbid them', () => {
    set('kernel/unprivileged_userns_clone', '1');
    set('user/max_user_namespaces', '96365');
    set('kernel/apparmor_restrict_unprivileged_userns', '1');
    expect(mendUserNamespaces(folder)).toBe('sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0');
    set('user/max_user_namespaces', '0');
    expect(mendUserNamespaces(folder)).toBe(
      'sudo sysctl -w user.max_user_namespaces=15000 kernel.apparmor_restrict_unprivileged_userns=0',
    );
  });

  it('are a matter of the container where no setting forbids them', () => {
    expect(mendUserNamespaces(folder)).toContain('seccomp');
  });
});
