/** `luthier ls`: the networks that run on this machine. */
import type { Command } from 'commander';
import type { NetworkSummary } from '../model/messages.js';
import { agentIfAny } from './connection.js';
import { colors, print, printJson, shownPath, table } from './output.js';
import { syntax, withJson } from './syntax.js';

export function command(): Command {
  return withJson(
    syntax('ls', 'list the networks that run', [
      ['luthier ls', 'a table'],
      ['luthier ls --json | jq .networks[].name', 'their names alone'],
    ]),
  ).action(async (options: { json?: true }) => {
    const agent = await agentIfAny();
    const networks = (await agent?.networks()) ?? [];
    const unreadable = (await agent?.unreadable()) ?? [];
    if (options.json) printJson({ luthier: 1, networks, unreadable });
    else
      print(
        [networks.length === 0 ? 'nothing runs' : renderNetworks(networks), ...unreadable.map(unreadableLine)].join(
          '\n',
        ),
      );
  });
}

export function renderNetworks(networks: readonly NetworkSummary[]): string {
  const rows = table(
    ['NETWORK', 'STATUS', '>HOSTS', '>ROUTERS', '>SWITCHES', '>LINKS', '>MACHINES', 'SINCE', 'FILE'],
    networks.map((network) => [
      network.name,
      network.status,
      String(network.hosts),
      String(network.routers),
      String(network.switches),
      String(network.links),
      String(network.machines),
      network.since,
      network.file === undefined ? '' : shownPath(network.file),
    ]),
  );
  return [rows, ...networks.flatMap(warningLines)].join('\n');
}

function unreadableLine(why: string): string {
  return colors.red(`not shown: ${why}`);
}

/** What is wrong with a network, a line for each reason. Also at the head of `inspect`. */
export function warningLines(network: NetworkSummary): string[] {
  const { name, seal, machines } = network;
  if (seal === 'auto' || machines === 1) return brokenLines(network);
  const unsealed = `${name} is not sealed: what passes between its machines can be read, changed and forged`;
  return [...brokenLines(network), colors.yellow(unsealed)];
}

function brokenLines({ name, status, file, broken = [] }: NetworkSummary): string[] {
  if (broken.length === 0) return [];
  const up = `luthier up ${file === undefined ? 'FILE' : shownPath(file)}`;
  return [
    ...broken.map((reason) => colors.red(`${name} is ${status}: ${reason}`)),
    status === 'lost'
      ? `  start it afresh: ${up}; or forget it: luthier down ${name}`
      : `  make what is missing again: ${up}; or remove it: luthier down ${name}`,
  ];
}
