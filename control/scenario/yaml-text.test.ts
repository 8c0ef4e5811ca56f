import { describe, expect, it } from 'vitest';
import { readYaml } from './yaml-text.js';

describe('the place of a text that begins below its header', () => {
  it.each([
    ['a: |\n  x', 3],
    ['a: >-2 # c >#\n   x', 3],
    ['a:\r\n  |\r\n  x', 6],
    ['a:\r  |\r  x', 5],
    ['a: |', 3],
    ['a:\n  # >#|\n  |\n  x', 13],
    ['">#b": |\n  x', 7],
    ["'|': >\n  x", 5],
    ['a|b: >\n  x', 5],
    ['a: &b>#c |\n  x', 9],
    ['? a\n: |\n  x', 6],
    ['? "|"\n# >\n: |\n  x', 12],
  ])('%j', (text, offset) => {
    const { value, outline } = readYaml(text);
    const [key] = Object.keys(value as object);
    expect(outline.offsetOf([key!], 'value')).toBe(offset);
  });

  it('is that of an item too', () => {
    const { outline } = readYaml('- ">#"\n- - |\n   x\n  - >\n   y');
    expect([0, 1].map((i) => outline.offsetOf([1, i], 'value'))).toEqual([11, 22]);
  });
});
