/** `luthier doctor`: what this machine can do, what is missing, and the command that mends it. */
import type { Command } from 'commander';
import { ExitStatus } from './failure.js';
import type { Check } from './machine-checks.js';
import { colors, print, printJson, table } from './output.js';
import { syntax, withJson } from './syntax.js';

export function command(): Command {
  return withJson(
    syntax('doctor', 'tell what this machine can do, what is missing, and the command that mends it', [
      ['luthier doctor', 'exit status 1 where Luthier cannot run'],
    ]),
  ).action(async (options: { json?: true }) => {
    const { checkMachine } = await import('./machine-checks.js');
    const checks = await checkMachine();
    const able = !checks.some(({ status }) => status === 'missing');
    if (options.json) printJson({ luthier: 1, able, checks });
    else print(renderChecks(checks));
    if (!able) process.exitCode = ExitStatus.failed;
  });
}

const MARKS = {
  ok: colors.green('ok'),
  limited: colors.yellow('limited'),
  missing: colors.red('missing'),
};

export function renderChecks(checks: readonly Check[]): string {
  const rows = checks.map(({ name, status, detail, mend }) => [
    MARKS[status],
    name,
    mend === undefined ? detail : `${detail}\n${colors.bold('→')} ${mend}`,
  ]);
  const missing = checks.filter(({ status }) => status === 'missing').length;
  const verdict = missing === 0 ? 'Luthier runs here' : `Luthier does not run here: ${missing} missing`;
  return `${table(['', 'WHAT', 'FOUND'], rows)}\n${verdict}`;
}
