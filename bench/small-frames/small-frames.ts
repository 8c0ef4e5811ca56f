/**
 * 64-byte frames from TAP to TAP, as many as go: the engine beside the shortest loops in C (forward.c), each by system
 * calls one by one and by io_uring, in turns.
 *
 *   npx tsx bench/small-frames/small-frames.ts [--turns 15] [--seconds 0.5] [--beside FOLDER] [--ovs]
 *
 * What counts is the time of the forwarding thread per frame, since whatever else runs on the machine takes processors
 * from both; frames per second are beside it. With --beside another checkout that has engine.ts takes part, with --ovs
 * Open vSwitch's userspace datapath between two TAPs. Needs root, a C
 * compiler and two processors: the flood (flood.c) has the second one.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { OVS_PORTS, ovsCommands } from '../../measure/peers/ovs.js';
import { estimate, median } from '../../measure/statistics.js';

const { values: options } = parseArgs({
  options: {
    turns: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '0.5' },
    beside: { type: 'string' },
    ovs: { type: 'boolean', default: false },
  },
});
const TURNS = Number(options.turns);
const SECONDS = Number(options.seconds);
if (!(TURNS >= 1) || !(SECONDS > 0)) throw new RangeError('--turns and --seconds take numbers above 0');

const GOAL = 0.85;
const OVS = 'Open vSwitch, userspace';
const OVS_GOAL = 2;
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
    minifySyntax: true,
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
  return join(outdir, 'engine.js');
}

interface Forwarder {
  readonly title: string;
  /** `number`: one of its own, for the names of its namespaces. */
  start(number: number): Promise<Running>;
}

interface Running extends AsyncDisposable {
  /** Where the flood comes from and where it is to arrive, as flood.c names them. */
  readonly ends: readonly [string, string];
  /** Of the thread that forwards. */
  readonly schedstat: string;
}

/** The reference first. */
async function forwarders(): Promise<Forwarder[]> {
  const ours = await bundle(join(import.meta.dirname, '../..'));
  const loop = (title: string, ...argv: string[]): Forwarder => ({
    title,
    start: (number) => Loop.start(number, argv),
  });
  const all = [
    loop('loop in C, io_uring', file('forward'), 'io_uring'),
    loop('loop in C, read and write', file('forward'), 'calls'),
    loop('Luthier, io_uring', process.execPath, ours, 'io_uring'),
    loop('Luthier, calls', process.execPath, ours, 'calls'),
  ];
  if (options.beside !== undefined)
    all.push(loop('Luthier, the other', process.execPath, await bundle(options.beside), 'io_uring'));
  if (options.ovs) all.push({ title: OVS, start: (number) => OpenVSwitch.start(number) });
  return all;
}

/** A program that opens a TAP in each of two namespaces, and says which of its threads forwards. */
class Loop implements Running {
  readonly ends: readonly [string, string];
  readonly schedstat: string;
  readonly #namespaces: Namespaces;
  readonly #process: ChildProcess;

  private constructor(namespaces: Namespaces, process: ChildProcess, thread: string) {
    this.ends = namespaces.paths as [string, string];
    this.schedstat = `/proc/${process.pid!}/task/${thread}/schedstat`;
    this.#namespaces = namespaces;
    this.#process = process;
  }

  static async start(number: number, argv: readonly string[]): Promise<Loop> {
    const namespaces = new Namespaces(number, ['from', 'to']);
    const process = spawn('taskset', ['-c', FORWARDER_CPU, ...argv, ...namespaces.paths], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await Promise.race([once(process.stdout, 'data'), once(process, 'exit')])) as [unknown];
      if (!Buffer.isBuffer(line)) throw new Error(`${argv.join(' ')} did not start`);
      const loop = new Loop(namespaces, process, line.toString().trim());
      for (const path of loop.ends) inNamespace(path, 'ip', 'link', 'set', 'dev', 'eth0', 'up');
      return loop;
    } catch (cause) {
      await end(process);
      namespaces.remove();
      throw cause;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#process);
    this.#namespaces.remove();
  }
}

/** With a database of its own, in a namespace of its own, between two TAPs that it makes there; its first thread forwards. */
class OpenVSwitch implements Running {
  readonly ends: readonly [string, string];
  schedstat = '';
  readonly #namespaces: Namespaces;
  readonly #folder = mkdtempSync(join(tmpdir(), 'luthier-small-ovs-'));
  readonly #processes: ChildProcess[] = [];

  private constructor(number: number) {
    this.#namespaces = new Namespaces(number, ['ovs']);
    const [path] = this.#namespaces.paths as [string];
    this.ends = [`${path}=${OVS_PORTS[0]}`, `${path}=${OVS_PORTS[1]}`];
  }

  static async start(number: number): Promise<OpenVSwitch> {
    const ovs = new OpenVSwitch(number);
    try {
      await ovs.#start();
      return ovs;
    } catch (cause) {
      await ovs[Symbol.asyncDispose]();
      throw cause;
    }
  }

  async #start(): Promise<void> {
    const [path] = this.#namespaces.paths as [string];
    const { env: own, socket, create, server, init, daemon, join: joined } = ovsCommands(this.#folder);
    const env = { ...process.env, ...own };
    const done = ([file, ...args]: string[]): Buffer => execFileSync(file!, args, { env });
    const run = (...argv: string[]): ChildProcess => {
      const child = spawn('nsenter', [`--net=${path}`, '--', ...argv], { env, stdio: 'ignore' });
      this.#processes.push(child);
      return child;
    };
    done(create);
    const database = run(...server);
    while (!existsSync(socket)) {
      if (database.exitCode !== null) throw new Error(`ovsdb-server ended with status ${database.exitCode}`);
      await sleep(20);
    }
    done(init);
    const switching = run('taskset', '-c', FORWARDER_CPU, ...daemon);
    done(joined('tap'));
    for (const port of OVS_PORTS) inNamespace(path, 'ip', 'link', 'set', 'dev', port, 'up');
    this.schedstat = `/proc/${switching.pid!}/schedstat`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes.reverse()) await end(process);
    this.#namespaces.remove();
    rmSync(this.#folder, { recursive: true });
  }
}

class Namespaces {
  readonly paths: readonly string[];
  readonly #names: readonly string[];

  constructor(number: number, ends: readonly string[]) {
    this.#names = ends.map((end) => `luthier-small-${process.pid}-${number}-${end}`);
    this.paths = this.#names.map((name) => `/run/netns/${name}`);
    for (const [i, name] of this.#names.entries()) {
      ip('netns', 'add', name);
      // Nothing but the flood is to pass.
      const off = ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'];
      inNamespace(this.paths[i]!, 'sysctl', '-qw', ...off);
    }
  }

  remove(): void {
    for (const name of this.#names) ip('netns', 'delete', name);
  }
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode === null && process.kill('SIGKILL')) await once(process, 'exit');
}

interface Sample {
  readonly perSecond: number;
  readonly nsPerFrame: number;
}

class Arm implements AsyncDisposable {
  readonly title: string;
  readonly samples: Sample[] = [];
  readonly #running: Running;

  constructor(title: string, running: Running) {
    this.title = title;
    this.#running = running;
  }

  /** Floods it for a while. */
  take(seconds: number): Sample {
    const { ends, schedstat } = this.#running;
    const argv = [file('flood'), ...ends, schedstat, String(seconds)];
    const output = execFileSync('taskset', ['-c', FLOOD_CPU, ...argv], { encoding: 'utf8' });
    const [frames, ns, threadNs] = output.trim().split(' ').map(Number) as [number, number, number];
    return { perSecond: (frames * 1e9) / ns, nsPerFrame: threadNs / frames };
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#running[Symbol.asyncDispose]();
  }
}

function ip(...argv: readonly string[]): void {
  execFileSync('ip', argv);
}

function inNamespace(path: string, ...argv: readonly string[]): void {
  execFileSync('nsenter', [`--net=${path}`, '--', ...argv]);
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
  const [engine, ovs] = ['Luthier, io_uring', OVS].map((title) => arms.find((arm) => arm.title === title)?.samples);
  if (engine === undefined || ovs === undefined) return;
  const ratios = estimate(ovs.map(({ nsPerFrame }, turn) => nsPerFrame / engine[turn]!.nsPerFrame));
  const range = ratios.interval?.map((value) => value.toFixed(2)).join(' … ') ?? '';
  console.log(`Luthier beside ${OVS}: ${ratios.median.toFixed(2)} (${range}) ×, goal: ${OVS_GOAL}`);
}

async function main(): Promise<void> {
  execFileSync('make', ['-s', '-C', import.meta.dirname]);
  const arms: Arm[] = [];
  try {
    for (const [number, forwarder] of (await forwarders()).entries()) {
      const arm = new Arm(forwarder.title, await forwarder.start(number));
      arms.push(arm);
      // Code is compiled for what it meets.
      arm.take(SECONDS);
    }
    for (let turn = 0; turn < TURNS; turn++) {
      const first = turn % arms.length;
      for (const arm of [...arms.slice(first), ...arms.slice(0, first)]) arm.samples.push(arm.take(SECONDS));
    }
    print(arms);
  } finally {
    for (const arm of arms) await arm[Symbol.asyncDispose]();
  }
}

await main();
