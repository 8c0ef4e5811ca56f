/**
 * The numbers of a first network, printed: how long `up` and `down` take as whole commands, and what an idle network
 * costs. Rates and round trips are measured by `luthier bench`.
 *
 *   npm run bench            everything
 *   npm run bench -- idle    one of: start, scale, limits, idle
 *
 * Needs root and an otherwise quiet machine. Medians, with the smallest and largest value behind them.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkState } from '../model/messages.js';
import { agentPidOf, processesOf } from '../test/e2e/census.js';
import {
  crowd,
  footprints,
  introduce,
  membersOf,
  pingEveryTenth,
  raiseNeighbourLimit,
  reachByArp,
} from '../test/e2e/crowd.js';

const ROOT = join(import.meta.dirname, '..');
const LUTHIER = join(ROOT, 'bin/luthier');
const directory = mkdtempSync(join(tmpdir(), 'luthier-bench-'));
const env = {
  ...process.env,
  LUTHIER_RUNTIME_DIR: join(directory, 'run'),
  LUTHIER_STATE_DIR: join(directory, 'state'),
};

const luthier = (...args: string[]): string =>
  execFileSync(LUTHIER, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 << 20 });

function timed(...args: string[]): number {
  const start = performance.now();
  luthier(...args);
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function report(what: string, values: readonly number[], unit: string, goal: string, digits = 0): void {
  const [low, high] = [Math.min(...values).toFixed(digits), Math.max(...values).toFixed(digits)];
  const middle = median(values).toFixed(digits);
  console.log(
    `${what.padEnd(44)} ${middle.padStart(8)} ${unit.padEnd(7)} (${low} … ${high}, n=${values.length})  goal: ${goal}`,
  );
}

function lan(hosts: number): string {
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`);
  const file = join(directory, `lan-${hosts}.yaml`);
  writeFileSync(
    file,
    [
      `name: lan-${hosts}`,
      'nodes:',
      '  s1: { kind: switch, subnet: 10.0.0.0/16 }',
      ...names.map((name) => `  ${name}: { kind: host }`),
      'links:',
      ...names.map((name) => `  - { endpoints: [${name}, s1] }`),
    ].join('\n'),
  );
  return file;
}

function inspect(name: string): NetworkState {
  return (JSON.parse(luthier('inspect', '--json', name)) as { network: NetworkState }).network;
}

function start(): void {
  const file = join(ROOT, 'scenarios/two-lans/scenario.yaml');
  const [ups, downs]: [number[], number[]] = [[], []];
  for (let i = 0; i < 7; i++) {
    ups.push(timed('up', file));
    downs.push(timed('down', 'two-lans'));
  }
  report('up two-lans (no agent before)', ups, 'ms', '< 1500');
  report('down two-lans (the agent ends too)', downs, 'ms', '< 700');
}

function scale(): void {
  const file = lan(200);
  const [ups, downs]: [number[], number[]] = [[], []];
  for (let i = 0; i < 3; i++) {
    ups.push(timed('up', file));
    downs.push(timed('down', 'lan-200'));
  }
  report('up of 200 hosts on one switch', ups, 'ms', '< 3000');
  report('down of 200 hosts', downs, 'ms', '-');
}

/** A thousand hosts, with what their processes hold; every host pings every tenth. */
async function limits(): Promise<void> {
  const file = join(directory, 'crowd.yaml');
  writeFileSync(file, crowd(1000));
  const [ups, downs]: [number[], number[]] = [[], []];
  for (let i = 0; i < 3; i++) {
    ups.push(timed('up', file));
    if (i === 2) await pingCrowd();
    downs.push(timed('down', 'crowd'));
  }
  report('up of 1000 hosts on one switch', ups, 'ms', '< 8000');
  report('down of 1000 hosts', downs, 'ms', '< 4000');
}

async function pingCrowd(): Promise<void> {
  const network = inspect('crowd');
  const members = membersOf(network);
  const limit = raiseNeighbourLimit(16_384);
  try {
    console.log(`every host has reached one by ARP after ${((await reachByArp(members)) / 1000).toFixed(1)} s`);
    await introduce(members);
    const { sent, received, unanswered, ms } = await pingEveryTenth(members);
    console.log(
      `every host pings every tenth: ${sent} echoes, ${received} answers, ` +
        `${unanswered.length} pairs without, in ${(ms / 1000).toFixed(1)} s`,
    );
    console.log(`net.ipv4.neigh.default.gc_thresh3 was ${limit.before}, and is again`);
  } finally {
    limit.restore();
  }
  for (const line of footprints(network, agentPidOf(directory)!)) console.log(line);
}

/** utime + stime of a process in seconds, proc(5) stat fields 14 and 15. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function idle(): Promise<void> {
  luthier('up', join(ROOT, 'scenarios/two-lans/scenario.yaml'));
  const switches = inspect('two-lans').switchProcesses.map(({ pid }) => pid);
  const others = processesOf(directory).map(({ pid }) => pid);
  const pids = [...new Set([...switches, ...others])];
  // For some seconds V8 tidies up what the start left on its heaps.
  await sleep(20_000);
  const before = pids.map(cpuSeconds);
  await sleep(20_000);
  const used = pids.map((pid, i) => cpuSeconds(pid) - before[i]!).reduce((a, b) => a + b, 0);
  report('idle two-lans: CPU of all its processes', [(used / 20) * 100], '% core', '< 0.3', 2);
  const rss = switches.map(
    (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024,
  );
  report('idle RSS of a switch process', rss, 'MiB', '< 95');
  luthier('down', 'two-lans');
}

const parts = { start, scale, limits, idle };
const wanted = process.argv.slice(2);
console.log(`${cpus().length} × ${cpus()[0]?.model.trim() ?? '?'}, Linux ${release()}, Node ${process.version}\n`);
try {
  for (const [name, part] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) await part();
} finally {
  luthier('down', '--all');
  rmSync(directory, { recursive: true, force: true });
}
