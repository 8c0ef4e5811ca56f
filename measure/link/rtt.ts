/**
 * Part `rtt`: round trips over an emulated link, over the same link without emulation, and over a kernel bridge, one after
 * the other for each delay. An emulated round trip should take what the kernel's takes on average, and twice the delay.
 */
import type { DelayReport, RttError, RttSeries } from '../../model/bench-link.js';
import { mean, quantile, sigma } from '../statistics.js';
import { timedPings, type PingSeries, type TimedTrips } from './pings.js';
import type { LinkStage } from './stage.js';

export interface RttExtent {
  readonly delaysNs: readonly number[];
  readonly pings: number;
}

const INTERVAL_SECONDS = 0.01;
/** Of a round trip that is emulated longer than this, fewer are measured: each series goes on for a while after its last. */
const LONG_NS = 1e9;

export async function measureDelays(
  stage: LinkStage,
  { delaysNs, pings }: RttExtent,
  signal: AbortSignal,
  onStep: (what: string) => void,
): Promise<DelayReport[]> {
  return stage.each(delaysNs, async (delayNs) => {
    onStep(`round trips, delay ${delayNs / 1e6} ms`);
    const series: PingSeries = {
      count: delayNs >= LONG_NS ? Math.ceil(pings / 2) : pings,
      intervalSeconds: INTERVAL_SECONDS,
      answerSeconds: 1,
    };
    const reference = await timedPings(stage.kernel, series, signal);
    await stage.emulate({});
    const plain = await timedPings(stage.ours, series, signal);
    await stage.emulate({ delay: `${delayNs}ns` });
    const emulated = await timedPings(stage.ours, { ...series, answerSeconds: 1 + (2 * delayNs) / 1e9 }, signal);
    return delayReport(delayNs, INTERVAL_SECONDS, { reference, plain, emulated });
  });
}

export function delayReport(
  delayNs: number,
  intervalSeconds: number,
  { reference, plain, emulated }: Readonly<Record<'reference' | 'plain' | 'emulated', TimedTrips>>,
): DelayReport {
  const expectedUs = mean(reference.us);
  return {
    delayNs,
    intervalSeconds,
    reference: seriesOf(reference),
    plain: seriesOf(plain),
    emulated: seriesOf(emulated),
    error: errorOf(emulated.us, expectedUs + (2 * delayNs) / 1e3),
    referenceError: errorOf(reference.us, expectedUs),
    plainError: errorOf(plain.us, expectedUs),
  };
}

function seriesOf({ sent, us, oneWayUs }: TimedTrips): RttSeries {
  return {
    sent,
    received: us.length,
    meanUs: mean(us),
    sigmaUs: sigma(us),
    p50Us: quantile(us, 0.5),
    p99Us: quantile(us, 0.99),
    p999Us: quantile(us, 0.999),
    oneWayMeanUs: mean(oneWayUs),
    oneWaySigmaUs: sigma(oneWayUs),
  };
}

function errorOf(us: readonly number[], expectedUs: number): RttError {
  const off = us.map((value) => Math.abs(value - expectedUs));
  return {
    meanUs: mean(us) - expectedUs,
    p50Us: quantile(off, 0.5),
    p99Us: quantile(off, 0.99),
    p999Us: quantile(off, 0.999),
  };
}
