/** Wrong input: exit 2, file:line:column, and nothing is made. What is right but not built yet: exit 1, the same form. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bench } from './machine.js';

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

  it('a file that is not there', async () => {
    expect(await bench.luthier(command, bench.path('none.yaml'))).toMatchObject({ code: 2 });
  });
});

it('says with position and key what is not built yet, and validate still accepts it', async () => {
  const file = bench.scenario(
    'delay',
    'name: x\nnodes:\n  h1: { kind: host }\n  h2: { kind: host }\nlinks:\n  - { endpoints: [h1, h2], delay: 10ms }\n',
  );
  const result = await bench.luthier('up', file);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain(`${file}:6:28`);
  expect(result.stderr).toContain('delay');
  expect((await bench.luthier('validate', file)).code).toBe(0);
  await bench.nothingLeft();
});

it('refuses commands and options that do not exist, with the nearest one', async () => {
  const command = await bench.luthier('dwon', '--all');
  expect(command.code).toBe(2);
  expect(command.stderr).toContain('down');
  expect(await bench.luthier('down', 'no-such-network')).toMatchObject({ code: 1 });
});
