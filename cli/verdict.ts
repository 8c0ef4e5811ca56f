/** `luthier verdict [NETWORK]`: whether the links of a running network did what was asked of them. */
import type { Command } from 'commander';
import { runningAgent } from './connection.js';
import { ExitStatus } from './failure.js';
import { resolveNetwork } from './names.js';
import { print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';
import { renderVerdict } from './verdict-view.js';

export function command(): Command {
  return withJson(
    syntax('verdict', 'tell whether the links of a network did what was asked of them', [
      ['luthier verdict', 'of the only network that runs; exit status 1 where they did not'],
      ['luthier verdict two-lans --json | jq .verdict.reasons', 'why not'],
    ]).argument('[network]', 'name of a network (default: the only one that runs)'),
  ).action(async (wanted: string | undefined, options: { json?: true }) => {
    const agent = await runningAgent();
    const verdict = await agent.verdict(await resolveNetwork(agent, wanted));
    if (options.json) printJson({ luthier: 1, verdict });
    else print(renderVerdict(verdict));
    if (!verdict.faithful) process.exitCode = ExitStatus.failed;
  });
}
