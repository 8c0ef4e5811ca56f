/**
 * Shell completion, by @bomb.sh/tab: `luthier completion SHELL` prints a script for the shell; the script asks
 * `luthier complete -- WORDS…`, which answers from the same description of the commands that parses them. Names of what
 * runs come from the agent.
 */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RootCommand, type Complete } from '@bomb.sh/tab';
import type { Command } from 'commander';
import { UsageError } from '../model/errors.js';
import type { NetworkState } from '../model/messages.js';
import { quoted } from '../model/names.js';
import { LINK_PROPERTIES } from '../model/scenario.js';
import { agentIfAny } from './connection.js';
import type { NetworkSource } from './names.js';
import { print } from './output.js';
import { syntax } from './syntax.js';

const SHELLS = ['bash', 'zsh', 'fish'];

/** Files are offered this many folders below the one that was typed: `scenarios/two-lans/scenario.yaml`. */
const FILE_DEPTH = 2;

/** Words for the arguments, by the argument's name in the command's syntax; an argument without has no completion. */
type Offers = Readonly<Record<string, readonly string[]>>;

/** Adds `completion` and, hidden, `complete` to a program that has all other commands. */
export function addCompletion(program: Command): void {
  const name = program.name();
  const script = syntax('completion', 'print the script that makes a shell complete this command', [
    [`source <(${name} completion bash)`, 'in ~/.bashrc; the same with zsh in ~/.zshrc'],
    [`${name} completion fish > ~/.config/fish/completions/${name}.fish`, 'for fish'],
  ]);
  const which = script.createArgument('<shell>', 'which shell').choices(SHELLS).argParser(knownShell);
  script.addArgument(which).action((shell: string) => {
    if (shell === 'bash') print(BASH_BEFORE);
    new RootCommand().setup(name, name, shell);
    if (shell === 'bash') print(BASH_AFTER);
  });
  const answer = syntax('complete', 'what a shell may offer for the last word')
    .argument('[words...]')
    .action(async (words: string[]) => {
      // A command for `exec` stands after `--`: its words are not ours, and the shell completes them as it likes.
      if (words.slice(0, -1).includes('--')) print(':0');
      else describe(program, await offersFor(words)).parse([...words]);
    });
  program.addCommand(script);
  program.addCommand(answer, { hidden: true });
}

/** In our words in place of commander's. */
function knownShell(text: string): string {
  if (SHELLS.includes(text)) return text;
  throw new UsageError(`there is no completion for ${quoted(text)}`, { hint: `there is one for ${SHELLS.join(', ')}` });
}

/** The commands in tab's terms. */
function describe(program: Command, offers: Offers): RootCommand {
  const root = new RootCommand();
  for (const command of program.createHelp().visibleCommands(program)) {
    const described = root.command(command.name(), command.description());
    for (const { long, short, description, required } of command.createHelp().visibleOptions(command)) {
      if (!long) continue;
      const alias = short?.slice(1);
      // A handler is tab's mark of an option that takes a value.
      if (required) described.option(long.slice(2), description, () => undefined, alias);
      else if (alias !== undefined) described.option(long.slice(2), description, alias);
      else described.option(long.slice(2), description);
    }
    for (const argument of command.registeredArguments) {
      const words = argument.argChoices ?? offers[argument.name()];
      const handler = (complete: Complete): void => words?.forEach((word) => complete(word, ''));
      described.argument(argument.name(), handler, argument.variadic);
    }
  }
  return root;
}

/** Without an agent, or where it fails, a shell offers less: nothing is printed into the line being typed. */
async function offersFor(words: readonly string[]): Promise<Offers> {
  const files = scenarioFiles(words.at(-1) ?? '');
  try {
    const agent = await agentIfAny();
    return { file: files, ...(agent === undefined ? { 'network|file': files } : await runningNames(agent, files)) };
  } catch {
    return { file: files, 'network|file': files };
  }
}

export async function runningNames(agent: NetworkSource, files: readonly string[]): Promise<Offers> {
  const networks = await Promise.all((await agent.networks()).map(({ name }) => agent.network(name)));
  const prefix = ({ name }: NetworkState): string => (networks.length > 1 ? `${name}/` : '');
  const names = networks.map(({ name }) => name);
  // Nothing can be run in a switch, and it has no ports of its own.
  const entered = networks.flatMap((network) =>
    network.nodes
      .filter(({ kind }) => kind === 'host' || kind === 'router')
      .map((node) => ({ node, name: prefix(network) + node.name })),
  );
  const nodes = entered.map(({ name }) => name);
  const ports = entered.flatMap(({ node, name }) => node.ports.map((port) => `${name}:${port.name}`));
  const links = networks.flatMap((network) => network.linkStates.map(({ name }) => prefix(network) + name));
  const settings = LINK_PROPERTIES.map((key) => `${key}=`);
  const ends = { 'link|port': [...links, ...ports], 'key=value': settings };
  return {
    ...ends,
    network: names,
    'network|file': [...names, ...files],
    node: nodes,
    from: nodes,
    to: nodes,
    port: ports,
  };
}

/** YAML files in and below the folder that `typed` starts with. */
export function scenarioFiles(typed: string): string[] {
  const folder = typed.endsWith('/') ? typed : typed.includes('/') ? `${dirname(typed)}/` : '';
  return filesBelow(folder, FILE_DEPTH);
}

function filesBelow(folder: string, depth: number): string[] {
  let entries;
  try {
    entries = readdirSync(folder === '' ? '.' : folder, { withFileTypes: true });
  } catch {
    return []; // not a folder, or one that may not be read: nothing to offer
  }
  return entries.flatMap((entry) => {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') return [];
    if (entry.isDirectory()) return depth === 0 ? [] : filesBelow(`${join(folder, entry.name)}/`, depth - 1);
    return /\.ya?ml$/.test(entry.name) ? [`${folder}${entry.name}`] : [];
  });
}

/**
 * tab's script for bash counts on the package bash-completion, may be read only once, and leaves colons (`h1:eth0`) to
 * readline, which replaces only what follows the last one. These lines around it mend that.
 */
const BASH_BEFORE = `\
if ! declare -F _get_comp_words_by_ref >/dev/null; then
  # bash-completion is not loaded: the words as blanks separate them, for the variables of the caller.
  _get_comp_words_by_ref() {
    local line=\${COMP_LINE:0:COMP_POINT}
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    cword=$((\${#words[@]} - 1)) cur=\${words[-1]} prev=\${words[-2]}
  }
fi
if ! declare -F __luthier_complete >/dev/null; then`;

const BASH_AFTER = `\
fi
__luthier_complete_after_colon() {
  __luthier_complete
  local typed=\${COMP_LINE:0:COMP_POINT} index
  typed=\${typed##*[[:space:]]}
  [[ $typed == *:* && $COMP_WORDBREAKS == *:* ]] || return 0
  for index in "\${!COMPREPLY[@]}"; do
    COMPREPLY[index]=\${COMPREPLY[index]#"\${typed%"\${typed##*:}"}"}
  done
}
complete -F __luthier_complete_after_colon luthier`;
