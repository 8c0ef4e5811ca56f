/** Fields of a direction's times, in nanoseconds: one typed array, since a double that crosses a call is garbage. */
export const Time = {
  /** Of what is being done; may be behind the engine's clock. What disciplines have as `Waiting.now`. */
  now: 0,
  /** When the line can begin with the next packet; Infinity: none waits, and the line is idle. */
  start: 1,
  /** When the line ends, or ended, with the packet that it began with last. */
  finish: 2,
  /** When the packets that are sent on their way left the line. */
  left: 3,
  /** When the last packet whose order is kept is due. */
  lastDue: 4,
} as const;

export function makeTimes(): Float64Array {
  const times = new Float64Array(5);
  resetTimes(times);
  return times;
}

/** Nothing has passed yet. */
export function resetTimes(times: Float64Array): void {
  times[Time.start] = Infinity;
  times[Time.finish] = -1;
  times[Time.lastDue] = -1;
}
