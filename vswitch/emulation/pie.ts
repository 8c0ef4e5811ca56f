/**
 * Proportional Integral controller Enhanced (RFC 8033 §4): what comes is dropped by a chance that is set anew every so often,
 * from how far the delay of the queue is off its target and which way it goes. With ECN, marked instead while the chance
 * is below a tenth (§5.1). The rate is known, so that the delay follows from the bytes that wait.
 */
import type { Queue, QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import type { Discipline, Waiting } from './discipline.js';
import { DropTail } from './drop-tail.js';
import type { RandomStream } from './random.js';

/** Two packets always may wait: Ethernet frames of 1500 bytes of IP. */
const SPARED_BYTES = 2 * 1514;
/** Above, packets are dropped that could be marked. */
const MARKED_BELOW = 0.1;
/** Below, nothing is dropped while the delay is less than half of the target. */
const SPARED_BELOW = 0.2;
const DECAY = 0.98;

const CHANCE = 0;
/** At the last update. */
const DELAY_NS = 1;
/** Of a burst that is let pass, what is left. */
const BURST_NS = 2;
/** When the next update is due. */
const UPDATE_NS = 3;

export class Pie implements Discipline {
  readonly #queue: Extract<Queue, { discipline: 'pie' }>;
  readonly #waiting: Waiting;
  readonly #random: RandomStream;
  readonly #tail: DropTail;
  readonly #state: Float64Array;

  constructor(
    queue: Extract<Queue, { discipline: 'pie' }>,
    waiting: Waiting,
    random: RandomStream,
    rateBps: number,
    overheadBytes: number,
  ) {
    this.#queue = queue;
    this.#waiting = waiting;
    this.#random = random;
    this.#tail = new DropTail(waiting, queue.limit, rateBps, overheadBytes);
    this.#state = Float64Array.of(0, 0, queue.maxBurstNs, waiting.now[0]! + queue.updateNs);
  }

  get packets(): number {
    return this.#tail.packets;
  }

  get bytes(): number {
    return this.#tail.bytes;
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    this.#tail.limit(limit, rateBps, overheadBytes);
  }

  enqueue(entry: number): boolean {
    this.#update();
    const state = this.#state;
    const isChosen =
      this.#tail.room(this.#waiting.entries.bytes[entry]!, 1) > 0 && state[BURST_NS] === 0 && this.#isChosen();
    if (isChosen && !(this.#queue.ecn && state[CHANCE]! < MARKED_BELOW && this.#waiting.mark(entry))) {
      this.#waiting.drop(entry, DropReason.discipline);
      return false;
    }
    return this.#tail.enqueue(entry);
  }

  adopt(entry: number): void {
    this.#update();
    this.#tail.adopt(entry);
  }

  dequeue(): number {
    this.#update();
    return this.#tail.dequeue();
  }

  remove(): number {
    return this.dequeue();
  }

  #isChosen(): boolean {
    const state = this.#state;
    if (state[DELAY_NS]! < this.#queue.targetNs / 2 && state[CHANCE]! < SPARED_BELOW) return false;
    if (this.#tail.bytes <= SPARED_BYTES) return false;
    return this.#random.next32() >>> 0 < state[CHANCE]! * 2 ** 32;
  }

  /**
   * Does the updates that were due by now, of what has waited since. Once they change nothing any more, those that are left
   * of a long time are skipped.
   */
  #update(): void {
    const state = this.#state;
    const { updateNs } = this.#queue;
    const nowNs = this.#waiting.now[0]!;
    while (state[UPDATE_NS]! <= nowNs) {
      state[UPDATE_NS]! += updateNs;
      if (this.#step() || state[UPDATE_NS]! > nowNs) continue;
      state[UPDATE_NS]! += (1 + Math.floor((nowNs - state[UPDATE_NS]!) / updateNs)) * updateNs;
    }
  }

  /** False: all is as it was. */
  #step(): boolean {
    const state = this.#state;
    const { targetNs, updateNs, alpha, beta, maxBurstNs } = this.#queue;
    const before = state[CHANCE]!;
    const delayBeforeNs = state[DELAY_NS]!;
    const burstBeforeNs = state[BURST_NS]!;
    const delayNs = this.#tail.bytes * this.#waiting.nsPerByte[0]!;
    const change = (alpha * (delayNs - targetNs) + beta * (delayNs - delayBeforeNs)) / 1e9;
    let chance = before + change / this.#caution();
    if (delayNs === 0 && delayBeforeNs === 0) chance *= DECAY;
    chance = Math.min(1, Math.max(0, chance));
    let burstNs = Math.max(0, burstBeforeNs - updateNs);
    if (chance === 0 && delayNs < targetNs / 2 && delayBeforeNs < targetNs / 2) burstNs = maxBurstNs;
    state[CHANCE] = chance;
    state[DELAY_NS] = delayNs;
    state[BURST_NS] = burstNs;
    return chance !== before || delayNs !== delayBeforeNs || burstNs !== burstBeforeNs;
  }

  /** By how much steps are smaller while the chance is small (§4.2). */
  #caution(): number {
    const chance = this.#state[CHANCE]!;
    if (chance < 1e-6) return 2048;
    if (chance < 1e-5) return 512;
    if (chance < 1e-4) return 128;
    if (chance < 1e-3) return 32;
    if (chance < 1e-2) return 8;
    return chance < 0.1 ? 2 : 1;
  }
}
