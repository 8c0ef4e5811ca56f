/**
 * scripts/setup, in a copy of its surroundings: a folder with a lock file, and a PATH on which npm, apt-get and the rest
 * are scripts that write down how they were called.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** What scripts/setup itself calls, besides what it looks for. */
const SYSTEM = ['sh', 'dirname', 'mktemp', 'cat', 'rm', 'sha256sum', 'touch', 'mkdir'];
const LOOKED_FOR = ['cc', 'make', 'ip', 'ping', 'traceroute', 'iperf3'];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'luthier-setup-'));
  for (const name of ['bin', 'scripts']) mkdirSync(join(folder, name));
  copyFileSync(fileURLToPath(new URL('../scripts/setup', import.meta.url)), join(folder, 'scripts/setup'));
  writeFileSync(join(folder, 'package-lock.json'), '{}');
  writeFileSync(join(folder, 'scripts/build'), 'echo build >>calls');
  for (const name of SYSTEM) tool(name, `exec /usr/bin/${name} "$@"`);
  for (const name of LOOKED_FOR) tool(name);
  tool('node', 'echo v20.19.0');
  tool('npm', 'echo "npm $*" >>calls; mkdir -p node_modules; touch node_modules/.package-lock.json');
  tool('apt-get', 'echo "apt-get $*" >>calls');
  tool('id', 'echo 0');
  // Where libipsec-mb is wanted, its header is looked for outside of our folder.
  tool('uname', 'echo aarch64');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function tool(name: string, script = ''): void {
  const file = join(folder, 'bin', name);
  // The shell by its own path: `sh` on this PATH is one of these tools.
  writeFileSync(file, `#!/usr/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** Runs it, without the folders of the system's own tools on the PATH. */
function setup(purpose: string, env: Record<string, string> = {}) {
  const script = readFileSync(join(folder, 'scripts/setup'), 'utf8').replace(/^PATH="\$PATH:.*$/m, '');
  writeFileSync(join(folder, 'scripts/setup'), script);
  const { status, stderr } = spawnSync('/usr/bin/sh', [join(folder, 'scripts/setup'), purpose], {
    env: { PATH: join(folder, 'bin'), ...env },
    encoding: 'utf8',
  });
  const file = join(folder, 'calls');
  const calls = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  rmSync(file, { force: true });
  return { status, stderr, calls };
}

describe('scripts/setup', () => {
  it('installs and builds once; then nothing is installed again', () => {
    expect(setup('start')).toMatchObject({ status: 0, calls: ['npm ci', 'build'] });
    expect(setup('start')).toEqual({ status: 0, calls: ['build'], stderr: '' });
  });

  it('installs again when the lock file has changed', () => {
    setup('start');
    writeFileSync(join(folder, 'package-lock.json'), '{"changed":true}');
    // A date that is surely later than npm's record.
    spawnSync('touch', ['-d', '+1 hour', join(folder, 'package-lock.json')]);
    expect(setup('start').calls).toEqual(['npm ci', 'build']);
  });

  it('installs missing packages without asking in CI', () => {
    rmSync(join(folder, 'bin/iperf3'));
    expect(setup('start', { CI: 'true' }).calls).toEqual([
      'apt-get -q -y install --no-install-recommends iperf3',
      'npm ci',
      'build',
    ]);
  });

  it('fetches the package lists only when it cannot do without', () => {
    rmSync(join(folder, 'bin/iperf3'));
    tool('apt-get', 'echo "apt-get $*" >>calls; [ "$2" = update ] || [ -e lists ] && touch lists');
    expect(setup('start', { CI: 'true' }).calls.filter((call) => call.startsWith('apt-get'))).toEqual([
      'apt-get -q -y install --no-install-recommends iperf3',
      'apt-get -q update',
      'apt-get -q -y install --no-install-recommends iperf3',
    ]);
  });

  it('names what is missing where nobody can be asked', () => {
    rmSync(join(folder, 'bin/iperf3'));
    const { status, stderr, calls } = setup('test');
    expect({ status, calls }).toEqual({ status: 1, calls: [] });
    expect(stderr).toContain('apt-get install iperf3 tshark fping ethtool nftables util-linux procps');
  });

  it('tells an ordinary user to use sudo', () => {
    tool('id', 'echo 1000');
    rmSync(join(folder, 'bin/ping'));
    expect(setup('start', { CI: 'true' }).stderr).toContain('sudo apt-get install iputils-ping');
  });

  it('names the compiler too', () => {
    rmSync(join(folder, 'bin/cc'));
    expect(setup('start').stderr).toContain('apt-get install gcc libc6-dev');
  });

  it.each(['v18.20.0', 'v20.18.9'])('refuses node %s', (version) => {
    tool('node', `echo ${version}`);
    expect(setup('start')).toMatchObject({ status: 1, calls: [] });
  });

  it.each(['v20.19.0', 'v22.1.0', 'v24.0.0'])('takes node %s', (version) => {
    tool('node', `echo ${version}`);
    expect(setup('start').status).toBe(0);
  });

  it('shows what npm said only when it fails', () => {
    tool('npm', 'echo noise; exit 1');
    expect(setup('start')).toMatchObject({ status: 1, stderr: expect.stringContaining('noise') as string });
  });

  it('needs to be told what for', () => {
    expect(setup('nothing').status).toBe(2);
  });
});
