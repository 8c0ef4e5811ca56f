/** Small networks, chosen at random: quick to make, and yet with everything that can be left behind. */
import { loadText, type Scenario } from '../../control/scenario/index.js';
import type { Random } from './random.js';

export interface SmallNetwork {
  readonly scenario: Scenario;
  readonly text: string;
  readonly hosts: readonly string[];
}

/** One to three hosts on a switch, sometimes a machine more, a router with a LAN behind it, a command, limits. */
export function smallNetwork(name: string, random: Random): SmallNetwork {
  const machines = random.chance(0.3) ? ['a', 'b'] : ['a'];
  const hosts = Array.from({ length: random.int(1, 3) }, (_, i) => `h${i + 1}`);
  const router = random.chance(0.3);
  const on = (): string => (machines.length > 1 ? `, machine: ${random.pick(machines)!}` : '');
  const own = (): string =>
    (random.chance(0.3) ? ', command: [sleep, infinity]' : '') +
    (random.chance(0.2) ? `, ${random.pick(['cpu: 0.5', 'memory: 64MiB'])}` : '');
  const text = [
    `name: ${name}`,
    ...(machines.length > 1 ? [`machines: [${machines.join(', ')}]`] : []),
    'nodes:',
    `  s1: { kind: switch, subnet: 10.0.1.0/24${on()} }`,
    ...(router ? [`  s2: { kind: switch, subnet: 10.0.2.0/24${on()} }`, `  r1: { kind: router${on()} }`] : []),
    ...hosts.map((host) => `  ${host}: { kind: host${on()}${own()} }`),
    'links:',
    ...(router ? ['  - { endpoints: [r1, s1] }', '  - { endpoints: [r1, s2] }'] : []),
    ...hosts.map((host, i) => `  - { endpoints: [${host}, ${router && i === 2 ? 's2' : 's1'}] }`),
    '',
  ].join('\n');
  return { scenario: loadText(text, `${name}.yaml`), text, hosts };
}
