import { describe, expect, it } from 'vitest';
import { writeLines } from './record.js';

const LINES = [
  '{"luthier":1,"recording":"links","network":"n","seed":1,"machine":"local"}',
  '{"at":1,"link":"a","way":0,"came":"AAAA"}',
  '{"at":2,"end":true,"waiting":2}',
  '{"at":3,"link":"a","way":0,"came":"AAAA"}',
].map((line) => `${line}\n`);

async function* inPieces(text: string, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += length)
    yield await Promise.resolve(Buffer.from(text.slice(at, at + length)));
}

function into(): { text: () => string; write: (bytes: Uint8Array) => Promise<void> } {
  let text = '';
  return {
    text: () => text,
    write: (bytes) => {
      text += Buffer.from(bytes).toString();
      return Promise.resolve();
    },
  };
}

describe('the lines of a recording', () => {
  const until = new AbortController();
  const end = { until: until.signal, signal: new AbortController().signal };

  it.each([1, 7, 1000])('are written whole, in whatever pieces of %d bytes they come', async (length) => {
    const target = into();
    const recorded = await writeLines(inPieces(`${LINES.join('')}{"at":4`, length), target, 1e6, end);
    expect(recorded).toEqual({ frames: 2, waiting: 2, missed: 0, ended: 'broken' });
    expect(target.text()).toBe(LINES.join(''));
  });

  it('are no more than was asked for', async () => {
    const target = into();
    const recorded = await writeLines(inPieces(LINES.join(''), 30), target, 160, end);
    expect(recorded).toEqual({ frames: 1, waiting: 2, missed: 0, ended: 'full' });
    expect(target.text()).toBe(LINES.slice(0, 3).join(''));
  });

  it('tell what was missed, which ends them', async () => {
    const recorded = await writeLines(inPieces(`${LINES.join('')}{"missed":5}\n`, 50), into(), 1e6, end);
    expect(recorded).toEqual({ frames: 2, waiting: 2, missed: 5, ended: 'missed' });
  });

  it('are whole when they end after they were to, and broken off when not', async () => {
    async function* interrupted(how: () => void): AsyncGenerator<Uint8Array> {
      yield Buffer.from(LINES.slice(0, 3).join(''));
      until.abort();
      yield Buffer.from(LINES[3]!);
      how();
    }
    const whole = { frames: 2, waiting: 2, missed: 0 };
    expect(
      await writeLines(
        interrupted(() => undefined),
        into(),
        1e6,
        end,
      ),
    ).toEqual(whole);
    const reset = (): void => {
      throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
    };
    expect(await writeLines(interrupted(reset), into(), 1e6, end)).toEqual({ ...whole, ended: 'broken' });
  });
});
