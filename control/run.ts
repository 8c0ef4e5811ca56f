/** What `verdict.ts` judges a network by: what its switch processes, the kernel and the agent have counted. */
import { readFileSync } from 'node:fs';
import type { Strain, Verdict } from '../model/verdict.js';
import { switchState } from './inspect.js';
import type { LiveNetwork } from './live.js';
import { netnsNodes } from '../vrouter/router.js';
import { type Run, verdictOf } from './verdict.js';

/** `busy`: when the machine's processors were. */
export async function networkVerdict(live: LiveNetwork, busy: readonly Strain[]): Promise<Verdict> {
  const askedNs = Number(process.hrtime.bigint());
  const switches = await Promise.all(
    live.switches().map(async ([machine]) => {
      const state = await switchState(live, machine);
      return { machine, ...(state === undefined ? {} : { state }) };
    }),
  );
  return verdictOf({
    network: live.header.name,
    links: live.network.links,
    changed: changedLinks(live),
    switches,
    taps: tapDrops(live),
    busy,
    zeroNs: live.header.zero?.monotonicNs ?? askedNs,
    askedNs,
  });
}

/** Whether there is, was or will be anything to judge, as far as it is known without asking. */
export function isEmulated(live: LiveNetwork): boolean {
  const ways = live.network.links.flatMap(({ forward, reverse }) => [forward, reverse]);
  return ways.some(({ emulation }) => emulation !== undefined) || changedLinks(live).size > 0;
}

function changedLinks(live: LiveNetwork): Set<string> {
  return new Set([...live.journal.state.changedLinks, ...live.network.events.map(({ link }) => link)]);
}

/** A TAP holds some hundred packets for the switch: what the host sends beyond is dropped by the kernel, which counts it. */
function tapDrops(live: LiveNetwork): Run['taps'] {
  return netnsNodes(live.network).flatMap(({ name, ports }) => {
    const init = live.processOf(`host:${name}`);
    const dropped = init === undefined ? new Map<string, number>() : sendDrops(init.pid);
    return ports.map((port) => ({ port: `${name}:${port.name}`, dropped: dropped.get(port.name) ?? 0 }));
  });
}

/** Of each interface in the network namespace of a process: `tx_dropped`. */
function sendDrops(pid: number): Map<string, number> {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/dev`, 'utf8');
  } catch {
    return new Map(); // a host that has ended: its interfaces are gone, and `inspect` says so
  }
  return parseSendDrops(text);
}

/** Two lines of titles, then `NAME: ` and eight numbers of what was received, eight of what was sent: proc_pid_net(5). */
export function parseSendDrops(text: string): Map<string, number> {
  const lines = text.trimEnd().split('\n').slice(2);
  return new Map(
    lines.map((line) => {
      const [name, numbers] = line.split(':') as [string, string];
      return [name.trim(), Number(numbers.trim().split(/\s+/)[11])];
    }),
  );
}
