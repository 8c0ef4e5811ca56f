/** What README.md shows is run as it stands there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import ts from 'typescript';
import { Bench, ROOT, run } from './machine.js';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench[Symbol.asyncDispose]());

/** A block of code in this language: the first, if not said otherwise. */
function block(language: string, index = 0): string {
  const blocks = [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))];
  const found = blocks[index]?.[1];
  if (found === undefined) throw new Error(`README.md has no block of ${language}`);
  return found;
}

it('the first ping, by hand', async () => {
  const result = await run('bash', ['-euo', 'pipefail', '-c', block('sh')], { cwd: ROOT, env: bench.env });
  expect(result.code, result.stderr).toBe(0);
  expect(result.stdout).toContain('3 received');
  expect(result.stdout).toContain('h1 reaches h3');
  expect(result.stdout).toContain('two-lans is down');
});

it('a network of your own', async () => {
  await bench.ok('up', bench.scenario('lab', block('yaml')));
  await bench.reach('h1', 'h2');
});

it('links that are like somewhere else’s', async () => {
  const [nodes] = block('yaml').split(/^links:$/m);
  const links = block('yaml', 1).replace('events:', '  - { endpoints: [h2, s1] }\nevents:');
  await bench.ok('validate', bench.scenario('lab', `${nodes!}${links}`));
});

it('from TypeScript', async () => {
  const { outputText } = ts.transpileModule(block('ts'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const result = await run(process.execPath, ['--input-type=module', '-e', outputText], { cwd: ROOT, env: bench.env });
  expect(result.code, result.stderr).toBe(0);
  expect(result.stdout).toContain('1 received');
});
