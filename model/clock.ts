/**
 * Time as an argument. Nothing under `vswitch/` reads a clock: it is given one of these.
 *
 * Times are nanoseconds since the clock's own start, as a double: exact to the nanosecond for 104 days.
 */
export interface Clock {
  nowNs(): number;
}

/** A clock that stands still until it is told otherwise: for tests and for virtual time. */
export class ManualClock implements Clock {
  #nowNs: number;

  constructor(startNs = 0) {
    this.#nowNs = startNs;
  }

  nowNs(): number {
    return this.#nowNs;
  }

  advance(ns: number): void {
    if (!(ns >= 0)) throw new RangeError(`a clock cannot go back: ${ns} ns`);
    this.#nowNs += ns;
  }
}
