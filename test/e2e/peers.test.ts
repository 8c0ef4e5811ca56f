/**
 * `luthier bench peers` as a whole: that it measures those that are installed, and that nothing of them is left, whatever
 * ended it. Never how fast.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { choose } from '../../measure/peers/index.js';
import type { BenchReport } from '../../model/bench.js';
import { Bench, isRoot, LUTHIER, run } from './machine.js';

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const { peers, absent } = choose(undefined, `${process.env.PATH ?? ''}:/usr/sbin:/sbin`);
const PLACES = [
  { place: 'switch', title: 'one switch', arms: ['kernel-bridge', 'luthier'], only: 'bridge' },
  { place: 'machines', title: 'two machines', arms: ['vxlan', 'sealed', 'unsealed'], only: 'vxlan' },
] as const;

for (const { name, install } of absent) it.skip(`measures ${name} (to have it: ${install!})`);

/** In CI, an ordinary user has one switch measured, and root two machines. */
const isOurs = (place: string): boolean => process.env.CI === undefined || (place === 'machines') === isRoot;

for (const { place, title, arms, only } of PLACES.filter((one) => isOurs(one.place))) {
  const names = peers.filter((peer) => peer.place === place).map(({ name }) => name);
  it(`measures ${[...arms, ...names].join(', ')}, and leaves nothing`, async () => {
    const [json, svg] = [bench.path(`${place}.json`), bench.path(`${place}.svg`)];
    const words = ['--quick', '--only', [only, ...names].join(), '--json', json, '--svg', svg];
    const table = await bench.ok('bench', 'peers', ...words);
    await bench.nothingLeft();
    expect(table).toContain('64-BYTE FRAMES');
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);

    const { bench: report } = JSON.parse(readFileSync(json, 'utf8')) as { bench: BenchReport };
    expect(report.absent ?? []).toEqual([]);
    expect(report.arms.map(({ name }) => name)).toEqual([...arms, ...names]);
    for (const peer of report.arms.filter(({ isPeer }) => isPeer)) {
      expect(peer.version, peer.name).toMatch(/^\d+\./);
      expect(peer.rssBytes, peer.name).toBeGreaterThan(2 ** 16);
    }
    expect(report.cases).toMatchObject([{ title, reference: arms[0] }]);
    const { tcp, udp } = report.cases[0]!;
    for (const { arms: of } of tcp) for (const { rateBps } of of) expect(rateBps[0]).toBeGreaterThan(0);
    expect(udp!.map(({ offered }) => offered)).toEqual(['lossless', 'full']);
    for (const { arms: of } of udp!)
      for (const { sentPps, deliveredPps } of of) expect(deliveredPps[0]).toBeLessThanOrEqual(1.01 * sentPps[0]!);
    expect((report.comparisons ?? []).length > 0).toBe(names.length > 0);
  }, 300_000);
}

it('refuses a name that there is not', async () => {
  expect(await bench.luthier('bench', 'peers', '--only', 'vde,ovz')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('did you mean "ovs"?') as string,
  });
});

it('leaves out what is not installed, says how to get it, and measures the rest', async () => {
  const folder = bench.path('bin');
  mkdirSync(folder);
  for (const name of readdirSync('/usr/bin').filter((program) => program !== 'vde_switch'))
    symlinkSync(join('/usr/bin', name), join(folder, name));
  if (!existsSync(join(folder, 'node'))) symlinkSync(process.execPath, join(folder, 'node'));
  const env = { ...bench.env, PATH: folder };
  const result = await run(LUTHIER, ['bench', 'peers', '--quick', '--only', 'vde'], { env });
  expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('apt-get install vde2') as string });
  expect(result.stdout).toContain('not measured: vde_switch: this machine does not have vde_switch');
  expect(result.stdout).toContain('Luthier, one switch');
  await bench.nothingLeft();
});

const vdeTest = peers.some(({ name }) => name === 'vde') ? it : it.skip;

/** A benchmark of one peer, and the peer's process, once it measures. */
async function measuring(): Promise<{ child: ChildProcess; errors: () => string; peer: number }> {
  const before = new Set(processesNamed('vde_switch'));
  const child = spawn(LUTHIER, ['bench', 'peers', '--only', 'vde'], {
    env: bench.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (some: string) => (text += some));
  await expect.poll(() => text, { timeout: 60_000 }).toContain('pair 1 of 15');
  const [peer] = processesNamed('vde_switch').filter((pid) => !before.has(pid));
  return { child, errors: () => text, peer: peer! };
}

function processesNamed(name: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name;
      } catch {
        return false; // it ended meanwhile
      }
    });
}

vdeTest('ends and leaves nothing when a peer is killed, and says which', async () => {
  const { child, errors, peer } = await measuring();
  process.kill(peer, 'SIGKILL');
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(errors()).toMatch(/luthier: vde_switch ended/);
  await bench.nothingLeft();
});

vdeTest('leaves nothing on ^C', async () => {
  const { child, errors } = await measuring();
  child.kill('SIGINT');
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(errors()).toContain('luthier: interrupted');
  await bench.nothingLeft();
});

vdeTest('leaves nothing that `down` would not remove when it is killed itself', async () => {
  const { child } = await measuring();
  child.kill('SIGKILL');
  await once(child, 'close');
  await bench.ok('down', '--all');
  await bench.nothingLeft();
});
