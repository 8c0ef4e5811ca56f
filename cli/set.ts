/** `luthier set LINK|PORT key=value…`: changes a link now, in place. */
import type { Command } from 'commander';
import type { LinkSettings } from '../model/messages.js';
import { runningAgent } from './connection.js';
import { linkLines } from './link-text.js';
import { resolveLink } from './names.js';
import { print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';

export function command(): Command {
  return withJson(
    syntax('set', 'change a link now, in place: both directions, or one', [
      ['luthier set h1--s1 delay=20ms loss=0.1%', 'what is not named stays as it is'],
      ['luthier set h1:eth0 rate=10mbit --from h1', 'the link at that port, in the direction that leaves h1'],
      ['luthier set h1--s1 loss=none', 'none takes a property away'],
    ])
      .argument('<link|port>', '[network/]link or [network/]node:port')
      .argument('<key=value...>', 'as in a scenario: rate, delay, jitter, loss, queue, state …')
      .option('--from <node>', 'only the direction that leaves this node'),
  ).action(async (text: string, words: string[], options: { from?: string; json?: true }) => {
    // What is wrong with the words is said before anything is asked.
    const { parseSettings } = await import('../control/scenario/index.js');
    const set = parseSettings(words);
    const agent = await runningAgent();
    const { network, link } = await resolveLink(agent, text);
    const settings = await agent.setLink(network, link, set, options.from);
    if (options.json) printJson({ luthier: 1, network, ...settings });
    else print(renderSettings(network, settings));
  });
}

export function renderSettings(network: string, settings: LinkSettings): string {
  return [`${network}: ${settings.link}`, ...linkLines(settings).map((line) => `  ${line}`)].join('\n');
}
