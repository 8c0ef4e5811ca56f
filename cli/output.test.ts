import { describe, expect, it } from 'vitest';
import { bytes, counted, duration, shownPath, table } from './output.js';

describe('a table', () => {
  it('has columns two blanks apart, numbers to the right, no trailing blanks', () => {
    expect(
      table(
        ['NAME', '>N', 'LAST'],
        [
          ['a', '1', ''],
          ['bcdef', '100', 'x\ny'],
        ],
      ),
    ).toBe(['NAME     N  LAST', 'a        1', 'bcdef  100  x', '            y'].join('\n'));
  });
});

it.each([
  [1, 'host', '1 host'],
  [0, 'router', '0 routers'],
  [2, 'switch', '2 switches'],
])('%i %s is %s', (count, noun, text) => {
  expect(counted(count, noun)).toBe(text);
});

it.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1500, '1.46 KiB'],
  [64 << 20, '64 MiB'],
  [1023 * 1024, '1023 KiB'],
])('%i bytes are %s', (value, text) => {
  expect(bytes(value)).toBe(text);
});

it.each([
  [0.4, '0 s'],
  [59, '59 s'],
  [3599, '59 min'],
  [7800, '2 h 10 min'],
  [273600, '3 d 4 h'],
])('%f seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it('a file is shown from the folder that one is in, else by its whole path', () => {
  expect(shownPath(`${process.cwd()}/labs/net.yaml`)).toBe('labs/net.yaml');
  expect(shownPath('/elsewhere/net.yaml')).toBe('/elsewhere/net.yaml');
});
