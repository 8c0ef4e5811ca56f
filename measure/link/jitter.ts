/**
 * Part `jitter`: delays of one direction as they were drawn, beside the distribution that was asked for. Pings are so far
 * apart that none has to wait for the one before, which the link would otherwise make it: order is kept.
 */
import type { JitterReport } from '../../model/bench-link.js';
import { mean, median, sigma } from '../statistics.js';
import { timedPings } from './pings.js';
import type { LinkStage } from './stage.js';
import { deviation, distanceTo, type Shape } from './theory.js';

export interface JitterExtent {
  readonly shapes: readonly Shape[];
  readonly pings: number;
}

const DELAY_NS = 20e6;
const JITTER_NS = 1e6;
/** Many of the widest shape's deviations. */
const INTERVAL_SECONDS = 0.01;
/** Of √n times the distance, at 1 % (Kolmogorov's distribution). */
const KOLMOGOROV_1_PERCENT = 1.628;

export async function measureJitter(
  stage: LinkStage,
  { shapes, pings }: JitterExtent,
  signal: AbortSignal,
  onStep: (what: string) => void,
): Promise<JitterReport[]> {
  const series = { count: pings, intervalSeconds: INTERVAL_SECONDS, answerSeconds: 1 };
  return stage.each(shapes, async (distribution) => {
    onStep(`jitter, ${distribution}`);
    await stage.emulate({});
    const plainUs = median((await timedPings(stage.ours, series, signal)).oneWayUs);
    await stage.emulate({ delay: `${DELAY_NS}ns`, jitter: `${JITTER_NS}ns`, distribution }, 'from h1');
    const { oneWayUs } = await timedPings(stage.ours, series, signal);
    return jitterReport(
      distribution,
      oneWayUs.map((us) => us - plainUs),
    );
  });
}

export function jitterReport(distribution: Shape, delaysUs: readonly number[]): JitterReport {
  const oneWayUs = [...delaysUs].sort((a, b) => a - b);
  const deviations = oneWayUs.map((us) => deviation(us * 1e3, DELAY_NS, JITTER_NS));
  return {
    distribution,
    delayNs: DELAY_NS,
    jitterNs: JITTER_NS,
    oneWayUs: oneWayUs.map((us) => Number(us.toFixed(1))),
    meanUs: mean(oneWayUs),
    sigmaUs: sigma(oneWayUs),
    distance: distanceTo(distribution, deviations),
    bound: KOLMOGOROV_1_PERCENT / Math.sqrt(oneWayUs.length),
  };
}
