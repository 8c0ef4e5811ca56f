/**
 * Round trips by `ping -U` to the microsecond, and times of one way by the kernel's stamps. What ping prints of a round
 * trip has four digits: a millisecond is all that is left from 100 ms on. So its parts are taken where they are whole:
 *
 *   sent       ping's own stamp, which it carries in the request's payload          ─┐ the round trip,
 *   received   the stamp that `ping -D` prints before the answer                    ─┘ user to user
 *   left, came kernel's stamps of the request at the two hosts' interfaces (dumpcap)   one way
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { execArguments } from '../../control/exec.js';
import { LuthierError } from '../../model/errors.js';
import type { NodeAccess } from '../../model/messages.js';
import { pingOutput, type Way } from '../traffic.js';
import { readPackets } from './pcapng.js';

export interface PingSeries {
  readonly count: number;
  readonly intervalSeconds: number;
  /** How long an answer takes at most, but for what goes wrong. */
  readonly answerSeconds: number;
}

export interface TimedTrips {
  readonly sent: number;
  /** One for each answer. */
  readonly us: readonly number[];
  /** From interface to interface, of the same requests. */
  readonly oneWayUs: readonly number[];
}

/** Of a frame with an IPv4 packet without options. */
const ICMP_AT = 34;
const SEQUENCE_AT = ICMP_AT + 6;
const STAMP_AT = ICMP_AT + 8;
const CAPTURED_BYTES = STAMP_AT + 16;
const ECHO_REQUEST = 8;

/** The kernel gives a capture its packets in blocks, of which each is closed after at most 250 ms. */
const CAPTURE_PATIENCE_MS = 5000;

export async function timedPings(way: Way, series: PingSeries, signal: AbortSignal): Promise<TimedTrips> {
  const captures = await Promise.all([way.from, way.to].map((host) => Capture.begin(host, signal)));
  const [leaving, coming] = [captures[0]!, captures[1]!];
  try {
    const { count, intervalSeconds, answerSeconds } = series;
    // With -w it would send more than `count` for as long as answers are on their way.
    const options = ['-D', '-W', String(Math.ceil(answerSeconds))];
    const text = await pingOutput(way, { count, intervalSeconds, options }, signal);
    const received = [...text.matchAll(/^\[(\d+)\.(\d{6})\] .* icmp_seq=(\d+) .* time=/gm)].map(
      ([, seconds, micros, sequence]) => ({ sequence: Number(sequence), atUs: Number(seconds) * 1e6 + Number(micros) }),
    );
    await Promise.all([leaving.holds(received.length), coming.holds(received.length)]);
    return matched(received, leaving.requests(), coming.requests(), text);
  } finally {
    await Promise.all(captures.map((capture) => capture.end()));
  }
}

export interface Request {
  readonly sequence: number;
  /** At the interface. */
  readonly atUs: number;
  /** By ping's own stamp. */
  readonly sentUs: number;
}

export function matched(
  received: readonly { readonly sequence: number; readonly atUs: number }[],
  leaving: readonly Request[],
  coming: readonly Request[],
  text: string,
): TimedTrips {
  const left = new Map(leaving.map((request) => [request.sequence, request]));
  const came = new Map(coming.map((request) => [request.sequence, request]));
  const us: number[] = [];
  const oneWayUs: number[] = [];
  for (const { sequence, atUs } of received) {
    const [request, arrival] = [left.get(sequence), came.get(sequence)];
    if (request === undefined || arrival === undefined) continue;
    us.push(atUs - request.sentUs);
    oneWayUs.push(arrival.atUs - request.atUs);
  }
  const sent = Number(/^(\d+) packets transmitted/m.exec(text)?.[1] ?? leaving.length);
  if (us.length === 0) throw new LuthierError('E_BENCH', `none of ${sent} pings was answered and captured`);
  return { sent, us, oneWayUs };
}

/** Echo requests that pass a host's interface. */
export function echoRequests(data: Buffer): Request[] {
  return readPackets(data).flatMap(({ atUs, bytes }) => {
    if (bytes.length < CAPTURED_BYTES || bytes[ICMP_AT] !== ECHO_REQUEST) return [];
    // struct timeval, as ping has it
    const sentUs = Number(bytes.readBigUInt64LE(STAMP_AT)) * 1e6 + Number(bytes.readBigUInt64LE(STAMP_AT + 8));
    return [{ sequence: bytes.readUInt16BE(SEQUENCE_AT), atUs, sentUs }];
  });
}

class Capture {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #chunks: Buffer[] = [];
  #errors = '';

  private constructor(host: NodeAccess, signal: AbortSignal) {
    const options = ['-q', '-p', '-i', 'eth0', '-s', String(CAPTURED_BYTES), '-f', 'icmp', '-w', '-'];
    const { file, args } = execArguments(host, ['dumpcap', ...options]);
    const child = spawn(file, args, { env: host.env, stdio: ['ignore', 'pipe', 'pipe'], signal });
    child.stdout.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    this.#ended = once(child, 'close').catch((cause: unknown) => (this.#errors += String(cause)));
    this.#child = child;
  }

  /** Resolves once it takes packets. */
  static async begin(host: NodeAccess, signal: AbortSignal): Promise<Capture> {
    const capture = new Capture(host, signal);
    const errors = capture.#child.stderr!.setEncoding('utf8');
    const listens = new Promise<boolean>((resolve) => {
      errors.on('data', (text: string) => {
        capture.#errors += text;
        if (capture.#errors.includes('File:')) resolve(true);
      });
      void capture.#ended.then(() => resolve(false));
    });
    if (await listens) return capture;
    signal.throwIfAborted();
    throw new LuthierError('E_BENCH', `dumpcap on ${host.node} could not begin`, { hint: capture.#errors.trim() });
  }

  requests(): Request[] {
    return echoRequests(Buffer.concat(this.#chunks));
  }

  /** Waits until so many requests have come. Some may be missing for ever: the kernel drops what nobody takes in time. */
  async holds(count: number): Promise<void> {
    const end = performance.now() + CAPTURE_PATIENCE_MS;
    while (this.requests().length < count && performance.now() < end) await sleep(50);
  }

  async end(): Promise<void> {
    this.#child.kill('SIGINT');
    await this.#ended;
  }
}
