/**
 * What frames for another machine cost by the engine that they come from: TCP between hosts of two played machines on one
 * switch, sealed, with one engine and with two, in turns, and the processor time of both switch processes for it. With two
 * engines the first two hosts of each machine are in engine 0, which hears the tunnel, the others in engine 1.
 *
 *   npx tsx bench/engines/lanes.ts [--turns 5] [--seconds 1]       as root, on a quiet machine
 */
import { parseArgs } from 'node:util';
import { estimate } from '../../measure/statistics.js';
import { Arms, type Sample } from './arms.js';

const { values: options } = parseArgs({
  options: { turns: { type: 'string', default: '5' }, seconds: { type: 'string', default: '1' } },
});
const [TURNS, SECONDS] = [Number(options.turns), Number(options.seconds)];
if (![TURNS, SECONDS].every((value) => Number.isInteger(value) && value > 0))
  throw new RangeError('--turns and --seconds take whole numbers above 0');
const HERE = ['h1', 'h2', 'h3', 'h4'];
const THERE = ['g1', 'g2', 'g3', 'g4'];
const HOSTS = [...HERE, ...THERE];
/** From which engine to which, of two. */
const LOADS = { '0 → 0': ['h1', 'g1'], '1 → 0': ['h4', 'g1'], '1 → 1': ['h4', 'g4'] } as const;

await using networks = await Arms.up(
  [1, 2].map((engines) => ({ engines, name: `lanes-${engines}` })),
  HOSTS,
  scenario,
);
const samples = new Map<string, Sample[]>();
for (let turn = 0; turn < TURNS; turn++)
  for (const { name } of networks.inTurn(turn))
    for (const [load, pair] of Object.entries(LOADS)) {
      const key = `${load} ${name}`;
      samples.set(key, [...(samples.get(key) ?? []), await networks.measure(name, [pair], SECONDS)]);
    }
for (const { engines, name } of networks.arms)
  for (const load of Object.keys(LOADS)) {
    const own = samples.get(`${load} ${name}`)!;
    const gbps = spread(own.map((sample) => sample.gbps));
    const cost = spread(own.map((sample) => sample.cpuSecondsPerGb));
    console.log(`engines: ${engines}   ${load}   ${gbps} Gbit/s   ${cost} s/GB`);
  }

function scenario(name: string): string {
  const at = (hosts: readonly string[], machine: string): string[] =>
    hosts.map((host) => `  ${host}: { kind: host, machine: ${machine} }`);
  return [
    ...[`name: ${name}`, 'machines: [a, b]', 'nodes:', '  s1: { kind: switch, subnet: 10.0.0.0/24 }'],
    ...[...at(HERE, 'a'), ...at(THERE, 'b'), 'links:'],
    ...HOSTS.map((host) => `  - { endpoints: [${host}, s1] }`),
  ].join('\n');
}

/** Median, and from the least to the greatest. */
function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  return `${estimate(values).median.toFixed(2)} (${sorted[0]!.toFixed(2)} … ${sorted.at(-1)!.toFixed(2)})`;
}
