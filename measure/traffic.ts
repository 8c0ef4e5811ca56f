/**
 * Traffic between two hosts by the programs that everybody knows: iperf3 for TCP, ping for round trips. Hosts of every
 * arm are entered the same way, so that what differs is what lies between them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execArguments, execute } from '../control/exec.js';
import { LuthierError } from '../model/errors.js';
import type { NodeAccess } from '../model/messages.js';

/** Two hosts, and the address at which the first reaches the second. */
export interface Way {
  readonly from: NodeAccess;
  readonly to: NodeAccess;
  readonly address: string;
}

/** One direction, `from` to `to`. */
export interface Transfer {
  readonly bytes: number;
  readonly seconds: number;
}

export interface RoundTrips {
  readonly sent: number;
  /** One for each answer. */
  readonly us: readonly number[];
}

/** TCP in one direction, as fast as it goes or at `rateBps`, of all streams together. */
export interface Load {
  readonly streams: number;
  readonly seconds: number;
  readonly rateBps?: number;
  /** At the beginning, which do not count. */
  readonly omitSeconds?: number;
  /** Of each write and read; 128 KiB by default. */
  readonly blockBytes?: number;
}

export interface Pings {
  readonly seconds: number;
  /** 10 ms by default. */
  readonly intervalSeconds?: number;
}

/** How long ping waits for the last answers. */
const LAST_ANSWERS_SECONDS = 1;

export async function transfer({ from, to, address }: Way, load: Load, signal: AbortSignal): Promise<Transfer> {
  const { file, args } = execArguments(to, ['iperf3', '-s', '-1', '--forceflush']);
  const server = spawn(file, args, { env: to.env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(server, 'exit').catch(() => undefined); // it could not be started: the client tells
  try {
    await Promise.race([once(server.stdout, 'data', { signal }), ended]); // its first words are that it listens
    const { streams, seconds, rateBps, omitSeconds, blockBytes } = load;
    const options = [
      // iperf3 takes the rate of each stream.
      ...(rateBps === undefined ? [] : ['-b', String(Math.round(rateBps / streams))]),
      ...(omitSeconds === undefined ? [] : ['-O', String(omitSeconds)]),
      ...(blockBytes === undefined ? [] : ['-l', String(blockBytes)]),
    ];
    const argv = ['iperf3', '-J', '-c', address, '-P', String(streams), '-t', String(seconds), ...options];
    const report = JSON.parse(await run(from, argv, signal)) as {
      end: { sum_received: { bytes: number; seconds: number } };
    };
    return report.end.sum_received;
  } finally {
    server.kill();
    await ended;
  }
}

export async function roundTrips(
  way: Way,
  { seconds, intervalSeconds = 0.01 }: Pings,
  signal: AbortSignal,
): Promise<RoundTrips> {
  const count = Math.max(1, Math.round(seconds / intervalSeconds));
  const ending = ['-w', String(Math.ceil(seconds) + LAST_ANSWERS_SECONDS)];
  const trips = parsePings(await pingOutput(way, { count, intervalSeconds, options: ending }, signal));
  if (trips.us.length > 0) return trips;
  const { from, address } = way;
  throw new LuthierError('E_BENCH', `none of ${trips.sent} pings from ${from.node} to ${address} was answered`);
}

export interface PingRun {
  readonly count: number;
  readonly intervalSeconds: number;
  readonly options: readonly string[];
}

export function pingOutput(
  { from, address }: Way,
  { count, intervalSeconds, options }: PingRun,
  signal: AbortSignal,
): Promise<string> {
  const timing = ['-U', '-i', String(intervalSeconds), '-c', String(count)];
  // Its status is 1 where an answer is missing.
  return run(from, ['ping', '-n', ...timing, ...options, address], signal, [0, 1]);
}

/** What iputils' ping prints: an answer a line, then `200 packets transmitted, 199 received, …`. */
export function parsePings(text: string): RoundTrips {
  const sent = /^(\d+) packets transmitted/m.exec(text)?.[1];
  if (sent === undefined) throw new LuthierError('E_BENCH', `ping did not end with its statistics: ${lastLines(text)}`);
  const us = [...text.matchAll(/ time=([\d.]+) ms$/gm)].map((match) => Number(match[1]) * 1000);
  return { sent: Number(sent), us };
}

async function run(
  host: NodeAccess,
  argv: readonly string[],
  signal: AbortSignal,
  good: readonly number[] = [0],
): Promise<string> {
  const { code, stdout, stderr } = await execute(host, argv, { signal });
  if (good.includes(code)) return stdout;
  throw new LuthierError('E_BENCH', `'${argv.join(' ')}' on ${host.node} ended with status ${code}`, {
    hint: lastLines(stderr.trim() || stdout.trim()),
  });
}

function lastLines(text: string): string {
  return text.split('\n').slice(-3).join('\n  ');
}
