/**
 * Texts of every kind that is a lot: the largest scenarios that there may be, right or wrong at their very end, and what
 * makes a parser slow or large without being one. Each about as long as a file may be, or a little longer.
 */
import { MAX_BYTES, MAX_DEPTH, MAX_ENTRIES } from '../../control/scenario/source-limits.js';
import type { Random } from '../chaos/random.js';

const MOST_NODES = 10_000;
const MOST_LINKS = 65_535;

/** What may be picked from. */
type Strings = readonly [string, ...string[]];

/** Of about `bytes` characters, `unit` over and over. */
const filled = (unit: string, bytes = MAX_BYTES): string => unit.repeat(Math.floor(bytes / unit.length));
const numbered = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('');

/** So many nodes on switches in a row, and links with all of their properties as far as the file has room. */
function largest(random: Random, last = ''): string {
  const switches = random.pick([1, 10, 1000]);
  const written = random.pick([
    () => 'rate: 1gbit, delay: 10ms, jitter: 1ms, loss: 0.1%',
    () => 'mtu: 9000, rate: 1mbit, queue: 64KiB',
    // Each link another: nothing that they come to is shared.
    (i: number) => `rate: ${i + 1000}kbit, delay: ${i}us, loss: 0.1%`,
    () => 'rate: 1mbit, queue: codel, loss: gilbert-elliott 1% 9%',
    () => 'rate: 1mbit, forward: { queue: { discipline: pie } }',
  ]);
  const two = (i: number): string => `s${i % switches}`;
  const nodes =
    numbered(
      switches,
      (i) => `  s${i}: { kind: switch, subnet: 10.${i >> 6}.${(i & 63) << 2}.0/${switches === 1 ? 8 : 22} }\n`,
    ) + numbered(MOST_NODES - switches, (i) => `  h${i}: { kind: host }\n`);
  const links = numbered(
    MOST_LINKS - 1,
    (i) => `  - { endpoints: [h${i % (MOST_NODES - switches)}, ${two(i)}], ${written(i)} }\n`,
  );
  return `name: x\nnodes:\n${nodes}links:\n${links}${last}`;
}

/** Anchors and aliases: each level `fan` times the one below. */
function aliases(random: Random): string {
  const depth = random.int(2, 2 * MAX_DEPTH);
  const fan = random.int(2, 1000);
  const level = (i: number): string =>
    `a${i}: &a${i} [${i === 0 ? '1' : Array.from({ length: fan }, () => `*a${i - 1}`).join(', ')}]\n`;
  return `name: x\n${numbered(depth, level)}nodes: *a${depth - 1}\n`;
}

/** One alias or merge key, again and again. */
function repeated(random: Random): string {
  const list = `[${Array.from({ length: random.int(1, 1000) }, (_, i) => i).join(', ')}]`;
  const item = random.pick(['  - *a\n', '  - { <<: *a }\n', '  - [*a, *a, *a]\n', '  - *b\n']);
  return `name: x\na: &a ${list}\nnodes:\n${filled(item, MAX_BYTES - list.length - 100)}`;
}

const NESTING: Strings = ['[', '{ a: ', '- ', '? ', '[[', '{ "a": [', '!!seq [', '&a [', '  '];
const SCALARS: Strings = [
  'x',
  ' ',
  '"',
  '\\x41',
  '\u{1f600}',
  "''",
  ': ',
  '#',
  '\t',
  '-',
  '%',
  '*',
  '&',
  '|',
  '>#',
  '\u2028',
  '.',
];
const LINES: Strings = [
  '\n',
  '\r\n',
  '#\n',
  '- \n',
  '? \n',
  ': \n',
  '---\n',
  '...\n',
  '- x\n',
  '&a\n',
  '  \n',
  '"\n',
  '|\n',
];

function one(random: Random): string {
  const scalar = filled(random.pick(SCALARS), MAX_BYTES - 100);
  const kinds: readonly [() => string, ...(() => string)[]] = [
    () => `name: ${scalar}\n`,
    () => `name: "${scalar}"\n`,
    () => `name: '${scalar.replaceAll("'", '')}'\n`,
    () => `name: |\n  ${scalar}\n`,
    () => `name: >-\n${filled(`  ${random.pick(SCALARS)}x\n`, MAX_BYTES - 100)}`,
    () => `${scalar}: x\n`,
    () => `name: x\n# ${scalar}\n`,
    () => `name:\n  # ${scalar}\n  |\n  x\n`,
    () => `- '${scalar.replaceAll("'", '')}'\n- |\n  x\n`,
    () => `name: x\nnodes: [${scalar}]\n`,
  ];
  return random.pick(kinds)();
}

function entries(random: Random): string {
  const count = random.pick([MAX_ENTRIES - 1, MAX_ENTRIES, MAX_ENTRIES + 1, 300_000]);
  const wide = random.pick(['x', '[1, 2, 3]', '{ a: 1 }', '~', '"fd00::1"']);
  const kinds: readonly [string, ...string[]] = [
    `nodes:\n${numbered(count, (i) => `  n${i}: ${wide}\n`)}`,
    `nodes:\n${numbered(count, () => `  same: ${wide}\n`)}`,
    `links:\n${filled(`  - ${wide}\n`, Math.min(MAX_BYTES - 50, count * 14))}`,
    `nodes: { h1: { kind: host, command: [${filled('x, ', 3 * count)}x] } }\n`,
    `nodes: { h1: { kind: host, env: { ${numbered(count, (i) => `A${i}: x, `)} } } }\n`,
  ];
  return `name: x\n${random.pick(kinds)}`;
}

/** Each kind as likely as any other. */
export function bulkText(random: Random): { readonly kind: string; readonly text: string } {
  const kinds: readonly [readonly [string, () => string], ...(readonly [string, () => string])[]] = [
    ['the largest scenario', () => largest(random)],
    ['the largest scenario, wrong at its end', () => largest(random, '  - { endpoints: [h1, nobody] }\n')],
    ['the largest scenario, cut', () => largest(random).slice(0, -random.int(2, 1000))],
    ['the largest scenario in JSON', () => largestJson(random)],
    ['aliases of aliases', () => aliases(random)],
    ['one alias again and again', () => repeated(random)],
    ['nesting', () => `name: x\nnodes: ${filled(random.pick(NESTING), random.pick([1e3, 1e5, MAX_BYTES - 50]))}`],
    ['one value', () => one(random)],
    ['lines', () => filled(random.pick(LINES), random.pick([MAX_BYTES, MAX_BYTES + 1000]))],
    ['entries', () => entries(random)],
    ['noise', () => filled(String.fromCharCode(...Array.from({ length: 4096 }, () => random.int(1, 0xffff))))],
  ];
  const [kind, make] = random.pick(kinds);
  return { kind, text: make() };
}

/** On one line, or on one for each value. */
function largestJson(random: Random): string {
  const hosts = MOST_NODES - 1;
  const nodes = Object.fromEntries(Array.from({ length: hosts }, (_, i) => [`h${i}`, { kind: 'host' }]));
  const links = Array.from({ length: MOST_LINKS }, (_, i) => ({ endpoints: [`h${i % hosts}`, 's'], delay: '10ms' }));
  const scenario = { name: 'x', nodes: { s: { kind: 'switch', subnet: '10.0.0.0/8' }, ...nodes }, links };
  return JSON.stringify(scenario, undefined, random.pick([0, 1]));
}
