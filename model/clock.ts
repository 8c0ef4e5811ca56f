/**
 * Time as an argument. Nothing under `vswitch/` reads a clock: it is given one of these.
 *
 * Times are nanoseconds since the clock's own start, as a double: exact to the nanosecond for 104 days.
 */
export interface Clock {
  nowNs(): number;
  /** `now[0]`: the same, for who must leave no garbage: a double that a call returns may be a piece of it. */
  readonly now: Float64Array;
}

/** A clock that stands still until it is told otherwise: for tests and for virtual time. */
export class ManualClock implements Clock {
  readonly now: Float64Array;

  constructor(startNs = 0) {
    this.now = new Float64Array([startNs]);
  }

  nowNs(): number {
    return this.now[0]!;
  }

  advance(ns: number): void {
    if (!(ns >= 0)) throw new RangeError(`a clock cannot go back: ${ns} ns`);
    this.now[0]! += ns;
  }

  /** To that very moment: a difference that is added to another may be rounded. */
  moveTo(ns: number): void {
    if (!(ns >= this.now[0]!)) throw new RangeError(`a clock cannot go back: to ${ns} ns`);
    this.now[0] = ns;
  }
}
