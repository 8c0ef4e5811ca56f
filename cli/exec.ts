/** `luthier exec NODE -- CMD…`: runs a command inside a node, and ends with its status. */
import type { Command } from 'commander';
import { UsageError } from '../model/errors.js';
import type { NodeAccess } from '../model/messages.js';
import { runningAgent } from './connection.js';
import { runInside } from './inside.js';
import { resolveNode } from './names.js';
import { syntax } from './syntax.js';

export function command(): Command {
  return syntax('exec', "run a command in a node; its exit status is the command's, 125 when Luthier failed", [
    ['luthier exec h1 -- ping -c1 h3', 'the network may be left out while only one runs'],
    ['luthier exec two-lans/r1 -- ip route', 'and named where several do'],
    ['echo hello | luthier exec h1 -- cat', 'standard streams and signals pass through'],
  ])
    .argument('<node>', '[network/]node')
    .argument('<command...>', 'the command and its arguments')
    .usage('[options] <node> -- <command...>')
    .passThroughOptions()
    .action(async (node: string, words: string[]) => {
      const argv = words[0] === '--' ? words.slice(1) : words;
      if (argv.length === 0) throw new UsageError('no command to run', { hint: `luthier exec ${node} -- CMD` });
      process.exitCode = await runInside(await nodeAccess(node), argv);
    });
}

/** What it takes to enter the node that a command line names. */
export async function nodeAccess(text: string): Promise<NodeAccess> {
  const agent = await runningAgent();
  const { network, node } = await resolveNode(agent, text);
  return agent.access(network, node);
}
