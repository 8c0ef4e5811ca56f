/** Links that do something to frames, on real hosts: what their own programs see of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNotAwake } from '../../control/processors.js';
import { Bench, LUTHIER } from './machine.js';

const SCENARIO = `
name: emulated
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, subnet6: "fd00::/64" }
  s2: { kind: switch }
  h1: { kind: host }
  late: { kind: host }
  slow: { kind: host }
  twice: { kind: host }
  broken: { kind: host }
  deaf: { kind: host }
  far: { kind: host }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [late, s1], delay: 25ms, forward: { delay: 35ms } }
  - { endpoints: [slow, s1], reverse: { rate: 4mbit } }
  - { endpoints: [twice, s1], reverse: { duplicate: 100% } }
  - { endpoints: [broken, s1], reverse: { corrupt: 30% } }
  - { endpoints: [deaf, s1], reverse: { state: down } }
  - { endpoints: [s1, s2], mtu: 1280 }
  - { endpoints: [far, s2] }
`;

let bench: Bench;

beforeAll(async () => {
  bench = new Bench();
  await bench.ok('up', bench.scenario('emulated', SCENARIO));
});
afterAll(() => bench[Symbol.asyncDispose]());

/** What `ping` prints, whether or not anybody answers. */
async function ping(host: string, ...options: string[]): Promise<string> {
  const { stdout } = await bench.luthier('exec', 'h1', '--', 'ping', '-4', '-n', ...options, host);
  return stdout;
}

describe('a link', () => {
  it('takes its delay, each way its own, and never less', async () => {
    const leastMs = async (): Promise<number> =>
      Number(/= ([\d.]+)\//.exec(await ping('late', '-q', '-c10', '-i0.05', '-w30'))![1]);
    expect(await leastMs()).toBeGreaterThanOrEqual(60);
    // What is above is the machine's, which is not always busy.
    await expect.poll(leastMs).toBeLessThan(80);
  });

  it.skipIf(whyNotAwake() !== undefined)(
    `has processors awake for what it delivers, and only then (skipped: ${whyNotAwake() ?? 'never'})`,
    async () => {
      const device = openSync('/dev/cpu_dma_latency', 'r');
      const us = new Int32Array(1);
      /** Whether somebody asks for it, or nobody: moments, looked for again and again. */
      const is = (asked: boolean): boolean => {
        for (let n = 0; n < 100_000; n++) {
          readSync(device, us, 0, 4, 0);
          if ((us[0] === 0) === asked) return true;
        }
        return false;
      };
      const pinging = spawn(LUTHIER, ['exec', 'h1', '--', 'ping', '-q', '-i0.02', 'late'], { env: bench.env });
      const ended = once(pinging, 'close');
      try {
        await expect.poll(() => is(true), { timeout: 30_000 }).toBe(true);
        expect(is(false)).toBe(true);
      } finally {
        pinging.kill('SIGINT');
        await ended;
        closeSync(device);
      }
    },
  );

  it('passes no more than its rate, and that much', async () => {
    const started = performance.now();
    const before = await received('slow');
    // Six Mbit/s.
    const count = 1000;
    await ping('slow', '-q', '-i0.002', '-s1472', `-c${count}`, '-W0.1');
    const bits = 8 * ((await received('slow')) - before);
    const seconds = (performance.now() - started) / 1000;
    expect(bits).toBeLessThanOrEqual(4e6 * seconds + 8 * 1514);
    // A busy machine sends later, not less: the line has had something to pass for as long as that took at the least.
    expect(bits).toBeGreaterThan(4e6 * 0.002 * count * 0.9);
  });

  it('doubles packets, and corrupts them so that the receiver notices', async () => {
    expect(await ping('twice', '-c3', '-i0.1', '-w60')).toContain('DUP!');
    const corrupted = async (): Promise<number> => {
      await ping('broken', '-q', '-c60', '-i0.02', '-s1400', '-W0.5');
      const snmp = await bench.ok('exec', 'broken', '--', 'cat', '/proc/net/snmp');
      const [names, values] = snmp.split('\n').filter((line) => line.startsWith('Icmp:'));
      return Number(values!.split(' ')[names!.split(' ').indexOf('InCsumErrors')]);
    };
    // The questions for its address may be corrupted, too: then none of the pings has arrived.
    await expect.poll(corrupted).toBeGreaterThan(0);
  });

  it('is down in one direction alone: nothing comes, and the carrier stays', async () => {
    expect(await ping('deaf', '-q', '-c3', '-i0.05', '-W0.3')).toContain(' 0 received');
    expect((await bench.ok('exec', 'deaf', '--', 'cat', '/sys/class/net/eth0/carrier')).trim()).toBe('1');
  });

  it('between switches has an mtu of its own', async () => {
    expect(await ping('far', '-q', '-c3', '-i0.05', '-w60', '-s1252')).toContain(' 3 received');
    expect(await ping('far', '-q', '-c3', '-i0.05', '-W0.3', '-s1253')).toContain(' 0 received');
  });
});

async function received(host: string): Promise<number> {
  return Number(await bench.ok('exec', host, '--', 'cat', '/sys/class/net/eth0/statistics/rx_bytes'));
}
