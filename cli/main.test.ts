import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildProgram, main } from './main.js';

const folder = mkdtempSync(join(tmpdir(), 'luthier-main-'));
const scenario = fileURLToPath(new URL('../scenarios/two-lans/scenario.yaml', import.meta.url));
let stdout = '';
let stderr = '';

beforeAll(() => {
  // An agent's folders of our own, in which nothing runs.
  vi.stubEnv('LUTHIER_RUNTIME_DIR', join(folder, 'run'));
  vi.stubEnv('LUTHIER_STATE_DIR', join(folder, 'state'));
});
beforeEach(() => {
  stdout = stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true));
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

describe('the command line', () => {
  it('names every command in its help', async () => {
    expect(await main(['--help'])).toBe(0);
    for (const name of 'up down ls inspect exec shell logs capture record trace validate bench doctor agent completion'.split(
      ' ',
    ))
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(stdout).not.toMatch(/^ {2}complete /m);
  });

  it('shows examples with each command', async () => {
    const program = await buildProgram('');
    for (const { name } of program.commands.map((command) => ({ name: command.name() }))) {
      if (name === 'complete') continue;
      stdout = '';
      expect(await main([name, '--help'])).toBe(0);
      expect(stdout).toMatch(new RegExp(`\\nExamples:\\n(  .*\\n)*  .*luthier ${name}`));
    }
  });

  it('shows its version', async () => {
    expect(await main(['--version'])).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('shows its help where no command is given, with status 2', async () => {
    expect(await main([])).toBe(2);
    expect(stderr).toContain('Usage: luthier');
  });

  it.each([
    [['upp'], "luthier: unknown command 'upp'\n  did you mean up?\n"],
    [['ls', '--jsno'], "luthier: unknown option '--jsno'\n  did you mean --json?\n"],
    [['up'], "luthier: missing required argument 'file'\n"],
    [['ls', 'more'], 'luthier: too many arguments'],
    [['capture', 'h1', '--count', '0', '-w', 'x'], "luthier: --count is '0': it must be a whole number above 0\n"],
    [['capture', 'h1', '--count', '1.5', '-w', 'x'], 'luthier: '],
    [['down'], 'luthier: name one network or file, or say --all\n'],
    [['down', 'lab', '--all'], 'luthier: name one network or file, or say --all\n'],
    [['bench', 'wan'], 'luthier: there is no benchmark "wan"\n  there are lan, tunnel, peers and link\n'],
    [['bench', 'lan', '--underlay', 'cut'], "luthier: --underlay is not for 'bench lan'\n"],
    [['bench', 'tunnel', '--mtu-sized'], "luthier: --mtu-sized is not for 'bench tunnel'\n"],
    [['bench', 'tunnel', '--underlay', 'wet'], 'luthier: '],
    [['bench', 'link', '--pairs', '3'], "luthier: --pairs is not for 'bench link'\n"],
    [['bench', 'lan', '--full'], "luthier: --full is not for 'bench lan'\n"],
    [['bench', 'link', '--only', 'rtt,lan'], 'luthier: --only: there is no part "lan"\n'],
    [['bench', 'lan', '--pairs', '0'], "luthier: --pairs is '0': it must be a whole number above 0\n"],
    [['completion', 'tcsh'], 'luthier: there is no completion for "tcsh"\n  there is one for bash, zsh, fish\n'],
  ])('%j is wrong input', async (argv, message) => {
    expect(await main(argv)).toBe(2);
    expect(stderr).toContain(message);
    expect(stdout).toBe('');
  });

  it.each([
    ['exec', 'h1', '--', 'true'],
    ['exec', 'h1'],
    ['exec', '--no-such'],
    ['shell', 'h1'],
  ])('%s %s fails with 125, a status that is not its command’s', async (...argv) => {
    expect(await main(argv)).toBe(125);
    expect(stderr).toMatch(/^luthier: /);
  });
});

describe('up', () => {
  it.each(['1KiB', '2048MiB', '4GiB', 'much'])('refuses --memory %s as wrong input', async (size) => {
    expect(await main(['up', scenario, '--memory', size])).toBe(2);
    expect(stderr).toMatch(/^luthier: /);
  });

  it.each(['0', '1000', '1.5', '-1', 'two', ''])("refuses --engines '%s' as wrong input", async (engines) => {
    expect(await main(['up', scenario, `--engines=${engines}`])).toBe(2);
    expect(stderr).toMatch(/^luthier: --engines is .*\n {2}leave it out for one/);
  });
});

describe('where nothing runs', () => {
  it.each([['inspect'], ['logs', 'h1'], ['trace', 'h1', 'h2'], ['down', 'lab'], ['capture', 'h1', '-w', 'x']])(
    '%s says so, with status 1',
    async (...argv) => {
      expect(await main(argv)).toBe(1);
      expect(stderr).toBe('luthier: no network runs\n  start one: luthier up FILE\n');
    },
  );

  it('down of a file is right or wrong input all the same', async () => {
    const broken = join(folder, 'broken');
    writeFileSync(broken, 'nodes: [');
    expect(await main(['down', broken])).toBe(2);
    expect(await main(['down', 'no/such.yaml'])).toBe(2);
    rmSync(broken);
    stderr = '';
    expect(await main(['down', scenario])).toBe(1);
    expect(stderr).toContain('no network runs');
  });

  it('ls and down --all are no error', async () => {
    expect(await main(['ls'])).toBe(0);
    expect(await main(['down', '--all'])).toBe(0);
    expect(stdout).toBe('nothing runs\nnothing runs\n');
  });

  it('facts and failures are JSON where that was asked for', async () => {
    expect(await main(['ls', '--json'])).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ luthier: 1, networks: [], unreadable: [] });
    stdout = '';
    expect(await main(['down', '--all', '--json'])).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ luthier: 1, removed: [] });
    stdout = '';
    expect(await main(['inspect', '--json'])).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      luthier: 1,
      error: { code: 'E_STATE', message: 'no network runs', hint: 'start one: luthier up FILE' },
    });
    expect(stderr).toBe('');
  });

  it('frames are not written to a terminal', async () => {
    const { isTTY } = process.stdout;
    process.stdout.isTTY = true;
    expect(await main(['capture', 'h1'])).toBe(2);
    process.stdout.isTTY = isTTY;
    expect(stderr).toContain('frames are not written to a terminal');
  });
});
