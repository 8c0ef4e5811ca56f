import { describe, expect, it } from 'vitest';
import { parseFec } from './fec.js';

describe('fec of a scenario', () => {
  it.each([
    ['auto', 'auto'],
    ['none', undefined],
    ['10%', 0.1],
    ['1%', 0.01],
    ['50%', 0.5],
    [0.25, 0.25],
  ])('%s', (written, meant) => {
    expect(parseFec(written)).toBe(meant);
  });

  it.each([
    ['0.9%', 'less than 1%'],
    [0, 'less than 1%'],
    ['51%', 'more than 50%'],
    ['101%', 'is neither'],
    [2, 'not a ratio'],
    ['off', 'is neither auto, none nor a ratio'],
    ['-1%', 'is neither'],
  ])('%s is refused, with what to write', (written, message) => {
    expect(() => parseFec(written)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(message) as string,
        hint: expect.any(String) as string,
      }) as Error,
    );
  });
});
