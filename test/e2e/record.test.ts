/**
 * What came into the links of a network that runs is recorded while real programs use it, and replayed in virtual time:
 * the same frames leave at the same nanoseconds, and the same are dropped.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Bench, LUTHIER, speaks } from './machine.js';

const SCENARIO = `
name: recorded
seed: 7
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host }
  h2: { kind: host }
  h3: { kind: host }
links:
  - { endpoints: [h1, s1], rate: 20mbit, delay: 5ms, jitter: 1ms, loss: 0.5%, duplicate: 0.5%, reorder: 0.5%, corrupt: 0.2% }
  - { endpoints: [h2, s1], rate: 50mbit, delay: 3ms, queue: { discipline: fq-codel, ecn: true } }
  - { endpoints: [h3, s1] }
`;

let bench: Bench;
let file: string;

beforeAll(async () => {
  bench = new Bench();
  file = bench.scenario('recorded', SCENARIO);
  await bench.ok('up', file);
});
afterAll(() => bench[Symbol.asyncDispose]());

interface Recorder extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Its exit status. */
  readonly ended: Promise<number | null>;
  text: string;
}

async function record(to: string, ...options: string[]): Promise<Recorder> {
  const child = spawn(LUTHIER, ['record', '-w', to, ...options], {
    env: bench.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close').then(([status]) => status as number | null);
  const recorder: Recorder = {
    child,
    ended,
    text: '',
    // However a test ends, the next one has the network to itself.
    async [Symbol.asyncDispose]() {
      child.kill('SIGINT');
      await ended;
    },
  };
  child.stderr.setEncoding('utf8').on('data', (part: string) => (recorder.text += part));
  await expect.poll(() => recorder.text, { timeout: 20_000 }).toContain('recording links of recorded');
  return recorder;
}

/** Ends it by ^C: all that came before is in the file, with a mark after it. */
async function end({ child, ended }: Recorder, to: string): Promise<number | null> {
  child.kill('SIGINT');
  const status = await ended;
  expect(readFileSync(to, 'utf8')).toMatch(/"end":true[^\n]*\n$/);
  return status;
}

async function iperf3(...options: string[]): Promise<void> {
  const server = spawn(LUTHIER, ['exec', 'h2', '--', 'iperf3', '-s', '-1'], { env: bench.env, stdio: 'ignore' });
  const ended = once(server, 'close');
  await expect
    .poll(async () => await bench.ok('exec', 'h2', '--', 'ss', '-Hltn', 'sport = :5201'), { timeout: 20_000 })
    .toContain('5201');
  await bench.ok('exec', 'h1', '--', 'iperf3', '-c', 'h2', ...options);
  await ended;
}

it('is replayed to the nanosecond: ping, TCP, UDP, and changes meanwhile', async () => {
  const to = bench.path('run.jsonl');
  await using recorder = await record(to);
  await bench.luthier('exec', 'h1', '--', 'ping', '-q', '-c30', '-i0.01', 'h2');
  await iperf3('-t2');
  // iperf3 gives up where the one datagram, or its answer, does not arrive whole by which a UDP stream begins.
  await bench.ok('set', 'h1--s1', 'delay=8ms', 'rate=30mbit', 'loss=none', 'corrupt=none');
  await iperf3('-u', '-b40M', '-t1', '-R');
  await bench.ok('set', 'h1--s1', 'jitter=none', 'reorder=none', 'corrupt=0.2%');
  await iperf3('-t1', '-R');
  // Some of it is always under way, however busy the machine is; and goes on while the link is down.
  await bench.ok('set', 'h1--s1', 'delay=200ms');
  const ping = spawn(LUTHIER, ['exec', 'h2', '--', 'ping', '-i0.01', 'h1'], { env: bench.env });
  const pinged = once(ping, 'close');
  await speaks(ping);
  await bench.ok('link', 'down', 'h1--s1');
  await bench.ok('link', 'up', 'h1--s1');
  ping.kill('SIGINT');
  await pinged;
  expect(await end(recorder, to)).toBe(0);
  expect(recorder.text).toMatch(/\n\d+ frames\n$/);

  const { replay } = JSON.parse(await bench.ok('simulate', file, '--replay', to, '--json')) as {
    replay: { frames: number; outcomes: number; same: number; difference?: string };
  };
  expect(replay.difference).toBeUndefined();
  expect(replay.same).toBe(replay.outcomes);
  expect(replay.frames).toBeGreaterThan(1000);
  const lines = readFileSync(to, 'utf8').split('\n');
  for (const text of [
    '"gsoSize":',
    '"dropped":"lost"',
    '"dropped":"queueLimit"',
    '"dropped":"linkDown"',
    '"changed":{',
  ])
    expect([text, lines.some((line) => line.includes(text))]).toEqual([text, true]);
}, 120_000);

it('is of the links that were asked for, and is the only one meanwhile', async () => {
  const to = bench.path('one.jsonl');
  await using recorder = await record(to, '--link', 'h2:eth0');
  const second = await bench.luthier('record', '-w', bench.path('two.jsonl'), '--seconds', '1');
  expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('being recorded already') as string });
  await bench.luthier('exec', 'h1', '--', 'ping', '-q', '-c3', '-i0.01', 'h2');
  expect(await end(recorder, to)).toBe(0);
  expect(await bench.ok('simulate', file, '--replay', to)).toMatch(/\nas recorded, to the nanosecond: \d+ outcomes\n$/);
  expect(readFileSync(to, 'utf8')).not.toContain('"h1--s1"');
}, 60_000);

it('ends by itself after the time that was asked for', async () => {
  const to = bench.path('second.jsonl');
  await using recorder = await record(to, '--seconds', '1');
  expect([await recorder.ended, recorder.text]).toEqual([0, expect.stringMatching(/\n\d+ frames\n$/)]);
  expect(readFileSync(to, 'utf8')).toMatch(/"end":true[^\n]*\n$/);
}, 60_000);

it('cannot be of what is not there, with what to do', async () => {
  const to = bench.path('none.jsonl');
  for (const [args, code, what] of [
    [['--link', 'h3--s1'], 1, 'luthier set'],
    [['--link', 'h9--s1'], 2, 'h1--s1'],
    [['--machine', 'b'], 2, 'local'],
    [['--limit', '10B'], 2, '64KiB'],
    [['nothing'], 1, 'no network "nothing"'],
  ] as const) {
    const result = await bench.luthier('record', '-w', to, ...args);
    expect([args, result.code, result.stderr]).toEqual([args, code, expect.stringContaining(what)]);
  }
}, 60_000);

it('is whole until its switch process is killed, and says that it ended early', async () => {
  const to = bench.path('killed.jsonl');
  await using recorder = await record(to);
  await bench.luthier('exec', 'h1', '--', 'ping', '-q', '-c10', '-i0.02', 'h2');
  const [{ pid }] = (
    JSON.parse(await bench.ok('inspect', '--json')) as { network: { switchProcesses: [{ pid: number }] } }
  ).network.switchProcesses;
  process.kill(pid, 'SIGKILL');
  expect(await recorder.ended).toBe(1);
  expect(recorder.text).toContain('the recording ended early');
  expect(await bench.ok('simulate', file, '--replay', to)).toMatch(/as recorded, to the nanosecond/);
}, 60_000);
