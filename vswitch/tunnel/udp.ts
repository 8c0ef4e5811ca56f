/**
 * The tunnel to a peer over a connected, non-blocking UDP socket, read and written in batches by the addon. The format is
 * that of `docs/wire-format.md`; `dgram.ts` speaks the same one without the addon.
 *
 * Nothing here is fatal. An asynchronous error of the socket (ECONNREFUSED: nobody listens at the peer) is reported by
 * the kernel in place of the next call, which it does not carry out: so that call is made once more. What cannot be sent
 * is dropped and counted by frame, and the datagrams by cause in the fields below.
 */
import { constants } from 'node:os';
import { FIRST_SLOT_BYTES, slotsFor, type Arena, type FrameBatch } from '../arena.js';
import { type DeviceContext, type PortDevice, RX_NO_MEMORY } from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { DropReason, type DropSink } from '../drops.js';
import { TunnelReceiver } from './receiver.js';
import { TunnelSender } from './sender.js';
import { TUNNEL_MTU_BYTES } from './wire.js';

const { EAGAIN, EWOULDBLOCK, ECONNREFUSED, EMSGSIZE } = constants.errno;

/** Datagrams of one read: one and a half super-frames at a path MTU of 1500. */
const READ_DATAGRAMS = 64;
/** Slots of one read, which stay in stock in between: fewer datagrams where each may need many. */
const READ_SLOTS = 128;
/** Reads of one `rxBatch`, so that datagrams which yield no frame cannot hold the engine. */
const READS = 4;

export interface UdpDeviceOptions {
  /** From `udpOpen`, connected; the device closes it. */
  readonly fd: number;
  /** 1 … 2³²-1, the same at both ends. */
  readonly networkNumber: number;
  /** Of the underlay: no datagram's IP packet is larger. 1280 … 65535 */
  readonly pathMtuBytes: number;
  /** 20 or 40. */
  readonly ipHeaderBytes: number;
  /** 0 … 255, the engine's thread: 0 by default. */
  readonly lane?: number;
}

export class UdpDevice implements PortDevice {
  /** Anything is cut and rebuilt: the guests' MTU does not depend on the underlay's. */
  readonly mtuBytes = TUNNEL_MTU_BYTES;
  readonly batchSize = 256;

  /** Datagrams that the peer's machine refused (ICMP port unreachable), now or some time ago. */
  refusedDatagrams = 0;
  /** Datagrams that were longer than the path's MTU (EMSGSIZE): the path MTU that was configured is too large. */
  tooLongDatagrams = 0;
  /** Datagrams that failed with another error. */
  failedDatagrams = 0;

  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #context: DeviceContext;
  readonly #io: NativeIo;
  readonly #receiver: TunnelReceiver;
  readonly #sender: TunnelSender;
  readonly #slotsEach: number;
  readonly #readDatagrams: number;
  #fd: number;

  constructor(context: DeviceContext, options: UdpDeviceOptions) {
    const { io } = context;
    if (io === undefined) throw new TypeError('a udp device needs the native addon; dgram does without');
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#context = context;
    this.#io = io;
    this.#receiver = new TunnelReceiver(context, options.networkNumber);
    this.#sender = new TunnelSender(context, { lane: 0, ...options, iov: io.iov, lengths: io.lengths });
    // The peer keeps to the same path MTU; a longer datagram is cut short by the kernel, and refused.
    this.#slotsEach = slotsFor(options.pathMtuBytes);
    this.#readDatagrams = Math.min(READ_DATAGRAMS, Math.floor(READ_SLOTS / this.#slotsEach));
    this.#fd = options.fd;
  }

  get fd(): number {
    return this.#fd;
  }

  get nextNs(): number {
    return this.#receiver.nextNs;
  }

  rxBatch(out: FrameBatch): number {
    const limit = Math.min(this.batchSize, out.capacity - out.count);
    let appended = this.#receiver.drain(out, limit);
    for (let reads = 0; appended < limit && reads < READS; reads++) {
      const read = this.#read();
      if (read === RX_NO_MEMORY && appended === 0) return RX_NO_MEMORY;
      appended += this.#receiver.drain(out, limit - appended);
      if (read < this.#readDatagrams) break;
    }
    return appended;
  }

  txBatch(frames: FrameBatch, from: number): number {
    let done = from;
    while (done < frames.count && this.#fd !== -1) {
      const datagrams = this.#sender.pack(frames, done);
      const sent = this.#write(datagrams);
      done += this.#sender.finish(sent);
      if (sent < datagrams) break;
    }
    return done - from;
  }

  poll(nowNs: number): void {
    this.#receiver.poll(nowNs);
  }

  close(): void {
    if (this.#fd === -1) return;
    this.#io.native.close(this.#fd);
    this.#fd = -1;
    this.#sender.close();
    this.#receiver.close();
  }

  /** Reads at most `#readDatagrams`; returns how many. RX_NO_MEMORY: the socket keeps what it has. */
  #read(): number {
    if (this.#fd === -1) return 0;
    const { native, handle } = this.#io;
    const slotsEach = this.#slotsEach;
    const datagrams = Math.floor(this.#io.offerSlots(this.#readDatagrams * slotsEach) / slotsEach);
    if (datagrams === 0) return RX_NO_MEMORY;
    let n = native.udpRead(handle, this.#fd, datagrams, slotsEach);
    if (n < 0 && this.#isAsynchronous(-n)) n = native.udpRead(handle, this.#fd, datagrams, slotsEach);
    if (n <= 0) return 0;
    this.#io.takeOffered(n * slotsEach);
    const nowNs = this.#context.clock.nowNs();
    for (let i = 0; i < n; i++) this.#receive(i, nowNs);
    return n;
  }

  /** Makes a frame of the slots that datagram `i` was read into, and gives it to the receiver. */
  #receive(i: number, nowNs: number): void {
    const { iov, lengths } = this.#io;
    const bytes = lengths[i]!;
    const first = iov[i * this.#slotsEach]!;
    const used = bytes >= 0 ? slotsFor(bytes) : 1;
    let last = first;
    for (let k = 1; k < this.#slotsEach; k++) {
      const slot = iov[i * this.#slotsEach + k]!;
      if (k >= used) {
        this.#arena.returnSlot(slot);
        continue;
      }
      this.#arena.next[last] = slot;
      last = slot;
    }
    this.#arena.next[last] = -1;
    if (bytes >= 0) {
      this.#receiver.datagram(this.#arena.adopt(first, bytes), nowNs);
      return;
    }
    // Cut short: longer than anything that our peer sends.
    this.#arena.adopt(first, Math.min(-bytes, FIRST_SLOT_BYTES));
    this.#drops.drop(DropReason.badDatagram, first, this.#port);
    this.#arena.release(first);
  }

  /** Sends datagrams 0 … `datagrams - 1` of the scatter list; returns how many are done with, sent or failed. */
  #write(datagrams: number): number {
    const { native, handle, lengths } = this.#io;
    let done = 0;
    let entry = 0;
    let isRetry = false;
    while (done < datagrams) {
      const n = native.udpWrite(handle, this.#fd, done, entry, datagrams - done);
      if (n > 0) {
        for (const end = done + n; done < end; done++) entry += lengths[done]!;
        isRetry = false;
        continue;
      }
      if (n === 0 || n === -EAGAIN || n === -EWOULDBLOCK) break;
      if (this.#isAsynchronous(-n) && !isRetry) {
        isRetry = true;
        continue;
      }
      if (n === -EMSGSIZE) this.tooLongDatagrams++;
      else this.failedDatagrams++;
      this.#sender.fail(done, DropReason.deviceError);
      entry += lengths[done]!;
      done++;
      isRetry = false;
    }
    return done;
  }

  /** Whether an error tells of an earlier datagram; counts it. */
  #isAsynchronous(errno: number): boolean {
    if (errno !== ECONNREFUSED) return false;
    this.refusedDatagrams++;
    return true;
  }
}
