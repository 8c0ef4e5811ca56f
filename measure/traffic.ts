/**
 * Traffic between two hosts by the programs that everybody knows: iperf3 for TCP, ping for round trips. Hosts of every
 * arm are entered the same way, so that what differs is what lies between them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { execArguments, execute, type ExecResult } from '../control/exec.js';
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
  /** Of the programs at both ends, with what the kernel does for them, by their own account; what is omitted included. */
  readonly cpuSeconds: number;
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
  /** Of the sockets' buffers, which bound what is under way; as the kernel likes by default. */
  readonly windowBytes?: number;
  /** Congestion control of the sender; that of the machine by default. Every user may choose `reno`. */
  readonly congestion?: string;
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
    const { streams, seconds, rateBps, omitSeconds, blockBytes, windowBytes, congestion } = load;
    const options = [
      // iperf3 takes the rate of each stream.
      ...(rateBps === undefined ? [] : ['-b', String(Math.round(rateBps / streams))]),
      ...(omitSeconds === undefined ? [] : ['-O', String(omitSeconds)]),
      ...(blockBytes === undefined ? [] : ['-l', String(blockBytes)]),
      ...(windowBytes === undefined ? [] : ['-w', String(windowBytes)]),
      ...(congestion === undefined ? [] : ['-C', congestion]),
    ];
    const argv = ['iperf3', '-J', '-c', address, '-P', String(streams), '-t', String(seconds), ...options];
    const { end } = JSON.parse(await run(from, argv, signal)) as {
      end: {
        sum_received: { bytes: number; seconds: number };
        cpu_utilization_percent: { host_total: number; remote_total: number };
      };
    };
    const { host_total: here, remote_total: there } = end.cpu_utilization_percent;
    const cpuSeconds = ((here + there) / 100) * (seconds + (omitSeconds ?? 0));
    return { bytes: end.sum_received.bytes, seconds: end.sum_received.seconds, cpuSeconds };
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

/** It prints into a file that is read when it has ended: who would be woken by each of its lines might have the processor that it needs. */
export async function pingOutput(
  { from, address }: Way,
  { count, intervalSeconds, options }: PingRun,
  signal: AbortSignal,
): Promise<string> {
  const timing = ['-U', '-i', String(intervalSeconds), '-c', String(count)];
  const argv = ['ping', '-n', ...timing, ...options, address];
  const { file, args } = execArguments(from, argv);
  const printed = unnamedFile();
  try {
    const child = spawn(file, args, { env: from.env, stdio: ['ignore', printed.write, 'pipe'], signal });
    const [[code], stderr] = (await Promise.all([once(child, 'close'), text(child.stderr!)])) as [
      [number | null],
      string,
    ];
    const stdout = readFileSync(printed.read, 'utf8');
    // Its status is 1 where an answer is missing.
    return checked(from, argv, { code: code ?? 128, stdout, stderr }, [0, 1]);
  } finally {
    closeSync(printed.write);
    closeSync(printed.read);
  }
}

/** Descriptors of a file that is gone with them. */
function unnamedFile(): { readonly write: number; readonly read: number } {
  const folder = mkdtempSync(join(tmpdir(), 'luthier-'));
  try {
    const path = join(folder, 'output');
    const write = openSync(path, 'w', 0o600);
    return { write, read: openSync(path, 'r') };
  } finally {
    rmSync(folder, { recursive: true });
  }
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
  return checked(host, argv, await execute(host, argv, { signal }), good);
}

function checked(
  host: NodeAccess,
  argv: readonly string[],
  { code, stdout, stderr }: ExecResult,
  good: readonly number[],
): string {
  if (good.includes(code)) return stdout;
  throw new LuthierError('E_BENCH', `'${argv.join(' ')}' on ${host.node} ended with status ${code}`, {
    hint: lastLines(stderr.trim() || stdout.trim()),
  });
}

function lastLines(text: string): string {
  return text.split('\n').slice(-3).join('\n  ');
}
