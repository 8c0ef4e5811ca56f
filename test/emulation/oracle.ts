/**
 * One direction of a link, packet by packet, as docs/emulation.md says it: slow, plain, and what `vswitch/emulation/` is
 * compared with. It shares with it the random streams, jitter and loss alone, which are tested by their statistics; the
 * disciplines are in `oracle-queues.ts`.
 *
 * Of what happens at the same nanosecond, what the line does comes first, then changes, then arrivals in their order.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Emulation, type EmulationInputs, NO_INPUTS } from '../../model/emulation.js';
import { Jitter, QuantileTable } from '../../vswitch/emulation/jitter.js';
import { createLoss, type Loss } from '../../vswitch/emulation/loss.js';
import { RandomStream, thresholdOf } from '../../vswitch/emulation/random.js';
import type { Arrival, Change, Link, Packet } from './oracle-packets.js';
import { createQueue, type OracleQueue } from './oracle-queues.js';

/** What a direction without emulation does. */
const NONE: Emulation = {
  overheadBytes: 0,
  delayNs: 0,
  duplicateRatio: 0,
  reorderRatio: 0,
  corruptRatio: 0,
  queue: { discipline: 'drop-tail', limit: { unit: 'packets', packets: 1000 } },
  segments: 'auto',
};

const HEADER_BYTES = 14;
const OPPORTUNITY_BYTES = 1504;

/** What becomes of each, in their order. `arrivals` and `changes` ascend; all times are whole. */
export function oracle(link: Link, changes: readonly Change[], arrivals: readonly Arrival[]): Packet[] {
  const direction = new Direction(link);
  const packets = arrivals.map((arrival): Packet => ({ ...arrival, deliveredNs: [], marked: false }));
  const steps = [
    ...changes.map((change) => ({ atNs: change.atNs, take: () => direction.change(change) })),
    ...packets.map((packet) => ({ atNs: packet.atNs, take: () => direction.arrive(packet) })),
  ].sort((a, b) => a.atNs - b.atNs);
  for (const { atNs, take } of steps) {
    direction.advance(atNs);
    take();
  }
  direction.advance(Infinity);
  return packets;
}

class Direction {
  readonly #inputs: EmulationInputs;
  readonly #random: Record<'loss' | 'corrupt' | 'duplicate' | 'reorder' | 'jitter' | 'queue', RandomStream>;
  #up = true;
  #emulation = NONE;
  #beganNs = 0;
  #queue: OracleQueue;
  #loss: Loss;
  #jitter: Jitter | undefined;
  /** When the line ends with the packet it has, or ended with the last one. */
  #freeNs = -1;
  /** Of a nanosecond, in 1/rate. */
  #remainder = 0n;
  /** The opportunity that a trace's line used last, counted over all periods, and what is left of it. */
  #opportunity = -1;
  #leftBytes = 0;
  /** When the line can begin with the one that has waited longest; Infinity: none waits. */
  #startNs = Infinity;
  #lastDueNs = -1;
  readonly #packets = new Set<Packet>();

  constructor({ seed, name, direction, inputs = NO_INPUTS }: Link) {
    const stream = (purpose: string): RandomStream => new RandomStream(seed, name, direction, purpose);
    this.#inputs = inputs;
    this.#random = {
      loss: stream('loss'),
      corrupt: stream('corrupt'),
      duplicate: stream('duplicate'),
      reorder: stream('reorder'),
      jitter: stream('jitter'),
      queue: stream('queue'),
    };
    this.#loss = createLoss(undefined, this.#random.loss);
    this.#queue = createQueue(NONE, Infinity, this.#random.queue, 0);
  }

  /** What is on the line or in flight keeps its times; what waits goes on by the new properties. */
  change({ atNs, properties: { state, emulation = NONE } }: Change): void {
    const before = this.#emulation;
    this.#emulation = emulation;
    this.#up = state === 'up';
    if (!isDeepStrictEqual(emulation.loss, before.loss)) this.#loss = createLoss(emulation.loss, this.#random.loss);
    if (!isDeepStrictEqual(emulation.jitter, before.jitter)) this.#jitter = this.#makeJitter();
    if (emulation.rateBps !== before.rateBps) this.#remainder = 0n;
    if (emulation.trace !== before.trace) [this.#beganNs, this.#opportunity, this.#leftBytes] = [atNs, -1, 0];
    const queue = this.#queue;
    this.#queue = createQueue(this.#hasLine ? emulation : NONE, this.#meanRateBps(), this.#random.queue, atNs, queue);
    this.#queue.nowNs = atNs;
    if (this.#queue !== queue) for (const packet of queue.removeAll()) this.#queue.adopt(packet);
    if (!this.#up) this.#cut(atNs);
    if (!this.#hasLine) for (const waited of this.#queue.removeAll()) this.#passAtOnce(waited, atNs);
    this.#plan(atNs, false);
    this.advance(atNs);
  }

  arrive(packet: Packet): void {
    if (!this.#up) {
      packet.dropped = 'link-down';
    } else if (packet.bytes - HEADER_BYTES > (this.#emulation.mtuBytes ?? Infinity)) {
      packet.dropped = 'mtu';
    } else if (!this.#hasLine) {
      this.#packets.add(packet);
      this.#passAtOnce(packet, packet.atNs);
    } else {
      this.#packets.add(packet);
      this.#queue.nowNs = packet.atNs;
      this.#queue.enqueue(packet);
      if (this.#startNs === Infinity) this.#plan(packet.atNs, false);
      this.advance(packet.atNs);
    }
  }

  /** Lets the line begin with all that it can by then. */
  advance(nowNs: number): void {
    while (this.#startNs <= nowNs && this.#startNs < Infinity) {
      const startNs = this.#startNs;
      this.#queue.nowNs = startNs;
      const packet = this.#queue.dequeue();
      if (packet !== undefined) this.#pass(packet, startNs);
      this.#plan(startNs, true);
    }
  }

  /**
   * The line begins with the next one when it is free. With a trace: where something is left of the opportunity that ended
   * the one before, if it waited for that, else at the next opportunity after it came.
   */
  #plan(nowNs: number, isNext: boolean): void {
    this.#startNs = Infinity;
    if (this.#queue.packets === 0) return;
    this.#startNs = Math.max(this.#freeNs, nowNs);
    if (this.#trace === undefined || (this.#leftBytes > 0 && (isNext || this.#freeNs > nowNs))) return;
    this.#leftBytes = 0;
    const missedNs = this.#opportunity === -1 ? this.#startNs : isNext ? -1 : nowNs;
    while (this.#opportunityNs(this.#opportunity + 1) <= missedNs) this.#opportunity++;
    this.#startNs = this.#opportunityNs(this.#opportunity + 1);
  }

  /** Without a line nothing waits, and there is no discipline; but what was on one goes first. */
  #passAtOnce(packet: Packet, nowNs: number): void {
    this.#pass(packet, Math.max(this.#freeNs, nowNs));
  }

  /** Serialises a packet, and draws what becomes of it on the wire. */
  #pass(packet: Packet, startNs: number): void {
    const emulation = this.#emulation;
    this.#freeNs = this.#finish(startNs, packet.bytes + emulation.overheadBytes);
    if (this.#loss.lost()) {
      packet.dropped = 'lost';
      return;
    }
    if (this.#draw('corrupt', emulation.corruptRatio)) {
      packet.corruptBit = Math.floor(((this.#random.corrupt.next32() >>> 0) * packet.bytes * 8) / 2 ** 32);
    }
    const copies = this.#draw('duplicate', emulation.duplicateRatio) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const reordered = this.#draw('reorder', emulation.reorderRatio);
      this.#jitter?.draw();
      const delayNs = Math.max(0, emulation.delayNs + (this.#jitter?.ns[0] ?? 0));
      if (!reordered) this.#lastDueNs = Math.max(this.#lastDueNs, this.#freeNs + delayNs);
      packet.deliveredNs.push(reordered ? this.#freeNs : this.#lastDueNs);
    }
  }

  #finish(startNs: number, bytes: number): number {
    if (this.#trace !== undefined) {
      for (let needBytes = bytes; ;) {
        const usedBytes = Math.min(needBytes, this.#leftBytes);
        needBytes -= usedBytes;
        this.#leftBytes -= usedBytes;
        if (needBytes === 0) return this.#opportunityNs(this.#opportunity);
        this.#opportunity++;
        this.#leftBytes = OPPORTUNITY_BYTES;
      }
    }
    const { rateBps } = this.#emulation;
    if (rateBps === undefined) return startNs;
    if (startNs > this.#freeNs) this.#remainder = 0n;
    const work = BigInt(bytes) * 8n * 1_000_000_000n + this.#remainder;
    this.#remainder = work % BigInt(rateBps);
    return startNs + Number(work / BigInt(rateBps));
  }

  #draw(purpose: 'corrupt' | 'duplicate' | 'reorder', ratio: number): boolean {
    return ratio > 0 && this.#random[purpose].next32() >>> 0 < thresholdOf(ratio);
  }

  get #hasLine(): boolean {
    return this.#emulation.rateBps !== undefined || this.#trace !== undefined;
  }

  get #trace(): readonly number[] | undefined {
    const name = this.#emulation.trace;
    return name === undefined ? undefined : this.#inputs.traces[name];
  }

  #opportunityNs(index: number): number {
    const trace = this.#trace!;
    const period = Math.floor(index / trace.length);
    return this.#beganNs + 1e6 * (period * trace.at(-1)! + trace[index - period * trace.length]!);
  }

  #meanRateBps(): number {
    const trace = this.#trace;
    if (trace === undefined) return this.#emulation.rateBps ?? Infinity;
    return (trace.length * OPPORTUNITY_BYTES * 8) / (trace.at(-1)! / 1000);
  }

  #makeJitter(): Jitter | undefined {
    const { jitter } = this.#emulation;
    if (jitter === undefined) return undefined;
    const name = typeof jitter.distribution === 'object' ? jitter.distribution.table : undefined;
    const table = name === undefined ? null : new QuantileTable(this.#inputs.distributions[name]!);
    return new Jitter(jitter, table, this.#random.jitter);
  }

  /** All that has not left by now: gone with the link. */
  #cut(nowNs: number): void {
    this.#queue.removeAll();
    for (const packet of this.#packets) {
      if (packet.dropped !== undefined) continue;
      const left = packet.deliveredNs.filter((atNs) => atNs <= nowNs);
      if (left.length === 0) packet.dropped = 'link-down';
      packet.deliveredNs = left;
    }
    [this.#freeNs, this.#lastDueNs, this.#leftBytes] = [-1, -1, 0];
  }
}
