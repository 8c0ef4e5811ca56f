/** Isolation: what one network does, no other sees. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkState } from '../../model/messages.js';
import { Bench, LUTHIER, run, speaks } from './machine.js';

const scenario = (name: string): string => `
name: ${name}
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, subnet6: "fd00::/64" }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;

let bench: Bench;

beforeAll(async () => {
  bench = new Bench();
  await bench.ok('up', bench.scenario('one', scenario('one')));
  await bench.ok('up', bench.scenario('two', scenario('two')));
});
afterAll(() => bench[Symbol.asyncDispose]());

it('runs two networks with the same addresses without a frame crossing', async () => {
  const file = bench.path('two.pcapng');
  const capture = spawn(LUTHIER, ['capture', 'two/h2:eth0', '-w', file], { env: bench.env });
  const captured = once(capture, 'close');
  await speaks(capture, 'stderr');
  const packets = async (network: string): Promise<number> => {
    const { network: state } = JSON.parse(await bench.ok('inspect', '--json', network)) as { network: NetworkState };
    return state.nodes.flatMap(({ ports }) => ports).reduce((sum, port) => sum + (port.txPackets ?? 0), 0);
  };
  const [one, two] = [await packets('one'), await packets('two')];
  await bench.answers('one/h1', '10.0.0.2', 200, '-i0.005');
  expect(await packets('one')).toBeGreaterThanOrEqual(one + 400);
  // Both are idle otherwise; what IPv6 sends by itself, however long this takes, is far less than the pings.
  expect(await packets('two')).toBeLessThan(two + 200);
  capture.kill('SIGINT');
  await captured;
  expect(await run('tshark', ['-r', file, '-Y', 'icmp || arp'])).toMatchObject({ code: 0, stdout: '' });
});

it('asks which network is meant while several run', async () => {
  const result = await bench.luthier('exec', 'h1', '--', 'true');
  expect(result.code).toBe(125);
  expect(result.stderr).toMatch(/one\/h1.*two\/h1|one, two/s);
});

it('takes one down and leaves the other running', async () => {
  await bench.ok('down', 'one');
  await bench.reach('h1', 'h2');
});
