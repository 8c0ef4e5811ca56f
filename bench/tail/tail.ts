/**
 * The tail of the round trips under load: a switch beside the same forwarding loop in C (forward.c), both as what they
 * add to a kernel bridge, in turns; and the garbage collections in the switch's engine meanwhile.
 *
 *   npx tsx bench/tail/tail.ts [--minutes 10] [--gbps RATE | --idle] [--allocations]        on each of the three
 *
 * The load is TCP with four streams, as fast as it goes: then most of a round trip is waiting in queues that the load
 * itself keeps full. With --gbps all networks carry the same, and what is seen is what forwarding costs. With --idle there
 * is no load, and a round trip every 10 ms finds all asleep. With --allocations it is not the collections that are told
 * but which code leaves what is to be collected, at a cost that falsifies times. Needs root, a C compiler, iperf3 and ping, and an otherwise
 * quiet machine.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { answers } from '../../control/agent-socket.js';
import { AgentClient } from '../../control/client.js';
import { agentSocket, NetworkPaths, pathsFrom, type Paths } from '../../control/paths.js';
import { readJournal, journalFiles } from '../../control/journal.js';
import { kernelBridge, KERNEL_HOSTS } from '../../measure/lan-stage.js';
import { StageNetwork } from '../../measure/stage.js';
import { estimate, median, quantile } from '../../measure/statistics.js';
import { roundTrips, transfer, type Load, type Way } from '../../measure/traffic.js';
import type { RawScenario } from '../../model/scenario.js';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    gbps: { type: 'string' },
    idle: { type: 'boolean' },
    allocations: { type: 'boolean' },
  },
});
const MINUTES = Number(options.minutes);
const RATE_BPS = options.gbps === undefined ? undefined : Number(options.gbps) * 1e9;
if (!(MINUTES > 0) || (RATE_BPS !== undefined && !(RATE_BPS > 0)))
  throw new RangeError('--minutes and --gbps take numbers above 0');
if (RATE_BPS !== undefined && options.idle) throw new RangeError('--gbps is a load, and --idle is none');

const BLOCK_SECONDS = 10;
/** Under load 500 a second: 5000 in a block, of which p99.9 leaves five. */
const PING_INTERVAL_SECONDS = options.idle ? 0.01 : 0.002;
const LOAD: Load | undefined = options.idle
  ? undefined
  : { streams: 4, seconds: BLOCK_SECONDS, ...(RATE_BPS === undefined ? {} : { rateBps: RATE_BPS }) };

const SCENARIO: RawScenario = {
  name: 'bench-tail',
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24' },
    ...Object.fromEntries(['h1', 'h2', 'c1', 'c2', 'k1', 'k2', 'hub'].map((name) => [name, { kind: 'host' as const }])),
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: [{ node: 'h2', address: '10.0.0.2/24' }, 's1'] }],
};

/** Those through the C loop. */
const LOOP_HOSTS = [
  { name: 'c1', address: '10.0.2.1' },
  { name: 'c2', address: '10.0.2.2' },
] as const;

const ARMS = ['kernel bridge', 'C loop', 'Luthier'] as const;
type ArmName = (typeof ARMS)[number];

interface Block {
  readonly us: readonly number[];
  readonly rateBps: number;
}

async function startAgent(paths: Paths): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'agent.ts');
  const env = { ...process.env, LUTHIER_RUNTIME_DIR: paths.runtime, LUTHIER_STATE_DIR: paths.state };
  const observer = options.allocations ? 'observe-allocations.cjs' : 'observe-gc.cjs';
  const agent = spawn(process.execPath, ['--import', 'tsx', program, observer], { env, stdio: 'ignore' });
  while (!(await answers(agentSocket(paths)))) {
    if (agent.exitCode !== null) throw new Error('the agent did not start');
    await sleep(10);
  }
  return agent;
}

async function startLoop(network: StageNetwork): Promise<ChildProcess> {
  execFileSync('make', ['-s', '-C', import.meta.dirname]);
  const arguments_ = LOOP_HOSTS.flatMap(({ name }) => [String(network.process(`host:${name}`).pid), 'eth0']);
  const loop = spawn(join(import.meta.dirname, 'forward'), arguments_, { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([once(loop.stdout, 'data'), once(loop, 'exit')]);
  if (loop.exitCode !== null) throw new Error('the C loop did not start');
  await network.configure(
    LOOP_HOSTS.flatMap(({ name, address }) => [
      network.section(`host:${name}`),
      `addr add ${address}/24 dev eth0`,
      'link set dev eth0 up',
    ]),
  );
  return loop;
}

async function waysOf(network: StageNetwork): Promise<Record<ArmName, Way>> {
  const way = async (from: string, to: string, address: string): Promise<Way> => ({
    from: await network.access(from),
    to: await network.access(to),
    address,
  });
  return {
    'kernel bridge': await way('k1', 'k2', KERNEL_HOSTS[1].address),
    'C loop': await way('c1', 'c2', LOOP_HOSTS[1].address),
    Luthier: await way('h1', 'h2', '10.0.0.2'),
  };
}

async function measureBlock(way: Way, signal: AbortSignal): Promise<Block> {
  const pings = async (): Promise<readonly number[]> => {
    await sleep(500, undefined, { signal });
    return (await roundTrips(way, { seconds: BLOCK_SECONDS - 1, intervalSeconds: PING_INTERVAL_SECONDS }, signal)).us;
  };
  if (LOAD === undefined) return { us: await pings(), rateBps: 0 };
  const [{ bytes, seconds }, us] = await Promise.all([transfer(way, LOAD, signal), pings()]);
  return { us, rateBps: (8 * bytes) / seconds };
}

interface Collections {
  readonly untilUnixMs: number;
  readonly collections: readonly { readonly type: string; readonly us: number }[];
}

/** A mark in the switch's log, by asking for its state. Returns when, as the log says it. */
async function mark(agent: AgentClient): Promise<number> {
  await agent.network(SCENARIO.name);
  return Date.now();
}

interface Allocations {
  readonly untilUnixMs: number;
  /** By the functions that were called, the innermost last. */
  readonly allocations: readonly { readonly where: string; readonly bytes: number }[];
}

/** What the switch wrote about its engine's isolate (observe-….cjs). */
function observed<Line extends Collections | Allocations>(paths: Paths): Line[] {
  const header = journalFiles(paths).map((file) => readJournal(file)!.header)[0]!;
  const lines = readFileSync(new NetworkPaths(paths, header.number).switchLog('local'), 'utf8').split('\n');
  return lines.filter((line) => line.startsWith('{"untilUnixMs"')).map((line) => JSON.parse(line) as Line);
}

function printTails(blocks: Readonly<Record<ArmName, readonly Block[]>>): void {
  const of = (arm: ArmName, share: number): number[] => blocks[arm].map(({ us }) => quantile(us, share));
  const text = (values: readonly number[], digits = 0): string => {
    const { median: middle, interval } = estimate(values);
    const range = interval?.map((value) => value.toFixed(digits)).join(' … ');
    return `${middle.toFixed(digits)}${range === undefined ? '' : ` (${range})`}`;
  };
  for (const arm of ARMS) {
    const rate = median(blocks[arm].map(({ rateBps }) => rateBps)) / 1e9;
    const answers = blocks[arm].reduce((sum, { us }) => sum + us.length, 0);
    console.log(`\n${arm}: ${rate.toFixed(2)} Gbit/s, ${answers} round trips in ${blocks[arm].length} blocks`);
    for (const [name, share] of [
      ['p50', 0.5],
      ['p99', 0.99],
      ['p99.9', 0.999],
    ] as const) {
      const base = of('kernel bridge', share);
      const loop = of('C loop', share);
      const mine = of(arm, share);
      const added = mine.map((value, i) => value - base[i]!);
      const parts = [`  ${name.padEnd(5)} ${text(mine)} µs`];
      if (arm !== 'kernel bridge') parts.push(`added ${text(added)} µs`);
      if (arm === 'Luthier')
        parts.push(
          `${text(
            added.map((value, i) => value / (loop[i]! - base[i]!)),
            2,
          )} × the C loop's`,
        );
      console.log(parts.join(', '));
    }
  }
}

function printCollections(lines: readonly Collections[], begin: number, end: number): void {
  const parts = [
    // There are some, which shows that they are seen.
    ['before the load', lines.filter(({ untilUnixMs }) => untilUnixMs <= begin)],
    ['under load', lines.filter(({ untilUnixMs }) => untilUnixMs > begin && untilUnixMs <= end)],
  ] as const;
  console.log('');
  for (const [when, of] of parts) {
    const all = of.flatMap(({ collections }) => collections);
    console.log(`garbage collections in the engine's isolate ${when}: ${all.length}`);
    for (const { type, us } of all) console.log(`  ${type} ${us.toFixed(0)} µs`);
  }
}

function printAllocations(lines: readonly Allocations[], begin: number, end: number): void {
  const seconds = (end - begin) / 1000;
  console.log("\nallocated in the engine's isolate under load, bytes a second:");
  for (const { untilUnixMs, allocations } of lines)
    if (untilUnixMs > begin && untilUnixMs <= end)
      for (const { where, bytes } of allocations) console.log(`${(bytes / seconds).toFixed(0).padStart(9)}  ${where}`);
}

async function main(signal: AbortSignal): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'luthier-tail-'));
  const paths = pathsFrom(
    { LUTHIER_RUNTIME_DIR: join(directory, 'run'), LUTHIER_STATE_DIR: join(directory, 'state') },
    process.getuid!(),
  );
  let loop: ChildProcess | undefined;
  const agent = await startAgent(paths);
  try {
    const place = { agent: await AgentClient.connect(paths), paths, path: process.env.PATH ?? '' };
    await using network = await StageNetwork.up(place, SCENARIO, signal);
    await network.configure(kernelBridge(network));
    loop = await startLoop(network);
    const ways = await waysOf(network);
    const blocks: Record<ArmName, Block[]> = { 'kernel bridge': [], 'C loop': [], Luthier: [] };
    for (const arm of ARMS) await transfer(ways[arm], { streams: 4, seconds: 1 }, signal);
    const begin = await mark(place.agent);
    const rounds = Math.max(1, Math.round((MINUTES * 60) / BLOCK_SECONDS));
    for (let round = 0; round < rounds; round++) {
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
      const first = round % ARMS.length;
      for (const arm of [...ARMS.slice(first), ...ARMS.slice(0, first)])
        blocks[arm].push(await measureBlock(ways[arm], signal));
    }
    const end = await mark(place.agent);
    printTails(blocks);
    if (options.allocations) printAllocations(observed(paths), begin, end);
    else printCollections(observed(paths), begin, end);
  } finally {
    loop?.kill();
    if (agent.exitCode === null) await once(agent, 'exit', { signal: AbortSignal.timeout(10_000) });
    rmSync(directory, { recursive: true, force: true });
  }
}

const interrupted = new AbortController();
process.on('SIGINT', () => interrupted.abort());
process.on('SIGTERM', () => interrupted.abort());
await main(interrupted.signal);
