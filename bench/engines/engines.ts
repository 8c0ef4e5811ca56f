/**
 * What a second engine gives and takes: TCP between hosts of one switch, with one engine and with more, in turns, and the
 * processor time of the switch process for it. Four hosts: with two engines the first two are in one of them, the others in
 * the other.
 *
 *   npx tsx bench/engines/engines.ts [--engines 2] [--turns 9] [--seconds 1]       as root, on a quiet machine
 */
import { parseArgs } from 'node:util';
import { estimate } from '../../measure/statistics.js';
import { roundTrips } from '../../measure/traffic.js';
import { Arms, type Sample } from './arms.js';

const { values: options } = parseArgs({
  options: {
    engines: { type: 'string', default: '2' },
    turns: { type: 'string', default: '9' },
    seconds: { type: 'string', default: '1' },
  },
});
const [ENGINES, TURNS, SECONDS] = [options.engines, options.turns, options.seconds].map(Number) as [
  number,
  number,
  number,
];
if (![ENGINES, TURNS, SECONDS].every((value) => Number.isInteger(value) && value > 0))
  throw new RangeError('--engines, --turns and --seconds take whole numbers above 0');
const HOSTS = ['h1', 'h2', 'h3', 'h4'];
const never = new AbortController().signal;

/** What is done at once. */
const LOADS: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  'h1 → h2, in one engine': [['h1', 'h2']],
  'h1 → h3, from one to the other': [['h1', 'h3']],
  'h1 → h2 and h3 → h4': [
    ['h1', 'h2'],
    ['h3', 'h4'],
  ],
  'h1 → h3 and h4 → h2': [
    ['h1', 'h3'],
    ['h4', 'h2'],
  ],
};

await using networks = await Arms.up(
  [1, ENGINES].map((engines) => ({ engines, name: `engines-${engines}` })),
  HOSTS,
  scenario,
);
const samples = new Map<string, Sample[]>();
const trips = new Map<string, number[]>();
for (let turn = 0; turn < TURNS; turn++)
  for (const { name } of networks.inTurn(turn)) {
    for (const [load, pairs] of Object.entries(LOADS)) {
      const key = `${load} ${name}`;
      samples.set(key, [...(samples.get(key) ?? []), await networks.measure(name, pairs, SECONDS)]);
    }
    for (const to of ['h2', 'h3']) {
      const key = `h1 ⇄ ${to} ${name}`;
      const { us } = await roundTrips(await networks.way(name, 'h1', to), { seconds: SECONDS }, never);
      trips.set(key, [...(trips.get(key) ?? []), us.toSorted((a, b) => a - b)[us.length >> 1]!]);
    }
  }
for (const load of Object.keys(LOADS)) {
  const [one, more] = networks.arms.map(({ name }) => samples.get(`${load} ${name}`)!) as [Sample[], Sample[]];
  console.log(load);
  console.log(`  Gbit/s    ${beside(one, more, ({ gbps }) => gbps)}`);
  console.log(`  s/GB      ${beside(one, more, ({ cpuSecondsPerGb }) => cpuSecondsPerGb)}`);
}
for (const to of ['h2', 'h3']) {
  const [one, more] = networks.arms.map(({ name }) => trips.get(`h1 ⇄ ${to} ${name}`)!) as [number[], number[]];
  console.log(`round trip h1 ⇄ ${to}, p50 in µs\n            ${beside(one, more, (us) => us)}`);
}

function scenario(name: string): string {
  return [
    `name: ${name}`,
    'nodes:',
    '  s1: { kind: switch, subnet: 10.0.0.0/24 }',
    ...HOSTS.map((host) => `  ${host}: { kind: host }`),
    'links:',
    ...HOSTS.map((host) => `  - { endpoints: [${host}, s1] }`),
  ].join('\n');
}

/** Medians, and the ratio of turn and turn with its interval. */
function beside<Of>(one: readonly Of[], more: readonly Of[], value: (of: Of) => number): string {
  const [a, b] = [one.map(value), more.map(value)];
  const ratio = estimate(b.map((other, i) => other / a[i]!));
  const range = ratio.interval?.map((end) => end.toFixed(2)).join(' … ');
  const text = `1: ${estimate(a).median.toFixed(2)}   ${ENGINES}: ${estimate(b).median.toFixed(2)}`;
  return `${text}   ratio ${ratio.median.toFixed(2)}${range === undefined ? '' : ` (${range})`}`;
}
