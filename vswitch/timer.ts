/**
 * The main thread's one timer, for handshakes. `main.ts` makes it and passes it on: whoever waits takes a `Timer`, which is
 * virtual in tests. The engine's thread has none; it waits for descriptors and deadlines in the addon.
 */
/* eslint-disable no-restricted-globals -- said above */

export interface Timer {
  /** Since some moment before; never goes back. */
  nowMs(): number;
  /** Calls `wake` at that time, or at once where it has passed. Takes the place of what was asked before; Infinity: never. */
  wakeAt(ms: number, wake: () => void): void;
}

/** Longer waits come in parts: setTimeout takes 31 bits of milliseconds. */
const LONGEST_MS = 2 ** 30;

export class SystemTimer implements Timer {
  #timeout: NodeJS.Timeout | undefined;

  constructor() {
    this.#timeout = undefined;
  }

  nowMs(): number {
    return performance.now();
  }

  wakeAt(ms: number, wake: () => void): void {
    clearTimeout(this.#timeout);
    if (ms === Infinity) return;
    this.#timeout = setTimeout(wake, Math.min(Math.max(ms - this.nowMs(), 0), LONGEST_MS));
    // What a process waits for to end is its engine.
    this.#timeout.unref();
  }
}
