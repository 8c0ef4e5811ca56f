/** The commands against a running network: exit statuses, signals, streams, captures, logs, names for the shell. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { footprintOf, leftOf, withAgent } from '../../cli/leftovers.js';
import { agentSocket, pathsFrom } from '../../control/paths.js';
import type { NetworkState } from '../../model/messages.js';
import { startAgentProgram } from '../chaos/agent-program.js';
import { Bundle } from '../chaos/bundle.js';
import { Bench, LUTHIER, run, speaks } from './machine.js';

let bench: Bench;

beforeAll(async () => {
  bench = new Bench();
  const file = bench.scenario(
    'commands',
    `
name: commands
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host, env: { GREETING: hello } }
  h2: { kind: host, command: [sh, -c, 'echo up; exec sleep 1000'] }
  s2: { kind: switch, subnet: 10.9.0.0/24 }
  alone: { kind: host }
links:
  - { endpoints: [alone, s2] }
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`,
  );
  await bench.ok('up', file);
});
afterAll(() => bench[Symbol.asyncDispose]());

/** Starts a command and waits for its first output. */
async function started(...args: string[]): Promise<{ child: ChildProcess; output: () => string }> {
  const child = spawn(LUTHIER, args, { env: bench.env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  await speaks(child);
  return { child, output: () => text };
}

/** Sends frames from h1 until a capture has had enough: when it starts to listen is its own affair. */
async function pingUntil<T>(done: Promise<T>): Promise<T> {
  const state = { done: false };
  const ended = done.finally(() => (state.done = true));
  while (!state.done) await bench.ok('exec', 'h1', '--', 'ping', '-c2', '-i0.1', '-W20', 'h2');
  return ended;
}

it.each([
  ['true', 0],
  ['exit 3', 3],
  ['kill -TERM $$', 128 + 15],
  ['kill -KILL $$', 128 + 9],
])('exec of %j ends with %i', async (script, status) => {
  expect((await bench.luthier('exec', 'h1', '--', 'sh', '-c', script)).code).toBe(status);
});

it.each([
  ['no-such-program', 127],
  ['/etc/passwd', 126],
])('exec of %s ends with %i', async (program, status) => {
  const result = await bench.luthier('exec', 'h1', '--', program);
  expect(result.code).toBe(status);
  expect(result.stderr).toContain(program);
});

it('exec ends with 125 where Luthier is at fault', async () => {
  expect((await bench.luthier('exec', 'h9', '--', 'true')).code).toBe(125);
  expect((await bench.luthier('exec', 'elsewhere/h1', '--', 'true')).code).toBe(125);
});

it('exec passes streams, environment, arguments and folder', async () => {
  const script = 'cat; echo "$GREETING $OWN $1"; pwd; echo oops >&2';
  const args = ['exec', 'commands/h1', '--', 'sh', '-c', script, 'sh', '--json'];
  const result = await run(LUTHIER, args, { env: { ...bench.env, OWN: 'own' }, cwd: bench.directory, input: 'in\n' });
  expect(result).toEqual({
    code: 0,
    signal: null,
    stdout: `in\nhello own --json\n${bench.directory}\n`,
    stderr: 'oops\n',
  });
});

it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)(
  'exec passes %s on',
  async (signal) => {
    const script = `trap 'echo got it; exit 7' ${signal.slice(3)}; echo ready; while :; do sleep 0.02; done`;
    const { child, output } = await started('exec', 'h1', '--', 'sh', '-c', script);
    child.kill(signal);
    const [status] = (await once(child, 'close')) as [number];
    expect(status).toBe(7);
    expect(output()).toBe('ready\ngot it\n');
  },
);

it('capture ends after as many frames as were asked for, and tshark reads them', async () => {
  const file = bench.path('two.pcapng');
  const capture = spawn(LUTHIER, ['capture', 'h1', '--count', '2', '-w', file], { env: bench.env, stdio: 'ignore' });
  const [status] = (await pingUntil(once(capture, 'close'))) as [number];
  expect(status).toBe(0);
  const { stdout } = await run('tshark', ['-r', file, '-T', 'fields', '-e', 'frame.number']);
  expect(stdout).toBe('1\n2\n');
});

it('capture into a pipe ends when its reader does', async () => {
  const script = `'${LUTHIER}' capture h1 | head -c 4 | od -An -tx1`;
  const { stdout } = await pingUntil(run('bash', ['-c', script], { env: bench.env }));
  expect(stdout.trim()).toBe('0a 0d 0d 0a');
});

it.each(['ls', 'inspect', 'inspect --json', 'logs h2'])('%s to a full disk fails in one line', async (command) => {
  const result = await run('sh', ['-c', `'${LUTHIER}' ${command} >/dev/full`], { env: bench.env });
  expect(result).toMatchObject({
    code: 1,
    stderr: 'luthier: cannot write standard output: no space left on device\n',
  });
});

it.each(['>/dev/full', '-w /dev/full'])('capture %s tells how many frames were written', async (where) => {
  const script = `'${LUTHIER}' capture h1 -c 2 ${where}`;
  const { code, stderr } = await pingUntil(run('sh', ['-c', script], { env: bench.env }));
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^capturing .*\nluthier: cannot write .*: no space left on device\n {2}written before: 0 frames\n$/,
  );
});

it('capture of no such port leaves no file behind', async () => {
  const file = bench.path('none.pcapng');
  await bench.luthier('capture', 'h1:eth7', '-w', file);
  expect(existsSync(file)).toBe(false);
  expect(await bench.luthier('capture', 'h1', '-w', '/nonexistent/x')).toMatchObject({
    code: 1,
    stderr: 'luthier: cannot write /nonexistent/x: no such file or directory\n',
  });
});

it('trace has an exit status for a frame that does not arrive', async () => {
  expect(await bench.ok('trace', 'h1', 'h2')).toMatch(/h1 reaches h2\n$/);
  const { trace } = JSON.parse(await bench.ok('trace', '--json', 'h1', 'h2')) as { trace: { reached: boolean } };
  expect(trace.reached).toBe(true);
  expect(await bench.luthier('trace', 'h1', 'alone')).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/h1 does not reach alone\n$/) as string,
  });
});

it.each(['trace h1 h9', 'trace s1 h1', 'capture h1:eth7 -w x', 'logs h9', 'down no-such.yaml'])(
  '%s is wrong input',
  async (command) => {
    expect(await bench.luthier(...command.split(' '))).toMatchObject({ code: 2 });
  },
);

it('a shell completes the names of what runs', async () => {
  expect(await bench.ok('complete', '--', 'exec', 'h')).toBe('h1\t\nh2\t\n:4\n');
  expect(await bench.ok('complete', '--', 'capture', 'h1:')).toBe('h1:eth0\t\n:4\n');
  expect(await bench.ok('complete', '--', 'inspect', '')).toContain('commands\t\n');
});

it('what a network leaves would be found', async () => {
  const { network } = JSON.parse(await bench.ok('inspect', '--json')) as { network: NetworkState };
  const paths = pathsFrom(bench.env, process.getuid!());
  const left = await leftOf(withAgent(footprintOf(network, paths), network, paths), 0);
  for (const { pid } of [...network.nodes, ...network.switchProcesses])
    if (pid !== undefined) expect(left).toContainEqual(expect.stringContaining(`process ${pid} (`));
  expect(left).toContainEqual(expect.stringMatching(/^process \d+ \(sleep\)$/));
  expect(left).toContain(agentSocket(paths));
});

it('logs are followed until the network is gone', async () => {
  const { child, output } = await started('logs', 'h2', '--follow');
  const ended = once(child, 'close') as Promise<[number]>;
  await bench.ok('down', 'commands');
  expect((await ended)[0]).toBe(0);
  expect(output()).toBe('up\n');
});

describe('while a network comes up', () => {
  const rising = (own: Bench): string =>
    own.scenario('rising', 'name: rising\nnodes:\n  h1: { kind: host }\n  s1: { kind: switch }\n');

  it('the end of the agent is told as what it is, and the next command clears up', async () => {
    await using own = new Bench();
    using bundle = await Bundle.of('dying-agent');
    // After it has told what it is about: where one says nothing, another is asked.
    const dies = { LUTHIER_TEST_DIES: 'after:make {"action":"forwarding"' };
    await startAgentProgram(bundle.file('dying-agent'), own.paths, dies);
    const { code, stderr } = await own.luthier('up', rising(own));
    expect(code).toBe(1);
    expect(stderr).toMatch(/\nluthier: the agent ended before it was done\n {2}.*agent\.log\n$/);
  });

  it('down --all takes it too', async () => {
    await using own = new Bench();
    const child = spawn(LUTHIER, ['up', rising(own)], { env: own.env, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'close');
    await speaks(child, 'stderr');
    expect(await own.luthier('down', '--all')).toMatchObject({ code: 0 });
    await ended;
    expect(await own.ok('ls')).toBe('nothing runs\n');
  });
});
