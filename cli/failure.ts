/**
 * How a failure looks, and which exit status it gives. Called by `cli/main.ts` alone, so that every error is printed
 * once:
 *
 *   luthier: two-lans.yaml:7:9: nodes.h1: unknown key "knd"
 *     7 |   h1: { knd: host }          (the source line only on a terminal)
 *       |         ^
 *     did you mean "kind"?
 */
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import pc from 'picocolors';
import { LuthierError, UsageError, type SourcePosition } from '../model/errors.js';

/** Exit statuses of the contract. */
export const ExitStatus = {
  done: 0,
  failed: 1,
  /** The input is wrong: command line or scenario. */
  wrongInput: 2,
  /** `exec` and `shell`: Luthier failed, not the command that it was to run. */
  execFailed: 125,
} as const;

/** Codes that mean wrong input; an error that the agent reported has its code, not its class. */
const WRONG_INPUT = new Set(['E_SCENARIO', 'E_USAGE']);

/** A failure, brought to one shape. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly position?: SourcePosition;
  /** Of an error that is our own fault. */
  readonly stack?: string;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof CommanderError) return usageFailure(error);
  if (error instanceof LuthierError) {
    const position = (error as { position?: SourcePosition }).position;
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(position === undefined ? {} : { position }),
    };
  }
  if (error instanceof Error && error.name === 'AbortError') return { code: 'E_ABORTED', message: 'interrupted' };
  const stack = error instanceof Error ? error.stack : undefined;
  return {
    code: 'E_INTERNAL',
    message: `this is a fault of Luthier: ${error instanceof Error ? error.message : String(error)}`,
    ...(stack === undefined ? {} : { stack }),
  };
}

/** 1 or 2. */
export function exitStatus(failure: Failure): number {
  return WRONG_INPUT.has(failure.code) ? ExitStatus.wrongInput : ExitStatus.failed;
}

/** What `--json` prints in place of the facts. */
export function failureFacts({ code, message, hint, position }: Failure): object {
  return { luthier: 1, error: { code, message, ...(hint === undefined ? {} : { hint }), ...position } };
}

/** The lines for standard error. `terminal`: with colours, and with the source line that a position points at. */
export function renderFailure(failure: Failure, terminal: boolean): string {
  const colors = pc.createColors(terminal ? pc.isColorSupported : false);
  const { position, message, hint, stack } = failure;
  const where = position === undefined ? '' : `${position.file}:${position.line}:${position.column}: `;
  const lines = [`${colors.red('luthier:')} ${where}${message}`];
  if (terminal && position !== undefined) lines.push(...excerpt(position).map((line) => colors.dim(line)));
  if (hint !== undefined) lines.push(`  ${hint}`);
  if (stack !== undefined) lines.push(...stack.split('\n').slice(1));
  return lines.join('\n') + '\n';
}

/** The line that a position points at, and a caret under its column; nothing where the file cannot be read. */
function excerpt({ file, line, column }: SourcePosition): string[] {
  let source: string | undefined;
  try {
    source = readFileSync(file, 'utf8').split('\n')[line - 1]?.trimEnd();
  } catch {
    return []; // the scenario was no file, or it has gone: the message stands without it
  }
  if (source === undefined || source === '') return [];
  const number = String(line);
  // A tab before the column stays one, so that the caret stands under its character whatever the tab's width.
  const indent = source.slice(0, column - 1).replace(/[^\t]/g, ' ');
  return [`  ${number} | ${source}`, `  ${' '.repeat(number.length)} | ${indent}^`];
}

/** Commander's message, `error: unknown option '--jsn'\n(Did you mean --json?)`, in our form. */
function usageFailure(error: CommanderError): Failure {
  const [text = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const message = text.replace(
    /^option '(?:-\w, )?(--\w+) <.*>' argument '(.*)' is invalid\. (.*)\.$/,
    "$1 is '$2': $3",
  );
  const hint = /^\(Did you mean (.*)\?\)$/s.exec(suggestion ?? '')?.[1];
  return {
    code: new UsageError('').code,
    message,
    hint:
      hint === undefined ? "'luthier --help' and 'luthier COMMAND --help' show what there is" : `did you mean ${hint}?`,
  };
}
