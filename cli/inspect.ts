/** `luthier inspect [NETWORK]`: everything that is known of a running network. */
import type { Command } from 'commander';
import { runningAgent } from './connection.js';
import { renderDropRecords, renderFdb, renderNetwork } from './inspect-view.js';
import { resolveNetwork } from './names.js';
import { print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';

export function command(): Command {
  return withJson(
    syntax('inspect', 'show nodes, ports, addresses, links, counters and drop reasons of a network', [
      ['luthier inspect', 'the only network that runs'],
      ['luthier inspect two-lans --fdb', 'also which address each switch has learnt where'],
      ['luthier inspect two-lans --drops', 'also the last frames that were dropped, and why'],
    ])
      .argument('[network]', 'name of a network (default: the only one that runs)')
      .option('--fdb', 'also the forwarding databases of its switches')
      .option('--drops', 'also the last dropped frames'),
  ).action(async (wanted: string | undefined, options: { fdb?: true; drops?: true; json?: true }) => {
    const agent = await runningAgent();
    const name = await resolveNetwork(agent, wanted);
    const network = await agent.network(name);
    const drops = options.drops ? await agent.drops(name) : undefined;
    if (options.json) {
      printJson({ luthier: 1, network, ...(drops === undefined ? {} : { drops }) });
      return;
    }
    print(renderNetwork(network));
    if (options.fdb) print(`\n${renderFdb(network)}`);
    if (drops !== undefined) print(`\n${renderDropRecords(drops)}`);
  });
}
