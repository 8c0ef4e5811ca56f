import { expect, it } from 'vitest';
import type { Network } from '../model/network.js';
import { attainableWithoutRoot } from './attainable.js';
import { loadText, resolve } from './scenario/index.js';

const MANY = 8 << 20;

function network(hosts: Record<string, string>, machines = '[a]'): Network {
  const nodes = Object.entries(hosts).map(([name, keys]) => `  ${name}: { kind: host, ${keys} }\n`);
  return resolve(loadText(`name: n\nmachines: ${machines}\nnodes:\n${nodes.join('')}`, 'n.yaml'));
}

it('leaves a network as it is where root would make no difference', () => {
  const wanted = network({ h1: 'env: {}', h2: 'env: {}' });
  expect(attainableWithoutRoot(wanted, 212_992)).toEqual({ network: wanted, notices: [] });
});

it('leaves limits out, and names whose', () => {
  const wanted = network({ h1: 'cpu: 1', h2: 'env: {}', h3: 'memory: 64MiB' });
  const { network: had, notices } = attainableWithoutRoot(wanted, MANY);
  expect(had).toEqual(network({ h1: 'env: {}', h2: 'env: {}', h3: 'env: {}' }));
  expect(notices).toMatchObject([{ message: expect.stringContaining('memory of h1, h3 are not limited') as string }]);
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`h${i}`, 'cpu: 1']));
  expect(attainableWithoutRoot(network(many), MANY).notices[0]!.message).toContain('h0, h1, h2 and 6 more are');
});

it.each([
  ['[a]', 212_992, undefined],
  ['[a, b]', MANY, undefined],
  ['[a, b]', 212_992, 'tunnels have 0.2 MiB of receive buffer'],
  ['[a, b]', undefined, 'tunnels have less of receive buffer'],
])('machines %s with at most %d bytes of receive buffer: %s', (machines, limit, says) => {
  const { notices } = attainableWithoutRoot(network({ h1: 'env: {}' }, machines), limit);
  expect(notices.map(({ message }) => message)).toEqual(says === undefined ? [] : [expect.stringContaining(says)]);
});
