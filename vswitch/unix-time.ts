/**
 * The one place under `vswitch/` that reads clocks of the machine: the processes' entries ask it once at their start, to say
 * when the engine's clock was 0. Frames never depend on it.
 */
/* eslint-disable no-restricted-globals, no-restricted-properties -- said above */
export function unixNowNs(): bigint {
  const { timeOrigin } = performance;
  // Two doubles of different size: added as integers, so that microseconds survive.
  return BigInt(Math.round(timeOrigin * 1e3)) * 1000n + BigInt(Math.round(performance.now() * 1e6));
}

/** CLOCK_MONOTONIC, which all processes of the machine share. */
export function monotonicNowNs(): number {
  return Number(process.hrtime.bigint());
}
