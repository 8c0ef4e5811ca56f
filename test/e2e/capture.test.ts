/** What a capture has when it is ended: all that passed before, wherever it is by then. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agentPidOf, Bench, LUTHIER, run } from './machine.js';

const PINGS = 300;

let bench: Bench;

beforeAll(async () => {
  bench = new Bench();
  const text = `
name: captured
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;
  await bench.ok('up', bench.scenario('captured', text));
});
afterAll(() => bench[Symbol.asyncDispose]());

interface Capture {
  readonly child: ChildProcess;
  readonly file: string;
  readonly said: () => string;
  readonly status: Promise<number>;
}

async function capture(name: string): Promise<Capture> {
  const file = bench.path(name);
  const child = spawn(LUTHIER, ['capture', 'h1', '-w', file], { env: bench.env, stdio: ['ignore', 'ignore', 'pipe'] });
  const status = once(child, 'close').then(([code]) => code as number);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
  await expect.poll(() => text).toContain('capturing captured/h1:eth0');
  return { child, file, said: () => text, status };
}

/** Whatever passes it waits for it meanwhile. */
async function whileAgentSleeps(work: () => Promise<void>): Promise<void> {
  const agent = agentPidOf(bench.directory)!;
  process.kill(agent, 'SIGSTOP');
  try {
    await work();
  } finally {
    process.kill(agent, 'SIGCONT');
  }
}

it('is whole: nothing that was on its way at ^C is lost', async () => {
  const { child, file, status, said } = await capture('whole.pcapng');
  const script = `echo ready; read go; ping -q -c${PINGS} -w60 -i0.002 h2`;
  const pings = spawn(LUTHIER, ['exec', 'h1', '--', 'sh', '-c', script], { env: bench.env });
  let report = '';
  pings.stdout.setEncoding('utf8').on('data', (part: string) => (report += part));
  const pinged = once(pings, 'close');
  await expect.poll(() => report).toBe('ready\n');
  await whileAgentSleeps(async () => {
    pings.stdin.end('go\n');
    await pinged;
    child.kill('SIGINT');
  });
  // With a deadline, `ping` asks on until it has as many answers, however late.
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(report)!.map(Number);
  expect(received).toBe(PINGS);
  expect(await status).toBe(0);
  expect(said()).toMatch(/\n\d+ frames\n$/);
  const { stdout } = await run('tshark', ['-r', file, '-Y', 'icmp', '-T', 'fields', '-e', 'icmp.type']);
  const types = stdout.trim().split('\n');
  expect(types.filter((type) => type === '8')).toHaveLength(sent!);
  expect(types.filter((type) => type === '0').length).toBeGreaterThanOrEqual(PINGS);
});

it('ends at once on a second ^C, and when nothing comes for long says that it is not whole', async () => {
  const [first, second] = await Promise.all([capture('first.pcapng'), capture('second.pcapng')]);
  await whileAgentSleeps(async () => {
    second.child.kill('SIGINT');
    await expect
      .poll(() => {
        first.child.kill('SIGINT');
        return first.child.exitCode;
      })
      .toBe(130);
    expect(await second.status).toBe(1);
  });
  expect(second.said()).toMatch(/\nluthier: the capture ended early: .*\n {2}written before: \d+ frames?\n$/);
});
