/**
 * The engine: moves frames between devices. One breath runs to completion:
 *
 *   devices that are due          ready ports, one batch each                       ports with frames to send
 *   poll ──────────────▶ rxBatch ─▶ LinkDirection.send ─▶ transmit ─▶ Bridge.forward ─┐      flush ─▶ txBatch
 *                                     (qdisc)      ▲          │                       │        ▲
 *                                                  └──────────┼───────────────────────┘        │
 *                                                             └─▶ Port.send (tx queue) ────────┘
 *
 * Frames that came together and go the same way go together, as batches: at each arrow there is a call for many of them.
 * Ports are served in turn, a batch each, so none starves another. A port that gave a full batch is read again in the
 * next breath, without waiting. A device that does not take all it is given (a full socket buffer) keeps its port
 * `blocked`: the rest stays in the port's queue, which is bounded, and the port asks the poller to say when the device
 * is writable; a device without a descriptor is tried again on each breath, and one that holds frames back (`isHolding`)
 * when it is due for `poll`. A device that has no memory to read into is
 * not watched until other ports have let go of enough: its frames wait in it, and no breath is spent on them.
 *
 * Called by `worker.ts` (and by tests, with a clock of their own). In a breath nothing is allocated, and its time
 * is read once, and again at its end where frames left emulated links, to know how late they were; a device may move the
 * shared clock on within one, as a round trip over a tunnel can end in it.
 */
import type { Clock } from '../model/clock.js';
import { StateError } from '../model/errors.js';
import { ActiveList } from './active-list.js';
import { type Arena, FrameBatch, MAX_FRAME_SLOTS } from './arena.js';
import { CapturePoint } from './capture-ring.js';
import { ETHERNET_HEADER_BYTES, RX_GONE, RX_NO_MEMORY } from './device/device.js';
import type { NativeIo } from './device/native-io.js';
import { DropCounter } from './drop-counter.js';
import { DropReason } from './drops.js';
import type { Lateness } from './emulation/lateness.js';
import { FlightRecorder } from './flight-recorder.js';
import { MAX_BATCH, type Port, listensTo, WRITABLE } from './port.js';
import type { EngineConfig } from './stack/config.js';
import { Gauge, Telemetry } from './telemetry.js';
import { type OpenDevice, type Poller, Topology } from './topology.js';
import { TransmitList } from './transmit-list.js';

/** Frames that one port's batch may cause, floods included, before the next port has its turn. */
const TRANSMIT_BUDGET = 4096;
/** Between two looks at the FDBs, while there is traffic, and slots looked at. */
const SWEEP_NS = 10e6;
const SWEEP_SLOTS = 256;
/** A thread that sleeps for long is woken so much late, or less: of 99 in 100 waits on an idle machine 93 µs at most, most 50. */
export const SPIN_NS = 60_000;

export interface EngineOptions {
  readonly arena: Arena;
  readonly clock: Clock;
  readonly io?: NativeIo;
  readonly poller?: Poller;
  /** On memory from their `allocate`; of its own where absent. */
  readonly telemetry?: Telemetry;
  readonly recorder?: FlightRecorder;
}

export class Engine {
  readonly arena: Arena;
  readonly topology: Topology;
  readonly telemetry: Telemetry;
  /** `[0]`: the clock, read here and not by a call, which would leave a double to collect. */
  readonly #now: Float64Array;
  readonly #io: NativeIo | undefined;
  readonly #lateness: Lateness;
  readonly #drops: DropCounter;
  readonly #transmitList: TransmitList;
  readonly #poller: Poller | undefined;
  readonly #readyPorts: ActiveList<Port>;
  readonly #dirtyPorts: ActiveList<Port>;
  readonly #starvedPorts: ActiveList<Port>;
  readonly #batch: FrameBatch;
  readonly #run: FrameBatch;
  /** A port has more to give: it is known to be ready, or gave a full batch. */
  #readAgain: boolean;
  /** When the first device is due for `poll`; may be too early after a breath with frames, never too late. */
  #pollNs: number;
  /** `[0]`: when tables are swept next; a field of its own would be a new double each time. */
  readonly #sweepNs: Float64Array;
  #sweptBridge: number;

  constructor(options: EngineOptions) {
    this.arena = options.arena;
    this.telemetry = options.telemetry ?? new Telemetry(Telemetry.allocate());
    const { clock } = options;
    this.#now = clock.now;
    this.#io = options.io;
    const recorder = options.recorder ?? new FlightRecorder(FlightRecorder.allocate());
    this.#drops = new DropCounter(this.arena, clock, this.telemetry, recorder);
    this.#transmitList = new TransmitList(clock);
    this.#poller = options.poller;
    this.#readyPorts = new ActiveList();
    this.#dirtyPorts = new ActiveList();
    this.#starvedPorts = new ActiveList();
    this.#batch = new FrameBatch(MAX_BATCH);
    this.#run = new FrameBatch(MAX_BATCH);
    this.#readAgain = false;
    this.#pollNs = Infinity;
    this.#sweepNs = new Float64Array(1);
    this.#sweptBridge = 0;
    this.topology = new Topology({
      arena: this.arena,
      clock,
      io: options.io,
      poller: options.poller,
      telemetry: this.telemetry,
      drops: this.#drops,
      transmitList: this.#transmitList,
      readyPorts: this.#readyPorts,
      dirtyPorts: this.#dirtyPorts,
      starvedPorts: this.#starvedPorts,
    });
    this.#lateness = this.topology.lateness;
    this.telemetry.gauges[Gauge.slots] = this.arena.slotCount;
    this.telemetry.gauges[Gauge.freeSlots] = this.arena.freeSlots;
  }

  /**
   * When the next breath has something to do: 0 for at once, Infinity for not before a port is ready. What a device
   * without a descriptor has to give is only known to itself.
   */
  get nextNs(): number {
    if (this.#readAgain || !this.#transmitList.empty) return 0;
    return Math.min(this.#pollNs, this.#transmitList.nextNs);
  }

  /** How long before `nextNs` it is usual to be awake (`waiter.ts`), where it is a link that is emulated which is due then; else 0. */
  get spinNs(): number {
    return this.#transmitList.nextNs <= this.#pollNs && this.#transmitList.nextNs < Infinity ? SPIN_NS : 0;
  }

  /** The poller says that a port's descriptor is readable, or writable where that was asked for. */
  portReady(index: number): void {
    const port = this.topology.portsByIndex[index];
    if (port == null || port.gone) return;
    this.#readAgain = true;
    if (!port.listed) {
      port.listed = true;
      this.#readyPorts.push(port);
    }
    if (port.blocked && !port.dirty) {
      port.dirty = true;
      this.#dirtyPorts.push(port);
    }
  }

  /** Does all that is due now; returns how many frames were received or passed on. */
  breath(): number {
    if (this.#now[0]! >= this.#pollNs) this.#pollDevices();
    let frames = this.#transmitList.run(TRANSMIT_BUDGET);
    frames += this.#readPorts();
    this.#flushPorts();
    if (this.#lateness.count > 0) this.#tellLateness();
    if (this.#starvedPorts.count > 0) this.#watchStarved();
    if (frames > 0 && this.#now[0]! >= this.#sweepNs[0]!) {
      this.#sweepNs[0] = this.#now[0]! + SWEEP_NS;
      this.#sweep();
    }
    // What a device waited for has come, or its time is another: nobody is to be woken for what is not due any more.
    if (frames === 0 && this.#pollNs !== Infinity) this.#findNextPoll();
    this.telemetry.gauges[Gauge.freeSlots] = this.arena.freeSlots;
    return frames;
  }

  /** See `Topology.apply`. */
  apply(config: EngineConfig, open: OpenDevice): void {
    this.topology.apply(config, open);
  }

  /** Copies frames of a device (of one of its channels: not -1) into a ring that a `CaptureReader` made. */
  startCapture(id: number, device: string, channel: number, ring: SharedArrayBuffer): void {
    const port = this.topology.ports.get(device);
    if (port === undefined) throw new StateError(`there is no device ${device}`);
    port.captures.push(new CapturePoint(id, ring, channel));
  }

  stopCapture(id: number): void {
    for (const { captures } of this.topology.ports.values()) {
      const at = captures.findIndex((capture) => capture.id === id);
      if (at !== -1) captures.splice(at, 1);
    }
  }

  /** Releases every frame and device. */
  close(): void {
    this.topology.close();
  }

  #readPorts(): number {
    const ready = this.#readyPorts;
    let kept = 0;
    let frames = 0;
    this.#readAgain = false;
    for (let i = 0; i < ready.count; i++) {
      const port = ready.items[i]!;
      const received = this.#receive(port);
      if (received > 0) frames += received + this.#transmitList.run(TRANSMIT_BUDGET);
      const more = received === port.device.batchSize;
      if (more) this.#readAgain = true;
      if (!port.gone && (more || port.device.fd === -1)) ready.items[kept++] = port;
      else port.listed = false;
    }
    ready.count = kept;
    return frames;
  }

  /** Takes one batch and hands its frames to the links that begin at the port. */
  #receive(port: Port): number {
    const batch = this.#batch;
    batch.count = 0;
    const received = port.device.rxBatch(batch);
    if (port.device.nextNs < this.#pollNs) this.#pollNs = port.device.nextNs;
    if (received === RX_GONE) this.#lose(port);
    else if (received === RX_NO_MEMORY) this.#starve(port);
    if (received <= 0) return 0;
    port.received(batch);
    const { directions } = port;
    // Neighbours that enter the same direction go together.
    for (let i = 0; i < received;) {
      const channel = batch.channels[i]!;
      const direction = channel < directions.length ? directions[channel]! : null;
      const end = direction === null ? i : this.#endOfRun(batch, i);
      if (end > i) {
        direction!.send(end - i === received ? batch : this.#run.part(batch, i, end));
        i = end;
        continue;
      }
      const frame = batch.ids[i++]!;
      const isMalformed = this.arena.length[frame]! < ETHERNET_HEADER_BYTES;
      const unknown = channel === 0 ? DropReason.noPort : DropReason.unknownChannel;
      this.#drops.drop(isMalformed ? DropReason.malformed : unknown, frame, port.index);
      this.arena.release(frame);
    }
    return received;
  }

  /** Behind the frames from `i` on that came by the same channel and have a whole header. */
  #endOfRun({ ids, channels, count }: FrameBatch, i: number): number {
    const { length } = this.arena;
    const channel = channels[i]!;
    while (i < count && channels[i] === channel && length[ids[i]!]! >= ETHERNET_HEADER_BYTES) i++;
    return i;
  }

  /** Its interface was deleted: a descriptor that is always ready would keep the engine busy. */
  #lose(port: Port): void {
    port.gone = true;
    if (port.device.fd !== -1) this.#poller?.remove(port.device.fd);
  }

  #flushPorts(): void {
    const dirty = this.#dirtyPorts;
    let kept = 0;
    for (let i = 0; i < dirty.count; i++) {
      const port = dirty.items[i]!;
      port.flush();
      if (port.device.nextNs < this.#pollNs) this.#pollNs = port.device.nextNs;
      if (port.blocked && port.device.fd === -1) {
        dirty.items[kept++] = port;
        continue;
      }
      port.dirty = false;
      this.#watch(port);
    }
    dirty.count = kept;
  }

  /** What left emulated links has been written by now. */
  #tellLateness(): void {
    if (this.#io !== undefined) this.#io.tick();
    this.#lateness.tell();
  }

  #starve(port: Port): void {
    if (port.starved) return;
    port.starved = true;
    this.telemetry.gauges[Gauge.starved]!++;
    this.#starvedPorts.push(port);
  }

  /** Memory comes free in breaths alone, so it is enough to look at the end of each. */
  #watchStarved(): void {
    const { items, count } = this.#starvedPorts;
    const isOver = this.arena.freeSlots >= MAX_FRAME_SLOTS;
    for (let i = 0; i < count; i++) {
      const port = items[i]!;
      port.starved = !isOver;
      this.#watch(port);
      // What it holds back in buffers of its own, no poller can tell.
      if (isOver) this.portReady(port.index);
    }
    if (isOver) this.#starvedPorts.count = 0;
  }

  #watch(port: Port): void {
    // A descriptor that is writable all the time would keep the engine busy.
    const waits = port.blocked && port.device.isHolding !== true;
    const interest = (port.starved ? 0 : listensTo(port.device)) | (waits ? WRITABLE : 0);
    if (interest === port.interest || port.gone || port.device.fd === -1) return;
    port.interest = interest;
    this.#poller?.watch(port.device.fd, port.index, interest);
  }

  /** What a poll yields comes out of the `rxBatch` that follows in this breath. */
  #pollDevices(): void {
    const nowNs = this.#now[0]!;
    this.#pollNs = Infinity;
    const ports = this.topology.portsByIndex;
    for (let i = 0; i < ports.length; i++) {
      const port = ports[i];
      if (port == null || port.gone) continue;
      if (port.device.nextNs <= nowNs) {
        port.device.poll(nowNs);
        this.portReady(port.index);
        this.#lookForPeer(port);
      }
      if (port.device.nextNs < this.#pollNs) this.#pollNs = port.device.nextNs;
    }
  }

  #findNextPoll(): void {
    this.#pollNs = Infinity;
    const ports = this.topology.portsByIndex;
    for (let i = 0; i < ports.length; i++) {
      const port = ports[i];
      if (port != null && !port.gone && port.device.nextNs < this.#pollNs) this.#pollNs = port.device.nextNs;
    }
  }

  #lookForPeer(port: Port): void {
    const isDead = port.device.peerIsDead === true;
    if (isDead === port.peerIsDead) return;
    port.peerIsDead = isDead;
    if (isDead) this.topology.forgetBehind(port);
  }

  /** One bridge at a time. Nobody waits for it: what is too old is not found anyway. */
  #sweep(): void {
    const bridges = this.topology.bridgeList;
    this.#sweptBridge = this.#sweptBridge + 1 < bridges.length ? this.#sweptBridge + 1 : 0;
    if (bridges.length > 0) bridges[this.#sweptBridge]!.sweep(SWEEP_SLOTS);
  }
}
