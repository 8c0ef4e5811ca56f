/**
 * Texts that are almost scenarios: of its grammar, of YAML's, and of a right file with bytes of it changed. Noise alone
 * comes no further than the parser's first line.
 */
import fc from 'fast-check';

const WORDS = [
  ...[
    'name',
    'nodes',
    'links',
    'events',
    'machines',
    'pool',
    'lans',
    'seed',
    'luthier',
    'kind',
    'switch',
    'host',
    'router',
  ],
  ...[
    'jetway',
    'endpoints',
    'node',
    'port',
    'eth0',
    'address',
    'mac',
    'lan',
    'trunk',
    'subnet',
    'subnet6',
    'mtu',
    'delay',
  ],
  ...['loss', 'queue', 'forward', 'set', 'at', 'link', 'from', 'state', 'h1', 's1', 's2', 'r1', 'h1--s1', 'a', 'x'],
  ...['10ms', '0.1%', '64KiB', '100p', '10.0.1.0/24', '10.0.1.5', '"fd00:1::/64"', '"02:00:00:00:00:01"', '1500', '-1'],
  ...['constructor', '__proto__', 'null', '~', 'true', '.inf', '.nan', '0x7f', '1e400', '<<', '!!binary', '""', "''"],
];
const MARKS = [
  ': ',
  ', ',
  '[',
  ']',
  '{',
  '}',
  '\n',
  '\n  ',
  '\n    ',
  '\n  - ',
  '- ',
  '? ',
  '&a ',
  '*a',
  '|\n',
  '>-\n',
  '#',
  '\t',
];
const ODD = [
  '\r\n',
  '\ufeff',
  '\u2028',
  '\0',
  '"',
  "'",
  '%YAML 1.1\n---\n',
  '---\n',
  '...\n',
  '\\',
  '\u{1f600}',
  '\ud800',
];

/** Words and marks of both grammars in any order. */
const babble = fc
  .array(fc.constantFrom(...WORDS, ...MARKS, ...MARKS, ...ODD), { maxLength: 60 })
  .map((parts) => parts.join(''));

/** Values of the right shape or nearly so, written as JSON, which YAML includes. */
const value = fc.oneof(
  fc.constantFrom(...WORDS),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.string(),
);
const name = fc.constantFrom('h1', 'h2', 's1', 's2', 'r1', 'constructor', 'x'.repeat(63), 'x'.repeat(64));
const kind = fc.constantFrom('switch', 'host', 'router', 'jetway', 'hots');
const some = (keys: readonly string[]) => fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 4 });
const node = fc
  .tuple(kind, some(['subnet', 'subnet6', 'machine', 'gateway', 'command', 'env', 'cpu', 'memory', 'type']))
  .map(([is, rest]) => ({ kind: is, ...rest }));
const end = fc.oneof(
  name,
  fc.tuple(name, some(['port', 'address', 'address6', 'mac', 'lan'])).map(([at, rest]) => ({ node: at, ...rest })),
);
const link = fc
  .tuple(
    fc.array(end, { minLength: 1, maxLength: 3 }),
    some(['name', 'mtu', 'delay', 'rate', 'loss', 'queue', 'state', 'subnet']),
  )
  .map(([endpoints, rest]) => ({ endpoints, ...rest }));
const scenario = fc
  .record({
    nodes: fc.dictionary(name, node, { maxKeys: 6 }),
    links: fc.array(link, { maxLength: 6 }),
    rest: some(WORDS),
  })
  .map(({ nodes, links, rest }) => JSON.stringify({ name: 'x', ...rest, nodes, links }, undefined, 1));

/** `valid` with a few parts of it replaced, doubled many times over, or taken out. */
function mutated(valid: string): fc.Arbitrary<string> {
  const part = fc.constantFrom('', ...WORDS, ...MARKS, ...ODD);
  const edit = fc.tuple(fc.nat(valid.length), fc.nat(12), part, fc.constantFrom(1, 1, 1, 2, 2000));
  return fc
    .array(edit, { minLength: 1, maxLength: 4 })
    .map((edits) =>
      edits.reduce((text, [at, cut, by, times]) => text.slice(0, at) + by.repeat(times) + text.slice(at + cut), valid),
    );
}

export function scenarioText(valid: string): fc.Arbitrary<string> {
  return fc.oneof(babble, scenario, mutated(valid), fc.string({ unit: 'binary' }));
}
