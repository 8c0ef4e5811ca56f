/** Rounds of random kills (test/chaos/chaos.ts): some as root, and others where the tests run as an ordinary user. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isRoot, ROOT, run } from './machine.js';

const ROUNDS = 100;
/** Of switch processes with two engines: half a minute. */
const ROUNDS_IN_TWO = 8;

it.each([
  [ROUNDS, 1],
  [ROUNDS_IN_TWO, 2],
])(
  '%i rounds of random kills leave nothing behind, and nobody else notices; engines: %i',
  async (rounds, engines) => {
    const program = join(ROOT, 'node_modules/tsx/dist/cli.mjs');
    const first = isRoot ? 1 : 1 + rounds;
    const numbers = { rounds, seed: 1, from: first, engines };
    const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const result = await run(process.execPath, [program, 'test/chaos/chaos.ts', ...args], { cwd: ROOT });
    const lines = result.stdout.trimEnd().split('\n');
    expect(result.code, `${lines.slice(-40).join('\n')}\n${result.stderr}`).toBe(0);
    console.log(lines.slice(-2).join('\n'));
  },
  20 * 60_000,
);
