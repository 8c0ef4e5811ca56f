/**
 * Parts `rtt` and, beside programs that keep every processor busy, `busy`: round trips over an emulated link, of a switch that leaves what it takes itself out of the delay and of one that
 * does not, over a link without emulation, and over a kernel bridge, one after the other for each delay. An emulated round
 * trip should take what the kernel's takes on average, and twice the delay.
 */
import { availableParallelism } from 'node:os';
import type { DelayReport, RttError, RttSeries } from '../../model/bench-link.js';
import { besideBusyLoops } from '../busy-loops.js';
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
  { stage, uncompensated }: { readonly stage: LinkStage; readonly uncompensated?: LinkStage },
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
    const patient = { ...series, answerSeconds: 1 + (2 * delayNs) / 1e9 };
    const emulated = await timedPings(stage.ours, patient, signal);
    if (delayNs === 0 || uncompensated === undefined)
      return delayReport(delayNs, INTERVAL_SECONDS, { reference, plain, emulated });
    await uncompensated.emulate({ delay: `${delayNs}ns` });
    const uncompensatedTrips = await timedPings(uncompensated.ours, patient, signal);
    const trips = { reference, plain, emulated, uncompensated: uncompensatedTrips };
    return delayReport(delayNs, INTERVAL_SECONDS, trips);
  });
}

/** One for each processor: whoever is not asleep has to share it. */
export async function measureBusy(
  stage: LinkStage,
  extent: RttExtent,
  signal: AbortSignal,
  onStep: (what: string) => void,
): Promise<DelayReport[]> {
  return besideBusyLoops(availableParallelism(), () =>
    measureDelays({ stage }, extent, signal, (what) => {
      onStep(`beside busy loops, ${what}`);
    }),
  );
}

interface DelayTrips {
  readonly reference: TimedTrips;
  readonly plain: TimedTrips;
  readonly emulated: TimedTrips;
  readonly uncompensated?: TimedTrips;
}

export function delayReport(
  delayNs: number,
  intervalSeconds: number,
  { reference, plain, emulated, uncompensated }: DelayTrips,
): DelayReport {
  const errorOf = (trips: TimedTrips, ns: number): RttError => rttError(trips, reference, ns / 1e3);
  return {
    delayNs,
    intervalSeconds,
    reference: seriesOf(reference),
    plain: seriesOf(plain),
    emulated: seriesOf(emulated),
    error: errorOf(emulated, delayNs),
    referenceError: errorOf(reference, 0),
    plainError: errorOf(plain, 0),
    ...(uncompensated && {
      uncompensated: seriesOf(uncompensated),
      uncompensatedError: errorOf(uncompensated, delayNs),
    }),
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

function rttError({ us, oneWayUs, interfaceUs }: TimedTrips, reference: TimedTrips, delayUs: number): RttError {
  const expectedUs = mean(reference.us) + 2 * delayUs;
  const off = us.map((value) => Math.abs(value - expectedUs));
  const expectedThereUs = mean(reference.interfaceUs) + 2 * delayUs;
  const offThere = interfaceUs.map((value) => Math.abs(value - expectedThereUs));
  return {
    meanUs: mean(us) - expectedUs,
    oneWayMeanUs: mean(oneWayUs) - mean(reference.oneWayUs) - delayUs,
    p50Us: quantile(off, 0.5),
    p99Us: quantile(off, 0.99),
    p999Us: quantile(off, 0.999),
    interfaceMeanUs: mean(interfaceUs) - expectedThereUs,
    interfaceP50Us: quantile(offThere, 0.5),
    interfaceP99Us: quantile(offThere, 0.99),
  };
}
