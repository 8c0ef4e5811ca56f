/** `luthier shell NODE`: the user's own shell, inside a node. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { nodeAccess } from './exec.js';
import { runInside } from './inside.js';
import { syntax } from './syntax.js';

export function command(): Command {
  return syntax('shell', 'open a shell in a node ($SHELL, or /bin/sh); its prompt names the node', [
    ['luthier shell h1', 'leave it with exit or ^D'],
    ['SHELL=/bin/sh luthier shell two-lans/r1', 'with another shell'],
  ])
    .argument('<node>', '[network/]node')
    .action(async (node: string) => {
      const access = await nodeAccess(node);
      const shell = process.env.SHELL ?? '/bin/sh';
      process.exitCode = await runInside(access, [shell, ...options(shell)], prompt(shell, access.node));
    });
}

/**
 * The terminal's process group is outside the node, where a shell that manages jobs cannot name it: bash and zsh do
 * without, a plain sh fails when it gives the terminal back at its end, and so manages no jobs.
 */
function options(shell: string): string[] {
  return ['sh', 'dash', 'ash'].includes(basename(shell)) ? ['+m'] : [];
}

/**
 * Most shells take PS1 from the environment. Bash's start-up files set their own PS1, so there the first prompt puts the
 * node's name before whatever they chose, and then takes itself away.
 */
function prompt(shell: string, node: string): Record<string, string> {
  if (basename(shell) === 'bash') return { PROMPT_COMMAND: `PS1="(${node}) $PS1"; unset PROMPT_COMMAND` };
  return { PS1: `(${node}) $ ` };
}
