/**
 * What a way within the kernel would bring: a switch beside two hosts whose veths a BPF program joins, frame by frame and
 * without a copy (attach.c), and a kernel bridge, in turns.
 *
 *   npx tsx bench/shortcut/shortcut.ts [--pairs 15] [--seconds 1]
 *
 * The program knows neither addresses nor counters nor captures: it is the least that such a way costs, as
 * ../tail/forward.c is of one through a process. Needs root, Linux 6.6, a C compiler, iperf3 and ping.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AgentClient } from '../../control/client.js';
import { pathsFrom } from '../../control/paths.js';
import { kernelBridge, lanScenario, lanWays } from '../../measure/lan-stage.js';
import { StageNetwork } from '../../measure/stage.js';
import { estimate, median } from '../../measure/statistics.js';
import { roundTrips, transfer, type Way } from '../../measure/traffic.js';
import type { RawScenario } from '../../model/scenario.js';

const { values: options } = parseArgs({
  options: { pairs: { type: 'string', default: '15' }, seconds: { type: 'string', default: '1' } },
});
const PAIRS = Number(options.pairs);
const SECONDS = Number(options.seconds);
if (!(PAIRS >= 1) || !(SECONDS > 0)) throw new RangeError('--pairs and --seconds take numbers above 0');

/** Joined in the kernel, in host `hub`. */
const SHORT_HOSTS = [
  { name: 'x1', port: 'q1', address: '10.0.3.1' },
  { name: 'x2', port: 'q2', address: '10.0.3.2' },
] as const;

const NAME = 'bench-shortcut';
const ARMS = ['kernel bridge', 'shortcut', 'Luthier'] as const;
type Arm = (typeof ARMS)[number];

const MEASURES = {
  'TCP, one stream, Gbit/s': (way: Way, signal: AbortSignal) => gigabits(way, 1, signal),
  'TCP, four streams, Gbit/s': (way: Way, signal: AbortSignal) => gigabits(way, 4, signal),
  'RTT p50, idle, µs': async (way: Way, signal: AbortSignal) =>
    median((await roundTrips(way, { seconds: SECONDS }, signal)).us),
};

async function gigabits(way: Way, streams: number, signal: AbortSignal): Promise<number> {
  const { bytes, seconds } = await transfer(way, { streams, seconds: SECONDS }, signal);
  return (8 * bytes) / seconds / 1e9;
}

function scenario(): RawScenario {
  const lan = lanScenario(NAME);
  return { ...lan, nodes: { ...lan.nodes, x1: { kind: 'host' }, x2: { kind: 'host' } } };
}

async function shortcut(network: StageNetwork): Promise<ChildProcess> {
  const hub = network.process('host:hub').pid;
  await network.configure([
    network.section('host:hub'),
    ...SHORT_HOSTS.flatMap(({ name, port }) => [
      `link add name ${port} type veth peer name eth0 netns ${network.process(`host:${name}`).pid}`,
      `link set dev ${port} up`,
    ]),
    ...SHORT_HOSTS.flatMap(({ name, address }) => [
      network.section(`host:${name}`),
      `addr add ${address}/24 dev eth0`,
      'link set dev eth0 up',
    ]),
  ]);
  execFileSync('make', ['-s', '-C', import.meta.dirname]);
  const ports = SHORT_HOSTS.map(({ port }) => port);
  const attached = spawn(join(import.meta.dirname, 'attach'), [String(hub), ...ports], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([once(attached.stdout, 'data'), once(attached, 'exit')]);
  if (attached.exitCode !== null) throw new Error('the programs were not attached');
  return attached;
}

async function waysOf(network: StageNetwork): Promise<Record<Arm, Way>> {
  const { ours, kernel } = await lanWays(network);
  const [from, to] = await Promise.all(SHORT_HOSTS.map(({ name }) => network.access(name)));
  const short = { from: from!, to: to!, address: SHORT_HOSTS[1].address };
  return { 'kernel bridge': kernel, shortcut: short, Luthier: ours };
}

async function main(signal: AbortSignal): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'luthier-shortcut-'));
  const environment = { LUTHIER_RUNTIME_DIR: join(directory, 'run'), LUTHIER_STATE_DIR: join(directory, 'state') };
  Object.assign(process.env, environment);
  const paths = pathsFrom(environment, process.getuid!());
  let attached: ChildProcess | undefined;
  try {
    const place = { agent: await AgentClient.connect(paths), paths, path: process.env.PATH ?? '' };
    await using network = await StageNetwork.up(place, scenario(), signal);
    await network.configure(kernelBridge(network));
    attached = await shortcut(network);
    const ways = await waysOf(network);
    for (const arm of ARMS) await transfer(ways[arm], { streams: 4, seconds: 1 }, signal);
    for (const [what, measure] of Object.entries(MEASURES)) {
      const samples: Record<Arm, number[]> = { 'kernel bridge': [], shortcut: [], Luthier: [] };
      for (let pair = 0; pair < PAIRS; pair++) {
        const first = pair % ARMS.length;
        for (const arm of [...ARMS.slice(first), ...ARMS.slice(0, first)])
          samples[arm].push(await measure(ways[arm], signal));
      }
      console.log(what);
      for (const arm of ARMS) {
        const ratio = estimate(samples[arm].map((value, i) => value / samples['kernel bridge'][i]!));
        const range = ratio.interval?.map((value) => value.toFixed(2)).join(' … ');
        console.log(
          `  ${arm.padEnd(14)}${median(samples[arm]).toFixed(2).padStart(8)}` +
            (arm === 'kernel bridge'
              ? ''
              : `   ${ratio.median.toFixed(2)} ×${range === undefined ? '' : ` (${range})`}`),
        );
      }
    }
  } finally {
    attached?.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

const interrupted = new AbortController();
process.on('SIGINT', () => interrupted.abort());
process.on('SIGTERM', () => interrupted.abort());
await main(interrupted.signal);
