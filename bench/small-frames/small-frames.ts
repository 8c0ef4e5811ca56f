/**
 * 64-byte frames from TAP to TAP, as many as go: the engine beside the shortest loops in C (forward.c), each by system
 * calls one by one and by io_uring, in turns.
 *
 *   npx tsx bench/small-frames/small-frames.ts [--turns 15] [--seconds 0.5] [--beside FOLDER]
 *
 * What counts is the time of the forwarding thread per frame, since whatever else runs on the machine takes processors
 * from both; frames per second are beside it. With --beside another checkout that has engine.ts takes part. Needs root, a C
 * compiler and two processors: the flood (flood.c) has the second one.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { estimate, median } from '../../measure/statistics.js';

const { values: options } = parseArgs({
  options: {
    turns: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '0.5' },
    beside: { type: 'string' },
  },
});
const TURNS = Number(options.turns);
const SECONDS = Number(options.seconds);
if (!(TURNS >= 1) || !(SECONDS > 0)) throw new RangeError('--turns and --seconds take numbers above 0');

const GOAL = 0.85;
const FORWARDER_CPU = '0';
const FLOOD_CPU = '1';

const file = (name: string): string => join(import.meta.dirname, name);
/** The engine and its worker as a switch process has them: bundled, within the checkout, where the addon is found. */
async function bundle(checkout: string): Promise<string> {
  const outdir = join(checkout, 'dist/small-frames');
  await build({
    entryPoints: {
      engine: join(checkout, 'bench/small-frames/engine.ts'),
      worker: join(checkout, 'vswitch/worker.ts'),
    },
    outdir,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
  return join(outdir, 'engine.js');
}

interface Forwarder {
  readonly title: string;
  readonly argv: readonly string[];
}

/** The reference first. */
async function forwarders(): Promise<Forwarder[]> {
  const ours = await bundle(join(import.meta.dirname, '../..'));
  const all: Forwarder[] = [
    { title: 'loop in C, io_uring', argv: [file('forward'), 'io_uring'] },
    { title: 'loop in C, read and write', argv: [file('forward'), 'calls'] },
    { title: 'Luthier, io_uring', argv: [process.execPath, ours, 'io_uring'] },
    { title: 'Luthier, calls', argv: [process.execPath, ours, 'calls'] },
  ];
  if (options.beside === undefined) return all;
  return [...all, { title: 'Luthier, the other', argv: [process.execPath, await bundle(options.beside), 'io_uring'] }];
}

interface Sample {
  readonly perSecond: number;
  readonly nsPerFrame: number;
}

/** One of the forwarders, with two namespaces of its own. */
class Arm {
  readonly title: string;
  readonly samples: Sample[] = [];
  readonly #namespaces: readonly string[];
  readonly #process: ChildProcess;
  #schedstat: string;

  constructor(number: number, title: string, argv: readonly string[]) {
    this.title = title;
    this.#namespaces = ['from', 'to'].map((end) => `luthier-small-${process.pid}-${number}-${end}`);
    for (const name of this.#namespaces) {
      ip('netns', 'add', name);
      // Nothing but the flood is to pass.
      inNamespace(name, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1');
    }
    this.#process = spawn('taskset', ['-c', FORWARDER_CPU, ...argv, ...this.#namespaces.map(pathOf)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#schedstat = '';
  }

  async start(): Promise<void> {
    const [line] = (await Promise.race([once(this.#process.stdout!, 'data'), once(this.#process, 'exit')])) as [
      unknown,
    ];
    if (!Buffer.isBuffer(line)) throw new Error(`${this.title} did not start`);
    this.#schedstat = `/proc/${this.#process.pid!}/task/${line.toString().trim()}/schedstat`;
    for (const name of this.#namespaces) inNamespace(name, 'ip', 'link', 'set', 'dev', 'eth0', 'up');
  }

  /** Floods it for a while. */
  take(seconds: number): Sample {
    const argv = [file('flood'), ...this.#namespaces.map(pathOf), this.#schedstat, String(seconds)];
    const output = execFileSync('taskset', ['-c', FLOOD_CPU, ...argv], { encoding: 'utf8' });
    const [frames, ns, threadNs] = output.trim().split(' ').map(Number) as [number, number, number];
    return { perSecond: (frames * 1e9) / ns, nsPerFrame: threadNs / frames };
  }

  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.kill('SIGKILL')) await once(this.#process, 'exit');
    for (const name of this.#namespaces) ip('netns', 'delete', name);
  }
}

function ip(...argv: readonly string[]): void {
  execFileSync('ip', argv);
}

function inNamespace(name: string, ...argv: readonly string[]): void {
  execFileSync('nsenter', [`--net=${pathOf(name)}`, '--', ...argv]);
}

function pathOf(namespace: string): string {
  return `/run/netns/${namespace}`;
}

function print(arms: readonly Arm[]): void {
  const reference = arms[0]!.samples;
  console.log(
    `${''.padEnd(28)}${'ns/frame'.padStart(10)}${'kpps'.padStart(8)}   speed × the first, by time of the thread`,
  );
  for (const { title, samples } of arms) {
    const ns = median(samples.map(({ nsPerFrame }) => nsPerFrame));
    const kpps = median(samples.map(({ perSecond }) => perSecond)) / 1e3;
    const ratios = estimate(samples.map(({ nsPerFrame }, turn) => reference[turn]!.nsPerFrame / nsPerFrame));
    const range = ratios.interval?.map((value) => value.toFixed(2)).join(' … ');
    const ratio = `${ratios.median.toFixed(2)}${range === undefined ? '' : ` (${range})`}`;
    console.log(`${title.padEnd(28)}${ns.toFixed(0).padStart(10)}${kpps.toFixed(0).padStart(8)}   ${ratio}`);
  }
  console.log(`goal: ${GOAL}`);
}

async function main(): Promise<void> {
  execFileSync('make', ['-s', '-C', import.meta.dirname]);
  const arms: Arm[] = [];
  try {
    for (const [number, { title, argv }] of (await forwarders()).entries()) {
      const arm = new Arm(number, title, argv);
      arms.push(arm);
      await arm.start();
      // Code is compiled for what it meets.
      arm.take(SECONDS);
    }
    for (let turn = 0; turn < TURNS; turn++) {
      const first = turn % arms.length;
      for (const arm of [...arms.slice(first), ...arms.slice(0, first)]) arm.samples.push(arm.take(SECONDS));
    }
    print(arms);
  } finally {
    for (const arm of arms) await arm.close();
  }
}

await main();
