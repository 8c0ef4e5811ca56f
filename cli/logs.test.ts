import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { follow } from './logs.js';

const folder = mkdtempSync(join(tmpdir(), 'luthier-logs-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Waits until what was copied ends with `text`. */
async function until(out: PassThrough, seen: { text: string }, text: string): Promise<void> {
  while (!seen.text.endsWith(text)) {
    await once(out, 'readable');
    seen.text += (out.read() as Buffer | null)?.toString() ?? '';
  }
}

describe('following a log', () => {
  it('copies what is there, then what is appended, until the file is removed', async () => {
    const file = join(folder, 'a.log');
    writeFileSync(file, 'one\n');
    const out = new PassThrough();
    const seen = { text: '' };
    const done = follow(file, out, new AbortController().signal);
    await until(out, seen, 'one\n');
    const listeners = out.listenerCount('error');
    for (let line = 0; line < 20; line++) {
      appendFileSync(file, `more ${line}\n`);
      await until(out, seen, `more ${line}\n`);
    }
    expect(out.listenerCount('error')).toBe(listeners);
    appendFileSync(file, 'two\n');
    await until(out, seen, 'two\n');
    rmSync(file);
    await done;
    expect(seen.text).toMatch(/^one\nmore 0\n(more \d+\n){19}two\n$/);
  });

  it('ends when it is interrupted', async () => {
    const file = join(folder, 'b.log');
    writeFileSync(file, '');
    const controller = new AbortController();
    const done = follow(file, new PassThrough(), controller.signal);
    controller.abort();
    await done;
  });
});
