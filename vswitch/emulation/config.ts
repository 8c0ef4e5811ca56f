/** The shape of an `Emulation` as a switch process accepts it. Called by `../config.ts`. */
import * as z from 'zod';
import {
  MAX_DELAY_NS,
  MAX_FLOWS,
  MIN_QUANTUM_BYTES,
  MIN_UPDATE_NS,
  MAX_GAIN,
  MAX_LOSS_STATES,
  MAX_QUEUE_BYTES,
  MAX_QUEUE_PACKETS,
  MAX_RATE_BPS,
  MAX_RECORDED,
  MIN_RATE_BPS,
} from '../../model/emulation.js';

const name = z.string().min(1).max(4096);
const ratio = z.number().min(0).max(1);
const timeNs = z.int().min(0).max(MAX_DELAY_NS);
const someTimeNs = z.int().min(1).max(MAX_DELAY_NS);

const limit = z.discriminatedUnion('unit', [
  z.strictObject({ unit: z.literal('packets'), packets: z.int().min(1).max(MAX_QUEUE_PACKETS) }),
  z.strictObject({
    unit: z.literal('bytes'),
    bytes: z.int().min(1).max(MAX_QUEUE_BYTES),
    byDefault: z.literal(true).optional(),
  }),
  z.strictObject({ unit: z.literal('time'), durationNs: someTimeNs }),
]);

const queue = z.discriminatedUnion('discipline', [
  z.strictObject({ discipline: z.literal('drop-tail'), limit }),
  z
    .strictObject({
      discipline: z.literal('red'),
      limit,
      minBytes: z.int().min(1).max(MAX_QUEUE_BYTES),
      maxBytes: z.int().min(2).max(MAX_QUEUE_BYTES),
      markRatio: ratio,
      weightRatio: ratio,
      ecn: z.boolean(),
    })
    .refine(({ minBytes, maxBytes }) => minBytes < maxBytes, { error: 'min is not below max' }),
  z.strictObject({
    discipline: z.literal('codel'),
    limit,
    targetNs: someTimeNs,
    intervalNs: someTimeNs,
    ecn: z.boolean(),
  }),
  z.strictObject({
    discipline: z.literal('fq-codel'),
    limit,
    targetNs: someTimeNs,
    intervalNs: someTimeNs,
    flows: z.int().min(1).max(MAX_FLOWS),
    quantumBytes: z.int().min(MIN_QUANTUM_BYTES).max(MAX_QUEUE_BYTES),
    ecn: z.boolean(),
  }),
  z.strictObject({
    discipline: z.literal('pie'),
    limit,
    targetNs: someTimeNs,
    updateNs: z.int().min(MIN_UPDATE_NS).max(MAX_DELAY_NS),
    alpha: z.number().min(0).max(MAX_GAIN),
    beta: z.number().min(0).max(MAX_GAIN),
    maxBurstNs: timeNs,
    ecn: z.boolean(),
  }),
]);

const loss = z.discriminatedUnion('model', [
  z.strictObject({ model: z.literal('random'), lossRatio: ratio, correlationRatio: ratio }),
  z.strictObject({
    model: z.literal('gilbert-elliott'),
    toBadRatio: ratio,
    toGoodRatio: ratio,
    badLossRatio: ratio,
    goodLossRatio: ratio,
  }),
  z.strictObject({
    model: z.literal('states'),
    states: z
      .array(z.strictObject({ lossRatio: ratio, nextRatios: z.array(ratio).max(MAX_LOSS_STATES) }))
      .min(1)
      .max(MAX_LOSS_STATES)
      .refine((states) => states.every(({ nextRatios }) => nextRatios.length === states.length), {
        error: 'a state has a chance for each state to be the next one',
      }),
  }),
]);

const emulation = z.strictObject({
  rateBps: z.int().min(MIN_RATE_BPS).max(MAX_RATE_BPS).optional(),
  trace: name.optional(),
  overheadBytes: z.union([z.literal(0), z.literal(24)]),
  delayNs: timeNs,
  jitter: z
    .strictObject({
      jitterNs: someTimeNs,
      distribution: z.union([z.enum(['uniform', 'normal', 'pareto', 'paretonormal']), z.strictObject({ table: name })]),
      correlationRatio: ratio,
    })
    .optional(),
  loss: loss.optional(),
  duplicateRatio: ratio,
  reorderRatio: ratio,
  corruptRatio: ratio,
  queue,
  mtuBytes: z.int().min(68).max(65521).optional(),
  segments: z.enum(['auto', 'wire']),
});

export const linkPropertiesSchema = z.strictObject({ state: z.enum(['up', 'down']), emulation: emulation.optional() });

const ascending = z
  .array(z.number())
  .min(1)
  .max(MAX_RECORDED)
  .refine((values) => values.every((value, i) => i === 0 || value >= values[i - 1]!), { error: 'is not ascending' });
export const inputsSchema = z.strictObject({
  // The last one is the period.
  traces: z.record(
    name,
    ascending.refine((values) => values[0]! >= 0 && values.at(-1)! > 0, { error: 'has no period' }),
  ),
  distributions: z.record(name, ascending),
});
