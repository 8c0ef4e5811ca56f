/**
 * What a link does to frames in one direction, as it is written in a scenario, in an event and behind `luthier set`: the
 * schema of each key. `control/scenario/direction.ts` makes an `Emulation` of it. Every key but `state` takes `none` too,
 * which is as if the key had not been written.
 */
import * as z from 'zod';
import { MAX_DELAY_NS, MAX_LOSS_STATES, MAX_RATE_BPS, MIN_RATE_BPS } from './emulation.js';
import { UsageError } from './errors.js';
import { parseLoss } from './loss.js';
import { quoted, suggestion } from './names.js';
import { queue } from './queue.js';
import { DECIMAL, quantity, RATIO_PATTERN, ratioLike, readableBy, strict, text, twoLines } from './schema.js';
import { bounded, formatDuration, formatRate, parseDuration, parseRate, parseRatio } from './units.js';

/** Takes a property away. */
export const NONE = 'none';

/** `parse`, of what is not `none`. */
function orNone<Value>(parse: (value: Value) => unknown): (value: Value) => void {
  return (value) => {
    if (value !== NONE) parse(value);
  };
}

const rate = quantity(
  'a rate',
  '100mbit',
  orNone(
    bounded(parseRate, formatRate, {
      least: [MIN_RATE_BPS, 'a frame of 1514 bytes would take longer than 12 s; "state: down" carries nothing'],
      most: [MAX_RATE_BPS, 'leave the rate out for no limit'],
    }),
  ),
  `^${DECIMAL}[kmg]?bit$|^none$`,
  'Bits per second, 1kbit to 100gbit: bit kbit mbit gbit.',
);

/** `delay` and `jitter`: what is in flight is kept in memory. */
function time(description: string) {
  const parse = bounded(parseDuration, formatDuration, { most: [MAX_DELAY_NS, 'no link takes longer than that'] });
  return quantity('a time', '10ms', orNone(parse), `^${DECIMAL}(ns|us|ms|s|m|h)$|^none$`, description);
}

const ratio = ratioLike(
  orNone(parseRatio),
  'a ratio is expected\nwrite "0.1%" or 0.001',
  `${RATIO_PATTERN}|^none$`,
  'A ratio from 0 to 1, as a percentage or a number.',
);

const lossText = ratioLike(
  orNone(parseLoss),
  'a ratio, a model of loss or a list of states is expected\nwrite "0.1%", 0.001 or "gilbert-elliott 1% 10%"',
  `${RATIO_PATTERN}|^none$|^random( ${DECIMAL}%?){1,2}$|^gilbert-elliott( ${DECIMAL}%?){2,4}$`,
  'A ratio; random RATIO CORRELATION; or gilbert-elliott P R [BAD [GOOD]]: the chances to enter and to leave the bad state, and of loss in each.',
);
const chance = ratioLike(parseRatio, 'a ratio is expected\nwrite "0.1%" or 0.001', RATIO_PATTERN, 'From 0 to 1.');
const lossStates = z
  .array(strict({ ratio: chance, next: z.array(chance) }))
  .min(1, { error: 'a loss by states has at least one state\nwrite "0" for none' })
  .max(MAX_LOSS_STATES, { error: `a loss has at most ${MAX_LOSS_STATES} states` })
  .check(readableBy(parseLoss))
  .meta({
    description:
      'States of a Markov chain, which begins in the first: of each, the loss in it and the chances of each to be next.',
  });

export const DISTRIBUTIONS = ['uniform', 'normal', 'pareto', 'paretonormal'] as const;

/** A path has a slash or a dot in it: a misspelt name is no file that there is not. */
const isPath = (value: string): boolean => /[./]/.test(value);

const distribution = text('a distribution')
  .check(
    readableBy((value: string) => {
      if (value === NONE || isPath(value) || DISTRIBUTIONS.some((known) => known === value)) return;
      throw new UsageError(`${quoted(value)} is not one of ${DISTRIBUTIONS.join(', ')}`, {
        hint: `${suggestion(value, DISTRIBUTIONS)!} The path of a table has a "/" or a "." in it`,
      });
    }),
  )
  .meta({
    description: 'Of the jitter: uniform, normal, pareto, paretonormal, or the path of a table. Default: normal.',
    anyOf: [{ enum: [...DISTRIBUTIONS, NONE] }, { pattern: '[./]' }],
  });

const state = z.enum(['up', 'down']).meta({ description: 'Whether frames pass. Default: up.' });

export const directionShape = {
  state: state.optional(),
  rate: rate.optional(),
  trace: text('the path of a trace')
    .min(1, { error: 'the path of a trace is empty' })
    .meta({ description: 'Path of a packet-delivery trace of Mahimahi, instead of a rate.' })
    .optional(),
  overhead: z
    .literal([0, 24, NONE], {
      error: () => twoLines('overhead is 0 or 24', '0 counts the frame without FCS, 24 adds preamble, FCS and gap'),
    })
    .meta({ description: 'Bytes that the rate counts beside each frame: 0, or 24 for preamble, FCS and gap.' })
    .optional(),
  queue: queue.optional(),
  delay: time('How long a frame is on its way: ns us ms s m h, at most 1h.').optional(),
  jitter: time('Standard deviation of the delay; for uniform, the half-width.').optional(),
  distribution: distribution.optional(),
  correlation: ratio.optional(),
  loss: z.union([lossText, lossStates]).optional(),
  duplicate: ratio.optional(),
  reorder: ratio.optional(),
  corrupt: ratio.optional(),
  segments: z
    .enum(['auto', 'wire', NONE])
    .meta({ description: 'Whether runs of segments may stay whole. Default: auto.' })
    .optional(),
};

export const direction = strict(directionShape);

/** Properties of one direction, units as written. */
export type RawLinkProperties = z.infer<typeof direction>;

/** The names of the keys in `RawLinkProperties`, in the order of the reference. */
export const LINK_PROPERTIES = Object.keys(directionShape) as readonly (keyof RawLinkProperties)[];

/** `rate=10mbit delay=20ms`, as it could be said to `luthier set`. */
export function settingsText(properties: RawLinkProperties): string {
  const words = Object.entries(properties).map(([key, value]) => {
    return `${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`;
  });
  return words.join(' ');
}
