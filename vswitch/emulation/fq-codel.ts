/**
 * FlowQueue-CoDel (RFC 8290): packets are sorted by a hash of their flow into queues that are served in turn by their bytes
 * (deficit round robin), new ones first; each is kept short by CoDel.
 *
 *   new  ─► 7 ─► 3             a queue that was empty goes here; served until its credit is spent, then
 *   old  ─► 5 ─► 1 ─► 2        it goes to the end of these; an empty one leaves
 *
 * Where there is no room, the queue with most bytes loses half of its packets, at most 64, from its head (§4.1): a flood
 * makes room for others at its own cost.
 */
import type { Queue, QueueLimit } from '../../model/emulation.js';
import { DropReason } from '../drops.js';
import { CodelQueues } from './codel-queues.js';
import { type Discipline, type DisciplineState, QueueCell, type Waiting } from './discipline.js';
import { FlowHash } from './flow-hash.js';
import { exceedsBound, writeBound } from './queue-bound.js';
import type { RandomStream } from './random.js';

const MOST_DROPS = 64;

const NEW = 0;
const OLD = 1;

export class FqCodel implements Discipline {
  readonly #waiting: Waiting;
  readonly #queues: CodelQueues;
  #seed: number;
  #hash: FlowHash;
  readonly #flows: number;
  readonly #quantumBytes: number;
  /** Of each queue, what it may still send in its turn. */
  readonly #credit: Int32Array;
  readonly #listed: Uint8Array;
  /** The lists of queues, `NEW` and `OLD`: queue → the next one, or -1; the first and last of each. */
  readonly #next: Int32Array;
  readonly #head: Int32Array;
  readonly #tail: Int32Array;

  constructor(
    queue: Extract<Queue, { discipline: 'fq-codel' }>,
    waiting: Waiting,
    random: RandomStream,
    rateBps: number,
    overheadBytes: number,
  ) {
    const { flows, quantumBytes } = queue;
    this.#waiting = waiting;
    this.#queues = new CodelQueues(flows, queue, waiting);
    this.#seed = random.next32();
    this.#hash = new FlowHash(waiting.arena, this.#seed);
    this.#flows = flows;
    this.#quantumBytes = quantumBytes;
    this.#credit = new Int32Array(flows);
    this.#listed = new Uint8Array(flows);
    this.#next = new Int32Array(flows);
    this.#head = Int32Array.of(-1, -1);
    this.#tail = Int32Array.of(-1, -1);
    this.limit(queue.limit, rateBps, overheadBytes);
  }

  get packets(): number {
    return this.#queues.packets;
  }

  get bytes(): number {
    return this.#queues.bytes;
  }

  limit(limit: QueueLimit, rateBps: number, overheadBytes: number): void {
    const { numbers, queueAt } = this.#waiting;
    writeBound(numbers, queueAt + QueueCell.bound, limit, rateBps, overheadBytes);
  }

  /** Which of the queues a frame goes to. */
  flowOf(frame: number): number {
    return this.#hash.of(frame) % this.#flows;
  }

  enqueue(entry: number): boolean {
    const queues = this.#queues;
    this.adopt(entry);
    let kept = true;
    const { numbers, queueAt } = this.#waiting;
    while (exceedsBound(numbers, queueAt + QueueCell.bound, queues.packets, queues.bytes))
      if (this.#makeRoom(entry)) kept = false;
    return kept;
  }

  adopt(entry: number): void {
    const flow = this.flowOf(this.#waiting.entries.frame[entry]!);
    this.#queues.push(flow, entry);
    if (this.#listed[flow] === 1) return;
    this.#listed[flow] = 1;
    this.#credit[flow] = this.#quantumBytes;
    this.#append(NEW, flow);
  }

  dequeue(): number {
    const { bytes } = this.#waiting.entries;
    for (;;) {
      const list = this.#head[NEW] === -1 ? OLD : NEW;
      const flow = this.#head[list]!;
      if (flow === -1) return -1;
      if (this.#credit[flow]! <= 0) {
        this.#credit[flow]! += this.#quantumBytes;
        this.#unlink(list);
        this.#append(OLD, flow);
        continue;
      }
      const entry = this.#queues.dequeue(flow);
      if (entry !== -1) {
        this.#credit[flow]! -= bytes[entry]!;
        return entry;
      }
      this.#unlink(list);
      // An empty one that was new has its turn among the old ones first, lest it come back as new at once (§4.2).
      if (list === NEW) this.#append(OLD, flow);
      else this.#listed[flow] = 0;
    }
  }

  remove(): number {
    for (;;) {
      const list = this.#head[NEW] === -1 ? OLD : NEW;
      const flow = this.#head[list]!;
      if (flow === -1) return -1;
      const entry = this.#queues.shift(flow);
      if (entry !== -1) return entry;
      this.#unlink(list);
      this.#listed[flow] = 0;
    }
  }

  exportState(): DisciplineState {
    const { queues, memory } = this.#queues.exportState();
    return {
      queues,
      memory: [this.#seed, [...this.#credit], [...this.#listed], this.#list(NEW), this.#list(OLD), ...memory],
    };
  }

  importState({ queues, memory: [seed, credit, listed, fresh, old, ...memory] }: DisciplineState): void {
    this.#queues.importState({ queues, memory });
    this.#seed = seed as number;
    this.#hash = new FlowHash(this.#waiting.arena, this.#seed);
    this.#credit.set(credit as number[]);
    this.#listed.set(listed as number[]);
    for (const flow of fresh as number[]) this.#append(NEW, flow);
    for (const flow of old as number[]) this.#append(OLD, flow);
  }

  #list(list: number): number[] {
    const flows: number[] = [];
    for (let flow = this.#head[list]!; flow !== -1; flow = this.#next[flow]!) flows.push(flow);
    return flows;
  }

  /** True: this entry was among those dropped. */
  #makeRoom(newest: number): boolean {
    const { queueBytes, queuePackets } = this.#queues;
    let fattest = 0;
    for (let flow = 1; flow < this.#flows; flow++) if (queueBytes[flow]! > queueBytes[fattest]!) fattest = flow;
    const drops = Math.min(MOST_DROPS, Math.ceil(queuePackets[fattest]! / 2));
    let wasNewest = false;
    for (let i = 0; i < drops; i++) {
      const entry = this.#queues.shift(fattest);
      if (entry === newest) wasNewest = true;
      this.#waiting.drop(entry, DropReason.queueLimit);
    }
    return wasNewest;
  }

  #append(list: number, flow: number): void {
    this.#next[flow] = -1;
    if (this.#head[list] === -1) this.#head[list] = flow;
    else this.#next[this.#tail[list]!] = flow;
    this.#tail[list] = flow;
  }

  /** Takes the first off a list. */
  #unlink(list: number): void {
    this.#head[list] = this.#next[this.#head[list]!]!;
  }
}
