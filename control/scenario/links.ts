/**
 * What links do to frames: their properties of both directions, and events that change them, each change checked in the
 * state that the link is in at its time. Links that say the same share what it comes to: of 65535, most do.
 *
 * Called by `resolve.ts` alone.
 */
import type { EmulationInputs, LinkProperties } from '../../model/emulation.js';
import { PLAIN } from '../../model/emulation.js';
import { deepFreeze } from '../../model/freeze.js';
import { LINK_PROPERTIES, NONE, type RawLinkProperties } from '../../model/link-properties.js';
import type { NetworkEvent } from '../../model/network.js';
import type { RawEvent, RawLink } from '../../model/scenario.js';
import { parseDuration } from '../../model/units.js';
import { contradiction, type Contradiction, type Judged } from './contradictions.js';
import { changeDirection, resolveDirection } from './direction.js';
import type { Scenario } from './load.js';
import { DEFAULT_MTU_BYTES } from './ports.js';
import type { Path, Problems } from './problems.js';
import type { LinkPlan } from './topology.js';

/** Of a link, by direction. */
export interface Ways {
  readonly forward: LinkProperties;
  readonly reverse: LinkProperties;
}

const DIRECTIONS = ['forward', 'reverse'] as const;
type Direction = (typeof DIRECTIONS)[number];

/** Of each link, in the order of `links`. */
export function resolveWays(links: readonly LinkPlan[], { raw, inputs }: Scenario, problems: Problems): Ways[] {
  const rates = comingRates(raw.events ?? []);
  const known = new Map<string, { readonly properties: LinkProperties; readonly wrong: Contradiction | undefined }>();
  const resolveWay = (link: LinkPlan, direction: Direction): LinkProperties => {
    const written = merged(link.raw, direction);
    const mtuBytes = betweenSwitches(link) ? link.raw.mtu : undefined;
    if (written === undefined && mtuBytes === undefined) return PLAIN;
    const rateComes = rates.get(link.name)?.has(link.ends[direction === 'forward' ? 0 : 1].node) ?? false;
    const key = JSON.stringify([written, mtuBytes, link.raw.mtu, rateComes]);
    let found = known.get(key);
    if (found === undefined) {
      const properties = deepFreeze(resolveDirection(written ?? {}, { inputs, mtuBytes }));
      const judged = { properties, written: written ?? {}, mtuBytes: mtuOf(link), inputs, rateComes };
      found = { properties, wrong: contradiction(judged) };
      known.set(key, found);
    }
    if (found.wrong !== undefined) refuse(found.wrong, link, direction, problems);
    return found.properties;
  };
  return links.map((link) => {
    const forward = resolveWay(link, 'forward');
    const isSame = link.raw.forward === undefined && link.raw.reverse === undefined && !rates.has(link.name);
    return { forward, reverse: isSame ? forward : resolveWay(link, 'reverse') };
  });
}

/** What a direction says, or else its link; undefined where neither says anything. */
function merged(link: RawLink, direction: Direction): RawLinkProperties | undefined {
  const own = link[direction];
  let written: Record<string, unknown> | undefined;
  for (const key of LINK_PROPERTIES) {
    const value = own?.[key] ?? link[key];
    if (value !== undefined) (written ??= {})[key] = value;
  }
  return written;
}

function refuse(
  { keys, message, hint }: Contradiction,
  link: LinkPlan,
  direction: Direction,
  problems: Problems,
): void {
  const own = keys.find((key) => link.raw[direction]?.[key] !== undefined);
  const path = own === undefined ? [...link.path, keys[0]] : [...link.path, direction, own];
  // What is written for both may fit one of them alone.
  const isOfBoth = link.raw.forward === undefined && link.raw.reverse === undefined;
  const where = own !== undefined || isOfBoth ? '' : `${direction}: `;
  problems.add(path, `${where}${message}`, hint);
}

/** At a VXLAN, its port keeps to the MTU. */
function betweenSwitches({ ends, vxlan }: LinkPlan): boolean {
  return vxlan === undefined && ends.every(({ port }) => port === undefined);
}

function mtuOf({ raw }: LinkPlan): number {
  return raw.mtu ?? DEFAULT_MTU_BYTES;
}

/** Link → the nodes towards whose other end an event gives a rate or a trace; every node where it is for both. */
function comingRates(events: readonly RawEvent[]): ReadonlyMap<string, { has(node: string): boolean }> {
  const coming = new Map<string, Set<string> | typeof EVERY>();
  for (const { link, from, set } of events) {
    const [rate = NONE, trace = NONE] = [set.rate, set.trace];
    if (rate === NONE && trace === NONE) continue;
    const nodes = coming.get(link);
    if (from === undefined) coming.set(link, EVERY);
    else if (nodes instanceof Set) nodes.add(from);
    else if (nodes === undefined) coming.set(link, new Set([from]));
  }
  return coming;
}

const EVERY = { has: () => true };

/** In the order of their times; at the same time, in that of the file. */
export function resolveEvents(
  links: readonly LinkPlan[],
  ways: readonly Ways[],
  { raw: { events = [] }, inputs }: Scenario,
  problems: Problems,
): NetworkEvent[] {
  if (events.length === 0) return [];
  const named = new Map(links.map((link, index) => [link.name, { link, now: { ...ways[index]! } }]));
  const scheduled = events.map((event, index) => ({ event, index, atNs: parseDuration(event.at) }));
  scheduled.sort((a, b) => a.atNs - b.atNs || a.index - b.index);
  return scheduled.map(({ event: { link: name, from, set }, index, atNs }) => {
    const { link, now } = named.get(name)!;
    DIRECTIONS.forEach((direction, end) => {
      if (from !== undefined && link.ends[end]!.node !== from) return;
      now[direction] = changed(
        now[direction],
        set,
        ['events', index, 'set'],
        { mtuBytes: mtuOf(link), inputs },
        problems,
      );
    });
    return { atNs, link: name, ...(from === undefined ? {} : { from }), set };
  });
}

function changed(
  was: LinkProperties,
  set: RawLinkProperties,
  path: Path,
  { mtuBytes, inputs }: Pick<Judged, 'mtuBytes'> & { readonly inputs: EmulationInputs },
  problems: Problems,
): LinkProperties {
  const properties = changeDirection(was, set, inputs);
  const wrong = contradiction({ properties, written: set, mtuBytes, inputs });
  if (wrong !== undefined) problems.add([...path, wrong.keys[0]], `at that time, ${wrong.message}`, wrong.hint);
  return properties;
}
