/**
 * What may wait for a link, as it is written: a limit (`100p`, `64KiB`, `20ms`), which is a drop-tail queue; the name of a
 * discipline (`fq-codel`); or a mapping of a discipline and its parameters. And what it comes to, with the defaults of the
 * discipline's RFC.
 *
 * Used by the scenario's schema and by `control/scenario/`.
 */
import * as z from 'zod';
import {
  MAX_DELAY_NS,
  MAX_FLOWS,
  MAX_GAIN,
  MAX_QUEUE_BYTES,
  MAX_QUEUE_PACKETS,
  MIN_QUANTUM_BYTES,
  MIN_UPDATE_NS,
  type Queue,
  type QueueLimit,
} from './emulation.js';
import { UsageError } from './errors.js';
import { quoted } from './names.js';
import { DECIMAL, quantity, ratioLike, RATIO_PATTERN, strict } from './schema.js';
import {
  bounded,
  formatDuration,
  formatPackets,
  formatRatio,
  formatSize,
  parseDuration,
  parsePackets,
  parseRatio,
  parseSize,
} from './units.js';

// --- as it is written ------------------------------------------------------------------------------------------------

const TIME_PATTERN = `^${DECIMAL}(ns|us|ms|s|m|h)$`;
const SIZE_PATTERN = `^${DECIMAL}([kM]?B|[KM]iB)$`;

const packets = bounded(parsePackets, formatPackets, {
  most: [MAX_QUEUE_PACKETS, `the longest queue is ${formatPackets(MAX_QUEUE_PACKETS)}`],
});
const bytes = bounded(parseSize, formatSize, {
  least: [1, 'leave it out for the default'],
  most: [MAX_QUEUE_BYTES, `the most that can wait is ${formatSize(MAX_QUEUE_BYTES)}`],
});
const someTime = bounded(parseDuration, formatDuration, {
  least: [1, 'leave it out for the default'],
  most: [MAX_DELAY_NS, 'nothing waits longer than that'],
});

const quantumBytes = bounded(parseSize, formatSize, {
  least: [MIN_QUANTUM_BYTES, 'a turn is worth a packet or so'],
  most: [MAX_QUEUE_BYTES, `the most that can wait is ${formatSize(MAX_QUEUE_BYTES)}`],
});
const updateTime = bounded(parseDuration, formatDuration, {
  least: [MIN_UPDATE_NS, 'a queue that reckons more often does nothing else'],
  most: [MAX_DELAY_NS, 'nothing waits longer than that'],
});

/** Packets (`100p`), bytes (`64KiB`) or time at the link’s rate (`20ms`). More than 0. */
export function parseLimit(text: string): QueueLimit {
  const unit = text.replace(/^[0-9.]+/, '');
  let limit: QueueLimit;
  if (unit === 'p') limit = { unit: 'packets', packets: packets(text) };
  else if (/B$/.test(unit)) limit = { unit: 'bytes', bytes: bytes(text) };
  else if (/^(ns|us|ms|s|m|h)$/.test(unit)) limit = { unit: 'time', durationNs: someTime(text) };
  else {
    throw new UsageError(`${quoted(text)} is not a queue's length`, {
      hint: 'write packets ("100p"), a size ("64KiB"), a time ("20ms"), or a discipline ("fq-codel")',
    });
  }
  if (limit.unit === 'packets' && limit.packets === 0)
    throw new UsageError(`${quoted(text)} holds nothing`, { hint: 'the shortest queue is "1p"' });
  return limit;
}

const limit = quantity(
  'a queue’s length',
  '64KiB',
  parseLimit,
  `^${DECIMAL}(p|[kM]?B|[KM]iB|ns|us|ms|s|m|h)$`,
  'What may wait: packets (100p), bytes (64KiB) or time at the link’s rate (20ms).',
).optional();
const time = (description: string) => quantity('a time', '5ms', someTime, TIME_PATTERN, description);
const size = (description: string) => quantity('a size', '30kB', bytes, SIZE_PATTERN, description);
const chance = (description: string) =>
  ratioLike(parseRatio, 'a ratio is expected\nwrite "10%" or 0.1', RATIO_PATTERN, description);
const gain = (example: number) =>
  z
    .number({ error: () => `a number is expected\nwrite ${example}` })
    .min(0, { error: 'the least is 0' })
    .max(MAX_GAIN, { error: `the most is ${MAX_GAIN}` })
    .meta({ description: `Default: ${example} (RFC 8033).` })
    .optional();
const ecn = (byDefault: boolean) =>
  z
    .boolean({ error: () => 'ecn is true or false' })
    .meta({ description: `Whether packets that can be are marked instead of dropped. Default: ${byDefault}.` })
    .optional();

const mapping = z.discriminatedUnion('discipline', [
  strict({ discipline: z.literal('drop-tail'), limit }),
  strict({
    discipline: z.literal('red'),
    limit,
    min: size('Below this average, nothing is dropped.'),
    max: size('From this average on, everything is.'),
    probability: chance('Of a drop just below max. Default: 10%.').optional(),
    weight: chance('Of a new value in the average. Default: 0.2%.').optional(),
    ecn: ecn(false),
  }),
  strict({
    discipline: z.literal('codel'),
    limit,
    target: time('Acceptable standing delay. Default: 5ms (RFC 8289).').optional(),
    interval: time('Time in which it must have been reached. Default: 100ms (RFC 8289).').optional(),
    ecn: ecn(false),
  }),
  strict({
    discipline: z.literal('fq-codel'),
    limit,
    target: time('Acceptable standing delay. Default: 5ms (RFC 8290).').optional(),
    interval: time('Time in which it must have been reached. Default: 100ms (RFC 8290).').optional(),
    flows: z
      .int({ error: () => 'flows is a whole number\nwrite 1024' })
      .min(1, { error: 'flows is at least 1' })
      .max(MAX_FLOWS, { error: `flows is at most ${MAX_FLOWS}` })
      .meta({ description: 'Queues that packets are hashed to. Default: 1024 (RFC 8290).' })
      .optional(),
    quantum: quantity(
      'a size',
      '1514B',
      quantumBytes,
      SIZE_PATTERN,
      'Bytes that a flow may send in its turn. Default: 1514B (RFC 8290).',
    ).optional(),
    ecn: ecn(true),
  }),
  strict({
    discipline: z.literal('pie'),
    limit,
    target: time('Delay that it steers to. Default: 15ms (RFC 8033).').optional(),
    update: quantity(
      'a time',
      '15ms',
      updateTime,
      TIME_PATTERN,
      'How often it reckons anew. Default: 15ms (RFC 8033).',
    ).optional(),
    alpha: gain(0.125),
    beta: gain(1.25),
    burst: time('For how long a burst passes. Default: 150ms (RFC 8033).').optional(),
    ecn: ecn(false),
  }),
]);

const DISCIPLINES = ['drop-tail', 'red', 'codel', 'fq-codel', 'pie'] as const;

const EXPECTED = 'a queue is expected\nwrite a limit, "64KiB", or a mapping: { discipline: fq-codel }';

const text = z
  .string({
    error: (issue) => (typeof issue.input === 'number' ? `${issue.input} has no unit\nwrite "100p"` : EXPECTED),
  })
  .check((context) => {
    try {
      if (context.value !== 'none') parseQueue(context.value, UNBOUNDED);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      const message = error.hint === undefined ? error.message : `${error.message}\n${error.hint}`;
      context.issues.push({ code: 'custom', input: context.value, message });
    }
  })
  .meta({
    description: 'A limit, which is a drop-tail queue, or a discipline with the defaults of its RFC.',
    examples: ['64KiB', 'fq-codel'],
    pattern: `^${DECIMAL}(p|[kM]?B|[KM]iB|ns|us|ms|s|m|h)$|^(none|drop-tail|codel|fq-codel|pie)$`,
  });

export const queue = z.union([text, mapping]);

type RawDiscipline = z.infer<typeof mapping>;
export type RawQueue = string | RawDiscipline;

// --- what it comes to ------------------------------------------------------------------------------------------------

/** Of a queue whose default limit does not matter. */
const UNBOUNDED: QueueLimit = { unit: 'bytes', bytes: MAX_QUEUE_BYTES };
/** RFC 8290, section 5.2.3 */
const FQ_CODEL_LIMIT: QueueLimit = { unit: 'packets', packets: 10_240 };

/** `defaultLimit` is that of a queue which says none. Throws `UsageError`. */
export function parseQueue(value: RawQueue, defaultLimit: QueueLimit): Queue {
  if (typeof value === 'object') return parseDiscipline(value, defaultLimit);
  const discipline = DISCIPLINES.find((known) => known === value);
  if (discipline === undefined) return { discipline: 'drop-tail', limit: parseLimit(value) };
  if (discipline === 'red')
    throw new UsageError('red has no thresholds that are right everywhere', {
      hint: 'write { discipline: red, min: 30kB, max: 90kB }',
    });
  return parseDiscipline({ discipline }, defaultLimit);
}

/** Floyd and Jacobson 1993; RFC 8289, sections 4.2 and 4.3; RFC 8290, section 5.2; RFC 8033, section 4. */
function parseDiscipline(value: RawDiscipline, defaultLimit: QueueLimit): Queue {
  const given = value.limit === undefined ? undefined : parseLimit(value.limit);
  const limit = given ?? (value.discipline === 'fq-codel' ? FQ_CODEL_LIMIT : defaultLimit);
  const { discipline } = value;
  switch (discipline) {
    case 'drop-tail':
      return { discipline, limit };
    case 'red': {
      const { min, max, probability = 0.1, weight = 0.002, ecn = false } = value;
      const [minBytes, maxBytes] = [parseSize(min), parseSize(max)];
      const [markRatio, weightRatio] = [parseRatio(probability), parseRatio(weight)];
      return { discipline, limit, minBytes, maxBytes, markRatio, weightRatio, ecn };
    }
    case 'codel': {
      const { target = '5ms', interval = '100ms', ecn = false } = value;
      return { discipline, limit, targetNs: parseDuration(target), intervalNs: parseDuration(interval), ecn };
    }
    case 'fq-codel': {
      const { target = '5ms', interval = '100ms', flows = 1024, quantum = '1514B', ecn = true } = value;
      const [targetNs, intervalNs] = [parseDuration(target), parseDuration(interval)];
      return { discipline, limit, targetNs, intervalNs, flows, quantumBytes: parseSize(quantum), ecn };
    }
    case 'pie': {
      const { target = '15ms', update = '15ms', alpha = 0.125, beta = 1.25, burst = '150ms', ecn = false } = value;
      const [targetNs, updateNs] = [parseDuration(target), parseDuration(update)];
      return { discipline, limit, targetNs, updateNs, alpha, beta, maxBurstNs: parseDuration(burst), ecn };
    }
  }
}

/** What `parseQueue` reads back to the same; undefined for the queue that a link has of itself. */
export function formatQueue(queue: Queue): RawQueue | undefined {
  const { discipline, limit } = queue;
  const byDefault = limit.unit === 'bytes' && limit.byDefault === true;
  if (discipline === 'drop-tail') return byDefault ? undefined : formatLimit(limit);
  const said = byDefault ? {} : { limit: formatLimit(limit) };
  switch (discipline) {
    case 'red':
      return {
        discipline,
        ...said,
        min: formatSize(queue.minBytes),
        max: formatSize(queue.maxBytes),
        probability: formatRatio(queue.markRatio),
        weight: formatRatio(queue.weightRatio),
        ecn: queue.ecn,
      };
    case 'codel':
      return { discipline, ...said, ...standing(queue), ecn: queue.ecn };
    case 'fq-codel': {
      const { flows, quantumBytes, ecn } = queue;
      return { discipline, ...said, ...standing(queue), flows, quantum: formatSize(quantumBytes), ecn };
    }
    case 'pie': {
      const { targetNs, updateNs, alpha, beta, maxBurstNs, ecn } = queue;
      const times = { target: formatDuration(targetNs), update: formatDuration(updateNs) };
      return { discipline, ...said, ...times, alpha, beta, burst: formatDuration(maxBurstNs), ecn };
    }
  }
}

function standing({ targetNs, intervalNs }: { readonly targetNs: number; readonly intervalNs: number }) {
  return { target: formatDuration(targetNs), interval: formatDuration(intervalNs) };
}

function formatLimit(limit: QueueLimit): string {
  switch (limit.unit) {
    case 'packets':
      return formatPackets(limit.packets);
    case 'bytes':
      return formatSize(limit.bytes);
    case 'time':
      return formatDuration(limit.durationNs);
  }
}
