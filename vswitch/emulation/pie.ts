/**
 * Proportional Integral controller Enhanced (RFC 8033 §4): what comes is dropped by a chance that is set anew every so often,
 * from how far the delay of the queue is off its target and which way it goes. With ECN, marked instead while the chance
 * is below a tenth (§5.1). The rate is known, so that the delay follows from the bytes that wait.
 */
import type { Queue } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import { QueueCell, type Waiting } from './discipline.js';
import { EarlyDrop } from './early-drop.js';
import type { RandomStream } from './random.js';
import { Time } from './times.js';

/** Two packets always may wait: Ethernet frames of 1500 bytes of IP. */
const SPARED_BYTES = 2 * 1514;
/** Above, packets are dropped that could be marked. */
const MARKED_BELOW = 0.1;
/** Below, nothing is dropped while the delay is less than half of the target. */
const SPARED_BELOW = 0.2;
const DECAY = 0.98;

const CHANCE = QueueCell.own;
/** At the last update. */
const DELAY_NS = QueueCell.own + 1;
/** Of a burst that is let pass, what is left. */
const BURST_NS = QueueCell.own + 2;
/** When the next update is due. */
const UPDATE_NS = QueueCell.own + 3;

export class Pie extends EarlyDrop {
  readonly #queue: Extract<Queue, { discipline: 'pie' }>;
  readonly #random: RandomStream;

  constructor(
    queue: Extract<Queue, { discipline: 'pie' }>,
    waiting: Waiting,
    random: RandomStream,
    rateBps: number,
    overheadBytes: number,
  ) {
    super(waiting, queue.limit, rateBps, overheadBytes);
    this.#queue = queue;
    this.#random = random;
    this.memory = [0, 0, queue.maxBurstNs, queue.updateNs];
  }

  enqueue(entry: number): boolean {
    this.#update();
    const { numbers: state, queueAt: at } = this.waiting;
    const isChosen =
      this.tail.room(this.waiting.entries.bytes[entry]!, 1) > 0 && state[at + BURST_NS] === 0 && this.#isChosen();
    if (isChosen && !(this.#queue.ecn && state[at + CHANCE]! < MARKED_BELOW && this.waiting.mark(entry))) {
      this.waiting.drop(entry, DropReason.discipline);
      return false;
    }
    return this.tail.enqueue(entry);
  }

  adopt(entry: number): void {
    this.#update();
    this.tail.adopt(entry);
  }

  dequeue(): number {
    this.#update();
    return this.tail.dequeue();
  }

  protected get memory(): readonly number[] {
    const { numbers, timesAt, queueAt } = this.waiting;
    const inNs = numbers[queueAt + UPDATE_NS]! - numbers[timesAt + Time.now]!;
    return [numbers[queueAt + CHANCE]!, numbers[queueAt + DELAY_NS]!, numbers[queueAt + BURST_NS]!, inNs];
  }

  protected set memory(memory: readonly number[]) {
    const { numbers, timesAt, queueAt } = this.waiting;
    numbers.set(memory, queueAt + CHANCE);
    numbers[queueAt + UPDATE_NS]! += numbers[timesAt + Time.now]!;
  }

  #isChosen(): boolean {
    const { numbers: state, queueAt: at } = this.waiting;
    if (state[at + DELAY_NS]! < this.#queue.targetNs / 2 && state[at + CHANCE]! < SPARED_BELOW) return false;
    if (this.tail.bytes <= SPARED_BYTES) return false;
    return this.#random.next32() >>> 0 < state[at + CHANCE]! * 2 ** 32;
  }

  /**
   * Does the updates that were due by now, of what has waited since. Once they change nothing any more, those that are left
   * of a long time are skipped.
   */
  #update(): void {
    const { numbers: state, queueAt: at } = this.waiting;
    const { updateNs } = this.#queue;
    const nowNs = state[this.waiting.timesAt + Time.now]!;
    while (state[at + UPDATE_NS]! <= nowNs) {
      state[at + UPDATE_NS]! += updateNs;
      if (this.#step() || state[at + UPDATE_NS]! > nowNs) continue;
      state[at + UPDATE_NS]! += (1 + Math.floor((nowNs - state[at + UPDATE_NS]!) / updateNs)) * updateNs;
    }
  }

  /** False: all is as it was. */
  #step(): boolean {
    const { numbers: state, queueAt: at } = this.waiting;
    const { targetNs, updateNs, alpha, beta, maxBurstNs } = this.#queue;
    const before = state[at + CHANCE]!;
    const delayBeforeNs = state[at + DELAY_NS]!;
    const burstBeforeNs = state[at + BURST_NS]!;
    const delayNs = this.tail.bytes * state[at + QueueCell.nsPerByte]!;
    const change = (alpha * (delayNs - targetNs) + beta * (delayNs - delayBeforeNs)) / 1e9;
    let chance = before + change / this.#caution();
    if (delayNs === 0 && delayBeforeNs === 0) chance *= DECAY;
    chance = Math.min(1, Math.max(0, chance));
    let burstNs = Math.max(0, burstBeforeNs - updateNs);
    if (chance === 0 && delayNs < targetNs / 2 && delayBeforeNs < targetNs / 2) burstNs = maxBurstNs;
    state[at + CHANCE] = chance;
    state[at + DELAY_NS] = delayNs;
    state[at + BURST_NS] = burstNs;
    return chance !== before || delayNs !== delayBeforeNs || burstNs !== burstBeforeNs;
  }

  /** By how much steps are smaller while the chance is small (§4.2). */
  #caution(): number {
    const chance = this.waiting.numbers[this.waiting.queueAt + CHANCE]!;
    if (chance < 1e-6) return 2048;
    if (chance < 1e-5) return 512;
    if (chance < 1e-4) return 128;
    if (chance < 1e-3) return 32;
    if (chance < 1e-2) return 8;
    return chance < 0.1 ? 2 : 1;
  }
}
