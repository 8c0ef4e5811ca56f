/**
 * What forward error correction is worth: TCP's goodput and UDP's loss between two hosts on two machines whose underlay loses
 * datagrams at random, with and without it, in turns.
 *
 *   npx tsx bench/fec/fec.ts [--rounds 3] [--seconds 2] [--delay 5ms] [--losses 0,0.1,1,5] [--congestion reno]
 *
 *     h1 ── s1 (machine a) ══ UDP, sealed ══ s1 (machine b) ── h2          a network for each of `fec: none`, auto, 10%
 *                eth0 ── m0 [ lan ] m1 ── eth0                             nftables drops what the bridge forwards
 *
 * The link h1 – s1 delays each way by `--delay`: what a lost segment costs TCP is round trips. How much of its rate it then gives
 * up depends on its congestion control: `reno` (RFC 5681) is what every kernel lets a host have, `bbr` makes
 * little of loss. Datagrams are cut by the
 * sender's kernel before they are on the underlay (`cut` of `bench tunnel`), else a whole segmented send would be lost at once.
 * Needs root, iperf3, nft, ethtool, and what is compiled (`npm run build`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { answers } from '../../control/agent-socket.js';
import { AgentClient } from '../../control/client.js';
import { execArguments, execute } from '../../control/exec.js';
import { agentSocket, pathsFrom } from '../../control/paths.js';
import { StageNetwork } from '../../measure/stage.js';
import { estimate } from '../../measure/statistics.js';
import { transfer, type Way } from '../../measure/traffic.js';
import { underlayFeatures } from '../../measure/underlays.js';
import type { RawScenario } from '../../model/scenario.js';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    delay: { type: 'string', default: '5ms' },
    losses: { type: 'string', default: '0,0.1,1,5' },
    congestion: { type: 'string', default: 'reno' },
  },
});
const ROUNDS = Number(options.rounds);
const SECONDS = Number(options.seconds);
const LOSSES_PERCENT = options.losses.split(',').map(Number);
/** Until `auto` has seen that the loss has changed, upward; then TCP begins. */
const SETTLE_SECONDS = 3;
const UDP_RATE = '50M';
/** Of the receiving program's socket: what it loses while it does not run is not the network's. By default 18 ms of this rate. */
const UDP_BUFFER = '2M';
const ARMS = ['none', 'auto', '10%'] as const;
const ADDRESS = '10.0.0.2';

function scenario(fec: string, index: number): RawScenario {
  return {
    name: `bench-fec-${index}`,
    machines: ['a', 'b'],
    fec,
    nodes: {
      s1: { kind: 'switch', subnet: '10.0.0.0/24' },
      h1: { kind: 'host', machine: 'a' },
      h2: { kind: 'host', machine: 'b' },
    },
    links: [
      { endpoints: ['h1', 's1'], delay: options.delay },
      { endpoints: [{ node: 'h2', address: `${ADDRESS}/24` }, 's1'] },
    ],
  };
}

interface Lossy {
  readonly fec: string;
  readonly network: StageNetwork;
  readonly way: Way;
}

async function cut(network: StageNetwork): Promise<void> {
  const { cutting, gro } = underlayFeatures('cut');
  const text = await network.output('underlay', ['ip', '-j', 'link', 'show', 'type', 'veth']);
  const ports = JSON.parse(text) as { ifname: string }[];
  await Promise.all([
    ...['a', 'b'].map((machine) => network.output(`machine:${machine}`, ['ethtool', '-K', 'eth0', ...cutting, ...gro])),
    ...ports.map(({ ifname }) => network.output('underlay', ['ethtool', '-K', ifname, ...cutting])),
  ]);
}

/** Of the UDP datagrams that the underlay forwards, each by itself. */
async function lose(network: StageNetwork, percent: number): Promise<void> {
  const rules = ['add table bridge loss', 'delete table bridge loss'];
  if (percent > 0)
    rules.push(
      'add table bridge loss',
      'add chain bridge loss forward { type filter hook forward priority 0; }',
      `add rule bridge loss forward ip protocol udp numgen random mod 100000 < ${percent * 1000} drop`,
    );
  await network.output('underlay', ['nft', rules.join('; ')]);
}

/** Of UDP at a steady rate, the part that does not come. */
async function udpLoss({ from, to, address }: Way, signal: AbortSignal): Promise<number> {
  const { file, args } = execArguments(to, ['iperf3', '-s', '-1', '--forceflush']);
  const server = spawn(file, args, { env: to.env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(server, 'exit');
  await once(server.stdout, 'data');
  const sending = ['-u', '-b', UDP_RATE, '-l', '1200', '-w', UDP_BUFFER, '-t', String(SECONDS)];
  const argv = ['iperf3', '-J', ...sending, '-c', address];
  const { stdout } = await execute(from, argv, { signal });
  server.kill();
  await ended;
  const { sum } = (JSON.parse(stdout) as { end: { sum: { lost_packets: number; packets: number } } }).end;
  return sum.lost_packets / sum.packets;
}

async function rate(way: Way, signal: AbortSignal): Promise<number> {
  const { bytes, seconds } = await transfer(way, { streams: 1, seconds: SECONDS, omitSeconds: SETTLE_SECONDS }, signal);
  return (8 * bytes) / seconds / 1e6;
}

async function measure(networks: readonly Lossy[], percent: number, signal: AbortSignal): Promise<void> {
  for (const { network } of networks) await lose(network, percent);
  const tcp = new Map<string, number[]>();
  const udp = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const { fec, way } of networks) {
      tcp.set(fec, [...(tcp.get(fec) ?? []), await rate(way, signal)]);
      udp.set(fec, [...(udp.get(fec) ?? []), await udpLoss(way, signal)]);
    }
  }
  const base = estimate(tcp.get('none')!).median;
  for (const { fec, network } of networks) {
    const rates = tcp.get(fec)!;
    const { median } = estimate(rates);
    const lost = estimate(udp.get(fec)!).median;
    const [tunnel] = await network.tunnels();
    const { parityRatio = 0 } = tunnel?.health?.fec ?? {};
    const range = `${Math.min(...rates).toFixed(0)} … ${Math.max(...rates).toFixed(0)}`;
    const cells = [
      `${percent} %`,
      fec,
      `${median.toFixed(0)} Mbit/s (${range})`,
      `${(median / base).toFixed(1)} ×`,
      `${(100 * lost).toFixed(3)} %`,
      `${(100 * parityRatio).toFixed(0)} %`,
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

async function main(signal: AbortSignal): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'luthier-fec-'));
  const env = { LUTHIER_RUNTIME_DIR: join(directory, 'run'), LUTHIER_STATE_DIR: join(directory, 'state') };
  const paths = pathsFrom(env, process.getuid!());
  const program = join(import.meta.dirname, '../../bin/luthier');
  const agent = spawn(program, ['agent'], { env: { ...process.env, ...env }, stdio: 'ignore' });
  const networks: Lossy[] = [];
  try {
    while (!(await answers(agentSocket(paths)))) {
      if (agent.exitCode !== null) throw new Error('the agent did not start');
      await sleep(20);
    }
    const place = { agent: await AgentClient.connect(paths), paths, path: process.env.PATH ?? '' };
    for (const [i, fec] of ARMS.entries()) {
      const network = await StageNetwork.up(place, scenario(fec, i), signal);
      networks.push({
        fec,
        network,
        way: { from: await network.access('h1'), to: await network.access('h2'), address: ADDRESS },
      });
      await cut(network);
      const congestion = `net.ipv4.tcp_congestion_control=${options.congestion}`;
      await network.output('host:h1', ['sysctl', '-qw', congestion]);
    }
    console.log('| loss | fec | TCP, one stream | ratio | UDP lost | parity |\n|---|---|---|---|---|---|');
    for (const percent of LOSSES_PERCENT) await measure(networks, percent, signal);
  } finally {
    for (const { network } of networks) await network[Symbol.asyncDispose]();
    // It ends with its last network.
    if (agent.exitCode === null) await once(agent, 'exit', { signal: AbortSignal.timeout(10_000) });
    rmSync(directory, { recursive: true, force: true });
  }
}

const abort = new AbortController();
process.once('SIGINT', () => {
  abort.abort();
});
await main(abort.signal);
