/** What `npm pack` makes installs elsewhere and works there: command, API, types, schema. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Bench, ROOT, run } from './machine.js';

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

it('installs from its file and runs', async () => {
  // Built already; `prepare` would build once more.
  const pack = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', bench.directory], {
    cwd: ROOT,
  });
  expect(pack).toMatchObject({ code: 0 });
  const [{ filename, files }] = JSON.parse(pack.stdout) as [{ filename: string; files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'bin/luthier', 'dist/index.d.ts', 'dist/scenario.schema.json'])); // prettier-ignore
  expect(paths.filter((path) => /\.test\.|^test\/|^dist\/(test|bench)\/|\.asan|\.o$/.test(path))).toEqual([]);

  const elsewhere = bench.path('elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'package.json'), '{ "type": "module", "private": true }');
  // What its dependencies need themselves is asked of the registry: more often than npm would by itself, where that is busy.
  const often = ['--fetch-retries=8', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=10000'];
  const options = ['--prefer-offline', '--no-audit', '--no-fund', ...often];
  const install = await run('npm', ['install', ...options, join(bench.directory, filename)], { cwd: elsewhere });
  expect(install).toMatchObject({ code: 0 });

  const luthier = join(elsewhere, 'node_modules/.bin/luthier');
  const file = bench.scenario(
    'packed',
    'name: packed\nnodes:\n  h1: { kind: host }\n  h2: { kind: host }\nlinks:\n  - { endpoints: [h1, h2] }\n',
  );
  for (const args of [
    ['up', file],
    ['exec', 'h1', '--', 'ping', '-c1', '-W20', 'h2'],
    ['down', 'packed'],
  ])
    // prettier-ignore
    expect(await run(luthier, args, { env: bench.env, cwd: elsewhere }), args.join(' ')).toMatchObject({ code: 0 });

  const schema = join(elsewhere, 'node_modules/luthier/dist/scenario.schema.json');
  expect(existsSync(schema)).toBe(true);
  expect(JSON.parse(readFileSync(schema, 'utf8'))).toHaveProperty('$schema');
  writeFileSync(
    join(elsewhere, 'api.mjs'),
    "import { load } from 'luthier';\nconsole.log(load('../packed.yaml').raw.name);\n",
  );
  expect(await run(process.execPath, ['api.mjs'], { cwd: elsewhere })).toMatchObject({ code: 0, stdout: 'packed\n' });
  await bench.nothingLeft();
}, 300_000);
