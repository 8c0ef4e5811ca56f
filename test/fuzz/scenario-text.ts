/**
 * Texts that are almost scenarios: of its grammar, of YAML's, and of a right file with bytes of it changed. Noise alone
 * comes no further than the parser's first line.
 */
import fc from 'fast-check';
import { NO_INPUTS } from '../../model/emulation.js';
import { LINK_PROPERTIES } from '../../model/link-properties.js';
import { linkProperties } from '../fixtures/link-properties.js';

/** Links that do all they can, and events. */
const EMULATED = `name: x
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1], rate: 10mbit, overhead: 24, queue: { discipline: red, limit: 64KiB, min: 5kB, max: 15kB, ecn: true } }
  - endpoints: [h2, s1]
    delay: 10ms
    forward: { jitter: 1ms, distribution: pareto, correlation: 25%, loss: gilbert-elliott 1% 10%, reorder: 1% }
    reverse: { rate: 1mbit, queue: fq-codel, loss: [{ ratio: 0, next: [99%, 1%] }, { ratio: 1, next: [50%, 50%] }], segments: wire }
events:
  - { at: 1s, link: h1--s1, from: h1, set: { rate: none, queue: none, overhead: none } }
  - { at: 2s, link: h2--s1, set: { state: down, duplicate: 1%, corrupt: 0.1% } }
  - { at: 2s, link: h2--s1, set: { jitter: none, state: up } }
`;

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
  ...LINK_PROPERTIES,
  ...[
    'reverse',
    'none',
    'discipline',
    'limit',
    'ecn',
    'target',
    'red',
    'codel',
    'fq-codel',
    'pie',
    'drop-tail',
    'next',
  ],
  ...[
    '1mbit',
    '20ms',
    'gilbert-elliott 1% 10%',
    'random 1% 50%',
    'normal',
    'pareto',
    './x.trace',
    '1h',
    '721h',
    'down',
  ],
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
/** Each right by itself, or some of them not. */
const properties = fc.oneof(linkProperties(NO_INPUTS), some(LINK_PROPERTIES));
const event = fc
  .tuple(
    fc.record(
      {
        at: fc.constantFrom('0ns', '1s', '1s', '720h', '-1s', '1'),
        link: fc.constantFrom('h1--s1', 'h2--s1', 'h1--h2', 'h1', 'constructor'),
        from: name,
        set: properties,
      },
      { requiredKeys: ['at', 'link', 'set'] },
    ),
    some(['at', 'from', 'set', 'forward']),
    fc.nat(9),
  )
  .map(([right, wrong, chance]) => (chance === 0 ? { ...right, ...wrong } : right));
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
    fc.oneof(properties, some(['name', 'mtu', 'subnet', ...LINK_PROPERTIES])),
    fc.record({ forward: properties, reverse: properties }, { requiredKeys: [] }),
  )
  .map(([endpoints, both, ways]) => ({ endpoints, ...both, ...ways }));
const scenario = fc
  .record({
    nodes: fc.dictionary(name, node, { maxKeys: 6 }),
    links: fc.array(link, { maxLength: 6 }),
    events: fc.array(event, { maxLength: 4 }),
    rest: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, some(WORDS)),
  })
  .map(({ rest, ...parts }) => JSON.stringify({ name: 'x', ...rest, ...parts }, undefined, 1));

/** Links between nodes that there are, and events of links that there are: what their properties mean together is looked at. */
const emulated = fc
  .record({
    first: properties,
    second: fc.record({ forward: properties, reverse: properties }, { requiredKeys: [] }),
    events: fc.array(event, { maxLength: 6 }),
  })
  .map(({ first, second, events }) =>
    JSON.stringify({
      name: 'x',
      nodes: { s1: { kind: 'switch', subnet: '10.0.1.0/24' }, h1: { kind: 'host' }, h2: { kind: 'host' } },
      links: [
        { endpoints: ['h1', 's1'], ...first },
        { endpoints: ['h2', 's1'], ...second },
      ],
      events,
    }),
  );

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
  return fc.oneof(babble, scenario, emulated, mutated(valid), mutated(EMULATED), fc.string({ unit: 'binary' }));
}
