import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { networkState, sourceOf } from '../test/fixtures/network-state.js';
import { runningNames, scenarioFiles } from './completion.js';
import { main } from './main.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'luthier-completion-'));
vi.stubEnv('LUTHIER_RUNTIME_DIR', join(folder, 'run'));
vi.stubEnv('LUTHIER_STATE_DIR', join(folder, 'state'));
mkdirSync(join(folder, 'a/b/c'), { recursive: true });
for (const file of ['top.yaml', 'a/one.yml', 'a/other.txt', 'a/b/two.yaml', 'a/b/c/deep.yaml', '.hidden.yaml'])
  writeFileSync(join(folder, file), '');

afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** What `luthier complete -- WORDS` answers: values, then the directive. */
async function complete(...words: string[]): Promise<string[]> {
  const lines: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => lines.push(line));
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => (lines.push(String(text).trimEnd()), true));
  expect(await main(['complete', '--', ...words])).toBe(0);
  return lines.map((line) => line.split('\t')[0]!);
}

describe('completion', () => {
  it('offers commands', async () => {
    expect(await complete('in')).toEqual(['inspect', ':4']);
    expect(await complete('')).toContain('validate');
  });

  it('offers options of a command', async () => {
    expect(await complete('inspect', '--')).toEqual(['--fdb', '--events', '--drops', '--json', '--help', ':4']);
  });

  it('offers the shells', async () => {
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish', ':4']);
  });

  it('offers scenario files, at most two folders down', () => {
    expect(scenarioFiles(`${folder}/`).sort()).toEqual(
      ['a/b/two.yaml', 'a/one.yml', 'top.yaml'].map((file) => join(folder, file)),
    );
    expect(scenarioFiles(`${folder}/to`)).toContain(join(folder, 'top.yaml'));
    expect(scenarioFiles('no/such/folder')).toEqual([]);
  });

  it('offers what runs, with the network where there are several', async () => {
    expect(await runningNames(sourceOf(networkState('lab')), [])).toMatchObject({
      network: ['lab'],
      node: ['h1', 'r1'],
      port: ['h1:eth0', 'r1:eth0', 'r1:eth1'],
      'link|port': ['h1--s1', 'h1:eth0', 'r1:eth0', 'r1:eth1'],
      'key=value': expect.arrayContaining(['delay=', 'state=']) as unknown,
    });
    expect(await runningNames(sourceOf(networkState('a'), networkState('b')), [])).toMatchObject({
      node: ['a/h1', 'a/r1', 'b/h1', 'b/r1'],
    });
  });

  it('leaves a command for exec to the shell', async () => {
    expect(await complete('exec', 'h1', '--', 'ls', '-')).toEqual([':0']);
  });
});

const built = existsSync(join(root, 'dist/cli/main.js'));

describe.skipIf(!built)(`in bash${built ? '' : ' (skipped: not built)'}`, () => {
  /** Types a line into a bash that knows the script, and returns what Tab would offer. */
  function typed(line: string, answers?: readonly string[]): string[] {
    const script = `
      luthier() { ${answers === undefined ? `'${root}bin/luthier' "$@"` : `printf '%s\\n' ${answers.join(' ')} :4`}; }
      source "$SCRIPT"; source "$SCRIPT"
      compopt() { :; } # only allowed while bash itself completes
      COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
      __luthier_complete_after_colon
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const file = join(folder, 'completion.bash');
    writeFileSync(file, execFileSync(join(root, 'bin/luthier'), ['completion', 'bash']));
    const env = { ...process.env, SCRIPT: file };
    return execFileSync('bash', ['-euo', 'pipefail', '-c', script, 'bash', line], { encoding: 'utf8', env })
      .trim()
      .split('\n');
  }

  it('completes a command', () => {
    expect(typed('luthier val')).toEqual(['validate']);
  });

  it('completes after a colon, of which bash replaces only what follows', () => {
    expect(typed('luthier capture h1:e', ['h1:eth0', 'h1:eth1'])).toEqual(['eth0', 'eth1']);
    expect(typed('luthier capture h', ['h1:eth0'])).toEqual(['h1:eth0']);
  });
});
