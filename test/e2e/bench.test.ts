/** `luthier bench` as a whole: that it measures, what it reports, and that it leaves nothing. Never how fast. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LINK_PARTS, type LinkBenchReport } from '../../model/bench-link.js';
import type { BenchReport } from '../../model/bench.js';
import { Bench, LUTHIER } from './machine.js';

const MOST_WAIT_SECONDS = 0.3;
/** They measure for as long as they do; on a busy machine all else takes several times as long. */
const PATIENCE = { timeout: 300_000 };

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

it('measures a tunnel beside VXLAN, and leaves nothing', PATIENCE, async () => {
  const [json, svg] = [bench.path('tunnel.json'), bench.path('tunnel.svg')];
  const table = await bench.ok('bench', 'tunnel', '--quick', '--underlay', 'cut-gro', '--json', json, '--svg', svg);
  await bench.nothingLeft();
  expect(table).toContain('underlay: sender cuts, receiver has GRO');
  expect(readFileSync(svg, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);

  const { luthier, bench: report } = JSON.parse(readFileSync(json, 'utf8')) as { luthier: 1; bench: BenchReport };
  expect({ luthier, ...report }).toMatchObject({ luthier: 1, name: 'tunnel', pairs: 1 });
  const [reference, ...ours] = report.arms;
  expect(reference).toEqual({ name: 'vxlan', title: 'kernel VXLAN', isReference: true });
  expect(ours).toMatchObject([{ name: 'sealed', algorithm: expect.any(String) as string }, { name: 'unsealed' }]);
  for (const { rssBytes, idleCores } of ours) {
    expect(rssBytes).toBeGreaterThan(2 ** 20);
    expect(idleCores).toBeGreaterThanOrEqual(0);
  }
  const names = report.arms.map(({ name }) => name);
  expect(report.cases.map(({ underlay }) => underlay)).toEqual(['cut-gro']);
  const { tcp, rtt } = report.cases[0]!;
  expect(tcp.map(({ streams }) => streams)).toEqual([1, 4]);
  for (const { arms } of tcp) {
    expect(arms.map(({ arm }) => arm)).toEqual(names);
    for (const { rateBps, cpuSecondsPerGB } of arms) {
      expect(rateBps).toEqual([expect.any(Number)]);
      expect(Math.min(...rateBps, ...cpuSecondsPerGB)).toBeGreaterThan(0);
    }
  }
  expect(rtt.map(({ loadStreams }) => loadStreams)).toEqual([0, 4]);
  for (const { arms } of rtt)
    for (const { received, p50Us, p999Us } of arms) {
      expect(received).toBeGreaterThan(0);
      expect(p50Us).toBeLessThanOrEqual(p999Us);
    }
});

it('measures an emulated link in all its parts, and leaves nothing', PATIENCE, async () => {
  const [json, svg] = [bench.path('link.json'), bench.path('link.svg')];
  const table = await bench.ok('bench', 'link', '--quick', '--json', json, '--svg', svg);
  await bench.nothingLeft();
  expect(table).toContain('switch, emulated');
  expect(readFileSync(svg, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);

  const { bench: report } = JSON.parse(readFileSync(json, 'utf8')) as { bench: LinkBenchReport };
  expect(LINK_PARTS.filter((part) => report[part] === undefined)).toEqual([]);
  const { rtt, jitter, tcp, udp } = report;
  // Nothing is early: a round trip takes at least what it was given.
  expect(rtt![0]!.emulated.p50Us).toBeGreaterThan(2000);
  expect(rtt![0]!.uncompensated!.p50Us).toBeGreaterThan(2000);
  expect(report.compensationNs).toBeGreaterThan(0);
  expect(rtt![0]!.emulated.received).toBeLessThanOrEqual(rtt![0]!.emulated.sent);
  expect(jitter![0]!.oneWayUs.length).toBeGreaterThan(0);
  // Nor does a link give more than its rate, but for what a window's ends cut off: a switch that had to wait before has as
  // much to give at once, and on a busy machine it may have waited for long.
  for (const { error, seconds } of [...tcp!, ...udp!]) expect(error * seconds).toBeLessThan(0.05 + MOST_WAIT_SECONDS);
});

it('measures the parts that were asked for, and refuses those that there are not', async () => {
  const { stdout } = await bench.luthier('bench', 'link', '--quick', '--only', 'change,udp', '--json');
  const { bench: report } = JSON.parse(stdout) as { bench: LinkBenchReport };
  expect(LINK_PARTS.filter((part) => report[part] !== undefined)).toEqual(['udp', 'change']);
  for (const words of [
    ['link', '--only', 'rtt,lan'],
    ['link', '--pairs', '3'],
    ['lan', '--full'],
  ])
    expect(await bench.luthier('bench', ...words)).toMatchObject({ code: 2 });
});

it('leaves nothing on ^C', async () => {
  const child = spawn(LUTHIER, ['bench', 'lan'], { env: bench.env, stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = once(child, 'close');
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  await expect.poll(() => errors, { timeout: 60_000 }).toContain('pair 1 of 15');
  // Once: a second ^C would end it at once.
  child.kill('SIGINT');
  expect(await closed).toEqual([1, null]);
  expect(errors).toContain('luthier: interrupted');
  await bench.nothingLeft();
});

it('refuses to begin where its network runs, and leaves that alone', async () => {
  await bench.ok('up', bench.scenario('other', 'name: bench-lan\nnodes:\n  h1: { kind: host }\n'));
  expect(await bench.luthier('bench', 'lan', '--quick')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('luthier down bench-lan') as string,
  });
  await bench.ok('exec', 'h1', '--', 'true');
});
