/**
 * Queues of which each is kept short by Controlled Delay (RFC 8289 §5): where packets have waited for longer than a target
 * during a whole interval, one is dropped or marked, and the next ones after interval/√n, until one has not.
 * Called by `codel.ts`, which has one queue, and `fq-codel.ts`. Nothing here allocates after the constructor.
 */
import { DropReason } from '../drops.js';
import type { DisciplineState, Waiting } from './discipline.js';
import type { HeldFrame } from './held-frame.js';
import { Time } from './times.js';

/** How long after leaving the dropping state its rate is taken up again, in intervals. */
const REMEMBERED_INTERVALS = 16;

export interface CodelProperties {
  readonly targetNs: number;
  readonly intervalNs: number;
  readonly ecn: boolean;
}

export class CodelQueues {
  /** Of all queues. */
  packets: number;
  bytes: number;
  /** Of each. */
  readonly queuePackets: Int32Array;
  readonly queueBytes: Int32Array;
  readonly #properties: CodelProperties;
  readonly #waiting: Waiting;
  /** The queues' chains: two words each. */
  readonly #chains: Int32Array;
  // The variables of RFC 8289's pseudocode.
  readonly #firstAboveNs: Float64Array;
  readonly #dropNextNs: Float64Array;
  readonly #count: Int32Array;
  readonly #lastCount: Int32Array;
  readonly #dropping: Uint8Array;
  /** Its MAXPACKET: the longest packet that came. */
  readonly #longestBytes: Int32Array;
  /** Of the packet that `#take` gave. */
  #okToDrop: boolean;

  constructor(count: number, properties: CodelProperties, waiting: Waiting) {
    this.packets = 0;
    this.bytes = 0;
    this.queuePackets = new Int32Array(count);
    this.queueBytes = new Int32Array(count);
    this.#properties = properties;
    this.#waiting = waiting;
    this.#chains = new Int32Array(2 * count).fill(-1);
    this.#firstAboveNs = new Float64Array(count).fill(Infinity);
    this.#dropNextNs = new Float64Array(count);
    this.#count = new Int32Array(count);
    this.#lastCount = new Int32Array(count);
    this.#dropping = new Uint8Array(count);
    this.#longestBytes = new Int32Array(count);
    this.#okToDrop = false;
  }

  push(queue: number, entry: number): void {
    const { entries } = this.#waiting;
    const { bytes } = entries;
    entries.append(this.#chains, 2 * queue, entry);
    this.packets++;
    this.bytes += bytes[entry]!;
    this.queuePackets[queue]!++;
    this.queueBytes[queue]! += bytes[entry]!;
    if (bytes[entry]! > this.#longestBytes[queue]!) this.#longestBytes[queue] = bytes[entry]!;
  }

  /** The first of a queue; -1 when it is empty. */
  shift(queue: number): number {
    const { entries } = this.#waiting;
    const { bytes } = entries;
    const entry = entries.shift(this.#chains, 2 * queue);
    if (entry === -1) return -1;
    this.packets--;
    this.bytes -= bytes[entry]!;
    this.queuePackets[queue]!--;
    this.queueBytes[queue]! -= bytes[entry]!;
    return entry;
  }

  /** The one of a queue that goes on now; -1 when none is left, those before it having been dropped. */
  dequeue(queue: number): number {
    const nowNs = this.#waiting.numbers[this.#waiting.timesAt + Time.now]!;
    let entry = this.#take(queue);
    if (this.#dropping[queue] === 1) {
      if (!this.#okToDrop) this.#dropping[queue] = 0;
      while (this.#dropping[queue] === 1 && nowNs >= this.#dropNextNs[queue]!) {
        this.#count[queue]!++;
        const marked = this.#markOrDrop(entry);
        if (!marked) entry = this.#take(queue);
        if (this.#okToDrop) this.#scheduleNext(queue);
        else this.#dropping[queue] = 0;
        if (marked) break;
      }
    } else if (this.#okToDrop) {
      if (!this.#markOrDrop(entry)) entry = this.#take(queue);
      this.#dropping[queue] = 1;
      const more = this.#count[queue]! - this.#lastCount[queue]!;
      const isRecent = nowNs - this.#dropNextNs[queue]! < REMEMBERED_INTERVALS * this.#properties.intervalNs;
      this.#count[queue] = more > 1 && isRecent ? more : 1;
      this.#lastCount[queue] = this.#count[queue]!;
      this.#dropNextNs[queue] = nowNs;
      this.#scheduleNext(queue);
    }
    return entry;
  }

  /** Its dodequeue: the first of a queue, and in `#okToDrop` whether packets have waited for too long for an interval. */
  #take(queue: number): number {
    const nowNs = this.#waiting.numbers[this.#waiting.timesAt + Time.now]!;
    const { targetNs, intervalNs } = this.#properties;
    const entry = this.shift(queue);
    this.#okToDrop = false;
    if (
      entry === -1 ||
      nowNs - this.#waiting.entries.atNs[entry]! < targetNs ||
      this.queueBytes[queue]! <= this.#longestBytes[queue]!
    ) {
      this.#firstAboveNs[queue] = Infinity;
    } else if (this.#firstAboveNs[queue] === Infinity) {
      this.#firstAboveNs[queue] = nowNs + intervalNs;
    } else {
      this.#okToDrop = nowNs >= this.#firstAboveNs[queue]!;
    }
    return entry;
  }

  /** True: it was marked, and goes on. */
  #markOrDrop(entry: number): boolean {
    if (this.#properties.ecn && this.#waiting.mark(entry)) return true;
    this.#waiting.drop(entry, DropReason.discipline);
    return false;
  }

  /** Its control law. */
  #scheduleNext(queue: number): void {
    this.#dropNextNs[queue]! += Math.round(this.#properties.intervalNs / Math.sqrt(this.#count[queue]!));
  }

  exportState(): DisciplineState {
    const nowNs = this.#waiting.numbers[this.#waiting.timesAt + Time.now]!;
    const memory = [
      Array.from(this.#firstAboveNs, (ns) => ns - nowNs),
      Array.from(this.#dropNextNs, (ns) => ns - nowNs),
      [...this.#count],
      [...this.#lastCount],
      [...this.#dropping],
      [...this.#longestBytes],
    ];
    return { queues: Array.from(this.queuePackets, (_, queue) => this.#exportQueue(queue)), memory };
  }

  #exportQueue(queue: number): HeldFrame[] {
    const frames: HeldFrame[] = [];
    for (let entry = this.shift(queue); entry !== -1; entry = this.shift(queue))
      frames.push(this.#waiting.exportEntry(entry));
    return frames;
  }

  importState({ queues, memory }: DisciplineState): void {
    const nowNs = this.#waiting.numbers[this.#waiting.timesAt + Time.now]!;
    for (const [queue, frames] of queues.entries()) {
      for (const held of frames) {
        const entry = this.#waiting.importEntry(held);
        if (entry !== -1) this.push(queue, entry);
      }
    }
    const [firstAboveNs, dropNextNs, count, lastCount, dropping, longestBytes] = memory as readonly number[][];
    this.#firstAboveNs.set(firstAboveNs!.map((ns) => ns + nowNs));
    this.#dropNextNs.set(dropNextNs!.map((ns) => ns + nowNs));
    this.#count.set(count!);
    this.#lastCount.set(lastCount!);
    this.#dropping.set(dropping!);
    this.#longestBytes.set(longestBytes!);
  }
}
