/**
 * What is too much for a scenario, or just not: read by the compiled command in a process whose heap is bounded, which ends
 * with an answer or with a place in the file, never for want of memory. `test/fuzz/bulk.ts` makes many more of them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MAX_BYTES, MAX_DEPTH } from '../../control/scenario/source-limits.js';
import { LUTHIER } from './command.js';

const MOST_BYTES = 500e6;
/** What takes the square of a file's length takes hours for one of this length. */
const ANSWER_MS = 300_000;
/** Beside the heap, a process has its code, its stacks and what V8 compiles. */
const HEAP_MIB = 400;

/** Prints, at the end of the process that it is loaded into, the most memory that it had. */
const METER = `data:text/javascript,${encodeURIComponent(
  `import { writeSync } from 'node:fs';
   process.on('exit', () => writeSync(3, String(process.resourceUsage().maxRSS * 1024)));`,
)}`;

const directory = mkdtempSync(join(tmpdir(), 'lt-bulk-'));
afterAll(() => rmSync(directory, { recursive: true }));

const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('');
const room = (unit: string): string => unit.repeat(Math.floor((MAX_BYTES - 100) / unit.length));

/** 10 000 nodes, and as many links as there may be, no two alike. */
function largest(last = ''): string {
  const switches = lines(1000, (i) => `  s${i}: { kind: switch, subnet: 10.${i >> 6}.${(i & 63) << 2}.0/22 }\n`);
  const hosts = lines(9000, (i) => `  h${i}: { kind: host }\n`);
  const properties = (i: number): string => `rate: ${i + 1}kbit, delay: ${i + 1}us, loss: ${i % 100}%`;
  const links = lines(65_534, (i) => `  - { endpoints: [h${i % 9000}, s${i % 1000}], ${properties(i)} }\n`);
  return `name: x\nnodes:\n${switches}${hosts}links:\n${links}${last}`;
}

const aliases = (fan: number): string =>
  lines(
    MAX_DEPTH,
    (i) =>
      `a${i}: &a${i} [${
        i === 0
          ? '1'
          : Array(fan)
              .fill(`*a${i - 1}`)
              .join(', ')
      }]\n`,
  );

const texts: [what: string, text: () => string, status: number, says: RegExp][] = [
  ['the largest scenario', () => largest(), 0, /65534 links/],
  [
    'the largest scenario, wrong at its end',
    () => largest('  - { endpoints: [h1, h9001] }\n'),
    2,
    /:75538:23: .*"h9001"/,
  ],
  ['the largest scenario, cut', () => largest('  - { endpoints: [h1'), 2, /:75538:\d+: not YAML/],
  ['aliases that explode', () => `name: x\n${aliases(200)}`, 2, /:\d+:\d+: .*values, aliases expanded/],
  ['nesting as long as a file', () => `name: x\nnodes: ${room('[')}`, 2, /:\d+:\d+: /],
  ['one name as long as a file', () => `name: ${room('x')}\n`, 2, /:1:1: .*"nodes" is missing/],
  ['one key as long as a file', () => `${room('x')}: x\n`, 2, /:1:1: /],
  ['as many lines as fit', () => room('- x\n'), 2, /:\d+:\d+: /],
  ['a comment like headers of text', () => `command:\n  # ${room('>#')}\n  |\n  x\n`, 2, /:1:1: /],
  ['an item like headers of text', () => `- "${room('>#')}"\n- |\n  x\n`, 2, /:1:1: /],
  ['more entries than a list may have', () => `name: x\nlinks:\n${lines(300_000, () => '  - x\n')}`, 2, /:\d+:\d+: /],
];

describe('a scenario that is a lot', { timeout: 2 * ANSWER_MS }, () => {
  it.each(texts)('%s', (_, text, status, says) => {
    const file = join(directory, 'bulk.yaml');
    writeFileSync(file, text());
    const argv = ['--import', METER, `--max-old-space-size=${HEAP_MIB}`, LUTHIER, 'validate', file];
    const child = spawnSync(process.execPath, argv, {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      encoding: 'utf8',
      timeout: ANSWER_MS,
    });
    expect([child.status, child.signal], child.stderr.slice(-1000)).toEqual([status, null]);
    expect(status === 0 ? child.stdout : child.stderr).toMatch(says);
    expect(Number(child.output[3])).toBeLessThan(MOST_BYTES);
  });
});
