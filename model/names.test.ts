import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nameProblem, nearest, suggestion } from './names.js';

describe('names', () => {
  it.each([['h1'], ['a'], ['a-b-c'], ['1'], ['a-very-long-host-name-1'], ['a'.repeat(63)], ['constructor']])(
    '%s is one',
    (name) => {
      expect(nameProblem(name)).toBeUndefined();
    },
  );

  it.each([
    ['H1', '"h1"'],
    ['h_1', '"h-1"'],
    ['a--b', '"a-b"'],
    ['-a', '"a"'],
    ['a-', '"a"'],
    ['web server', '"web-server"'],
    ['a\n', '"a"'],
  ])('%j is none, %s would be', (name, repaired) => {
    expect(nameProblem(name)?.hint).toContain(repaired);
  });

  it.each([[''], ['ü'], ['a'.repeat(64)], ['--']])('%j is none', (name) => {
    expect(nameProblem(name)).toBeDefined();
  });

  it('repairs whatever it is given into a name, or proposes none', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const proposed = /: "(.*)"$/.exec(nameProblem(text)?.hint ?? '')?.[1];
        if (proposed !== undefined) expect(nameProblem(proposed)).toBeUndefined();
      }),
    );
  });
});

describe('the nearest name', () => {
  it.each([
    ['gatway', ['gateway', 'machine'], 'gateway'],
    ['h2', ['h1', 's1'], 'h1'],
    ['lniks', ['nodes', 'links'], 'links'],
    ['Delay', ['delay'], 'delay'],
    ['xyz', ['delay', 'rate'], undefined],
    ['', ['a'], 'a'],
  ])('to %s of %j is %s', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected);
  });

  it('is the word itself where it is there', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1 }), (words) => {
        expect(nearest(words[0]!, words)).toBe(words[0]);
      }),
    );
  });

  it('is replaced by a list where nothing is near', () => {
    expect(suggestion('zzz', ['alpha', 'beta'])).toBe('there is alpha, beta');
    expect(suggestion('zzz', [])).toBeUndefined();
    expect(
      suggestion(
        'zzz',
        Array.from({ length: 25 }, (_, i) => `node-${i}`),
      ),
    ).toMatch(/and 5 more$/);
  });
});
