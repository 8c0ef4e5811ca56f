/** `luthier trace NODE NODE`: a frame's way from one node to another, in words. */
import type { Command } from 'commander';
import { UsageError } from '../model/errors.js';
import type { TraceReport } from '../model/messages.js';
import { ExitStatus } from './failure.js';
import { runningAgent } from './connection.js';
import { resolveDestination, resolveHost } from './names.js';
import { colors, print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';

export function command(): Command {
  return withJson(
    syntax('trace', "tell a frame's way from node to node, and where it would be dropped", [
      ['luthier trace h1 h3', 'exit status 1 where it would not arrive'],
    ])
      .argument('<from>', '[network/]node that sends')
      .argument('<to>', '[network/]node that it is for; a VXLAN: who is behind it'),
  ).action(async (from: string, to: string, options: { json?: true }) => {
    const agent = await runningAgent();
    const source = await resolveHost(agent, from);
    // The second node is in the first one's network, unless it says otherwise.
    const target = await resolveDestination(agent, to.includes('/') ? to : `${source.network}/${to}`);
    if (source.network !== target.network)
      throw new UsageError(`${from} and ${to} are in different networks`, {
        hint: 'no frame crosses between networks',
      });
    const report = await agent.trace(source.network, source.node, target.node);
    if (options.json) printJson({ luthier: 1, trace: report });
    else print(renderTrace(report));
    if (!report.reached) process.exitCode = ExitStatus.failed;
  });
}

export function renderTrace({ from, to, reached, steps }: TraceReport): string {
  const width = Math.max(0, ...steps.map(({ where }) => where.length));
  const digits = String(steps.length).length;
  const lines = steps.map(({ where, what, dropped }, index) => {
    const line = `${String(index + 1).padStart(digits)}. ${where.padEnd(width)}  ${what}`;
    return dropped ? colors.red(line) : line;
  });
  return [...lines, reached ? `${from} reaches ${to}` : `${from} does not reach ${to}`].join('\n');
}
