/**
 * The command line: finds the command, runs it, prints its error, and answers the exit status. Entered by `bin/luthier`
 * and by tests.
 *
 * Only the module of the command that was asked for is loaded, so that `luthier exec` costs little more than its
 * command; all of them for the general help, for suggestions and for shell completion.
 */
import { readFileSync } from 'node:fs';
import { CommanderError, type Command } from 'commander';
import { ExitStatus, exitStatus, failureFacts, failureOf, renderFailure } from './failure.js';
import { printJson, STANDARD_OUTPUT, writeError } from './output.js';
import { syntax, type CommandModule } from './syntax.js';

/** In the order of `luthier --help`. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  up: () => import('./up.js'),
  down: () => import('./down.js'),
  ls: () => import('./ls.js'),
  inspect: () => import('./inspect.js'),
  exec: () => import('./exec.js'),
  shell: () => import('./shell.js'),
  logs: () => import('./logs.js'),
  capture: () => import('./capture.js'),
  record: () => import('./record.js'),
  trace: () => import('./trace.js'),
  verdict: () => import('./verdict.js'),
  set: () => import('./set.js'),
  link: () => import('./link.js'),
  validate: () => import('./validate.js'),
  simulate: () => import('./simulate.js'),
  bench: () => import('./bench.js'),
  doctor: () => import('./doctor.js'),
  agent: () => import('./agent.js'),
};

/** Their exit status is that of a command of the user's; a failure of ours has its own. */
const RUN_COMMANDS: ReadonlySet<string> = new Set(['exec', 'shell']);

/**
 * Runs one command line (without `node` and the script) and returns its exit status. Never throws. A command that ends
 * with a status of its own, without an error, sets `process.exitCode`.
 */
export async function main(argv: readonly string[]): Promise<number> {
  // Once, also where main runs again.
  process.stdout.off('error', onOutputError).on('error', onOutputError);
  process.stderr.off('error', onMessageError).on('error', onMessageError);
  process.exitCode = undefined;
  const name = argv[0] ?? '';
  try {
    const program = await buildProgram(name);
    if (argv.length === 0) {
      process.stderr.write(program.helpInformation());
      return ExitStatus.wrongInput;
    }
    await program.parseAsync(argv, { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : ExitStatus.done;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return ExitStatus.done; // --help, --version
    const failure = failureOf(error);
    if (wantsJson(argv)) printJson(failureFacts(failure));
    else process.stderr.write(renderFailure(failure, process.stderr.isTTY));
    return RUN_COMMANDS.has(name) ? ExitStatus.execFailed : exitStatus(failure);
  }
}

/** The program with the command `name` in it, or with all of them where there is no such command. */
export async function buildProgram(name: string): Promise<Command> {
  const program = syntax('luthier', 'Virtual internets: isolated networks of ordinary Linux hosts.', [
    ['luthier up scenarios/two-lans/scenario.yaml', 'create the network that a file describes'],
    ['luthier exec h1 -- ping -c1 h3', 'run a command in one of its hosts'],
    ['luthier inspect', 'show nodes, ports, addresses and counters'],
    ['luthier down two-lans', 'remove it'],
  ]);
  program.version(packageVersion(), '-V, --version', 'show the version');
  program.helpCommand('help [command]', 'show the help of a command');
  program.enablePositionalOptions();

  if (Object.hasOwn(COMMANDS, name)) {
    program.addCommand((await COMMANDS[name]!()).command());
    return program;
  }
  const modules = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  for (const module of modules) program.addCommand(module.command());
  const { addCompletion } = await import('./completion.js');
  addCompletion(program);
  return program;
}

/** Looked for here because a command line that could not be parsed has no parsed options. */
function wantsJson(argv: readonly string[]): boolean {
  if (RUN_COMMANDS.has(argv[0] ?? '')) return false;
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/** `luthier ls | head -1` is no error, `luthier ls > /full/disk` is one. A command that listens as well tells it itself. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? ExitStatus.done);
  if (process.stdout.listenerCount('error') > 1) return;
  process.stderr.write(renderFailure(failureOf(writeError(STANDARD_OUTPUT, error)), process.stderr.isTTY));
  process.exit(ExitStatus.failed);
}

/** Messages that nobody can read are no reason to leave the work undone. */
function onMessageError(): void {}

function packageVersion(): string {
  // From dist/cli when compiled, from cli in tests.
  for (const up of ['../../package.json', '../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}
