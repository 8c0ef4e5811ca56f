/**
 * A tunnel under a flood of garbage: what is left of TCP's rate, beside the same flood to another socket of the same
 * machine, bound and never read, which costs the machine as much.
 *
 *   npx tsx bench/flood/flood.ts [--pairs 15] [--seconds 3] [--pps 60000]
 *
 *     h1 ── s1 (machine a) ══════ tunnel ══════ s1 (machine b) ── h2
 *              flood.c ── garbage from a's address ──▲   or to the socket that nobody reads
 *
 * Two kinds of garbage: random bytes, and bytes behind the header of a sealed datagram of this tunnel, as of someone who
 * sees its datagrams: with a counter that the sender is about to use. Needs root, a C compiler, iperf3 and tshark.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { AgentClient } from '../../control/client.js';
import { pathsFrom } from '../../control/paths.js';
import { StageNetwork } from '../../measure/stage.js';
import { estimate } from '../../measure/statistics.js';
import { roundTrips, transfer, type Way } from '../../measure/traffic.js';
import type { RawScenario } from '../../model/scenario.js';

const { values: options } = parseArgs({
  options: {
    pairs: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '3' },
    pps: { type: 'string', default: '60000' },
  },
});
const PAIRS = Number(options.pairs);
const SECONDS = Number(options.seconds);
const PPS = Number(options.pps);
if (!(PAIRS >= 1) || !(SECONDS > 0) || !(PPS > 0))
  throw new RangeError('--pairs, --seconds and --pps take numbers above 0');

const GOAL = 0.85;
const UNREAD_PORT = 9;
const HEADER_BYTES = 20;
/** The flood begins before TCP does, and ends after it. */
const LEAD_SECONDS = 1;
const PROGRAM = join(import.meta.dirname, 'flood');
const SCENARIO: RawScenario = {
  name: 'bench-flood',
  machines: ['a', 'b'],
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24' },
    h1: { kind: 'host', machine: 'a' },
    h2: { kind: 'host', machine: 'b' },
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: [{ node: 'h2', address: '10.0.0.2/24' }, 's1'] }],
};

const FLOODS = ['none', 'random bytes', 'a right header'] as const;
type Flood = (typeof FLOODS)[number];

/** Both ends of the tunnel's socket on machine a, as `ss` prints them: State Recv-Q Send-Q Local Peer. */
async function tunnelEnds(network: StageNetwork): Promise<{ from: string; to: string }> {
  const text = await network.output('machine:a', ['ss', '-uanH']);
  const [, , , from, to] = text.trim().split(/\s+/);
  if (from === undefined || to === undefined) throw new Error(`no tunnel on machine a: ${text}`);
  return { from, to };
}

/** The header of a datagram of frames that has just left `from`, in hexadecimal digits. */
async function seenHeader(network: StageNetwork, from: string, way: Way, signal: AbortSignal): Promise<string> {
  const filter = `udp and src host ${hostOf(from)} and udp[8] = 1 and udp[9] = 0`;
  const shark = ['tshark', '-Q', '-i', 'eth0', '-f', filter, '-c', '1', '-T', 'fields', '-e', 'udp.payload'];
  const [text] = await Promise.all([network.output('machine:a', shark), roundTrips(way, { seconds: 3 }, signal)]);
  return text.trim().slice(0, 2 * HEADER_BYTES);
}

function hostOf(end: string): string {
  return end.split(':')[0]!;
}

function inMachine(network: StageNetwork, role: string, argv: readonly string[]): ChildProcess {
  const { pid } = network.process(role);
  return spawn('nsenter', [`--net=/proc/${pid}/ns/net`, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
}

interface Result {
  readonly bitsPerSecond: number;
  readonly floodPerSecond: number;
}

async function measure(
  network: StageNetwork,
  way: Way,
  flood: readonly string[],
  signal: AbortSignal,
): Promise<Result> {
  const seconds = SECONDS + 2 * LEAD_SECONDS;
  const flooding = inMachine(network, 'machine:a', [
    PROGRAM,
    ...flood.slice(0, 2),
    String(seconds),
    String(PPS),
    ...flood.slice(2),
  ]);
  const printed: string[] = [];
  flooding.stdout!.on('data', (data: Buffer) => printed.push(data.toString()));
  const ended = once(flooding, 'close');
  await sleep(LEAD_SECONDS * 1000, undefined, { signal });
  const received = await transfer(way, { streams: 1, seconds: SECONDS }, signal);
  await ended;
  return {
    bitsPerSecond: (8 * received.bytes) / received.seconds,
    floodPerSecond: Number(printed.join('')) / seconds,
  };
}

async function main(signal: AbortSignal): Promise<void> {
  execFileSync('make', ['-s', '-C', import.meta.dirname]);
  const directory = mkdtempSync(join(tmpdir(), 'luthier-flood-'));
  const paths = pathsFrom(
    { LUTHIER_RUNTIME_DIR: join(directory, 'run'), LUTHIER_STATE_DIR: join(directory, 'state') },
    process.getuid!(),
  );
  let sink: ChildProcess | undefined;
  try {
    const place = { agent: await AgentClient.connect(paths), paths, path: process.env.PATH ?? '' };
    await using network = await StageNetwork.up(place, SCENARIO, signal);
    const way = { from: await network.access('h1'), to: await network.access('h2'), address: '10.0.0.2' };
    const { from, to } = await tunnelEnds(network);
    const unread = `${hostOf(to)}:${UNREAD_PORT}`;
    sink = inMachine(network, 'machine:b', [PROGRAM, unread]);
    await once(sink.stdout!, 'data');
    const argumentsOf: Record<Flood, () => Promise<string[]>> = {
      none: () => Promise.resolve([from, unread]),
      'random bytes': () => Promise.resolve([from, to]),
      'a right header': async () => [from, to, await seenHeader(network, from, way, signal)],
    };
    const results: Record<Flood, Result[]> = { none: [], 'random bytes': [], 'a right header': [] };
    await transfer(way, { streams: 1, seconds: 1 }, signal);
    for (let pair = 0; pair < PAIRS; pair++) {
      process.stderr.write(`pair ${pair + 1} of ${PAIRS}\n`);
      const first = pair % FLOODS.length;
      for (const flood of [...FLOODS.slice(first), ...FLOODS.slice(0, first)])
        results[flood].push(await measure(network, way, await argumentsOf[flood](), signal));
    }
    for (const flood of FLOODS) print(flood, results[flood], results.none);
    const state = await place.agent.network(SCENARIO.name);
    console.log(`datagrams dropped: ${JSON.stringify(state.drops)}`);
  } finally {
    sink?.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

function print(flood: Flood, results: readonly Result[], reference: readonly Result[]): void {
  const middle = (values: readonly number[]): number => estimate(values).median;
  const gbps = middle(results.map(({ bitsPerSecond }) => bitsPerSecond)) / 1e9;
  const kpps = middle(results.map(({ floodPerSecond }) => floodPerSecond)) / 1e3;
  const where = flood === 'none' ? 'to the socket that nobody reads' : `of ${flood} to the tunnel`;
  console.log(`flood ${where}, ${kpps.toFixed(0)} kpps: ${gbps.toFixed(2)} Gbit/s`);
  if (flood === 'none') return;
  const ratios = estimate(results.map(({ bitsPerSecond }, i) => bitsPerSecond / reference[i]!.bitsPerSecond));
  const range = ratios.interval?.map((value) => value.toFixed(2)).join(' … ');
  console.log(`  ${ratios.median.toFixed(2)} × the first${range === undefined ? '' : ` (${range})`}, goal ${GOAL}`);
}

const interrupted = new AbortController();
process.on('SIGINT', () => interrupted.abort());
process.on('SIGTERM', () => interrupted.abort());
await main(interrupted.signal);
