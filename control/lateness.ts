/** Quantiles of a histogram of lateness: `EmulationCounters.lateness`. Pure. */

/**
 * So late at most were this part (0 … 1) of the frames: the upper end of the bucket that the last of them is in, which is
 * less than twice what is true. 0 of an empty histogram.
 */
export function atMostNs(lateness: readonly number[], part: number): number {
  const frames = lateness.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of lateness.entries()) {
    seen += count;
    if (count > 0 && seen >= part * frames) return bucket === 0 ? 0 : 2 ** bucket;
  }
  return 0;
}
