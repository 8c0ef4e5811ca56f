/**
 * How the engine's thread waits until something is due. A thread that sleeps is woken some 50 µs late, and one that slept
 * for long finds its code in no cache. So where a link is due that is emulated, the thread is awake for the last moments before,
 * and after a long sleep lets a frame of its own through first (`rehearsal.ts`):
 *
 *   asleep                                        │ rehearsal │ awake │ due
 *   ──────────────────────────────────────────────┴───────────┴───────┴──▶
 *
 * Both together take at most a tenth of all time, lest deadlines that never end take a processor; what there is of it goes to
 * being awake first.
 *
 * While no emulated link holds anything, nobody asks when exactly a frame was read: there the engine is woken at a pace.
 *
 * Called by `worker.ts` between two breaths; allocates nothing.
 */
import type { NativeIo } from './device/native-io.js';
import type { Rehearsal } from './rehearsal.js';

/** After so long a sleep, caches have lost what a frame's way needs. */
const COLD_NS = 2e6;
/** Where one descriptor wakes it again and again (native/wait.c). */
const PACE_NS = 40_000;
const AWAKE_SHARE = 0.1;
/** And never more than this of it at once. */
const AWAKE_BURST_NS = 10e6;

export class Waiter {
  readonly #io: Pick<NativeIo, 'now' | 'tick'>;
  readonly #wait: () => number;
  readonly #now: Float64Array;
  readonly #rehearsal: Pick<Rehearsal, 'run' | 'took' | 'leadNs'>;
  /** `[0]`: how much of that tenth is left, as of `[1]`. */
  readonly #share: Float64Array;

  /** `wait`: as `Native.wait`, told by `io.now[1]` to `[3]`. */
  constructor(
    io: Pick<NativeIo, 'now' | 'tick'>,
    rehearsal: Pick<Rehearsal, 'run' | 'took' | 'leadNs'>,
    wait: () => number,
  ) {
    this.#io = io;
    this.#wait = wait;
    this.#now = io.now;
    this.#rehearsal = rehearsal;
    this.#share = new Float64Array([0, io.now[0]!]);
  }

  /**
   * Until a descriptor is ready or it is `now[1]`; awake for `now[2]` before that, as far as it may. Returns how many
   * descriptors are ready.
   */
  wait(): number {
    const now = this.#now;
    const dueNs = now[1]!;
    const awakeNs = now[2]!;
    now[3] = awakeNs === 0 ? PACE_NS : 0;
    if (awakeNs === 0) return this.#wait();
    this.#earn();
    if (dueNs - now[0]! > COLD_NS && this.#share[0]! >= this.#rehearsal.leadNs[0]! + awakeNs) {
      now[1] = dueNs - awakeNs - this.#rehearsal.leadNs[0]!;
      now[2] = 0;
      const ready = this.#wait();
      if (ready !== 0) return ready;
      this.#rehearse();
      now[1] = dueNs;
    }
    now[2] = awakeNs <= this.#share[0]! ? awakeNs : 0;
    const ready = this.#wait();
    this.#share[0]! -= now[2];
    return ready;
  }

  #earn(): void {
    const share = this.#share;
    share[0] = Math.min(AWAKE_BURST_NS, share[0]! + (this.#now[0]! - share[1]!) * AWAKE_SHARE);
    share[1] = this.#now[0]!;
  }

  #rehearse(): void {
    const now = this.#now;
    const beganNs = now[0]!;
    this.#rehearsal.run();
    this.#io.tick();
    this.#rehearsal.took(now[0]! - beganNs);
    this.#share[0]! -= now[0]! - beganNs;
  }
}
