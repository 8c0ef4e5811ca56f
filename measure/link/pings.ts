/**
 * Round trips by `ping -U` to the microsecond, and times of one way by the kernel's stamps. What ping prints of a round
 * trip has four digits: a millisecond is all that is left from 100 ms on. So its parts are taken where they are whole:
 *
 *   sent       ping's own stamp, which it carries in the request's payload          ─┐ the round trip,
 *   received   the stamp that `ping -D` prints before the answer                    ─┘ user to user
 *   left, came kernel's stamps of the request at the two hosts' interfaces (dumpcap)   one way
 *   left, back kernel's stamps of the request and its answer at the first one          the round trip without ping's own wake-up,
 *              which sleeps until the answer comes where it takes long, and not where it comes at once
 *
 * Who measures is not to be awake meanwhile: on a small machine its programs have the processor on which ping would go on,
 * up to 4 ms long, and only where it slept. So the captures stand still, and nobody reads what ping prints until it has ended.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
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
  /** From interface to interface, of the same requests; and at the first one, from each of them to its answer. */
  readonly oneWayUs: readonly number[];
  readonly interfaceUs: readonly number[];
}

/** Of a frame with an IPv4 packet without options. */
const ICMP_AT = 34;
const SEQUENCE_AT = ICMP_AT + 6;
const STAMP_AT = ICMP_AT + 8;
const CAPTURED_BYTES = STAMP_AT + 16;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;

/**
 * The kernel gives a capture its packets in blocks of 256 KiB, of which each is closed after at most 250 ms. There is room for a
 * minute of them.
 */
const CAPTURE_MIB = 64;
const CAPTURE_PATIENCE_MS = 5000;

export async function timedPings(way: Way, series: PingSeries, signal: AbortSignal): Promise<TimedTrips> {
  const captures = await Promise.all([way.from, way.to].map((host) => Capture.begin(host, signal)));
  const [leaving, coming] = [captures[0]!, captures[1]!];
  try {
    const { count, intervalSeconds, answerSeconds } = series;
    // With -w it would send more than `count` for as long as answers are on their way.
    const options = ['-D', '-W', String(Math.ceil(answerSeconds))];
    for (const capture of captures) capture.pause();
    const text = await pingOutput(way, { count, intervalSeconds, options }, signal);
    for (const capture of captures) capture.resume();
    const received = [...text.matchAll(/^\[(\d+)\.(\d{6})\] .* icmp_seq=(\d+) .* time=/gm)].map(
      ([, seconds, micros, sequence]) => ({ sequence: Number(sequence), atUs: Number(seconds) * 1e6 + Number(micros) }),
    );
    await Promise.all([leaving.holds(received.length, true), coming.holds(received.length, false)]);
    return matched(received, { left: leaving.requests(), came: coming.requests(), back: leaving.answers() }, text);
  } finally {
    await Promise.all(captures.map((capture) => capture.end()));
  }
}

/** An echo request, or its answer. */
export interface Echo {
  readonly sequence: number;
  /** At the interface. */
  readonly atUs: number;
  /** Of the request, by ping's own stamp. */
  readonly sentUs: number;
}

/** What passed: requests at the first interface and at the second, answers at the first. */
export interface Passed {
  readonly left: readonly Echo[];
  readonly came: readonly Echo[];
  readonly back: readonly Echo[];
}

export function matched(
  received: readonly { readonly sequence: number; readonly atUs: number }[],
  passed: Passed,
  text: string,
): TimedTrips {
  const bySequence = (echoes: readonly Echo[]): Map<number, Echo> =>
    new Map(echoes.map((echo) => [echo.sequence, echo]));
  const [left, came, back] = [bySequence(passed.left), bySequence(passed.came), bySequence(passed.back)];
  const us: number[] = [];
  const oneWayUs: number[] = [];
  const interfaceUs: number[] = [];
  for (const { sequence, atUs } of received) {
    const [request, arrival, answer] = [left.get(sequence), came.get(sequence), back.get(sequence)];
    if (request === undefined || arrival === undefined || answer === undefined) continue;
    us.push(atUs - request.sentUs);
    oneWayUs.push(arrival.atUs - request.atUs);
    interfaceUs.push(answer.atUs - request.atUs);
  }
  const sent = Number(/^(\d+) packets transmitted/m.exec(text)?.[1] ?? passed.left.length);
  if (us.length === 0) throw new LuthierError('E_BENCH', `none of ${sent} pings was answered and captured`);
  return { sent, us, oneWayUs, interfaceUs };
}

/** Echo requests, or the answers to them, that pass a host's interface. */
export function echoes(data: Buffer, type: 'requests' | 'answers'): Echo[] {
  const wanted = type === 'requests' ? ECHO_REQUEST : ECHO_REPLY;
  return readPackets(data).flatMap(({ atUs, bytes }) => {
    if (bytes.length < CAPTURED_BYTES || bytes[ICMP_AT] !== wanted) return [];
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
    const sizes = ['-s', String(CAPTURED_BYTES), '-B', String(CAPTURE_MIB)];
    const argv = ['dumpcap', '-q', '-p', '-i', 'eth0', ...sizes, '-f', 'icmp', '-w', '-'];
    const { file, args } = execArguments(host, argv);
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

  /** What passes meanwhile waits for it in the kernel. `nsrun exec` stops when its command does, and goes on with it. */
  pause(): void {
    const { pid } = this.#child;
    const command = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'ascii'));
    // One that has ended has none; what it said is told where its packets are missing.
    if (command > 0) process.kill(command, 'SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  requests(): Echo[] {
    return echoes(Buffer.concat(this.#chunks), 'requests');
  }

  answers(): Echo[] {
    return echoes(Buffer.concat(this.#chunks), 'answers');
  }

  /**
   * Waits until so many requests have come, and answers where these pass here. Some may be missing for ever: the kernel drops
   * what nobody takes in time.
   */
  async holds(count: number, isAnswered: boolean): Promise<void> {
    const end = performance.now() + CAPTURE_PATIENCE_MS;
    const isWhole = (): boolean => this.requests().length >= count && (!isAnswered || this.answers().length >= count);
    while (!isWhole() && performance.now() < end) await sleep(50);
  }

  async end(): Promise<void> {
    this.resume();
    this.#child.kill('SIGINT');
    await this.#ended;
  }
}
