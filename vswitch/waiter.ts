/**
 * How the engine's thread waits until something is due. A thread that sleeps is woken late: after a sleep of 100 µs by some 6, after one
 * of 10 ms by some 50, on a virtual machine whose host has others to serve now and then by milliseconds; and one that slept for long
 * finds its code in no cache. So where a link is due that is emulated, the thread is awake for the last moments before, as many as
 * `oversleep.ts` has learned of sleeps of that length, and after a long sleep lets a frame of its own through first (`rehearsal.ts`):
 *
 *   asleep                                        │ rehearsal │ awake │ due
 *   ──────────────────────────────────────────────┴───────────┴───────┴──▶
 *
 * Both together take at most a tenth of all time, lest deadlines that never end take a processor; what there is of it goes to
 * being awake first. Of more than some moments, half of what is left goes to the next deadline: so each of many has its part.
 *
 * Who gets what is due sleeps as well, on a processor of its own, and is woken 50 µs late or more by then. So, where the machine lets
 * us, all its processors are asked to be awake from OTHERS_NS before, until the thread sleeps again: of what it leaves itself of
 * that tenth.
 *
 * While no emulated link holds anything, nobody asks when exactly a frame was read: there the engine is woken at a pace.
 *
 * Called by `worker.ts` between two breaths; allocates nothing.
 */
import type { NativeIo } from './device/native-io.js';
import { SPIN_NS } from './engine.js';
import { Oversleep } from './oversleep.js';
import type { Rehearsal } from './rehearsal.js';

/** After so long a sleep, caches have lost what a frame's way needs: it takes 47 µs instead of 20. */
const COLD_NS = 500_000;
/** What it takes to wake the other processors: of virtual ones that sleep, one that was asked 100 µs before is too late. */
const OTHERS_NS = 200_000;
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
  /** Asks all processors to be awake, or lets them sleep. */
  readonly #keepAwake: ((isAwake: boolean) => void) | undefined;
  /** They are asked to be. */
  #othersAwake: boolean;
  /** `[0]`: how much of that tenth is left, as of `[1]`; `[2]`: since when the others are awake. */
  readonly #share: Float64Array;
  readonly #oversleep: Oversleep;

  /**
   * `wait`: as `Native.wait`, told by `io.now[1]` to `[3]`, and telling by `[2]` and `[4]`. `keepAwake`: asks all processors of the
   * machine to be awake, or lets them sleep; absent: nobody may.
   */
  constructor(
    io: Pick<NativeIo, 'now' | 'tick'>,
    rehearsal: Pick<Rehearsal, 'run' | 'took' | 'leadNs'>,
    wait: () => number,
    keepAwake?: (isAwake: boolean) => void,
  ) {
    this.#io = io;
    this.#wait = wait;
    this.#now = io.now;
    this.#rehearsal = rehearsal;
    this.#keepAwake = keepAwake;
    this.#othersAwake = false;
    this.#share = new Float64Array([0, io.now[0]!, 0]);
    this.#oversleep = new Oversleep(SPIN_NS);
  }

  /**
   * Until a descriptor is ready or it is `now[1]`; where `now[2]` is not 0, awake before that, as far as it may. Returns how many
   * descriptors are ready.
   */
  wait(): number {
    const now = this.#now;
    const isExact = now[2] !== 0;
    now[3] = isExact ? 0 : PACE_NS;
    this.#earn();
    const share = this.#share;
    const dueNs = now[1]!;
    const isSoon = isExact && dueNs - now[0]! <= OTHERS_NS;
    if (this.#othersAwake && !(isSoon && now[0]! - share[2]! < share[0]! / 2)) this.#letOthersSleep();
    if (!isExact) return this.#wait();
    const oversleep = this.#oversleep;
    const kind = oversleep.kindOf(now);
    const awakeNs = Math.min(oversleep.leadNs[kind]!, Math.max(SPIN_NS, share[0]! / 2));
    const leadNs = awakeNs + this.#rehearsal.leadNs[0]!;
    if (dueNs - now[0]! > COLD_NS + awakeNs && share[0]! >= leadNs) {
      const wakesOthers = this.#keepAwake !== undefined && share[0]! >= OTHERS_NS + leadNs;
      now[1] = dueNs - (wakesOthers ? Math.max(leadNs, OTHERS_NS) : leadNs);
      now[2] = 0;
      const ready = this.#wait();
      // A signal may have ended it, as of one that was stopped and goes on (signal(7)): then it is not time yet.
      if (ready !== 0 || now[0]! < now[1]) return ready;
      if (now[4]! >= 0) oversleep.learn(kind, now, 4);
      if (wakesOthers) this.#wakeOthers();
      this.#rehearse();
      now[1] = dueNs;
      // What it sleeps now tells nothing: the processor was idle for long, and has just been awake.
      now[2] = awakeNs;
      return this.#waitAwake();
    }
    now[2] = awakeNs;
    const ready = this.#waitAwake();
    if (now[4]! >= 0) oversleep.learn(kind, now, 4);
    return ready;
  }

  /** Awake for `now[2]`, where there is so much left. */
  #waitAwake(): number {
    const now = this.#now;
    if (now[2]! > this.#share[0]!) now[2] = 0;
    const ready = this.#wait();
    if (!this.#othersAwake) this.#share[0]! -= now[2]!;
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
    if (!this.#othersAwake) this.#share[0]! -= now[0]! - beganNs;
  }

  #wakeOthers(): void {
    this.#othersAwake = true;
    this.#share[2] = this.#now[0]!;
    this.#keepAwake!(true);
    this.#io.tick();
  }

  /**
   * All the time since they were woken is taken of the share, what this thread was awake for included; but one that was stopped
   * meanwhile is not in debt for ever.
   */
  #letOthersSleep(): void {
    const share = this.#share;
    this.#othersAwake = false;
    this.#keepAwake!(false);
    this.#io.tick();
    share[0] = Math.max(-AWAKE_BURST_NS, share[0]! - (this.#now[0]! - share[2]!));
  }
}
