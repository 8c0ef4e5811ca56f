/** Flows in the order of their next frames: a binary heap; of the same nanosecond, in the order in which they were given. */
import type { Flow } from './flows.js';

export class Arrivals {
  /** `heap[i]` is not after `heap[2 i + 1]` and `heap[2 i + 2]`; numbers of flows. */
  readonly #heap: Int32Array;
  readonly #flows: readonly Flow[];

  constructor(flows: readonly Flow[]) {
    this.#flows = flows;
    this.#heap = Int32Array.from(flows.keys());
    for (let at = flows.length >> 1; at >= 0; at--) this.#sink(at);
  }

  /** When the first one comes; Infinity where there are no flows. */
  get nextNs(): number {
    return this.#heap.length === 0 ? Infinity : this.#flows[this.#heap[0]!]!.nextNs;
  }

  /** The flow whose frame comes first; its next one is counted from here on. */
  take(): Flow {
    const flow = this.#flows[this.#heap[0]!]!;
    flow.sent();
    this.#sink(0);
    return flow;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    for (let at = from; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && this.#isBefore(heap[child]!, heap[least]!)) least = child;
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [first, second] = [this.#flows[a]!.nextNs, this.#flows[b]!.nextNs];
    return first < second || (first === second && a < b);
  }
}
