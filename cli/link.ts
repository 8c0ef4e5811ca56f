/** `luthier link up|down LINK|PORT`: carrier at the interfaces of the hosts at a link's ends. */
import { Argument, type Command } from 'commander';
import { UsageError } from '../model/errors.js';
import { quoted } from '../model/names.js';
import { runningAgent } from './connection.js';
import { resolveLink } from './names.js';
import { print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';

const STATES = ['up', 'down'];

export function command(): Command {
  return withJson(
    syntax('link', 'plug a link in or pull it out: carrier at the interfaces of its ends', [
      ['luthier link down h1--s1', 'hosts at its ends see NO-CARRIER; frames into it are dropped'],
      ['luthier link up h1:eth0', 'the link at that port'],
    ])
      .addArgument(new Argument('<state>', 'up or down').choices(STATES).argParser(knownState))
      .argument('<link|port>', '[network/]link or [network/]node:port'),
  ).action(async (state: 'up' | 'down', text: string, options: { json?: true }) => {
    const agent = await runningAgent();
    const { network, link } = await resolveLink(agent, text);
    await agent.setLink(network, link, { state });
    if (options.json) printJson({ luthier: 1, network, link, state });
    else print(`${network}: ${link} is ${state}`);
  });
}

/** In our words in place of commander's. */
function knownState(text: string): string {
  if (STATES.includes(text)) return text;
  throw new UsageError(`a link is set up or down, not ${quoted(text)}`, { hint: 'luthier link down LINK' });
}
