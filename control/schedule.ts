/**
 * What a network's events make of its links as time goes on. Pure. Time is in nanoseconds since the network's time zero.
 *
 * A network says what its links are at some moment, and how many of its events have passed then. Whoever has it at that
 * moment has it at any later one (`advance`), and knows all that comes of each link (`momentsOf`): so the agent and the
 * switch processes need not agree on when something is told, only on the time.
 */
import type { Link, Network, NetworkEvent } from '../model/network.js';
import { changeLink } from './scenario/index.js';

/** A link as it is from a moment on. */
export interface Moment {
  readonly atNs: number;
  readonly link: Link;
}

/** The same network at a later moment: the very same where nothing is due until then. */
export function advance(network: Network, nowNs: number): Network {
  const { events, passedEvents } = network;
  let passed = passedEvents;
  while (passed < events.length && events[passed]!.atNs <= nowNs) passed++;
  if (passed === passedEvents) return network;
  const due = events.slice(passedEvents, passed);
  const changed = new Map([...momentsOf(network, due)].map(([name, moments]) => [name, moments.at(-1)!.link] as const));
  return {
    ...network,
    links: network.links.map((link) => changed.get(link.name) ?? link),
    passedEvents: passed,
  };
}

/** The same with another link in place of the one of its name. */
export function withLink(network: Network, link: Link): Network {
  return { ...network, links: network.links.map((other) => (other.name === link.name ? link : other)) };
}

/**
 * What becomes of each link, in order; of events that are still to come. Throws UsageError where one of them would make a
 * link contradict itself.
 */
export function momentsOf(
  network: Network,
  events: readonly NetworkEvent[] = comingEvents(network),
): Map<string, Moment[]> {
  const moments = new Map<string, Moment[]>();
  if (events.length === 0) return moments;
  const links = new Map(network.links.map((link) => [link.name, link]));
  for (const { atNs, link: name, set, from } of events) {
    const own = moments.get(name) ?? [];
    const before = own.at(-1)?.link ?? links.get(name);
    // A network without some of its nodes has not all of its links.
    if (before === undefined) continue;
    own.push({ atNs, link: changeLink({ ...network, links: [before] }, name, set, from) });
    moments.set(name, own);
  }
  return moments;
}

export function comingEvents({ events, passedEvents }: Network): readonly NetworkEvent[] {
  return events.slice(passedEvents);
}

/** The same for events that say the same. */
export function eventKey({ atNs, link, from, set }: NetworkEvent): string {
  return JSON.stringify([atNs, link, from, set]);
}
