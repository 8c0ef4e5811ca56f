/** `luthier inspect [NETWORK]`: everything that is known of a running network. */
import type { Command } from 'commander';
import { runningAgent } from './connection.js';
import { renderDropRecords, renderEvents, renderFdb, renderNetwork } from './inspect-view.js';
import { resolveNetwork } from './names.js';
import { print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';
import { verdictLines } from './verdict-view.js';

interface Options {
  readonly fdb?: true;
  readonly events?: true;
  readonly drops?: true;
  readonly json?: true;
}

export function command(): Command {
  return withJson(
    syntax('inspect', 'show nodes, ports, addresses, links, counters and drop reasons of a network', [
      ['luthier inspect', 'the only network that runs'],
      ['luthier inspect two-lans --fdb', 'also which address each switch has learnt where'],
      ['luthier inspect two-lans --events', 'also which event was due when, and when it happened'],
      ['luthier inspect two-lans --drops', 'also the last frames that were dropped, and why'],
    ])
      .argument('[network]', 'name of a network (default: the only one that runs)')
      .option('--fdb', 'also the forwarding databases of its switches')
      .option('--events', 'also the events of its scenario, and when they happened')
      .option('--drops', 'also the last dropped frames'),
  ).action(async (wanted: string | undefined, options: Options) => {
    const agent = await runningAgent();
    const name = await resolveNetwork(agent, wanted);
    const network = await agent.network(name);
    const verdict = await agent.verdict(name);
    const events = options.events ? await agent.events(name) : undefined;
    const drops = options.drops ? await agent.drops(name) : undefined;
    if (options.json) {
      const more = { ...(events === undefined ? {} : { events }), ...(drops === undefined ? {} : { drops }) };
      printJson({ luthier: 1, network, verdict, ...more });
      return;
    }
    print(renderNetwork(network));
    const judged = verdictLines(verdict);
    if (judged.length > 0) print(`\n${judged.join('\n')}`);
    if (options.fdb) print(`\n${renderFdb(network)}`);
    if (events !== undefined) print(`\n${renderEvents(events)}`);
    if (drops !== undefined) print(`\n${renderDropRecords(drops)}`);
  });
}
