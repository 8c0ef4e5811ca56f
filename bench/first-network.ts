/**
 * The numbers of a first network, printed: how long `up` and `down` take as whole commands, what an idle network costs,
 * and RTT and TCP over one switch beside a kernel bridge in the same run.
 *
 *   npm run bench            everything
 *   npm run bench -- rtt     one of: start, scale, limits, idle, rtt, tcp
 *
 * Needs root and an otherwise quiet machine. Medians, with the smallest and largest value behind them.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
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

/** Arguments of `ethtool -K DEV` after which every frame is of MTU size, with its checksum complete. */
const WITHOUT_OFFLOADS = ['tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off'];

const luthier = (...args: string[]): string =>
  execFileSync(LUTHIER, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 << 20 });
const inHost = (node: string, ...argv: string[]): string => luthier('exec', node, '--', ...argv);

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

/** Two namespaces on a kernel bridge with veth, offloads as they are or off; removed by `remove`. */
function kernelBridge(offloads: boolean): { exec: (host: 1 | 2, ...argv: string[]) => string[]; remove: () => void } {
  const name = (host: number): string => `luthier-bench-${process.pid}-${host}`;
  const ip = (...args: string[]): void => void execFileSync('ip', args);
  ip('netns', 'add', name(0));
  ip('-n', name(0), 'link', 'add', 'lan', 'type', 'bridge');
  ip('-n', name(0), 'link', 'set', 'dev', 'lan', 'up');
  for (const host of [1, 2]) {
    ip('netns', 'add', name(host));
    ip('-n', name(0), 'link', 'add', `p${host}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name(host));
    ip('-n', name(0), 'link', 'set', 'dev', `p${host}`, 'master', 'lan', 'up');
    ip('-n', name(host), 'addr', 'add', `10.0.0.${host}/16`, 'dev', 'eth0');
    ip('-n', name(host), 'link', 'set', 'dev', 'eth0', 'up');
    if (offloads) continue;
    const ends = [
      [name(host), 'eth0'],
      [name(0), `p${host}`],
    ] as const;
    for (const [netns, dev] of ends)
      execFileSync('nsenter', [`--net=/run/netns/${netns}`, 'ethtool', '-K', dev, ...WITHOUT_OFFLOADS]);
  }
  return {
    exec: (host, ...argv) => ['nsenter', `--net=/run/netns/${name(host)}`, ...argv],
    remove: () => {
      for (const host of [0, 1, 2]) ip('netns', 'del', name(host));
    },
  };
}

function medianRtt(text: string): number {
  return median([...text.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]) * 1000));
}

function rtt(): void {
  const bridge = kernelBridge(true);
  luthier('up', lan(2));
  const ping = ['ping', '-U', '-i', '0.01', '-c', '300'];
  const [ours, kernels]: [number[], number[]] = [[], []];
  try {
    for (let i = 0; i < 5; i++) {
      const [file, ...args] = bridge.exec(1, ...ping, '10.0.0.2') as [string, ...string[]];
      kernels.push(medianRtt(execFileSync(file, args, { encoding: 'utf8' })));
      ours.push(medianRtt(inHost('h1', ...ping, '10.0.0.2')));
    }
  } finally {
    luthier('down', 'lan-2');
    bridge.remove();
  }
  report('RTT p50, one switch', ours, 'µs', '-', 1);
  report('RTT p50, kernel bridge', kernels, 'µs', '-', 1);
  report(
    'their ratio',
    ours.map((value, i) => value / kernels[i]!),
    '×',
    '< 5',
    2,
  );
}

async function gbps(server: readonly string[], client: readonly string[]): Promise<number> {
  const [file, ...args] = server as [string, ...string[]];
  const listening = spawn(file, args, { env });
  const closed = once(listening, 'close');
  await once(listening.stdout, 'data');
  const [clientFile, ...clientArgs] = client as [string, ...string[]];
  const text = execFileSync(clientFile, clientArgs, { env, encoding: 'utf8' });
  await closed;
  return (
    (JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second / 1e9
  );
}

/** With super-frames from end to end on both sides, then with frames of MTU size on both. */
async function tcp(): Promise<void> {
  for (const offloads of [true, false]) {
    const bridge = kernelBridge(offloads);
    luthier('up', lan(2));
    const [ours, kernels]: [number[], number[]] = [[], []];
    const server = ['iperf3', '-s', '-1', '--forceflush'];
    const client = ['iperf3', '-J', '-t', '4', '-O', '1', '-c', '10.0.0.2'];
    try {
      if (!offloads) for (const host of ['h1', 'h2']) inHost(host, 'ethtool', '-K', 'eth0', ...WITHOUT_OFFLOADS);
      for (let i = 0; i < 5; i++) {
        kernels.push(await gbps(bridge.exec(2, ...server), bridge.exec(1, ...client)));
        ours.push(await gbps([LUTHIER, 'exec', 'h2', '--', ...server], [LUTHIER, 'exec', 'h1', '--', ...client]));
      }
    } finally {
      luthier('down', 'lan-2');
      bridge.remove();
    }
    const what = offloads ? 'super-frames' : 'MTU-sized frames';
    report(`TCP, one switch, ${what}`, ours, 'Gbit/s', offloads ? '-' : '> 2', 2);
    report(`TCP, kernel bridge, ${what}`, kernels, 'Gbit/s', '-', 2);
    report(
      'their ratio',
      ours.map((value, i) => value / kernels[i]!),
      '×',
      '-',
      2,
    );
  }
}

const parts = { start, scale, limits, idle, rtt, tcp };
const wanted = process.argv.slice(2);
console.log(`${cpus().length} × ${cpus()[0]?.model.trim() ?? '?'}, Linux ${release()}, Node ${process.version}\n`);
try {
  for (const [name, part] of Object.entries(parts)) if (wanted.length === 0 || wanted.includes(name)) await part();
} finally {
  luthier('down', '--all');
  rmSync(directory, { recursive: true, force: true });
}
