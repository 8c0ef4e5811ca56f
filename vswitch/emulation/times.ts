/** Fields of a direction's times, in nanoseconds: the first of its row (`rows.ts`), since a double that crosses a call is garbage. */
export const Time = {
  /** What `Qdisc.due` says. */
  due: 0,
  /** Of what is being done; may be behind the engine's clock. */
  now: 1,
  /** When the line can begin with the next packet; Infinity: none waits, and the line is idle. */
  start: 2,
  /** When the line ends, or ended, with the packet that it began with last. */
  finish: 3,
  /** When the packets that are sent on their way left the line. */
  left: 4,
  /** When the last packet whose order is kept is due. */
  lastDue: 5,
  /** When the first of those in flight arrives; Infinity: none is. */
  arrival: 6,
  /** As of when the next thing is to be done. */
  asOf: 7,
  /** When the last frame came, or it became what it is. */
  came: 8,
} as const;

export const TIMES = 9;

/** Nothing has passed yet. `at`: of the row. */
export function resetTimes(numbers: Float64Array, at: number): void {
  numbers[at + Time.start] = Infinity;
  numbers[at + Time.finish] = -1;
  numbers[at + Time.lastDue] = -1;
}
