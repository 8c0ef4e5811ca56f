/** The source and the sink of small datagrams, over this machine's loopback. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { nativeDirectory } from './binding.js';

const program = join(nativeDirectory, 'datagrams');
const run = promisify(execFile);
/** Of the range that nobody is given by the kernel: another one for each sink. */
let port = 20_000 + (process.pid % 10_000);

/** What a sink counts of these sources, given as the words after ADDRESS PORT. */
async function counted(
  id: number,
  ...sources: string[][]
): Promise<{ sent: number[]; received: number; span: number }> {
  port++;
  const sink = spawn(program, ['sink', String(port), String(id)], { stdio: 'pipe' });
  try {
    let text = '';
    sink.stdout.setEncoding('utf8').on('data', (some: string) => (text += some));
    await once(sink.stdout, 'data');
    const sent: number[] = [];
    for (const words of sources) {
      const { stdout } = await run(program, ['source', '127.0.0.1', String(port), ...words]);
      sent.push(Number(/^(\d+) [\d.]+\n$/.exec(stdout)![1]));
    }
    sink.stdin.end();
    await once(sink, 'close');
    const [, received, span] = /^ready\n(\d+) ([\d.]+)\n$/.exec(text)!;
    return { sent, received: Number(received), span: Number(span) };
  } finally {
    sink.kill();
  }
}

it('counts what was sent at a rate, and when the first and the last came', async () => {
  // Long enough that a source which is not scheduled for a second sends some before and after.
  const { sent, received, span } = await counted(7, ['7', '3', '100']);
  // Fewer where the source was not scheduled, never more.
  expect(sent[0]).toBeGreaterThan(0);
  expect(sent[0]).toBeLessThanOrEqual(302);
  expect(received).toBe(sent[0]);
  expect(span).toBeGreaterThan(0);
});

it('counts only those of its own run, and those of a flood', async () => {
  const { sent, received } = await counted(4_000_000_000, ['5', '0.05', '0'], ['4000000000', '0.05', '0']);
  expect(received).toBeLessThanOrEqual(sent[1]!);
  expect(received).toBeGreaterThan(0);
});

it('refuses what it cannot read', async () => {
  for (const words of [[], ['sink', '70000', '1'], ['sink', '1', '-1'], ['source', 'nowhere', '1', '1', '1', '1']])
    await expect(run(program, words)).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('usage') as string,
    });
});
