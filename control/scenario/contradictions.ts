/**
 * What keys of one direction cannot mean together, with the keys to blame: of those that take part, those that were
 * written here. Whether a key's value can be understood at all is the schema's to say.
 *
 * Called by `links.ts`, `events.ts` and `change-link.ts`.
 */
import type { Emulation, EmulationInputs, LinkProperties } from '../../model/emulation.js';
import type { RawLinkProperties } from '../../model/link-properties.js';
import { formatDuration, formatSize } from '../../model/units.js';
import { said, traceRateBps } from './direction.js';

type Key = keyof RawLinkProperties;

export interface Contradiction {
  /** That take part and were written here; the one to blame first. */
  readonly keys: readonly [Key, ...Key[]];
  readonly message: string;
  readonly hint: string;
}

export interface Judged {
  /** What it came to. */
  readonly properties: LinkProperties;
  /** What was written here: by a link, or by a change of it. */
  readonly written: RawLinkProperties;
  /** Of the link's packets, without the Ethernet header. */
  readonly mtuBytes: number;
  readonly inputs: EmulationInputs;
  /** An event will give it a rate or a trace: what serves one may stand already. */
  readonly rateComes?: boolean;
}

const ETHERNET_HEADER_BYTES = 14;

/** The first one; undefined where all fits. */
export function contradiction(judged: Judged): Contradiction | undefined {
  const { written, properties } = judged;
  const found = unused(judged) ?? (properties.emulation && clash(properties.emulation, judged));
  if (found === undefined) return undefined;
  const own = said(written);
  const [first = found.keys[0], ...others] = found.keys.filter((key) => own[key] !== undefined);
  return { ...found, keys: [first, ...others] };
}

/** A key that was written here and has nothing to act on. */
function unused({ properties: { emulation }, written, rateComes = false }: Judged): Contradiction | undefined {
  const own = said(written);
  if (emulation?.jitter === undefined) {
    const key =
      own.distribution !== undefined ? 'distribution' : own.correlation !== undefined ? 'correlation' : undefined;
    if (key !== undefined)
      return {
        keys: [key],
        message: `a ${key} of no jitter means nothing`,
        hint: 'give a "jitter" that is not 0, or leave it out',
      };
  }
  if ((emulation?.rateBps ?? emulation?.trace) === undefined && !rateComes) {
    if (own.queue !== undefined)
      return {
        keys: ['queue'],
        message: 'nothing waits where there is neither a rate nor a trace',
        hint: 'give a "rate", or leave "queue" out',
      };
    if (own.overhead !== undefined)
      return {
        keys: ['overhead'],
        message: 'an overhead counts towards a rate or a trace, and there is none',
        hint: 'give a "rate", or leave "overhead" out',
      };
  }
  return undefined;
}

function clash(emulation: Emulation, judged: Judged): Contradiction | undefined {
  const { rateBps, trace, jitter, delayNs, reorderRatio } = emulation;
  if (rateBps !== undefined && trace !== undefined)
    return {
      keys: ['trace', 'rate'],
      message: 'a trace says the rate of every moment: there is no other beside it',
      hint: 'give one of the two; "none" takes the other away',
    };
  if (jitter !== undefined && jitter.jitterNs > delayNs)
    return {
      keys: ['jitter', 'delay'],
      message: `a jitter of ${formatDuration(jitter.jitterNs)} is more than the delay, ${formatDuration(delayNs)}`,
      hint: 'no frame arrives before it was sent: the delay is at least the jitter',
    };
  if (reorderRatio > 0 && delayNs === 0)
    return {
      keys: ['reorder', 'delay'],
      message: 'what is not delayed cannot be overtaken',
      hint: 'give a "delay": what is reordered goes without it',
    };
  return tooShort(emulation, judged) ?? ofDiscipline(emulation, judged);
}

/** A queue that cannot take one frame of the link's MTU lets no such frame through. */
function tooShort(emulation: Emulation, { mtuBytes, inputs }: Judged): Contradiction | undefined {
  const { limit } = emulation.queue;
  const frameBytes = mtuBytes + ETHERNET_HEADER_BYTES;
  if (limit.unit === 'packets') return undefined;
  if (limit.unit === 'bytes') {
    if (limit.bytes >= frameBytes) return undefined;
    return {
      keys: ['queue'],
      message: `a queue of ${formatSize(limit.bytes)} is smaller than one frame of the link’s MTU, ${formatSize(frameBytes)}`,
      hint: `write at least ${formatSize(frameBytes)}, or "1p"`,
    };
  }
  const bitsPerSecond = bitsPerSecondOf(emulation, inputs);
  if (bitsPerSecond === undefined) return undefined;
  const { overheadBytes } = emulation;
  const leastNs = Math.ceil(((frameBytes + overheadBytes) * 8 * 1e9) / bitsPerSecond);
  if (limit.durationNs >= leastNs) return undefined;
  return {
    keys: ['queue', 'rate', 'trace', 'overhead'],
    message: `in ${formatDuration(limit.durationNs)} the link passes less than one frame of its MTU, ${formatSize(frameBytes)}`,
    hint: `write at least ${formatDuration(leastNs)} of queue, or "1p"`,
  };
}

function bitsPerSecondOf({ rateBps, trace }: Emulation, inputs: Judged['inputs']): number | undefined {
  return rateBps ?? (trace === undefined ? undefined : traceRateBps(trace, inputs));
}

/** Of what waits, however long its packets are, as far as the MTU lets them. */
function mostBytes(emulation: Emulation, { mtuBytes, inputs }: Judged): number {
  const { limit } = emulation.queue;
  if (limit.unit === 'bytes') return limit.bytes;
  if (limit.unit === 'packets') return limit.packets * (mtuBytes + ETHERNET_HEADER_BYTES);
  return ((bitsPerSecondOf(emulation, inputs) ?? Infinity) * limit.durationNs) / 8e9;
}

function ofDiscipline(emulation: Emulation, judged: Judged): Contradiction | undefined {
  const { queue } = emulation;
  if (queue.discipline === 'red') {
    const { minBytes, maxBytes } = queue;
    if (minBytes >= maxBytes)
      return {
        keys: ['queue'],
        message: `the least average of red, ${formatSize(minBytes)}, is not below the most, ${formatSize(maxBytes)}`,
        hint: '"max" is at least twice "min", better three times',
      };
    const most = mostBytes(emulation, judged);
    if (maxBytes > most)
      return {
        keys: ['queue'],
        message: `the average of red never reaches ${formatSize(maxBytes)} in a queue of at most ${formatSize(Math.floor(most))}`,
        hint: 'write a longer "limit", or a smaller "max"',
      };
  }
  if ((queue.discipline === 'codel' || queue.discipline === 'fq-codel') && queue.targetNs >= queue.intervalNs)
    return {
      keys: ['queue'],
      message: `the target of ${queue.discipline}, ${formatDuration(queue.targetNs)}, is not below its interval, ${formatDuration(queue.intervalNs)}`,
      hint: 'the target is 5 to 10 % of the interval (RFC 8289, section 4.3)',
    };
  return undefined;
}
