/** Wrong input: exit 2, file:line:column, and nothing is made. What is right but not built yet: exit 1, the same form. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bench, LUTHIER, run } from './machine.js';

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const wrong: [what: string, text: string, position: string, says: RegExp][] = [
  ['not YAML', 'name: x\nnodes: [', '2:', /./],
  ['an unknown key', 'name: x\nnodes:\n  h1: { kind: host, adress: x }\n', '3:21', /adress/],
  ['a missing unit', 'name: x\nnodes:\n  h1: { kind: host, memory: 256 }\n', '3:29', /unit|KiB|MB/],
  ['an unknown node', 'name: x\nnodes:\n  h1: { kind: host }\nlinks:\n  - { endpoints: [h1, h2] }\n', '5:23', /h2/],
  ['a duplicate name', 'name: x\nnodes:\n  h1: { kind: host }\n  h1: { kind: host }\n', '4:3', /h1|unique/],
  [
    'a duplicate address',
    'name: x\nnodes:\n  s1: { kind: switch, subnet: 10.0.0.0/24 }\n  h1: { kind: host }\n  h2: { kind: host }\nlinks:\n' +
      '  - endpoints: [{ node: h1, address: 10.0.0.5/24 }, s1]\n  - endpoints: [{ node: h2, address: 10.0.0.5/24 }, s1]\n',
    '8:38',
    /10\.0\.0\.5/,
  ],
  [
    'an address outside its subnet',
    'name: x\nnodes:\n  s1: { kind: switch, subnet: 10.0.0.0/24 }\n  h1: { kind: host }\nlinks:\n' +
      '  - endpoints: [{ node: h1, address: 10.0.1.5/24 }, s1]\n',
    '6:38',
    /10\.0\.1\.5/,
  ],
  [
    'a subnet that is too small',
    'name: x\nnodes:\n  s1: { kind: switch, subnet: 10.0.0.0/30 }\n  h1: { kind: host }\n  h2: { kind: host }\n  h3: { kind: host }\nlinks:\n' +
      '  - { endpoints: [h1, s1] }\n  - { endpoints: [h2, s1] }\n  - { endpoints: [h3, s1] }\n',
    '',
    /10\.0\.0\.0\/30/,
  ],
  [
    'a link of a node to itself',
    'name: x\nnodes:\n  h1: { kind: host }\nlinks:\n  - { endpoints: [h1, h1] }\n',
    '5:23',
    /to itself/,
  ],
  [
    'a loop of switches',
    'name: x\nnodes:\n  s1: { kind: switch }\n  s2: { kind: switch }\nlinks:\n  - { endpoints: [s1, s2] }\n  - { endpoints: [s2, s1] }\n',
    '7:5',
    /closes a loop/,
  ],
  [
    'subnets that overlap',
    'name: x\nnodes:\n  s1: { kind: switch, subnet: 10.0.0.0/16 }\n  s2: { kind: switch, subnet: 10.0.1.0/24 }\n',
    '',
    /overlap/,
  ],
];

describe.each(['up', 'validate'])('%s refuses', (command) => {
  it.each(wrong)('%s', async (what, text, position, says) => {
    const file = bench.scenario(what.replaceAll(' ', '-'), text);
    const result = await bench.luthier(command, file);
    expect(result).toMatchObject({ code: 2 });
    expect(result.stderr).toMatch(/:\d+:\d+: /);
    expect(result.stderr).toContain(`${file}:${position}`);
    expect(result.stderr).toMatch(says);
    await bench.nothingLeft();
  });
});

/** What FILE can be that is no scenario; each is refused at 1:1, within the time, with nothing made. */
const noScenario: [what: string, make: (path: string) => void, says: RegExp][] = [
  ['a file that is not there', () => undefined, /no such file/],
  ['a directory', (path) => mkdirSync(path), /is a directory/],
  ['an empty file', (path) => writeFileSync(path, ''), /is empty/],
  ['only comments', (path) => writeFileSync(path, '# nothing\n\n# yet\n'), /is empty/],
  ['a pipe without a writer', (path) => execFileSync('mkfifo', [path]), /is empty/],
  ['an endless device', (path) => symlinkSync('/dev/zero', path), /is a device/],
  ['a link to itself', (path) => symlinkSync(path, path), /symbolic link/],
  ['50 MB', (path) => writeFileSync(path, Buffer.alloc(50_000_000, '#\n')), /larger than \d+ bytes/],
  ['a program', (path) => writeFileSync(path, Buffer.from('\x7fELF\x02\x01\x01\0\0', 'latin1')), /NUL/],
  ['UTF-16', (path) => writeFileSync(path, Buffer.from('\ufeffname: x', 'utf16le')), /UTF-16/],
  ['aliases that explode', (path) => writeFileSync(path, laughs()), /more than \d+ values, aliases expanded/],
];

function laughs(): string {
  const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i}, `.repeat(10)}]\n`);
  return `l0: &l0 [${'x, '.repeat(10)}]\n${levels.join('')}`;
}

describe('up refuses', () => {
  it.each(noScenario)('%s', async (what, make, says) => {
    const file = bench.path(what.replaceAll(' ', '-'));
    make(file);
    const result = await bench.luthier('up', file);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(/^luthier: \S+:\d+:\d+: /);
    expect(result.stderr).toContain(`${file}:`);
    expect(result.stderr).toMatch(says);
    await bench.nothingLeft();
  });

  it('10 000 hosts where a process may have too few descriptors, before anything is made', async () => {
    const machines = ['a', 'b', 'c', 'd'];
    const hosts = Array.from({ length: 10_000 }, (_, i) => `h${i}`);
    const file = bench.scenario(
      'large',
      [
        `name: large\nmachines: [${machines.join(', ')}]\nnodes:\n  s1: { kind: switch, subnet: 10.0.0.0/16 }`,
        ...hosts.map((name, i) => `  ${name}: { kind: host, machine: ${machines[i % machines.length]!} }`),
        'links:',
        ...hosts.map((name) => `  - { endpoints: [${name}, s1] }`),
      ].join('\n'),
    );
    const limited = ['-c', 'ulimit -n 4096 && exec "$0" "$@"', LUTHIER, 'up', file, '--json'];
    const result = await run('sh', limited, { env: bench.env, cwd: bench.directory });
    expect(result).toMatchObject({ code: 1, stderr: '' });
    const { error } = JSON.parse(result.stdout) as { error: { code: string; message: string; hint: string } };
    expect(error.code).toBe('E_CAPACITY');
    expect(error.message).toMatch(/needs 30\d{3} descriptors, and a process may have 4096/);
    expect(error.hint).toContain('ulimit -Hn 32768');
    await bench.nothingLeft();
  });
});

it('says with position and key what is not built yet, and validate still accepts it', async () => {
  const file = bench.scenario(
    'vm',
    'name: x\nnodes:\n  h1: { kind: host }\n  h2: { kind: host, type: vm }\nlinks:\n  - { endpoints: [h1, h2] }\n',
  );
  const result = await bench.luthier('up', file);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain(`${file}:4:21`);
  expect(result.stderr).toContain('type vm');
  expect((await bench.luthier('validate', file)).code).toBe(0);
  await bench.nothingLeft();
});

it('refuses commands and options that do not exist, with the nearest one', async () => {
  const command = await bench.luthier('dwon', '--all');
  expect(command.code).toBe(2);
  expect(command.stderr).toContain('down');
  expect(await bench.luthier('down', 'no-such-network')).toMatchObject({ code: 1 });
});
