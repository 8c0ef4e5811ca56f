import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { SyscallError } from '../model/errors.js';
import { CaptureFile, CaptureStream } from './capture-file.js';
import { writeFrames } from './capture.js';

const folder = mkdtempSync(join(tmpdir(), 'luthier-capture-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function packet(): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(6, 0);
  bytes.writeUInt32LE(16, 4);
  return bytes;
}

/** Frames without end, as a port gives them. */
async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield await Promise.resolve(packet());
}

describe('writing frames', () => {
  it('ends after as many as were asked for', async () => {
    const out = new PassThrough();
    const { signal } = new AbortController();
    expect(await writeFrames(endless(), new CaptureStream(out, 'out', signal), 3, signal)).toBe(3);
    expect((out.read() as Buffer).byteLength).toBe(48);
  });

  it('says how many were written when what it waits for is not waited for any more', async () => {
    const { signal, abort } = abortable();
    const target = new CaptureStream(new PassThrough({ highWaterMark: 16 }), 'out', signal);
    const written = writeFrames(endless(), target, Infinity, signal);
    abort();
    await expect(written).rejects.toMatchObject({
      message: expect.stringMatching(/^the capture ended early: /) as string,
      hint: expect.stringMatching(/^written before: [0-3] frames?$/) as string,
    });
  });

  it.each([
    ['a file', (file: string) => CaptureFile.open(file)],
    ['a stream', () => Promise.resolve(new CaptureStream(full(), '/dev/full', abortable().signal))],
  ])('to %s on a full disk says how many were written', async (_what, open) => {
    const target = await open('/dev/full');
    const failure = writeFrames(endless(), target, 2, abortable().signal);
    await expect(failure).rejects.toThrow(SyscallError);
    await expect(failure).rejects.toMatchObject({
      message: 'cannot write /dev/full: no space left on device',
      hint: 'written before: 0 frames',
    });
    await target.close();
  });
});

describe('the file of a capture', () => {
  it('loses what it had only when the capture begins', async () => {
    const file = join(folder, 'old.pcapng');
    writeFileSync(file, 'what it had');
    await (await CaptureFile.open(file)).close();
    expect(readFileSync(file, 'utf8')).toBe('what it had');
    const target = await CaptureFile.open(file);
    await target.begin();
    await target.write(Buffer.from('new'));
    await target.close();
    expect(readFileSync(file, 'utf8')).toBe('new');
  });

  it('is not left behind when it does not', async () => {
    const file = join(folder, 'unused.pcapng');
    await (await CaptureFile.open(file)).close();
    expect(existsSync(file)).toBe(false);
  });

  it('that cannot be made is told at once', async () => {
    await expect(CaptureFile.open(join(folder, 'none/x'))).rejects.toThrow(
      /^cannot write .*: no such file or directory$/,
    );
  });
});

function abortable(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

function full(): Writable {
  return new Writable({
    write(_bytes, _encoding, done) {
      done(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', errno: -28, syscall: 'write' }));
    },
  });
}
