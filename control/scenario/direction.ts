/**
 * One direction of a link, from what is written to `LinkProperties` and back. Both ways are exact: `writtenOf` gives what
 * `resolveDirection` makes the same properties of again, which is how one key of a running link is changed (`change-link.ts`)
 * and how its properties are shown in a person's units.
 *
 * Called by `links.ts`, `events.ts` and `change-link.ts`.
 */
import type { Emulation, EmulationInputs, Jitter, LinkProperties, QueueLimit } from '../../model/emulation.js';
import { PLAIN } from '../../model/emulation.js';
import { DISTRIBUTIONS, NONE, type RawLinkProperties } from '../../model/link-properties.js';
import { formatLoss, parseLoss } from '../../model/loss.js';
import { formatQueue, parseQueue } from '../../model/queue.js';
import { formatDuration, formatRate, formatRatio, parseDuration, parseRate, parseRatio } from '../../model/units.js';

/** What a direction is resolved with. */
export interface Surroundings {
  readonly inputs: EmulationInputs;
  /** Of a link between switches, where it says one: interfaces keep to it elsewhere. */
  readonly mtuBytes?: number | undefined;
}

/** Without what is `none`. */
type Said = { readonly [Key in keyof RawLinkProperties]: Exclude<RawLinkProperties[Key], typeof NONE> };

export function said(written: RawLinkProperties): Said {
  // Of tens of thousands of links, hardly any takes something away.
  let isWhole = true;
  for (const key in written) {
    const value = written[key as keyof RawLinkProperties];
    if (value === undefined || value === NONE) isWhole = false;
  }
  if (isWhole) return written as Said;
  const entries = Object.entries(written).filter(([, value]) => value !== undefined && value !== NONE);
  return Object.fromEntries(entries);
}

type Growing<Value> = { -readonly [Key in keyof Value]: Value[Key] };

/** `written` has passed the schema; a trace that is not among the inputs counts as one without a rate of its own. */
export function resolveDirection(written: RawLinkProperties, { inputs, mtuBytes }: Surroundings): LinkProperties {
  const own = said(written);
  const { state = 'up', trace, overhead = 0, segments = 'auto' } = own;
  const rateBps = own.rate === undefined ? undefined : parseRate(own.rate);
  const delayNs = own.delay === undefined ? 0 : parseDuration(own.delay);
  const jitter = resolveJitter(own);
  const loss = own.loss === undefined ? undefined : parseLoss(own.loss);
  const duplicateRatio = parseRatio(own.duplicate ?? 0);
  const reorderRatio = parseRatio(own.reorder ?? 0);
  const corruptRatio = parseRatio(own.corrupt ?? 0);
  const isAskedFor =
    (rateBps ?? trace ?? own.queue ?? jitter ?? loss ?? mtuBytes) !== undefined ||
    delayNs + duplicateRatio + reorderRatio + corruptRatio + overhead > 0 ||
    segments === 'wire';
  if (!isAskedFor) return state === 'up' ? PLAIN : { state };
  const byDefault = defaultLimit(rateBps ?? (trace === undefined ? undefined : traceRateBps(trace, inputs)));
  const emulation: Growing<Emulation> = {
    overheadBytes: overhead,
    delayNs,
    duplicateRatio,
    reorderRatio,
    corruptRatio,
    queue: own.queue === undefined ? { discipline: 'drop-tail', limit: byDefault } : parseQueue(own.queue, byDefault),
    segments,
  };
  if (rateBps !== undefined) emulation.rateBps = rateBps;
  if (trace !== undefined) emulation.trace = trace;
  if (jitter !== undefined) emulation.jitter = jitter;
  if (loss !== undefined) emulation.loss = loss;
  if (mtuBytes !== undefined) emulation.mtuBytes = mtuBytes;
  return { state, emulation };
}

function resolveJitter({ jitter, distribution = 'normal', correlation = 0 }: Said): Jitter | undefined {
  const jitterNs = jitter === undefined ? 0 : parseDuration(jitter);
  if (jitterNs === 0) return undefined;
  const shape = DISTRIBUTIONS.find((known) => known === distribution);
  return { jitterNs, distribution: shape ?? { table: distribution }, correlationRatio: parseRatio(correlation) };
}

const LEAST_DEFAULT_BYTES = 65_536;
const DEFAULT_SECONDS = 0.05;

/** The larger of 64 KiB and what the rate passes in 50 ms. */
function defaultLimit(rateBps = 0): QueueLimit {
  const bytes = Math.max(LEAST_DEFAULT_BYTES, Math.ceil((rateBps / 8) * DEFAULT_SECONDS));
  return { unit: 'bytes', bytes, byDefault: true };
}

/** What one line of a trace lets pass: Mahimahi's packet. */
const OPPORTUNITY_BYTES = 1504;

/** On average over its period; undefined of a trace that is not there. */
export function traceRateBps(trace: string, { traces }: EmulationInputs): number | undefined {
  const times = Object.hasOwn(traces, trace) ? traces[trace]! : undefined;
  return times === undefined ? undefined : (times.length * OPPORTUNITY_BYTES * 8 * 1000) / times.at(-1)!;
}

/** Only what differs from a link that nothing was written for. */
export function writtenOf({ state, emulation }: LinkProperties): RawLinkProperties {
  const down = state === 'down' ? { state } : {};
  if (emulation === undefined) return down;
  const { rateBps, trace, overheadBytes, delayNs, jitter, loss, segments } = emulation;
  const { duplicateRatio, reorderRatio, corruptRatio } = emulation;
  const queue = formatQueue(emulation.queue);
  return {
    ...down,
    ...(rateBps === undefined ? {} : { rate: formatRate(rateBps) }),
    ...(trace === undefined ? {} : { trace }),
    ...(overheadBytes === 0 ? {} : { overhead: overheadBytes }),
    ...(queue === undefined ? {} : { queue }),
    ...(delayNs === 0 ? {} : { delay: formatDuration(delayNs) }),
    ...(jitter === undefined ? {} : writtenJitter(jitter)),
    ...(loss === undefined ? {} : { loss: formatLoss(loss) }),
    ...(duplicateRatio === 0 ? {} : { duplicate: formatRatio(duplicateRatio) }),
    ...(reorderRatio === 0 ? {} : { reorder: formatRatio(reorderRatio) }),
    ...(corruptRatio === 0 ? {} : { corrupt: formatRatio(corruptRatio) }),
    ...(segments === 'auto' ? {} : { segments }),
  };
}

function writtenJitter({ jitterNs, distribution, correlationRatio }: Jitter): RawLinkProperties {
  const name = typeof distribution === 'object' ? distribution.table : distribution;
  return {
    jitter: formatDuration(jitterNs),
    ...(name === 'normal' ? {} : { distribution: name }),
    ...(correlationRatio === 0 ? {} : { correlation: formatRatio(correlationRatio) }),
  };
}

/** As `was`, but for the keys of `change`. A jitter that goes takes along what was said of it. */
export function changeDirection(
  was: LinkProperties,
  change: RawLinkProperties,
  inputs: EmulationInputs,
): LinkProperties {
  const { distribution, correlation, ...others } = writtenOf(was);
  const merged = { ...others, ...change };
  const ofJitter = said(merged).jitter === undefined ? {} : said({ distribution, correlation });
  return resolveDirection({ ...ofJitter, ...merged }, { inputs, mtuBytes: was.emulation?.mtuBytes });
}
