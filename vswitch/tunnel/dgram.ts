/**
 * The tunnel over Node's own UDP sockets: the wire format of `udp.ts` without the addon, and the oracle for it (a test puts
 * one on each end). It runs on Node's event loop, so it suits tests and machines without a C compiler, not the engine's
 * thread; what arrives between two `rxBatch` waits in a bounded queue. Node neither sets nor tells the ECN field of a
 * datagram, so none leaves marked and no mark is seen: such an end loses what a router says to a peer that sets it.
 *
 *   const device = await DgramDevice.open(context, { bind, connect, networkNumber, pathMtuBytes });
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Arena, FrameBatch } from '../arena.js';
import type { DeviceContext, PortDevice } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { Ecn } from '../wire/ecn.js';
import { BASE_BYTES } from './health/path-mtu.js';
import { ProbePacker } from './health/probe-packer.js';
import { type HealthContext, ProbeFate, TunnelHealth } from './health/tunnel-health.js';
import { TunnelReceiver } from './receiver.js';
import { MAX_DATAGRAMS } from './datagram-list.js';
import { TunnelSender } from './sender.js';
import { TUNNEL_MTU_BYTES } from './wire.js';

/** Received datagrams that wait for `rxBatch`: a full receive buffer of a usual socket (208 KiB), four times. */
const QUEUE_DATAGRAMS = 512;
/** Bytes that Node may have queued before we call the socket full. */
const SEND_QUEUE_BYTES = 1024 * 1024;
const SCATTER_ENTRIES = 4096;

export interface DgramDeviceOptions {
  readonly bind: { readonly address: string; readonly port: number };
  readonly networkNumber: number;
  readonly pathMtuBytes: number;
  readonly lane?: number;
}

export interface UdpEndpoint {
  readonly address: string;
  readonly port: number;
}

export class DgramDevice implements PortDevice, HealthContext {
  readonly mtuBytes = TUNNEL_MTU_BYTES;
  readonly batchSize = 256;
  /** It has a descriptor, but Node keeps it. */
  readonly fd = -1;

  /** Datagrams that could not be sent; Node says so when their frames are long gone. */
  failedDatagrams = 0;

  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #context: DeviceContext;
  readonly #socket: Socket;
  readonly #receiver: TunnelReceiver;
  readonly #sender: TunnelSender;
  readonly #probes: ProbePacker;
  readonly #health: TunnelHealth;
  #receivedDatagrams: number;
  readonly #iov: Int32Array;
  readonly #lengths: Int32Array;
  readonly #received: Buffer[];
  #isClosed: boolean;

  private constructor(context: DeviceContext, options: DgramDeviceOptions, socket: Socket) {
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#context = context;
    this.#socket = socket;
    this.#iov = new Int32Array(2 * SCATTER_ENTRIES);
    this.#lengths = new Int32Array(MAX_DATAGRAMS);
    this.#receiver = new TunnelReceiver(context, {
      networkNumber: options.networkNumber,
      control: { handshake: () => undefined, probe: this.#onProbe.bind(this), foreign: () => undefined },
    });
    const { networkNumber, pathMtuBytes, lane = 0 } = options;
    const ipHeaderBytes = isIPv6(options.bind.address) ? 40 : 20;
    const shape = { ipHeaderBytes, iov: this.#iov, lengths: this.#lengths, tagBytes: 0 };
    this.#sender = new TunnelSender(context, { networkNumber, pathMtuBytes, lane, ...shape });
    this.#probes = new ProbePacker(context.arena, this.#sender, shape);
    // Node's sockets let the kernel cut datagrams, so there is no path MTU to be found: it is what it was said to be.
    this.#health = new TunnelHealth(this, BASE_BYTES, context.clock.nowNs());
    this.#receivedDatagrams = 0;
    this.#received = [];
    this.#isClosed = false;
    socket.on('message', (data) => {
      this.#onMessage(data);
    });
    // ECONNREFUSED and the like: some datagram before is lost, as it may be on any network.
    socket.on('error', () => {
      this.failedDatagrams++;
    });
  }

  /** Binds; `connect` must follow before anything is sent or taken. */
  static async open(context: DeviceContext, options: DgramDeviceOptions): Promise<DgramDevice> {
    const socket = createSocket(isIPv6(options.bind.address) ? 'udp6' : 'udp4');
    socket.bind(options.bind.port, options.bind.address);
    await once(socket, 'listening');
    return new DgramDevice(context, options, socket);
  }

  /** Where it is bound. */
  get endpoint(): UdpEndpoint {
    const { address, port } = this.#socket.address();
    return { address, port };
  }

  /** Chooses the peer: datagrams of strangers never arrive from now on. */
  async connect(peer: UdpEndpoint): Promise<void> {
    this.#socket.connect(peer.port, peer.address);
    await once(this.#socket, 'connect');
    this.#received.length = 0;
  }

  get nextNs(): number {
    return Math.min(this.#receiver.nextNs, this.#health.nextNs);
  }

  get peerIsDead(): boolean {
    return this.#health.isDead;
  }

  rxBatch(out: FrameBatch): number {
    const limit = Math.min(this.batchSize, out.capacity - out.count);
    let appended = this.#receiver.drain(out, limit);
    while (appended < limit) {
      const data = this.#received.shift();
      if (data === undefined) break;
      this.#receive(data);
      appended += this.#receiver.drain(out, limit - appended);
    }
    return appended;
  }

  txBatch(frames: FrameBatch, from: number): number {
    let done = from;
    while (done < frames.count && !this.#isClosed) {
      const datagrams = this.#sender.pack(frames, done);
      let sent = 0;
      for (let entry = 0; sent < datagrams && this.#socket.getSendQueueSize() < SEND_QUEUE_BYTES; sent++) {
        this.#send(entry, this.#lengths[sent]!);
        entry += this.#lengths[sent]!;
      }
      done += this.#sender.finish(sent);
      if (sent < datagrams) break;
    }
    return done - from;
  }

  poll(nowNs: number): void {
    this.#receiver.poll(nowNs);
    if (!this.#isClosed) this.#health.poll(nowNs);
  }

  nowNs(): number {
    return this.#context.clock.nowNs();
  }

  sentDatagrams(): number {
    return this.#sender.sentDatagrams;
  }

  receivedDatagrams(): number {
    return this.#receivedDatagrams;
  }

  sendProbe(message: Uint8Array, packetBytes: number): ProbeFate {
    const frame = this.#isClosed ? -1 : this.#probes.pack(message, packetBytes);
    if (frame === -1) return ProbeFate.failed;
    this.#send(0, this.#lengths[0]!);
    this.#arena.release(frame);
    return ProbeFate.sent;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
    this.#received.length = 0;
    this.#sender.close();
    this.#receiver.close();
  }

  #onMessage(data: Buffer): void {
    if (this.#isClosed) return;
    if (this.#received.length === QUEUE_DATAGRAMS) this.#drops.drop(DropReason.queueFull, -1, this.#port);
    else this.#received.push(data);
  }

  #receive(data: Buffer): void {
    const frame = this.#arena.write(data);
    if (frame === -1) this.#drops.drop(DropReason.arenaFull, -1, this.#port);
    else this.#take(frame, this.#context.clock.nowNs());
  }

  #take(frame: number, nowNs: number): void {
    this.#receiver.datagram(frame, nowNs, Ecn.notEct);
    if (this.#receiver.isFrames || this.#receiver.isParity) this.#receivedDatagrams++;
    if (this.#receiver.isOurs) this.#health.heard(nowNs);
    if (this.#health.isAsked) this.#health.answer(nowNs);
  }

  #onProbe(at: number, payloadBytes: number): boolean {
    return this.#health.onProbe(this.#arena.bytes, at, payloadBytes, this.#context.clock.nowNs());
  }

  /** Sends the datagram of `count` scatter entries from `entry` on; Node needs its bytes in one piece, and for a while. */
  #send(entry: number, count: number): void {
    const parts: Uint8Array[] = [];
    for (let i = entry; i < entry + count; i++) {
      const at = this.#iov[2 * i]!;
      parts.push(this.#arena.bytes.subarray(at, at + this.#iov[2 * i + 1]!));
    }
    this.#socket.send(Buffer.concat(parts), (error) => {
      if (error !== null) this.failedDatagrams++;
    });
  }
}
