/**
 * Links of a network that runs, changed in place: by hand, and by its events. One message to each switch process that has
 * an end of the link, which says what it is now and all that it becomes later; the process does the rest by itself
 * (`vswitch/schedule.ts`). Nothing is planned, and no other link is looked at.
 *
 * What is recorded comes first: whoever takes over, or starts a switch process again, tells it what the record says. It is
 * written and not synced, as it is of use to this boot alone.
 */
import { LuthierError, UsageError } from '../model/errors.js';
import { isEmulated, linkState } from '../model/emulation.js';
import type { RawLinkProperties } from '../model/scenario.js';
import type { Link, Network } from '../model/network.js';
import { watchArrivals } from './actions/arrivals.js';
import { announceHosts } from './actions/hosts.js';
import type { LiveNetwork } from './live.js';
import { isAlive } from './process.js';
import { comingEvents, momentsOf, withLink } from './schedule.js';
import { changeLink } from './scenario/index.js';
import { moved } from './stations.js';
import { scheduledLinks, switchConfigs } from './wiring.js';

/** Between the announcement of time zero and time zero: all switch processes have their events by then, unless busy. */
const LEAD_NS = 20e6;

/** Everything is ready: from here on time counts. */
export async function startClock(live: LiveNetwork): Promise<void> {
  const hasEvents = live.network.events.length > 0;
  const leadNs = hasEvents ? LEAD_NS : 0;
  const at = new Date(Date.now() + leadNs / 1e6).toISOString();
  live.journal.append({ op: 'zero', monotonicNs: Number(process.hrtime.bigint()) + leadNs, at });
  if (hasEvents) await tellEvents(live);
}

/** What comes of links that have events, to switch processes that may have been told something else. */
export async function tellEvents(live: LiveNetwork, others: Iterable<string> = []): Promise<void> {
  await tellLinks(live, new Set([...comingEvents(live.network).map(({ link }) => link), ...others]));
}

export interface ChangedLink {
  readonly link: Link;
  /** By CLOCK_MONOTONIC; absent: no switch process that has it runs. */
  readonly doneNs?: number;
}

/**
 * Both directions, or the one that leaves the node `from`. Throws UsageError, and nothing has changed, where it cannot be,
 * or an event that is still to come could not be any more.
 */
export async function changeByHand(
  live: LiveNetwork,
  name: string,
  set: RawLinkProperties,
  from: string | undefined,
): Promise<ChangedLink> {
  const { network: before, nowNs: atNs } = live.present;
  const link = changeLink(before, name, set, from);
  requireEvents(before, link);
  const was = before.links.find((candidate) => candidate.name === name)!;
  live.journal.append({ op: 'link', atNs, link });
  let doneNs: number | undefined;
  try {
    doneNs = await tellLinks(live, new Set([name]));
  } catch (cause) {
    live.journal.append({ op: 'link', atNs, link: was });
    await tellLinks(live, new Set([name]));
    throw cause;
  }
  if (comesUp(was, link)) {
    const to = withLink(before, link);
    await announceHosts({ live, to }, { nodes: moved(before, to) });
  }
  return { link, ...(doneNs === undefined ? {} : { doneNs }) };
}

/** A direction that was down is up. */
export function comesUp(was: Link, is: Link): boolean {
  const ways = ['forward', 'reverse'] as const;
  return ways.some((way) => was[way].state === 'down' && is[way].state === 'up') && linkState(is) === 'up';
}

function requireEvents(network: Network, link: Link): void {
  try {
    momentsOf({ ...network, links: [link] });
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new UsageError(`an event that is still to come could not happen then: ${cause.message}`, {
      hint: `see luthier inspect ${network.name} --events`,
      cause,
    });
  }
}

/**
 * A switch process that has ended is told by whoever starts another. Returns when the last of those that run did it, by
 * CLOCK_MONOTONIC.
 */
async function tellLinks(live: LiveNetwork, names: ReadonlySet<string>): Promise<number | undefined> {
  const { zero } = live.header;
  if (zero === undefined) throw new LuthierError('E_INTERNAL', `network ${live.header.name} has no time zero`);
  const told = scheduledLinks(live.network, names, zero.monotonicNs);
  const anew = [...told].flatMap(([machine, links]) =>
    links.some(isEmulated) && !live.watchedMachines.has(machine) ? [machine] : [],
  );
  if (anew.length > 0) {
    const configs = switchConfigs(live.network, live.header.number, zero.monotonicNs);
    watchArrivals(
      live,
      anew.map((machine) => configs.get(machine)!),
    );
  }
  const done = await Promise.all(
    [...told].map(async ([machine, links]) => {
      try {
        return [await live.switchOf(machine).setLinks(links)];
      } catch (cause) {
        if (isAlive(live.process(`switch:${machine}`))) throw cause;
        return [];
      }
    }),
  );
  const times = done.flat();
  return times.length === 0 ? undefined : Math.max(...times);
}
