/**
 * How a loss is written, in its four forms, and what it comes to:
 *
 *   0.1%                              each segment by itself
 *   random 0.1% 25%                   with the autocorrelation of one segment's fate and the next one's
 *   gilbert-elliott 1% 10% 50% 0.1%   to the bad state, to the good state, lost in the bad one, lost in the good one
 *   [{ ratio: 0, next: [99%, 1%] }, { ratio: 50%, next: [10%, 90%] }]   a Markov chain of any states
 *
 * Used by the scenario's schema and by `control/scenario/`.
 */
import type { LossModel } from './emulation.js';
import { UsageError } from './errors.js';
import { quoted } from './names.js';
import { formatRatio, parseRatio } from './units.js';

type States = Extract<LossModel, { model: 'states' }>['states'];
type RawStates = readonly { readonly ratio: string | number; readonly next: readonly (string | number)[] }[];

/** How far from 1 the sum of a state's chances may be: decimals that add up to 1 do not always in binary. */
const SUM_TOLERANCE = 1e-9;

const HINT = 'write a ratio ("0.1%"), "random 0.1% 25%" with a correlation, or "gilbert-elliott 1% 10%"';

/** Undefined: none is lost. */
export function parseLoss(value: string | number | RawStates): LossModel | undefined {
  if (typeof value === 'object') return { model: 'states', states: parseStates(value) };
  if (typeof value === 'number' || !/^[a-z]/i.test(value)) return random(parseRatio(value), 0);
  const [model = '', ...parameters] = value.split(' ');
  if (model !== 'random' && model !== 'gilbert-elliott')
    throw new UsageError(`${quoted(model)} is not a model of loss`, { hint: HINT });
  const [least, most, takes] = model === 'random' ? [1, 2, 'one or two ratios'] : [2, 4, 'two to four ratios'];
  if (parameters.length < least || parameters.length > most)
    throw new UsageError(`${model} takes ${takes}, ${quoted(value)} gives ${parameters.length}`, { hint: HINT });
  const ratios = parameters.map(parseRatio);
  if (model === 'random') return random(ratios[0]!, ratios[1] ?? 0);
  // The order and the defaults are those of tc-netem(8)'s `loss gemodel p r 1-h 1-k`.
  const [toBadRatio, toGoodRatio, badLossRatio = 1, goodLossRatio = 0] = ratios;
  return { model, toBadRatio: toBadRatio!, toGoodRatio: toGoodRatio!, badLossRatio, goodLossRatio };
}

function random(lossRatio: number, correlationRatio: number): LossModel | undefined {
  if (lossRatio === 0 && correlationRatio > 0)
    throw new UsageError('a correlation of what is never lost means nothing', { hint: 'leave it out, or write "0"' });
  return lossRatio === 0 ? undefined : { model: 'random', lossRatio, correlationRatio };
}

function parseStates(states: RawStates): States {
  return states.map((state, i) => {
    const nextRatios = state.next.map(parseRatio);
    if (nextRatios.length !== states.length)
      throw new UsageError(
        `state ${i + 1} has chances of ${nextRatios.length} next states, and there are ${states.length} states`,
        { hint: '"next" has one chance for each state, its own included' },
      );
    const sum = nextRatios.reduce((total, chance) => total + chance, 0);
    if (Math.abs(sum - 1) > SUM_TOLERANCE)
      throw new UsageError(`the chances of what comes after state ${i + 1} add up to ${Number(sum.toFixed(9))}`, {
        hint: 'together they are 1, or 100%',
      });
    return { lossRatio: parseRatio(state.ratio), nextRatios };
  });
}

/** What `parseLoss` reads back to the same. */
export function formatLoss(loss: LossModel): string | number | { ratio: string | number; next: (string | number)[] }[] {
  switch (loss.model) {
    case 'random': {
      const { lossRatio, correlationRatio } = loss;
      return correlationRatio === 0
        ? formatRatio(lossRatio)
        : ['random', lossText(lossRatio), lossText(correlationRatio)].join(' ');
    }
    case 'gilbert-elliott': {
      const { toBadRatio, toGoodRatio, badLossRatio, goodLossRatio } = loss;
      const inEach = goodLossRatio === 0 ? (badLossRatio === 1 ? [] : [badLossRatio]) : [badLossRatio, goodLossRatio];
      return ['gilbert-elliott', ...[toBadRatio, toGoodRatio, ...inEach].map(lossText)].join(' ');
    }
    case 'states':
      return loss.states.map(({ lossRatio, nextRatios }) => ({
        ratio: formatRatio(lossRatio),
        next: nextRatios.map(formatRatio),
      }));
  }
}

function lossText(value: number): string {
  return String(formatRatio(value));
}
