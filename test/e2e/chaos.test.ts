/** Rounds of random kills (test/chaos/chaos.ts): some as root, and others where the tests run as an ordinary user. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isRoot, ROOT, run } from './machine.js';

const ROUNDS = 100;
const FIRST = isRoot ? 1 : 1 + ROUNDS;

it(
  `${ROUNDS} rounds of random kills leave nothing behind, and nobody else notices`,
  async () => {
    const program = join(ROOT, 'node_modules/tsx/dist/cli.mjs');
    const args = ['test/chaos/chaos.ts', '--rounds', String(ROUNDS), '--seed', '1', '--from', String(FIRST)];
    const result = await run(process.execPath, [program, ...args], { cwd: ROOT });
    const lines = result.stdout.trimEnd().split('\n');
    expect(result.code, `${lines.slice(-40).join('\n')}\n${result.stderr}`).toBe(0);
    console.log(lines.slice(-2).join('\n'));
  },
  20 * 60_000,
);
