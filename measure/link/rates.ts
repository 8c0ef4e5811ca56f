/**
 * Parts `tcp`, `udp` and `cost`: what passes an emulated rate, and what it takes of the machine. docs/commands.md has the
 * formulas of what is expected.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { execArguments } from '../../control/exec.js';
import type { CostReport, GoodputReport, TransferCost, UdpRateReport } from '../../model/bench-link.js';
import { LuthierError } from '../../model/errors.js';
import { cpuSeconds } from '../accounting.js';
import { transfer, type Load, type Way } from '../traffic.js';
import { datagramBytes, floodQueueBytes, FRAME_BYTES, framesSeconds, goodputBps, queuePackets } from './expectation.js';
import { interfaceBytes, type LinkStage } from './stage.js';

export interface GoodputExtent {
  readonly settings: readonly { readonly rateBps: number; readonly segments: 'auto' | 'wire' }[];
  /** At least; a slow link is given as long as it takes for `frames`. */
  readonly seconds: number;
  readonly frames: number;
}

export interface UdpExtent {
  readonly ratesBps: readonly number[];
  readonly seconds: number;
}

/** Of the TCP parts, both ways together: an RTT of 1 ms. */
const TCP_DELAY = '500us';
/** Of the same part: it keeps a link busy once it has filled its queue. BBR leaves it idle for a while each ten seconds, to see how short the path is. */
const CONGESTION = 'reno';
/** In which slow start has come to its end: at least a second, and so many times what the queue holds. */
const OMIT_SECONDS = 1;
const OMIT_QUEUES = 3;
/** TCP of a slow link writes and reads a segment at a time: what arrives is counted when it does. */
const SEGMENT_BYTES = 1448;
/**
 * And has so little under way that its queue takes all of it: what is lost, and all that waits for it, would come a queue later, which
 * is seconds, and perhaps after the end. It is several times a BDP.
 */
const SLOW_BPS = 10e6;
const SLOW_WINDOW_BYTES = 16_384;
const LARGE_BLOCK_BYTES = 131_072;
const BLOCKS_PER_SECOND = 50;

export async function measureGoodput(
  stage: LinkStage,
  { settings, seconds: least, frames }: GoodputExtent,
  signal: AbortSignal,
  onStep: (what: string) => void,
): Promise<GoodputReport[]> {
  return stage.each(settings, async ({ rateBps, segments }) => {
    onStep(`TCP at ${rateBps / 1e6} Mbit/s, segments: ${segments}`);
    const seconds = Math.ceil(Math.max(least, framesSeconds(frames, rateBps)));
    const queue = queuePackets(rateBps);
    await stage.emulate({ rate: `${rateBps}bit`, queue: `${queue}p`, delay: TCP_DELAY, segments });
    const load = {
      streams: 1,
      seconds,
      omitSeconds: slowStartSeconds(queue, rateBps),
      blockBytes: blockBytes(rateBps),
      ...(rateBps <= SLOW_BPS && { windowBytes: SLOW_WINDOW_BYTES }),
      congestion: CONGESTION,
    };
    const { bytes, seconds: taken } = await transfer(stage.ours, load, signal);
    const [expectedBps, measuredBps] = [goodputBps(rateBps), (bytes * 8) / taken];
    const error = measuredBps / expectedBps - 1;
    return { rateBps, segments, seconds: taken, expectedBps, goodputBps: measuredBps, error };
  });
}

/** It ends where the queue is full; what is lost then arrives a queue later, and all that waits for it with it. */
function slowStartSeconds(queue: number, rateBps: number): number {
  return Math.ceil(Math.max(OMIT_SECONDS, OMIT_QUEUES * framesSeconds(queue, rateBps)));
}

function blockBytes(rateBps: number): number {
  return Math.min(LARGE_BLOCK_BYTES, Math.max(SEGMENT_BYTES, Math.floor(rateBps / 8 / BLOCKS_PER_SECOND)));
}

/** What is sent, as a multiple of the rate. */
const OVERLOAD = 1.2;
const FLOOD_SETTLE_MS = 500;
const FIRST_BYTES = 20_000;
const FIRST_PATIENCE_MS = 20_000;

export async function measureUdp(
  stage: LinkStage,
  { ratesBps, seconds }: UdpExtent,
  signal: AbortSignal,
  onStep: (what: string) => void,
): Promise<UdpRateReport[]> {
  return stage.each(ratesBps, async (rateBps) => {
    onStep(`UDP at ${rateBps / 1e6} Mbit/s`);
    const { payloadBytes, frameBytes } = datagramBytes(rateBps);
    const flood = { payloadBps: (OVERLOAD * rateBps * payloadBytes) / frameBytes, payloadBytes, seconds };
    const limitBytes = floodQueueBytes(rateBps);
    await stage.emulate({ rate: `${rateBps}bit`, queue: `${limitBytes}B` }, 'from h1');
    const ours = await flooded(stage.ours, flood, signal);
    await stage.emulate({});
    // As tc-tbf(8) says: what the rate passes between two ticks of the slowest clock. It drops what is longer, and iperf3 has more to say than floods.
    await stage.kernelRate(rateBps, { burstBytes: Math.max(FRAME_BYTES, Math.ceil(rateBps / 8 / 250)), limitBytes });
    const tbf = await flooded(stage.kernel, flood, signal);
    await stage.endKernelRate();
    return {
      rateBps,
      frameBytes,
      seconds: ours.seconds,
      offeredBps: ours.sentBps,
      deliveredBps: ours.receivedBps,
      error: ours.receivedBps / rateBps - 1,
      tbfDeliveredBps: tbf.receivedBps,
      tbfError: tbf.receivedBps / rateBps - 1,
    };
  });
}

interface Flood {
  readonly payloadBps: number;
  readonly payloadBytes: number;
  readonly seconds: number;
}

/** Counted at the interfaces while the flood is on, so that neither its beginning nor its end is in it. */
async function flooded(
  { from, to, address }: Way,
  { payloadBps, payloadBytes, seconds }: Flood,
  signal: AbortSignal,
): Promise<{ seconds: number; sentBps: number; receivedBps: number }> {
  const server = execArguments(to, ['iperf3', '-s', '-1', '--forceflush']);
  const listening = spawn(server.file, server.args, { env: to.env, stdio: ['ignore', 'pipe', 'ignore'], signal });
  // Aborted, or one of the two could not be started: then nothing arrives, which is told below.
  const ended = once(listening, 'exit').catch(() => undefined);
  await Promise.race([once(listening.stdout, 'data', { signal }), ended]);
  const flood = ['-u', '-b', String(Math.round(payloadBps)), '-l', String(payloadBytes), '-t', '3600'];
  const client = execArguments(from, ['iperf3', '-c', address, ...flood]);
  const before = interfaceBytes(to);
  const sending = spawn(client.file, client.args, { env: from.env, stdio: 'ignore', signal });
  const sent = once(sending, 'exit').catch(() => undefined);
  try {
    const patience = performance.now() + FIRST_PATIENCE_MS;
    while (interfaceBytes(to).received - before.received < FIRST_BYTES) {
      if (performance.now() > patience || sending.exitCode !== null)
        throw new LuthierError('E_BENCH', `iperf3 on ${from.node} sends no datagrams to ${address}`);
      await sleep(20, undefined, { signal });
    }
    await sleep(FLOOD_SETTLE_MS, undefined, { signal });
    const begin = counted(from, to);
    await sleep(seconds * 1000, undefined, { signal });
    const end = counted(from, to);
    const taken = (end.atMs - begin.atMs) / 1000;
    return {
      seconds: taken,
      sentBps: ((end.sent - begin.sent) * 8) / taken,
      receivedBps: ((end.received - begin.received) * 8) / taken,
    };
  } finally {
    sending.kill('SIGKILL');
    listening.kill('SIGKILL');
    await Promise.all([sent, ended]);
  }
}

function counted(
  from: { readonly pid: number },
  to: { readonly pid: number },
): Record<'atMs' | 'sent' | 'received', number> {
  const { received } = interfaceBytes(to);
  const atMs = performance.now();
  return { atMs, received, sent: interfaceBytes(from).sent };
}

const COST_RATE_BPS = 1e9;
const COST_DELAY_NS = 10e6;

/** The same rate without emulation, by a sender that goes no faster. */
export async function measureCost(
  stage: LinkStage,
  { seconds }: { readonly seconds: number },
  signal: AbortSignal,
  onStep: (what: string) => void,
): Promise<CostReport> {
  onStep('CPU of an emulated gigabit');
  const rateBps = goodputBps(COST_RATE_BPS);
  const plain = await costOf(stage, { streams: 1, seconds, omitSeconds: OMIT_SECONDS, rateBps }, signal);
  await stage.emulate({ rate: `${COST_RATE_BPS}bit`, delay: `${COST_DELAY_NS}ns` });
  const emulated = await costOf(stage, { streams: 1, seconds, omitSeconds: OMIT_SECONDS }, signal);
  await stage.emulate({});
  return {
    rateBps: COST_RATE_BPS,
    delayNs: COST_DELAY_NS,
    plain,
    emulated,
    cpuRatio: emulated.cpuSecondsPerGB / plain.cpuSecondsPerGB,
    ownCpuRatio: emulated.ownCpuSecondsPerGB / plain.ownCpuSecondsPerGB,
  };
}

/**
 * CPU is that of the switch and both programs, of the whole transfer, what is omitted included; so are the bytes, by the interface that they
 * reach. What the kernel says of all processors together (/proc/stat) is sampled by ticks, which an engine that is woken by a timer evades.
 */
async function costOf(stage: LinkStage, load: Load, signal: AbortSignal): Promise<TransferCost> {
  const { to } = stage.ours;
  const [own, before] = [cpuSeconds(stage.switches), interfaceBytes(to).received];
  const { bytes, seconds, cpuSeconds: ends } = await transfer(stage.ours, load, signal);
  const ownSeconds = cpuSeconds(stage.switches) - own;
  const gigabytes = (interfaceBytes(to).received - before) / 1e9;
  return {
    goodputBps: (bytes * 8) / seconds,
    cpuSecondsPerGB: (ownSeconds + ends) / gigabytes,
    ownCpuSecondsPerGB: ownSeconds / gigabytes,
  };
}
