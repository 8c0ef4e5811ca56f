/** The tables of `inspect`. Pure: a network's state in, text out. */
import type { DropRecord, EventState, NetworkState, NodeState, TunnelHealthState } from '../model/messages.js';
import { settingsText } from '../model/link-properties.js';
import { formatDuration } from '../model/units.js';
import { propertiesText } from './link-text.js';
import { warningLines } from './ls.js';
import { bytes, colors, counted, duration, shownPath, table } from './output.js';

/** What an event that happens by itself stays below. */
const LATE_NS = 5e6;
/** Most records of `--drops` that are shown; `--json` has them all. */
const SHOWN_DROPS = 50;

export function renderNetwork(network: NetworkState): string {
  const sections = [header(network), nodes(network), links(network)];
  const emulated = properties(network);
  if (emulated.length > 0) sections.push(table(['LINK', 'FROM', 'TO', 'DOES'], emulated));
  if (network.lans.length > 0) sections.push(lans(network));
  if (network.switchProcesses.length > 0) sections.push(processes(network));
  const between = tunnels(network);
  if (between.length > 0)
    sections.push(
      table(
        ['TUNNEL', 'TO', 'STATE', '>KEYS SINCE', '>REKEYS', 'PEER', 'AT', '>RTT', '>LOSS', '>PATH MTU', 'REASON'],
        between,
      ),
    );
  const repairs = repaired(network);
  if (repairs.length > 0) sections.push(table(['FEC', 'FROM', '>PARITY', '>SENT', '>REPAIRED', '>LOST'], repairs));
  sections.push(dropReasons(network));
  return sections.join('\n\n');
}

export function renderFdb(network: NetworkState): string {
  const rows = network.switchProcesses.flatMap(({ machine, state }) =>
    (state?.bridges ?? []).flatMap((bridge) =>
      bridge.fdb.map(({ mac, link, ageSeconds }) => [bridge.name, machine, mac, link, duration(ageSeconds)]),
    ),
  );
  if (rows.length === 0) return 'no switch has learnt an address yet';
  return table(['SWITCH', 'MACHINE', 'ADDRESS', 'LINK', '>AGE'], rows);
}

export function renderEvents(events: readonly EventState[]): string {
  if (events.length === 0) return 'the scenario has no events';
  const rows = events.map(({ atNs, link, from, set, doneNs }) => [
    formatDuration(atNs),
    link,
    from ?? '',
    settingsText(set),
    doneNs === undefined ? '' : `${(doneNs / 1e9).toFixed(3)} s`,
    doneNs === undefined ? '' : lateness(doneNs - atNs),
  ]);
  return table(['>EVENT AT', 'LINK', 'FROM', 'SETS', '>HAPPENED', '>LATE BY'], rows);
}

/** Whoever has to look is shown where. */
function lateness(ns: number): string {
  const text = `${(ns / 1e6).toFixed(3)} ms`;
  return ns > LATE_NS ? colors.yellow(text) : text;
}

export function renderDropRecords(drops: readonly DropRecord[]): string {
  if (drops.length === 0) return 'no frame was dropped';
  const shown = drops.slice(-SHOWN_DROPS);
  const rows = shown.map(({ unixNs, reason, where, lengthBytes, header }) => [
    new Date(Number(BigInt(unixNs) / 1_000_000n)).toISOString(),
    reason,
    where,
    String(lengthBytes),
    ethernet(header),
  ]);
  const more = drops.length > shown.length ? `\n${drops.length - shown.length} older ones are in --json` : '';
  return table(['TIME', 'REASON', 'CAME BY', '>BYTES', 'FRAME'], rows) + more;
}

function header(network: NetworkState): string {
  const { name, status, since, file, machines } = network;
  const facts = [
    status,
    `since ${since}`,
    counted(machines, 'machine'),
    ...(file === undefined ? [] : [shownPath(file)]),
  ];
  return [`${colors.bold(name)}  ${facts.join(', ')}`, ...scheduleLines(network), ...warningLines(network)].join('\n');
}

function scheduleLines({ schedule, zero }: NetworkState): string[] {
  if (schedule === undefined) return [];
  const { events, done, next } = schedule;
  const coming =
    next === undefined ? 'none to come' : `next ${formatDuration(next.atNs)}: ${next.link} ${settingsText(next.set)}`;
  return [`  ${done} of ${counted(events, 'event')} happened since ${zero ?? 'never'}, ${coming}`];
}

/**
 * One line a port; the node's own facts on its first. Counters are the switch's, which receives what the node sends:
 * here they are called as the node sees them.
 */
function nodes(network: NetworkState): string {
  const rows = network.nodes.flatMap((node) => {
    const own = [colors.bold(node.name), node.kind, node.machines.join(', ')];
    if (node.vxlan !== undefined) return [[...own, ...vxlanOf(node.vxlan), '']];
    if (node.ports.length === 0) return [[...own, '', '', '', '', '', '', commandOf(node)]];
    return node.ports.map((port, index) => [
      ...(index === 0 ? own : ['', '', '']),
      port.name,
      port.addresses.join('\n'),
      port.mac,
      port.link,
      packets(port.rxPackets, port.rxDropped),
      packets(port.txPackets, port.txDropped),
      index === 0 ? commandOf(node) : '',
    ]);
  });
  return table(['NODE', 'KIND', 'MACHINE', 'PORT', 'ADDRESSES', 'MAC', 'LINK', '>SENT', '>RECEIVED', 'COMMAND'], rows);
}

/** PORT, ADDRESSES, MAC, LINK, SENT, RECEIVED. */
function vxlanOf(vxlan: NonNullable<NodeState['vxlan']>): string[] {
  const { vni, remotes, group, port, link } = vxlan;
  const ends = group === undefined ? remotes : [group];
  return [
    `VNI ${vni}`,
    ends.map((address) => `${address.includes(':') ? `[${address}]` : address}:${port}`).join('\n'),
    '',
    link,
    packets(vxlan.rxPackets, vxlan.rxDropped),
    packets(vxlan.txPackets, vxlan.txDropped),
  ];
}

function links(network: NetworkState): string {
  return table(
    ['LINK', 'FROM', 'TO', 'STATE', '>THERE', '', '>BACK', ''],
    network.linkStates.map((link) => [
      link.name,
      link.ends[0],
      link.ends[1],
      link.state === 'up' ? 'up' : colors.yellow('down'),
      String(link.forwardPackets),
      bytes(link.forwardBytes),
      String(link.reversePackets),
      bytes(link.reverseBytes),
    ]),
  );
}

/** Of links that something was asked of: a line where both directions do the same. */
function properties({ linkStates }: NetworkState): string[][] {
  return linkStates.flatMap(({ name, ends, forward, reverse }) => {
    const [there, back] = [forward, reverse].map(propertiesText) as [string, string];
    const isPlain = Object.keys({ ...forward, ...reverse }).length === 0;
    if (isPlain) return [];
    if (there === back) return [[name, ends[0], `${ends[1]}, and back`, there]];
    return [
      [name, ends[0], ends[1], there],
      ['', ends[1], ends[0], back],
    ];
  });
}

function lans(network: NetworkState): string {
  return table(
    ['LAN', 'SUBNET', 'SUBNET6', 'SWITCHES'],
    network.lans.map((lan) => [lan.name, lan.subnet ?? '', lan.subnet6 ?? '', lan.switches.join(', ')]),
  );
}

function processes(network: NetworkState): string {
  return table(
    ['SWITCH PROCESS', '>PID', '>MEMORY', '>UP', '>FRAME SLOTS FREE'],
    network.switchProcesses.map(({ machine, pid, state }) =>
      state === undefined
        ? [machine, String(pid), 'does not answer', '', '']
        : [
            machine,
            String(pid),
            bytes(state.rssBytes),
            duration(state.uptimeNs / 1e9),
            `${state.arena.freeSlots} of ${state.arena.slots}`,
          ],
    ),
  );
}

/** A tunnel has a line for each of its ends: they may not be of one mind. */
function tunnels({ switchProcesses }: NetworkState): string[][] {
  return switchProcesses.flatMap(({ machine, state }) =>
    (state?.tunnels ?? []).map(({ peer, state: seal, algorithm, epochAgeSeconds, rekeys, reason, remark, health }) => [
      machine,
      peer,
      seal === 'sealed' ? `${seal}, ${algorithm ?? ''}` : colors.yellow(seal),
      epochAgeSeconds === undefined ? '' : duration(epochAgeSeconds),
      String(rekeys ?? ''),
      ...healthOf(health),
      [reason, remark].filter((text) => text !== undefined).join('; '),
    ]),
  );
}

/** Of tunnels with parity: what this end sends, and what that of the peer brought back. */
function repaired({ switchProcesses }: NetworkState): string[][] {
  return switchProcesses.flatMap(({ machine, state }) =>
    (state?.tunnels ?? []).flatMap(({ peer, health }) => {
      if (health?.fec === undefined) return [];
      const { parityRatio, sentParity, repaired: back, unrepaired } = health.fec;
      return [
        [machine, peer, `${Math.round(parityRatio * 100)} %`, String(sentParity), String(back), String(unrepaired)],
      ];
    }),
  );
}

/** Peer, where it is, RTT, loss, path MTU. */
function healthOf(health: TunnelHealthState | undefined): string[] {
  if (health === undefined) return ['', '', '', '', ''];
  const { address, liveness, lossRatio, pathMtuBytes, rttNs, since } = health;
  return [
    liveness === 'dead' ? colors.red(`dead since ${since}`) : liveness,
    address,
    rttNs === undefined ? '' : `${(rttNs / 1e6).toFixed(3)} ms`,
    lossRatio === undefined ? '' : `${(lossRatio * 100).toFixed(1)} %`,
    String(pathMtuBytes),
  ];
}

function dropReasons(network: NetworkState): string {
  const reasons = Object.entries(network.drops);
  if (reasons.length === 0) return 'no frame was dropped';
  return table(
    ['DROP REASON', '>FRAMES'],
    reasons.map(([reason, count]) => [reason, String(count)]),
  );
}

function packets(count: number | undefined, dropped: number | undefined): string {
  if (count === undefined) return '';
  return dropped ? `${count} (${dropped} dropped)` : String(count);
}

function commandOf({ command }: NodeState): string {
  if (command === undefined) return '';
  const { argv, status, code } = command;
  return `${argv.join(' ')} [${status}${code === undefined ? '' : ` ${code}`}]`;
}

/** `SOURCE → DESTINATION, type 0x0800`, of a header in hexadecimal. */
function ethernet(header: string): string {
  if (header.length < 28) return header;
  const mac = (from: number): string => header.slice(from, from + 12).replace(/..(?=.)/g, '$&:');
  return `${mac(12)} → ${mac(0)}, type 0x${header.slice(24, 28)}`;
}
