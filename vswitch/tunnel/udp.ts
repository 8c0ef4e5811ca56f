/**
 * The tunnel to a peer over a non-blocking UDP socket, read and written in batches by the addon. The format is that of
 * `docs/wire-format.md`; `dgram.ts` speaks the same one without the addon. The socket is connected to the peer, but for
 * the time in which a sealed tunnel looks for it (`roaming/`).
 *
 *   frames ─► sender: list of datagrams ─► addon: sealed, cut, in segmented sends
 *   frames ◄─ receiver: chunks to frames ◄─ addon: taken apart, seen to be new, opened, joined by frame
 *
 * Where the scenario has `fec`, what is sent has parity beside it (`fec/`); what comes is repaired wherever the peer has sent
 * some, whatever this end does.
 *
 * Nothing here is fatal: what cannot be sent is dropped and counted by frame, and the datagrams by cause (`outgoing`).
 */
import { constants } from 'node:os';
import { StateError } from '../../model/errors.js';
import type { Fec } from '../../model/fec.js';
import type { KeyLimits } from '../../model/messages.js';
import { slotsFor, MAX_FRAME_SLOTS, type Arena, type FrameBatch } from '../arena.js';
import {
  type DeviceContext,
  type EpochKeys,
  type PortDevice,
  RX_NO_MEMORY,
  type TunnelControl,
  type TunnelEvents,
} from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { DropReason, type DropSink } from '../drops.js';
import { Telemetry, TunnelField } from '../telemetry.js';
import { type HealthContext, ProbeFate, TunnelHealth } from './health/tunnel-health.js';
import { BurstBound } from './burst-bound.js';
import { DatagramWriter } from './datagram-writer.js';
import { Parity, WAIT_NS } from './fec/parity.js';
import { HandshakeDatagrams } from './handshake-datagrams.js';
import { ProbePacker } from './health/probe-packer.js';
import { type ControlSink, TunnelReceiver } from './receiver.js';
import { Remarks } from './remarks.js';
import { ENDPOINT_BYTES, isSameEndpoint, parseEndpoint } from './roaming/endpoint.js';
import { Roaming, type RoamingContext } from './roaming/roaming.js';
import { TunnelSender } from './sender.js';
import { SealBudget } from './seal-budget.js';
import { TunnelSocket } from './socket.js';
import { TunnelKeys } from './tunnel-keys.js';
import { DATAGRAM_HEADER_BYTES, TAG_BYTES, TUNNEL_MTU_BYTES, WIRE_VERSION } from './wire.js';

const { EMSGSIZE } = constants.errno;

/** Slots of one read, which stay in stock in between: some 250 datagrams at a path MTU of 1500, or seven super-frames. */
const READ_SLOTS = 256;
/** Reads of one `rxBatch`, so that datagrams which yield no frame cannot hold the engine. */
const READS = 8;
/** Bits of `udpFeatures`, as `UdpFeature` of native/binding.ts, which cannot be imported without loading the addon. */
const FEATURE_SEGMENT = 1;
const FEATURE_ECN = 4;
/** By `UdpRefusal` of native/binding.ts. */
const REFUSALS = [
  DropReason.badDatagram,
  DropReason.badDatagram,
  DropReason.unsealed,
  DropReason.unknownEpoch,
  DropReason.replayed,
  DropReason.notAuthentic,
  DropReason.stranger,
  DropReason.replayed,
  DropReason.badDatagram,
];
/** Of these: what came before, from elsewhere; and what is of another version or network. */
const TWIN = 7;
const FOREIGN = 8;
/** No refusals: parity, and what was rebuilt before it came. Both have come from the peer. */
const PARITY = 9;
const LATE = 10;

export interface UdpDeviceOptions {
  /** From `udpOpen`, with a port that was asked for; the device closes it. */
  readonly fd: number;
  /** Where the peer is configured to be. Absent: where the socket is connected to. */
  readonly peer?: { readonly address: string; readonly port: number };
  /** 1 … 2³²-1, the same at both ends. */
  readonly networkNumber: number;
  /** Of the underlay: no datagram's IP packet is larger. 1280 … 65535 */
  readonly pathMtuBytes: number;
  /** 20 or 40. */
  readonly ipHeaderBytes: number;
  /** 0 … 255, the engine's thread: 0 by default. */
  readonly lane?: number;
  /** `required`: nothing leaves that is not sealed, and nothing unsealed is taken, but handshakes. */
  readonly seal: 'required' | 'none';
  readonly keyLimits?: KeyLimits;
  /** Parity beside what is sent. Absent: none. */
  readonly fec?: Fec;
}

export class UdpDevice implements PortDevice, TunnelControl, HealthContext, RoamingContext {
  /** Anything is cut and rebuilt: the guests' MTU does not depend on the underlay's. */
  readonly mtuBytes = TUNNEL_MTU_BYTES;
  readonly batchSize = 256;
  readonly tunnel = this;

  /** All that goes to the peer, and counts of what did not. */
  readonly outgoing: DatagramWriter;

  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #context: DeviceContext;
  readonly #io: NativeIo;
  readonly #receiver: TunnelReceiver;
  readonly #sender: TunnelSender;
  readonly #probes: ProbePacker;
  readonly #health: TunnelHealth;
  readonly #burst: BurstBound;
  readonly #parity: Parity | undefined;
  /** When the parity of a block that does not fill is sent; Infinity: there is none. */
  #parityNs: number;
  readonly #socket: TunnelSocket;
  readonly #roaming: Roaming;
  /** Of the datagram that is being looked at; null where it came from where all goes. */
  #source: Uint8Array | null;
  readonly #elsewhere: Uint8Array;
  /** That the peer is looked for. */
  #toldSearch: boolean;
  readonly #events: TunnelEvents | undefined;
  /** Absent where the tunnel is not sealed. */
  readonly #keys: TunnelKeys | undefined;
  /** That carried frames, ever. */
  #receivedDatagrams: number;
  /** Datagrams wait in our buffers, which no poller can tell. */
  #hasMore: boolean;
  /** The epoch of the last datagram that was opened. */
  #receivedEpoch: number;
  /** Of the present epoch. */
  readonly #budget: SealBudget;
  readonly #handshakes: HandshakeDatagrams;
  readonly #remarks: Remarks;

  constructor(context: DeviceContext, options: UdpDeviceOptions) {
    const { io } = context;
    if (io === undefined) throw new TypeError('a udp device needs the native addon; dgram does without');
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#context = context;
    this.#io = io;
    this.#events = context.tunnelEvents;
    const features = io.native.udpFeatures(options.fd);
    const hasSegments = (features & FEATURE_SEGMENT) !== 0;
    this.#keys = options.seal === 'required' ? new TunnelKeys(io.native) : undefined;
    const isSealed = this.#keys !== undefined;
    const control: ControlSink = {
      handshake: this.#onHandshake.bind(this),
      probe: this.#onProbe.bind(this),
      foreign: this.#onForeign.bind(this),
    };
    this.#receiver = new TunnelReceiver(context, {
      networkNumber: options.networkNumber,
      isSealed,
      control,
    });
    const bufferBytes = io.native.udpReceiveBufferBytes(options.fd);
    this.#health = new TunnelHealth(this, options.pathMtuBytes, context.clock.nowNs(), bufferBytes);
    this.#burst = new BurstBound();
    this.#parity = options.fec === undefined ? undefined : new Parity(options.fec);
    this.#parityNs = Infinity;
    this.#socket = new TunnelSocket(io, options.fd, options.networkNumber, this.#parity !== undefined);
    this.#roaming = this.#roam(options);
    this.#source = null;
    this.#elsewhere = new Uint8Array(ENDPOINT_BYTES);
    this.#toldSearch = false;
    const shape = {
      ipHeaderBytes: options.ipHeaderBytes,
      tagBytes: isSealed ? TAG_BYTES : 0,
      iov: io.iov,
      lengths: io.lengths,
    };
    this.#sender = new TunnelSender(context, {
      ...shape,
      networkNumber: options.networkNumber,
      lane: options.lane ?? 0,
      pathMtuBytes: this.#health.pathMtuBytes,
      ...(hasSegments ? { cuts: io.cuts } : {}),
      ecn: io.ecn,
      // Whether the peer looks at the field is not asked; one that runs on a kernel like ours does.
      ecnMode: (features & FEATURE_ECN) === 0 ? 'compatibility' : 'normal',
      ...(this.#parity === undefined ? {} : { parity: this.#parity }),
    });
    if (this.#parity !== undefined) this.#useParity(this.#parity);
    this.#probes = new ProbePacker(context.arena, this.#sender, { ...shape, cuts: io.cuts, ecn: io.ecn });
    this.#receivedDatagrams = 0;
    this.#hasMore = false;
    this.#receivedEpoch = 0;
    this.#budget = new SealBudget(options.pathMtuBytes, options.keyLimits);
    const nowMs = context.clock.nowNs() / 1e6;
    this.#handshakes = new HandshakeDatagrams(io, this.#sender, options.networkNumber, nowMs);
    this.#remarks = new Remarks(context.tunnelEvents, nowMs);
    this.outgoing = new DatagramWriter({
      ...{ clock: context.clock, socket: this.#socket, lengths: io.lengths, sender: this.#sender },
      ...{ health: this.#health, roaming: isSealed ? this.#roaming : undefined, hasSegments },
    });
  }

  get fd(): number {
    return this.#socket.fd;
  }

  get nextNs(): number {
    if (this.#hasMore) return 0;
    const receiverNs = Math.min(this.#receiver.nextNs, this.#burst.nextNs);
    return Math.min(receiverNs, this.#parityNs, this.#health.nextNs, this.#roaming.nextNs(this.#searchNs));
  }

  get isHolding(): boolean {
    return this.#burst.nextNs !== Infinity;
  }

  get peerIsDead(): boolean {
    return this.#health.isDead;
  }

  rxBatch(out: FrameBatch): number {
    const limit = Math.min(this.batchSize, out.capacity - out.count);
    let appended = this.#receiver.drain(out, limit);
    let left = 2;
    for (let reads = 0; appended < limit && left > 0 && reads < READS; reads++) {
      left = this.#read();
      appended += this.#receiver.drain(out, limit - appended);
    }
    this.#hasMore = left === 2;
    if (left !== RX_NO_MEMORY) return appended;
    return appended > 0 ? appended : RX_NO_MEMORY;
  }

  txBatch(frames: FrameBatch, from: number): number {
    let done = from;
    const keys = this.#keys;
    if (keys?.epoch === 0) return this.#dropAll(frames, from, DropReason.noKey);
    const nowNs = this.#context.clock.nowNs();
    this.#burst.peerBufferBytes = this.#health.peerBufferBytes;
    this.#parity?.tick(nowNs);
    while (done < frames.count && this.#socket.fd !== -1 && this.#burst.begin(nowNs)) {
      if (keys !== undefined && !this.#budget.hasFrames(this.#sender.counter)) {
        done += this.#dropAll(frames, done, DropReason.keySpent);
        break;
      }
      const { pathMtuBytes } = this.#health;
      if (pathMtuBytes !== this.#sender.pathMtuBytes) this.#sender.pathMtuBytes = pathMtuBytes;
      const datagrams = this.#sender.pack(frames, done);
      const admitted = this.#burst.admit(this.#sender.heldBytes, datagrams);
      const sent = this.outgoing.write(admitted, this.#sendRing);
      this.#burst.spend(this.#sender.heldBytes, sent, sent < datagrams && sent === admitted);
      done += this.#sender.finish(sent);
      // What was packed for a path that has become narrower is packed anew.
      if (sent < datagrams && this.#health.pathMtuBytes === pathMtuBytes) break;
    }
    if (this.#parity !== undefined) this.#awaitParity(this.#parity, nowNs);
    if (keys !== undefined) this.#measureVolume(keys.epoch);
    return done - from;
  }

  poll(nowNs: number): void {
    this.#receiver.poll(nowNs);
    this.#burst.poll(nowNs);
    if (this.#socket.fd === -1) return;
    if (nowNs >= this.#parityNs) this.#sendParity();
    this.#health.poll(nowNs);
    this.#roaming.poll(nowNs, this.#searchNs);
    this.#tellSearch();
    this.#report();
  }

  /** A breath reads the clock once; a round trip may be over within one. */
  nowNs(): number {
    this.#io.native.tick(this.#io.handle);
    return this.#context.clock.nowNs();
  }

  sentDatagrams(): number {
    return this.#sender.sentDatagrams;
  }

  receivedDatagrams(): number {
    return this.#receivedDatagrams;
  }

  sendProbe(message: Uint8Array, packetBytes: number): ProbeFate {
    if (this.#socket.fd === -1 || (this.#keys !== undefined && !this.#sealsOne(this.#keys))) return ProbeFate.failed;
    const frame = this.#probes.pack(message, packetBytes);
    if (frame === -1) return ProbeFate.failed;
    const n = this.outgoing.writeOne(this.#sendRing);
    this.#arena.release(frame);
    if (n === -EMSGSIZE) return ProbeFate.tooLong;
    return n === 1 ? ProbeFate.sent : ProbeFate.failed;
  }

  /** Datagrams of this epoch are opened from now on. */
  installKeys(keys: EpochKeys): void {
    this.#sealed().install(keys);
  }

  /** Datagrams are sealed with this epoch from now on; the one before may still be opened. */
  useKeys(epoch: number): void {
    this.#sealed().use(epoch);
    this.#sender.epoch = epoch;
    this.#budget.begin(this.#sender.counter);
    this.#health.keyed(this.#context.clock.nowNs());
  }

  dropKeys(epoch: number): void {
    const keys = this.#sealed();
    keys.drop(epoch);
    this.#sender.epoch = keys.epoch;
  }

  markHandshakes(mark: Uint8Array): void {
    this.#handshakes.mark = mark;
  }

  connect(endpoint: Uint8Array): boolean {
    return this.#socket.connect(endpoint);
  }

  open(destination: Uint8Array): void {
    this.#socket.open(destination);
  }

  sendTo(endpoint: Uint8Array, message: Uint8Array): void {
    const isPossible = this.#keys !== undefined && this.#sealsOne(this.#keys);
    const frame = isPossible ? this.#probes.pack(message, 0) : -1;
    if (frame === -1) return;
    if (endpoint === this.#roaming.destination) this.outgoing.writeOne(this.#sendRing);
    else this.#socket.writeTo(endpoint, this.#sendRing);
    this.#arena.release(frame);
  }

  random(into: Uint8Array): void {
    this.#io.native.random(into);
  }

  moved(nowNs: number): void {
    this.#health.moved(nowNs);
  }

  /** Sends a piece of a handshake, of at most 1184 bytes; whether it went out is not known, as on any network. */
  sendHandshake(payload: Uint8Array, isSealed: boolean): void {
    const keys = this.#sealed();
    if (this.#socket.fd === -1 || (isSealed && !this.#sealsOne(keys))) return;
    const frame = this.#handshakes.pack(payload, isSealed);
    if (frame === -1) return;
    this.outgoing.writeOne(isSealed ? keys.sendRing : 0);
    const { isSearching, lead } = this.#roaming;
    if (!isSealed && isSearching && lead.spend(DATAGRAM_HEADER_BYTES + payload.byteLength)) {
      this.#socket.writeTo(lead.endpoint, 0);
    }
    this.#arena.release(frame);
  }

  close(): void {
    if (this.#socket.fd === -1) return;
    this.#socket.close();
    this.#sender.close();
    this.#receiver.close();
    this.#keys?.close();
  }

  get #sendRing(): number {
    return this.#keys === undefined ? 0 : this.#keys.sendRing;
  }

  /** Only a peer that can prove itself is looked for elsewhere. */
  get #searchNs(): number {
    return this.#keys === undefined ? Infinity : this.#health.liveness.doubtNs;
  }

  /** A socket that was in use before us may be connected to where the peer was found then. */
  #roam({ peer, seal }: UdpDeviceOptions): Roaming {
    const connected = new Uint8Array(ENDPOINT_BYTES);
    const isConnected = this.#socket.peer(connected);
    const configured = peer === undefined ? connected : parseEndpoint(peer.address, peer.port);
    const isHome = isConnected && (seal === 'required' || isSameEndpoint(connected, configured));
    return new Roaming(this, configured, isHome ? connected : null, this.#context.clock.nowNs(), seal === 'required');
  }

  #tellSearch(): void {
    const { isSearching } = this.#roaming;
    if (isSearching === this.#toldSearch) return;
    this.#toldSearch = isSearching;
    this.#events?.searching(isSearching);
  }

  #report(): void {
    const { index, telemetry } = this.#context;
    if (telemetry === undefined) return;
    const base = Telemetry.tunnelBase(index);
    this.#health.report(telemetry.tunnels, base);
    this.#roaming.report(telemetry.tunnels, base);
    telemetry.tunnels[base + TunnelField.ecnAnomalies] = this.#receiver.ecnAnomalies;
    telemetry.tunnels[base + TunnelField.rxOverruns] = this.#socket.overruns();
    telemetry.tunnels[base + TunnelField.repaired] = this.#socket.repaired();
    telemetry.tunnels[base + TunnelField.unrepaired] = this.#socket.unrepaired();
    if (this.#parity === undefined) return;
    telemetry.tunnels[base + TunnelField.parity] = 1 + this.#parity.redundancy.ratio;
    telemetry.tunnels[base + TunnelField.sentParity] = this.#parity.sentDatagrams;
  }

  #onProbe(at: number, payloadBytes: number): boolean {
    if (this.#keys !== undefined && this.#roaming.onProbe(this.#arena.bytes, at, payloadBytes, this.#source))
      return true;
    // What is measured on a path that is not in use says nothing.
    if (this.#source !== null) return true;
    const nowNs = this.#context.clock.nowNs();
    const isOne = this.#health.onProbe(this.#arena.bytes, at, payloadBytes, nowNs);
    if (this.#parity !== undefined) this.#adapt(this.#parity, nowNs);
    this.#report();
    return isOne;
  }

  /** Parity is as much as the loss of what we send needs, as the peer's replies tell it. */
  #adapt(parity: Parity, nowNs: number): void {
    const { redundancy } = parity;
    const { rows } = redundancy;
    const { ratio, latestRatio } = this.#health.loss;
    redundancy.measured(latestRatio > ratio ? latestRatio : ratio, nowNs);
    if (redundancy.rows !== rows) this.#useParity(parity);
  }

  #useParity({ redundancy }: Parity): void {
    this.#socket.parityRows = redundancy.rows;
    this.#sender.parityChanged();
  }

  #awaitParity(parity: Parity, nowNs: number): void {
    if (!parity.isOpen) this.#parityNs = Infinity;
    else if (this.#parityNs === Infinity) this.#parityNs = nowNs + WAIT_NS;
  }

  /** The block that is open gets no more. */
  #sendParity(): void {
    this.#parityNs = Infinity;
    if (this.#parity?.isOpen !== true) return;
    const isPossible = this.#keys === undefined || this.#sealsOne(this.#keys);
    if (!isPossible || this.#sender.packParity() === 0) return;
    const sent = this.outgoing.write(1, this.#sendRing);
    this.#burst.spend(this.#sender.heldBytes, sent, false);
    this.#sender.finishParity(sent);
  }

  #sealed(): TunnelKeys {
    if (this.#keys === undefined) throw new StateError('the tunnel is not sealed');
    return this.#keys;
  }

  /** Whether there is a key, and it may seal one more datagram that has no frames. */
  #sealsOne(keys: TunnelKeys): boolean {
    return keys.epoch !== 0 && this.#budget.hasOne(this.#sender.counter);
  }

  #dropAll(frames: FrameBatch, from: number, reason: DropReason): number {
    for (let i = from; i < frames.count; i++) {
      this.#drops.drop(reason, frames.ids[i]!, this.#port);
      this.#arena.release(frames.ids[i]!);
    }
    return frames.count - from;
  }

  #measureVolume(epoch: number): void {
    const { counter } = this.#sender;
    if (this.#budget.rekeyIsDue(counter)) this.#events?.volume(epoch);
    if (this.#budget.isSpent(counter)) this.#events?.spent(epoch);
  }

  #onForeign(version: number, network: number): void {
    this.#remarks.foreign(version, network, this.#context.clock.nowNs() / 1e6);
  }

  #onHandshake(at: number, payloadBytes: number, isSealed: boolean, markHigh: number, markLow: number): void {
    const isMarked = this.#handshakes.isMarked(markHigh, markLow);
    if (!isSealed && this.#source !== null) {
      if (!isMarked) {
        this.#drops.drop(DropReason.stranger, -1, this.#port);
        return;
      }
      this.#roaming.lead.heard(this.#source, DATAGRAM_HEADER_BYTES + payloadBytes, this.#context.clock.nowNs());
    }
    if (!this.#handshakes.admits(isSealed, isMarked, this.#context.clock.nowNs() / 1e6)) {
      this.#drops.drop(DropReason.queueFull, -1, this.#port);
      return;
    }
    this.#events?.handshake(this.#arena.bytes.slice(at, at + payloadBytes), isSealed);
  }

  /**
   * Reads what fits the slots that are free. Returns what is left, as `udpMore` says it; RX_NO_MEMORY: the socket keeps
   * what it has.
   */
  #read(): number {
    if (this.#socket.fd === -1) return 0;
    const { cuts, ecn, lengths, iov, sources } = this.#io;
    const slots = this.#io.offerSlots(READ_SLOTS);
    // A datagram has at most 64 KiB.
    if (slots < MAX_FRAME_SLOTS) return RX_NO_MEMORY;
    const ring = this.#keys === undefined ? 0 : this.#keys.receiveRing;
    const { isSearching } = this.#roaming;
    let n = this.#socket.read(slots, ring, isSearching);
    if (n < 0 && this.outgoing.isWorthRetrying(-n, 0)) n = this.#socket.read(slots, ring, isSearching);
    if (n < 0) return 0;
    const { next } = this.#arena;
    const nowNs = this.#context.clock.nowNs();
    let used = 0;
    // First the slots, since what is given up while datagrams are looked at gives others back.
    for (let i = 0; i < n; i++) {
      const bytes = lengths[i]!;
      if (bytes < 0) continue;
      for (let last = used + slotsFor(bytes) - 1; used < last; used++) next[iov[used]!] = iov[used + 1]!;
      next[iov[used++]!] = -1;
    }
    this.#io.takeOffered(used);
    let isHeard = false;
    for (let i = 0, at = 0; i < n; i++) {
      const bytes = lengths[i]!;
      if (bytes < 0) {
        const isRefused = bytes !== -PARITY && bytes !== -LATE;
        if (isRefused) this.#drops.drop(REFUSALS[-bytes]!, -1, this.#port);
        else this.#receivedDatagrams++;
        if (bytes === -FOREIGN) this.#onForeign(ecn[i]!, ecn[i] === WIRE_VERSION ? cuts[i]! >>> 0 : 0);
        if (isRefused && bytes !== -TWIN) continue;
        if (sources[i]! === 0) isHeard = true;
        else this.#roaming.heardFrom(this.#sourceOf(sources[i]!), nowNs);
        continue;
      }
      this.#source = sources[i]! === 0 ? null : this.#sourceOf(sources[i]!);
      this.#receiver.datagram(this.#arena.adopt(iov[at]!, bytes), nowNs, ecn[i]!);
      if (this.#receiver.isFrames) this.#receivedDatagrams += cuts[i]!;
      if (this.#keys === undefined ? this.#receiver.isOurs : this.#receiver.epoch !== 0) {
        if (this.#source === null) isHeard = true;
        else this.#roaming.heardFrom(this.#source, nowNs);
      }
      at += slotsFor(bytes);
      if (this.#receiver.epoch !== this.#receivedEpoch && this.#receiver.epoch !== 0) this.#meetEpoch();
    }
    if (isHeard) {
      this.#health.heard(nowNs);
      this.#roaming.heard();
    }
    this.#roaming.act(nowNs);
    this.#tellSearch();
    if (this.#health.isAsked) this.#health.answer(nowNs);
    if (this.#receiver.ecnAnomalies !== 0) this.#remarks.anomalies(this.#receiver.ecnAnomalies, nowNs);
    return this.#socket.more();
  }

  #sourceOf(number: number): Uint8Array {
    this.#socket.source(number, this.#elsewhere);
    return this.#elsewhere;
  }

  #meetEpoch(): void {
    this.#receivedEpoch = this.#receiver.epoch;
    if (this.#keys?.meet(this.#receivedEpoch) === true) this.#events?.epoch(this.#receivedEpoch);
  }
}
