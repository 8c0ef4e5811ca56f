/**
 * Datagrams of the smallest frame from one host to another, by our own source and sink (native/datagrams.c): iperf3 spends
 * more on each than most networks that are measured here.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { execArguments, execute } from '../control/exec.js';
import { LuthierError } from '../model/errors.js';
import { nativeDirectory } from '../native/binding.js';
import type { Way } from './traffic.js';

/** 64 bytes of frame: 18 of payload, UDP, IPv4 and Ethernet with FCS. */
export const PAYLOAD_BYTES = 18;
/** Of a rate that counts as one without loss. */
export const TOLERATED_LOSS = 0.001;
/** By so much longer than the sending the arriving may take: a rate that only fills queues is none that is carried. */
const TOLERATED_DELAY = 0.05;

const PROGRAM = join(nativeDirectory, 'datagrams');
const PORT = 5202;
/** The search is between the rate that was offered in full, and this part of it. */
const LEAST_SHARE = 1 / 64;

export interface Flood {
  /** `undefined`: as fast as the sender can. */
  readonly pps?: number;
  readonly seconds: number;
}

export interface FloodResult {
  readonly sentPps: number;
  readonly deliveredPps: number;
  /** Of what was sent. */
  readonly lossRatio: number;
}

export interface SmallFramesExtent {
  /** Of the flood as fast as the sender can. */
  readonly seconds: number;
  readonly trialSeconds: number;
  readonly trials: number;
}

export async function flood(
  { from, to, address }: Way,
  { pps = 0, seconds }: Flood,
  signal: AbortSignal,
): Promise<FloodResult> {
  const id = String(randomInt(2 ** 32));
  const { file, args } = execArguments(to, [PROGRAM, 'sink', String(PORT), id]);
  const sink = spawn(file, args, { env: to.env, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(sink, 'close').catch(() => undefined); // it could not be started: then it has not counted
  try {
    let counted = '';
    sink.stdout.setEncoding('utf8').on('data', (text: string) => (counted += text));
    await Promise.race([once(sink.stdout, 'data', { signal }), ended]); // it listens
    const words = ['source', address, String(PORT), id, String(seconds), String(pps)];
    const { code, stdout, stderr } = await execute(from, [PROGRAM, ...words], { signal });
    sink.stdin.end();
    await ended;
    const [sent, sentSeconds] = numbers(stdout);
    const [received, span] = numbers(counted.replace('ready', ''));
    if (code !== 0 || sent === undefined || received === undefined)
      throw new LuthierError('E_BENCH', `datagrams from ${from.node} to ${address} could not be counted`, {
        hint: stderr.trim() || `source: status ${code}`,
      });
    return {
      sentPps: sent / sentSeconds!,
      // What waited in queues when the source ended came later: it is not counted into a shorter time.
      deliveredPps: received / Math.max(sentSeconds!, span!),
      lossRatio: sent === 0 ? 0 : Math.max(0, 1 - received / sent),
    };
  } finally {
    sink.kill();
    await ended;
  }
}

function isCarried({ sentPps, deliveredPps, lossRatio }: FloodResult): boolean {
  return lossRatio <= TOLERATED_LOSS && deliveredPps >= (sentPps * (1 - TOLERATED_LOSS)) / (1 + TOLERATED_DELAY);
}

/**
 * The highest rate at which at most TOLERATED_LOSS is lost and nothing piles up, by bisection of the logarithm below what was offered in full. A
 * trial that fails is made once more before it counts, as one interrupt too many on a busy machine is no limit of a
 * network. None where even the lowest rate tried is too high.
 */
export async function highestLossless(
  full: FloodResult,
  trials: number,
  attempt: (pps: number) => Promise<FloodResult>,
): Promise<FloodResult | undefined> {
  if (isCarried(full)) return full;
  let [low, high] = [full.sentPps * LEAST_SHARE, full.sentPps];
  let best: FloodResult | undefined;
  for (let trial = 0; trial < trials; trial++) {
    const pps = Math.sqrt(low * high);
    let result = await attempt(pps);
    if (!isCarried(result)) result = await attempt(pps);
    if (!isCarried(result)) high = pps;
    else [low, best] = [pps, result];
  }
  return best;
}

function numbers(line: string): (number | undefined)[] {
  return /^\d+ [\d.]+$/.test(line.trim()) ? line.trim().split(' ').map(Number) : [];
}
