import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CommanderError } from 'commander';
import { LuthierError, ScenarioError, StateError, UnsupportedError, UsageError } from '../model/errors.js';
import { exitStatus, failureFacts, failureOf, renderFailure } from './failure.js';

const folder = mkdtempSync(join(tmpdir(), 'luthier-failure-'));
const file = join(folder, 'net.yaml');
writeFileSync(file, 'name: x\nnodes:\n\th1: { knd: host }\n');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Without the colours that a terminal gets. */
function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- escape sequences are what this removes
  return text.replace(/\x1b\[\d+m/g, '');
}

describe('a failure', () => {
  it('of a scenario has its position before the message, and exit status 2', () => {
    const failure = failureOf(new ScenarioError({ file, line: 3, column: 8 }, 'unknown key "knd"', { hint: 'kind?' }));
    expect(renderFailure(failure, false)).toBe(`luthier: ${file}:3:8: unknown key "knd"\n  kind?\n`);
    expect(exitStatus(failure)).toBe(2);
  });

  it('on a terminal shows the line and a caret under the column, tabs kept', () => {
    const failure = failureOf(new ScenarioError({ file, line: 3, column: 8 }, 'unknown key "knd"'));
    expect(plain(renderFailure(failure, true))).toBe(
      [`luthier: ${file}:3:8: unknown key "knd"`, '  3 | \th1: { knd: host }', '    | \t      ^', ''].join('\n'),
    );
  });

  it('whose file has gone is shown without the line', () => {
    const failure = failureOf(new ScenarioError({ file: '<object>', line: 1, column: 1 }, 'no name'));
    expect(plain(renderFailure(failure, true))).toBe('luthier: <object>:1:1: no name\n');
  });

  it.each([
    ['a wrong command line', new UsageError('no'), 2],
    ['what is not built yet', new UnsupportedError({ file, line: 1, column: 1 }, 'no'), 1],
    ['a state', new StateError('no'), 1],
    ['a wrong scenario that the agent reported', new LuthierError('E_SCENARIO', 'no'), 2],
    ['anything else', new TypeError('no'), 1],
  ])('of %s has its exit status', (_what, error, status) => {
    expect(exitStatus(failureOf(error))).toBe(status);
  });

  it('of our own has a stack, and says whose fault it is', () => {
    const text = renderFailure(failureOf(new TypeError('x is undefined')), false);
    expect(text).toMatch(/^luthier: this is a fault of Luthier: x is undefined\n {4}at /);
  });

  it('of an interrupt is one word', () => {
    expect(renderFailure(failureOf(new DOMException('aborted', 'AbortError')), false)).toBe('luthier: interrupted\n');
  });

  it("takes commander's suggestion as the hint", () => {
    const error = new CommanderError(1, 'x', "error: unknown option '--jsn'\n(Did you mean --json?)");
    expect(renderFailure(failureOf(error), false)).toBe("luthier: unknown option '--jsn'\n  did you mean --json?\n");
  });

  it('as JSON has code, message, hint and position', () => {
    const error = new ScenarioError({ file, line: 3, column: 8 }, 'unknown key', { hint: 'kind?' });
    expect(failureFacts(failureOf(error))).toEqual({
      luthier: 1,
      error: { code: 'E_SCENARIO', message: 'unknown key', hint: 'kind?', file, line: 3, column: 8 },
    });
  });
});
