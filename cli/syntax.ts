/**
 * What the commands' syntax has in common. Each `cli/NAME.ts` exports `command()`, which describes the command to
 * commander; `cli/main.ts` calls it. Describing is cheap: what a command needs to run is imported when it runs.
 *
 * Commander never prints an error or exits by itself here: it throws, and `cli/main.ts` is the one place that does.
 */
import { Command, InvalidArgumentError } from 'commander';

/** What `cli/NAME.ts` exports. */
export interface CommandModule {
  command(): Command;
}

export type Example = readonly [line: string, does: string];

/** A command with our settings; `examples` close its `--help`. */
export function syntax(name: string, summary: string, examples: readonly Example[] = []): Command {
  const command = new Command(name)
    .description(summary)
    .helpOption('-h, --help', 'show this help')
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  if (examples.length > 0) command.addHelpText('after', `\nExamples:\n${exampleLines(examples)}`);
  return command;
}

/** `--json`, on every command that prints facts. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print one JSON object (docs/json.md)');
}

/** Parser of an option or argument that counts something. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value === 0)
    throw new InvalidArgumentError('it must be a whole number above 0.');
  return value;
}

function exampleLines(examples: readonly Example[]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return examples.map(([line, does]) => `  ${line.padEnd(width)}   ${does}`).join('\n');
}
