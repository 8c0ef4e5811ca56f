/** What waits for the oracle's line: each discipline as its paper or RFC has it, in arrays that are as long as what waits. */
import type { Emulation, Queue } from '../../model/emulation.js';
import type { RandomStream } from '../../vswitch/emulation/random.js';
import type { Packet } from './oracle-packets.js';

export interface OracleQueue {
  /** The time of what is asked next. */
  nowNs: number;
  readonly packets: number;
  enqueue(packet: Packet): void;
  /** Takes one without question. */
  adopt(packet: Packet): void;
  /** May drop others, which then may be all. */
  dequeue(): Packet | undefined;
  /** In the order in which they would go. */
  removeAll(): Packet[];
}

/** Where only the limit is another one, `before` goes on with it. */
export function createQueue(
  emulation: Emulation,
  rateBps: number,
  random: RandomStream,
  nowNs: number,
  before?: OracleQueue,
): OracleQueue {
  const { queue } = emulation;
  const limits = limitsOf(emulation, rateBps);
  const nsPerByte = 8e9 / rateBps;
  if (before instanceof Waiting && JSON.stringify(before.queue) === JSON.stringify(queue)) {
    before.limits = limits;
    before.nsPerByte = nsPerByte;
    return before;
  }
  switch (queue.discipline) {
    case 'drop-tail':
      return new Waiting(queue, limits, nsPerByte);
    case 'red':
      return new Red(queue, limits, nsPerByte, random);
    case 'codel':
      return new Codel(queue, limits, nsPerByte);
    case 'fq-codel':
      // Of its hash, which flow goes to which queue.
      random.next32();
      return new FqCodel(queue, limits, nsPerByte);
    case 'pie':
      return new Pie(queue, limits, nsPerByte, random, nowNs);
  }
}

interface Limits {
  readonly packets: number;
  readonly bytes: number;
  readonly overheadBytes: number;
}

/** A time is as many bytes, overhead included, as the rate passes in it. */
function limitsOf({ queue: { limit }, overheadBytes }: Emulation, rateBps: number): Limits {
  switch (limit.unit) {
    case 'packets':
      return { packets: limit.packets, bytes: Infinity, overheadBytes: 0 };
    case 'bytes':
      return { packets: Infinity, bytes: limit.bytes, overheadBytes: 0 };
    case 'time':
      return { packets: Infinity, bytes: Math.floor((rateBps * limit.durationNs) / 8e9), overheadBytes };
  }
}

function sum(packets: readonly Packet[], overheadBytes: number): number {
  return packets.reduce((bytes, packet) => bytes + packet.bytes + overheadBytes, 0);
}

/** RFC 3168: true where the packet's transport was told, or had been. */
function mark(packet: Packet): boolean {
  if (packet.ecn === 'not-ect') return false;
  packet.marked = packet.ecn === 'ect';
  return true;
}

/** Drop-tail, and what all disciplines have. */
class Waiting<Q extends Queue = Queue> implements OracleQueue {
  nowNs = 0;
  waiting: Packet[] = [];

  constructor(
    readonly queue: Q,
    public limits: Limits,
    public nsPerByte: number,
  ) {}

  get packets(): number {
    return this.waiting.length;
  }

  isOver(packets: readonly Packet[]): boolean {
    return packets.length > this.limits.packets || sum(packets, this.limits.overheadBytes) > this.limits.bytes;
  }

  enqueue(packet: Packet): void {
    if (this.isOver([...this.waiting, packet])) packet.dropped = 'queue-limit';
    else this.adopt(packet);
  }

  adopt(packet: Packet): void {
    this.waiting.push(packet);
  }

  dequeue(): Packet | undefined {
    return this.waiting.shift();
  }

  removeAll(): Packet[] {
    const { waiting } = this;
    this.waiting = [];
    return waiting;
  }
}

/** Floyd and Jacobson 1993, figure 2: by packets, over bytes. Where the average is beyond `max`, all are dropped (RFC 3168 §7). */
class Red extends Waiting<Extract<Queue, { discipline: 'red' }>> {
  static readonly TYPICAL_BYTES = 1000;
  average = 0;
  count = -1;
  emptySinceNs = -Infinity;

  constructor(
    queue: Extract<Queue, { discipline: 'red' }>,
    limits: Limits,
    nsPerByte: number,
    readonly random: RandomStream,
  ) {
    super(queue, limits, nsPerByte);
  }

  override enqueue(packet: Packet): void {
    const { minBytes, maxBytes, markRatio, weightRatio, ecn } = this.queue;
    if (this.packets > 0) {
      this.average += weightRatio * (sum(this.waiting, 0) - this.average);
    } else {
      // As many small packets as might have gone in the meantime.
      const passed = (this.nowNs - this.emptySinceNs) / (Red.TYPICAL_BYTES * this.nsPerByte);
      this.average = passed < Infinity ? this.average * (1 - weightRatio) ** passed : 0;
    }
    if (this.average >= maxBytes) {
      this.count = 0;
      packet.dropped = 'discipline';
      return;
    }
    let chosen = false;
    if (this.average >= minBytes) {
      this.count++;
      const chance = (markRatio * (this.average - minBytes)) / (maxBytes - minBytes);
      const spread = this.count * chance >= 1 ? 1 : chance / (1 - this.count * chance);
      chosen = this.random.next32() >>> 0 < spread * 2 ** 32;
      if (chosen) this.count = 0;
    } else {
      this.count = -1;
    }
    if (chosen && !(ecn && mark(packet))) packet.dropped = 'discipline';
    else super.enqueue(packet);
  }

  override dequeue(): Packet | undefined {
    const packet = super.dequeue();
    if (this.packets === 0) this.emptySinceNs = this.nowNs;
    return packet;
  }
}

/** RFC 8289 §5: what CoDel remembers of one queue, in the names of its pseudocode. */
class CodelControl {
  firstAboveNs = Infinity;
  dropNextNs = 0;
  count = 0;
  lastCount = 0;
  dropping = false;
  /** The longest packet that came, for its MAXPACKET. */
  longestBytes = 0;

  constructor(
    readonly waiting: Packet[],
    readonly queue: Extract<Queue, { discipline: 'codel' | 'fq-codel' }>,
  ) {}

  dequeue(nowNs: number): Packet | undefined {
    const { intervalNs } = this.queue;
    let [packet, okToDrop] = this.take(nowNs);
    if (this.dropping) {
      if (!okToDrop) this.dropping = false;
      while (packet && this.dropping && nowNs >= this.dropNextNs) {
        this.count++;
        const marked = this.markOrDrop(packet);
        if (!marked) [packet, okToDrop] = this.take(nowNs);
        if (okToDrop) this.dropNextNs = this.controlLaw(this.dropNextNs);
        else this.dropping = false;
        if (marked) break;
      }
    } else if (packet && okToDrop) {
      if (!this.markOrDrop(packet)) [packet] = this.take(nowNs);
      this.dropping = true;
      const delta = this.count - this.lastCount;
      this.count = delta > 1 && nowNs - this.dropNextNs < 16 * intervalNs ? delta : 1;
      this.dropNextNs = this.controlLaw(nowNs);
      this.lastCount = this.count;
    }
    return packet;
  }

  /** The first that waits, and whether it has been long enough that one may be dropped. */
  take(nowNs: number): [Packet | undefined, boolean] {
    const { targetNs, intervalNs } = this.queue;
    const packet = this.waiting.shift();
    if (packet === undefined || nowNs - packet.atNs < targetNs || sum(this.waiting, 0) <= this.longestBytes) {
      this.firstAboveNs = Infinity;
      return [packet, false];
    }
    if (this.firstAboveNs === Infinity) this.firstAboveNs = nowNs + intervalNs;
    else if (nowNs >= this.firstAboveNs) return [packet, true];
    return [packet, false];
  }

  /** True: marked, and it goes on. */
  markOrDrop(packet: Packet): boolean {
    if (this.queue.ecn && mark(packet)) return true;
    packet.dropped = 'discipline';
    return false;
  }

  controlLaw(fromNs: number): number {
    return fromNs + Math.round(this.queue.intervalNs / Math.sqrt(this.count));
  }
}

class Codel extends Waiting<Extract<Queue, { discipline: 'codel' }>> {
  readonly control = new CodelControl(this.waiting, this.queue);

  override adopt(packet: Packet): void {
    this.control.longestBytes = Math.max(this.control.longestBytes, packet.bytes);
    super.adopt(packet);
  }

  override dequeue(): Packet | undefined {
    return this.control.dequeue(this.nowNs);
  }

  override removeAll(): Packet[] {
    return this.waiting.splice(0);
  }
}

/** RFC 8290 §4. */
class FqCodel extends Waiting<Extract<Queue, { discipline: 'fq-codel' }>> {
  readonly flows: { control: CodelControl; credit: number }[] = Array.from({ length: this.queue.flows }, () => ({
    control: new CodelControl([], this.queue),
    credit: 0,
  }));
  newFlows: number[] = [];
  oldFlows: number[] = [];

  override get packets(): number {
    return this.all().length;
  }

  all(): Packet[] {
    return this.flows.flatMap(({ control }) => control.waiting);
  }

  override enqueue(packet: Packet): void {
    this.adopt(packet);
    // §4.1: half of the packets of the queue with most bytes, 64 at most, from its head.
    while (this.isOver(this.all())) {
      const bytes = this.flows.map(({ control }) => sum(control.waiting, 0));
      const { waiting } = this.flows[bytes.indexOf(Math.max(...bytes))]!.control;
      for (const dropped of waiting.splice(0, Math.min(64, Math.ceil(waiting.length / 2))))
        dropped.dropped = 'queue-limit';
    }
  }

  override adopt(packet: Packet): void {
    const flow = this.flows[packet.flow]!;
    flow.control.waiting.push(packet);
    flow.control.longestBytes = Math.max(flow.control.longestBytes, packet.bytes);
    if (this.newFlows.includes(packet.flow) || this.oldFlows.includes(packet.flow)) return;
    this.newFlows.push(packet.flow);
    flow.credit = this.queue.quantumBytes;
  }

  override dequeue(): Packet | undefined {
    for (;;) {
      const list = this.newFlows.length > 0 ? this.newFlows : this.oldFlows;
      const index = list[0];
      if (index === undefined) return undefined;
      const flow = this.flows[index]!;
      if (flow.credit <= 0) {
        flow.credit += this.queue.quantumBytes;
        list.shift();
        this.oldFlows.push(index);
        continue;
      }
      const packet = flow.control.dequeue(this.nowNs);
      if (packet !== undefined) {
        flow.credit -= packet.bytes;
        return packet;
      }
      list.shift();
      if (list === this.newFlows) this.oldFlows.push(index);
    }
  }

  override removeAll(): Packet[] {
    const order = [...this.newFlows, ...this.oldFlows];
    [this.newFlows, this.oldFlows] = [[], []];
    return order.flatMap((index) => this.flows[index]!.control.waiting.splice(0));
  }
}

/** RFC 8033 §4 and §5.1; the delay is that of the bytes that wait, at the rate (§4.3's measure of it is not needed). */
class Pie extends Waiting<Extract<Queue, { discipline: 'pie' }>> {
  static readonly MEAN_BYTES = 1514;
  chance = 0;
  delayNs = 0;
  burstNs = this.queue.maxBurstNs;
  updateNs: number;

  constructor(
    queue: Extract<Queue, { discipline: 'pie' }>,
    limits: Limits,
    nsPerByte: number,
    readonly random: RandomStream,
    nowNs: number,
  ) {
    super(queue, limits, nsPerByte);
    this.updateNs = nowNs + queue.updateNs;
  }

  override enqueue(packet: Packet): void {
    this.update(this.nowNs);
    if (this.isOver([...this.waiting, packet])) packet.dropped = 'queue-limit';
    else if (this.burstNs > 0 || !this.chooses()) this.waiting.push(packet);
    else if (this.queue.ecn && this.chance < 0.1 && mark(packet)) this.waiting.push(packet);
    else packet.dropped = 'discipline';
  }

  override adopt(packet: Packet): void {
    this.update(this.nowNs);
    super.adopt(packet);
  }

  override dequeue(): Packet | undefined {
    this.update(this.nowNs);
    return super.dequeue();
  }

  /** §4.1 */
  chooses(): boolean {
    if (this.delayNs < this.queue.targetNs / 2 && this.chance < 0.2) return false;
    if (sum(this.waiting, 0) <= 2 * Pie.MEAN_BYTES) return false;
    return this.random.next32() >>> 0 < this.chance * 2 ** 32;
  }

  /** §4.2, §4.4: all that were due by now. */
  update(nowNs: number): void {
    const { targetNs, alpha, beta, maxBurstNs } = this.queue;
    for (; this.updateNs <= nowNs; this.updateNs += this.queue.updateNs) {
      const delayNs = sum(this.waiting, 0) * this.nsPerByte;
      const change = (alpha * (delayNs - targetNs) + beta * (delayNs - this.delayNs)) / 1e9;
      const steps: [number, number][] = [
        [1e-6, 2048],
        [1e-5, 512],
        [1e-4, 128],
        [1e-3, 32],
        [1e-2, 8],
        [1e-1, 2],
      ];
      this.chance += change / (steps.find(([below]) => this.chance < below)?.[1] ?? 1);
      if (delayNs === 0 && this.delayNs === 0) this.chance *= 0.98;
      this.chance = Math.min(1, Math.max(0, this.chance));
      this.burstNs = Math.max(0, this.burstNs - this.queue.updateNs);
      if (this.chance === 0 && delayNs < targetNs / 2 && this.delayNs < targetNs / 2) this.burstNs = maxBurstNs;
      this.delayNs = delayNs;
    }
  }
}
