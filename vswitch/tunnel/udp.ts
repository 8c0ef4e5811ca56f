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
import type { Arena, FrameBatch } from '../arena.js';
import {
  type DeviceContext,
  type KeyControl,
  type LaneKeys,
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
import { DatagramReader } from './datagram-reader.js';
import type { DatagramWriter } from './datagram-writer.js';
import { Parity } from './fec/parity.js';
import { Protection } from './fec/protection.js';
import { HandshakeDatagrams } from './handshake-datagrams.js';
import { BoardWriter, burstOf } from './lane-board.js';
import { Lane, type LaneShape } from './lane.js';
import { ProbePacker } from './health/probe-packer.js';
import { type ControlSink, TunnelReceiver } from './receiver.js';
import { Remarks } from './remarks.js';
import { ENDPOINT_BYTES, isSameEndpoint, parseEndpoint } from './roaming/endpoint.js';
import { Roaming, type RoamingContext } from './roaming/roaming.js';
import { TunnelSocket } from './socket.js';
import { TunnelKeys } from './tunnel-keys.js';
import { DATAGRAM_HEADER_BYTES, TAG_BYTES, TUNNEL_MTU_BYTES } from './wire.js';

const { EMSGSIZE } = constants.errno;

/** Reads of one `rxBatch`, so that datagrams which yield no frame cannot hold the engine. */
const READS = 8;
export interface UdpDeviceOptions extends LaneShape {
  /** From `udpOpen`, with a port that was asked for; the device closes it. */
  readonly fd: number;
  /** Where the peer is configured to be. Absent: where the socket is connected to. */
  readonly peer?: { readonly address: string; readonly port: number };
  /** `required`: nothing leaves that is not sealed, and nothing unsealed is taken, but handshakes. */
  readonly seal: 'required' | 'none';
  /** Parity beside what is sent. Absent: none. */
  readonly fec?: Fec;
}

export class UdpDevice implements PortDevice, TunnelControl, KeyControl, HealthContext, RoamingContext {
  /** Anything is cut and rebuilt: the guests' MTU does not depend on the underlay's. */
  readonly mtuBytes = TUNNEL_MTU_BYTES;
  readonly batchSize = 256;
  readonly keys = this;
  readonly tunnel = this;

  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #context: DeviceContext;
  readonly #io: NativeIo;
  readonly #receiver: TunnelReceiver;
  /** Of what this engine sends; others may have theirs (`lane-board.ts`). */
  readonly #lane: Lane;
  readonly #board: BoardWriter | undefined;
  readonly #probes: ProbePacker;
  readonly #health: TunnelHealth;
  readonly #protection: Protection | undefined;
  readonly #socket: TunnelSocket;
  readonly #roaming: Roaming;
  /** That the peer is looked for. */
  #toldSearch: boolean;
  readonly #events: TunnelEvents | undefined;
  /** Absent where the tunnel is not sealed. */
  readonly #keys: TunnelKeys | undefined;
  readonly #reader: DatagramReader;
  /** Datagrams wait in our buffers, which no poller can tell. */
  #hasMore: boolean;
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
    this.#keys = options.seal === 'required' ? new TunnelKeys(io.native, 0) : undefined;
    const isSealed = this.#keys !== undefined;
    const foreign = this.#onForeign.bind(this);
    const control: ControlSink = {
      handshake: this.#onHandshake.bind(this),
      probe: this.#onProbe.bind(this),
      foreign,
    };
    this.#receiver = new TunnelReceiver(context, {
      networkNumber: options.networkNumber,
      isSealed,
      control,
    });
    const bufferBytes = io.native.udpReceiveBufferBytes(options.fd);
    this.#health = new TunnelHealth(this, options.pathMtuBytes, context.clock.nowNs(), bufferBytes);
    this.#board = context.board === undefined ? undefined : new BoardWriter(context.board);
    const parity = options.fec === undefined ? undefined : new Parity(options.fec);
    this.#socket = new TunnelSocket(io, options.fd, options.networkNumber, parity !== undefined);
    this.#roaming = this.#roam(options);
    this.#toldSearch = false;
    this.#lane = new Lane(context, io, {
      ...{ shape: options, lane: 0, fd: options.fd, socket: this.#socket, parity, keys: this.#keys },
      ...{ path: this.#health, route: isSealed ? this.#roaming : undefined },
      burst: context.board === undefined ? new BurstBound() : new BurstBound(burstOf(context.board)),
    });
    const { sender, outgoing } = this.#lane;
    const shape = { ipHeaderBytes: options.ipHeaderBytes, tagBytes: isSealed ? TAG_BYTES : 0 };
    const { cuts, ecn, iov, lengths } = io;
    this.#probes = new ProbePacker(context.arena, sender, { ...shape, cuts, ecn, iov, lengths });
    this.#hasMore = false;
    const nowMs = context.clock.nowNs() / 1e6;
    this.#handshakes = new HandshakeDatagrams(io, sender, options.networkNumber, nowMs);
    this.#remarks = new Remarks(context.tunnelEvents, nowMs);
    this.#reader = new DatagramReader(context, io, {
      ...{ socket: this.#socket, outgoing, receiver: this.#receiver, roaming: this.#roaming, isSealed },
      ...{ foreign, met: this.#meetEpoch.bind(this) },
    });
    if (parity === undefined) this.#protection = undefined;
    else this.#protection = new Protection({ parity, socket: this.#socket, lane: this.#lane });
  }

  get fd(): number {
    return this.#socket.fd;
  }

  get nextNs(): number {
    if (this.#hasMore) return 0;
    const receiverNs = Math.min(this.#receiver.nextNs, this.#lane.burst.nextNs);
    const parityNs = this.#protection === undefined ? Infinity : this.#protection.nextNs;
    return Math.min(receiverNs, parityNs, this.#health.nextNs, this.#roaming.nextNs(this.#searchNs));
  }

  get isHolding(): boolean {
    return this.#lane.burst.nextNs !== Infinity;
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
    if (this.#socket.fd === -1) return 0;
    const nowNs = this.#context.clock.nowNs();
    this.#protection?.begin(nowNs);
    const done = this.#lane.send(frames, from, nowNs);
    this.#protection?.end(nowNs);
    return done;
  }

  poll(nowNs: number): void {
    this.#receiver.poll(nowNs);
    this.#lane.burst.poll(nowNs);
    if (this.#socket.fd === -1) return;
    if (this.#protection !== undefined && nowNs >= this.#protection.nextNs) this.#protection.send();
    this.#board?.heed(this.#health, this.#keys === undefined ? undefined : this.#roaming, nowNs);
    this.#health.poll(nowNs);
    this.#roaming.poll(nowNs, this.#searchNs);
    this.#tellSearch();
    this.#tellLanes();
    this.#report();
  }

  /** A breath reads the clock once; a round trip may be over within one. */
  nowNs(): number {
    this.#io.native.tick(this.#io.handle);
    return this.#context.clock.nowNs();
  }

  sentDatagrams(): number {
    const { sentDatagrams } = this.#lane.sender;
    return this.#board === undefined ? sentDatagrams : sentDatagrams + this.#board.sentDatagrams;
  }

  receivedDatagrams(): number {
    return this.#reader.receivedDatagrams;
  }

  sendProbe(message: Uint8Array, packetBytes: number): ProbeFate {
    if (this.#socket.fd === -1 || !this.#lane.maySendOne) return ProbeFate.failed;
    const frame = this.#probes.pack(message, packetBytes);
    if (frame === -1) return ProbeFate.failed;
    const n = this.outgoing.writeOne(this.#lane.ring);
    this.#arena.release(frame);
    if (n === -EMSGSIZE) return ProbeFate.tooLong;
    return n === 1 ? ProbeFate.sent : ProbeFate.failed;
  }

  /** Datagrams of this epoch are opened from now on. */
  installKeys(keys: LaneKeys): void {
    this.#lane.installKeys(keys);
  }

  /** Datagrams are sealed with this epoch from now on; the one before may still be opened. */
  useKeys(epoch: number): void {
    this.#lane.useKeys(epoch);
    this.#health.keyed(this.#context.clock.nowNs());
  }

  dropKeys(epoch: number): void {
    this.#lane.dropKeys(epoch);
  }

  markHandshakes(mark: Uint8Array): void {
    this.#handshakes.mark = mark;
  }

  connect(endpoint: Uint8Array): boolean {
    const isConnected = this.#socket.connect(endpoint);
    this.#board?.connected();
    return isConnected;
  }

  open(destination: Uint8Array): void {
    this.#board?.open(destination);
    this.#socket.open(destination);
  }

  sendTo(endpoint: Uint8Array, message: Uint8Array): void {
    const isPossible = this.#keys !== undefined && this.#lane.maySendOne;
    const frame = isPossible ? this.#probes.pack(message, 0) : -1;
    if (frame === -1) return;
    if (endpoint === this.#roaming.destination) this.outgoing.writeOne(this.#lane.ring);
    else this.#socket.writeTo(endpoint, this.#lane.ring);
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
    if (this.#keys === undefined) throw new StateError('the tunnel is not sealed');
    if (this.#socket.fd === -1 || (isSealed && !this.#lane.maySendOne)) return;
    const frame = this.#handshakes.pack(payload, isSealed);
    if (frame === -1) return;
    this.outgoing.writeOne(isSealed ? this.#lane.ring : 0);
    const { isSearching, lead } = this.#roaming;
    if (!isSealed && isSearching && lead.spend(DATAGRAM_HEADER_BYTES + payload.byteLength)) {
      this.#socket.writeTo(lead.endpoint, 0);
    }
    this.#arena.release(frame);
  }

  close(): void {
    if (this.#socket.fd === -1) return;
    this.#socket.close();
    this.#lane.close();
    this.#receiver.close();
  }

  /** All that goes to the peer, and counts of what did not. */
  get outgoing(): DatagramWriter {
    return this.#lane.outgoing;
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

  #tellLanes(): void {
    if (this.#board === undefined) return;
    if (this.#roaming.isOpen) this.#board.open(this.#roaming.destination);
    this.#board.tell(this.#health);
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
    this.#protection?.report(telemetry.tunnels, base);
  }

  #onProbe(at: number, payloadBytes: number): boolean {
    if (this.#keys !== undefined && this.#roaming.onProbe(this.#arena.bytes, at, payloadBytes, this.#reader.source))
      return true;
    // What is measured on a path that is not in use says nothing.
    if (this.#reader.source !== null) return true;
    const nowNs = this.#context.clock.nowNs();
    const isOne = this.#health.onProbe(this.#arena.bytes, at, payloadBytes, nowNs);
    this.#protection?.measured(this.#health.loss, nowNs);
    this.#report();
    return isOne;
  }

  #onForeign(version: number, network: number): void {
    this.#remarks.foreign(version, network, this.#context.clock.nowNs() / 1e6);
  }

  #onHandshake(at: number, payloadBytes: number, isSealed: boolean, markHigh: number, markLow: number): void {
    const isMarked = this.#handshakes.isMarked(markHigh, markLow);
    if (!isSealed && this.#reader.source !== null) {
      if (!isMarked) {
        this.#drops.drop(DropReason.stranger, -1, this.#port);
        return;
      }
      this.#roaming.lead.heard(this.#reader.source, DATAGRAM_HEADER_BYTES + payloadBytes, this.#context.clock.nowNs());
    }
    if (!this.#handshakes.admits(isSealed, isMarked, this.#context.clock.nowNs() / 1e6)) {
      this.#drops.drop(DropReason.queueFull, -1, this.#port);
      return;
    }
    this.#events?.handshake(this.#arena.bytes.slice(at, at + payloadBytes), isSealed);
  }

  /** As `DatagramReader.read`; and does what follows from it for the tunnel. */
  #read(): number {
    if (this.#socket.fd === -1) return 0;
    const ring = this.#keys === undefined ? 0 : this.#keys.receiveRing;
    const left = this.#reader.read(ring, this.#roaming.isSearching);
    if (left === RX_NO_MEMORY) return left;
    const nowNs = this.#context.clock.nowNs();
    if (this.#reader.isHeard) {
      this.#health.heard(nowNs);
      this.#roaming.heard();
    }
    this.#roaming.act(nowNs);
    this.#tellSearch();
    this.#tellLanes();
    if (this.#health.isAsked) this.#health.answer(nowNs);
    if (this.#receiver.ecnAnomalies !== 0) this.#remarks.anomalies(this.#receiver.ecnAnomalies, nowNs);
    return left;
  }

  #meetEpoch(epoch: number): void {
    if (this.#keys?.meet(epoch) === true) this.#events?.epoch(epoch);
  }
}
