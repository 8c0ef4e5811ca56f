/**
 * The addon's calls on memory: TAPs and UDP sockets without a kernel, for the warm-up. Devices, arena and engine are those
 * that later run on the real calls. A TAP gives what `offer` gave it and takes all that is sent to it; a socket gives
 * what its peer was sent. Layouts are those of `native/binding.ts`.
 */
import type { IoArrays } from '../native/binding.js';
import { HEADROOM_BYTES, SLOT_BYTES, slotsFor } from './arena.js';
import type { DeviceCalls } from './device/native-io.js';

const VNET_HDR_BYTES = 12;
/** Bits of `udpFeatures`. A long datagram arrives as one, as if the receiving addon had joined its pieces. */
const FEATURE_SEGMENT = 1;
const FEATURE_ECN = 4;

export interface OfferedFrame {
  /** Its virtio_net_hdr. */
  readonly vnet: Uint8Array;
  readonly bytes: Uint8Array;
}

interface Datagram {
  readonly bytes: Uint8Array;
  readonly ecn: number;
}

export class MemoryCalls implements DeviceCalls {
  readonly #nowNs: () => number;
  /** By descriptor: frames and datagrams to be read there. */
  readonly #frames: Map<number, OfferedFrame[]>;
  readonly #datagrams: Map<number, Datagram[]>;
  /** By descriptor: the socket at the other end. */
  readonly #peers: Map<number, number>;
  #io: IoArrays | undefined;

  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
    this.#frames = new Map();
    this.#datagrams = new Map();
    this.#peers = new Map();
    this.#io = undefined;
  }

  openTap(fd: number): void {
    this.#frames.set(fd, []);
  }

  /** Two sockets, connected to each other. */
  openPair(a: number, b: number): void {
    this.#datagrams.set(a, []).set(b, []);
    this.#peers.set(a, b).set(b, a);
  }

  offer(fd: number, frame: OfferedFrame): void {
    this.#frames.get(fd)!.push(frame);
  }

  isReadable(fd: number): boolean {
    return (this.#frames.get(fd) ?? this.#datagrams.get(fd)!).length > 0;
  }

  arenaCreate(bytes: number): ArrayBuffer {
    return new ArrayBuffer(bytes);
  }

  ioCreate(arrays: IoArrays): number {
    this.#io = arrays;
    return 1;
  }

  ioDestroy(): void {
    this.#io = undefined;
  }

  tick(): number {
    this.#io!.clock[0] = this.#nowNs();
    return 0;
  }

  close(fd: number): void {
    this.#frames.delete(fd);
    this.#datagrams.delete(fd);
  }

  arrivalsCreate(): number {
    return 1;
  }

  arrivalsDestroy(): void {
    // There is nothing in it.
  }

  /** All come when they are read. */
  arrivalTimes(_: number, __: number, frames: number): number {
    this.#io!.came.fill(this.#nowNs(), 0, frames);
    return 0;
  }

  tapRead(_: number, fd: number, slots: number, minSlots: number, maxFrames: number): number {
    const io = this.#io!;
    const queue = this.#frames.get(fd)!;
    let used = 0;
    let read = 0;
    while (read < maxFrames && slots - used >= minSlots && queue.length > 0) {
      const { bytes, vnet } = queue.shift()!;
      io.vnet.set(vnet, read * VNET_HDR_BYTES);
      io.lengths[read++] = bytes.byteLength;
      used += this.#fill(used, bytes);
    }
    return read;
  }

  tapWrite(_: number, __: number, ___: number, ____: number, frames: number): number {
    return frames;
  }

  udpRead(_: number, __: number, fd: number, slots: number): number {
    const queue = this.#datagrams.get(fd)!;
    let read = 0;
    for (let used = 0; queue.length > 0 && used + slotsFor(queue[0]!.bytes.byteLength) <= slots; read++) {
      const { bytes, ecn } = queue.shift()!;
      this.#io!.lengths[read] = bytes.byteLength;
      this.#io!.cuts[read] = 1;
      this.#io!.ecn[read] = ecn;
      used += this.#fill(used, bytes);
    }
    return read;
  }

  udpMore(): number {
    return 0;
  }

  udpOverruns(): number {
    return 0;
  }

  /** Nothing is lost here. */
  udpRepaired(): number {
    return 0;
  }

  udpUnrepaired(): number {
    return 0;
  }

  parityCreate(): number {
    return 1;
  }

  parityDestroy(): void {
    // There is nothing in it.
  }

  parityRows(): number {
    return 0;
  }

  /** It does not say: there is always room. */
  udpReceiveBufferBytes(): number {
    return 0;
  }

  udpFeatures(): number {
    return FEATURE_SEGMENT | FEATURE_ECN;
  }

  udpReceiverCreate(): number {
    return 1;
  }

  udpReceiverDestroy(): void {
    // There is nothing in it.
  }

  udpPeer(): number {
    return 1;
  }

  udpConnect(): number {
    return 0;
  }

  udpDisconnect(): number {
    return 0;
  }

  udpSource(): number {
    return 1;
  }

  random(): void {
    // Nobody is asked to prove anything here.
  }

  keyringCreate(): number {
    return 1;
  }

  keyringAdd(): void {
    // Nothing is sealed here.
  }

  keyringRemove(): void {
    // Nothing is sealed here.
  }

  keyringDestroy(): void {
    // Nothing is sealed here.
  }

  tapSetCarrier(): void {
    // There is no interface behind it.
  }

  /** Nobody sleeps. */
  eventfdSignal(): number {
    return 0;
  }

  eventfdDrain(): number {
    return 0;
  }

  gather(_: number, bytes: Uint8Array, at: number, entries: number): number {
    const { arena, iov } = this.#io!;
    for (let i = 0; i < entries; i++) {
      const part = arena.subarray(iov[2 * i], iov[2 * i]! + iov[2 * i + 1]!);
      bytes.set(part, at);
      at += part.byteLength;
    }
    return 0;
  }

  scatter(_: number, bytes: Uint8Array, at: number, entries: number): number {
    const { arena, iov } = this.#io!;
    for (let i = 0; i < entries; i++) {
      arena.set(bytes.subarray(at, at + iov[2 * i + 1]!), iov[2 * i]);
      at += iov[2 * i + 1]!;
    }
    return 0;
  }

  udpWrite(_: number, fd: number, first: number, firstEntry: number, datagrams: number): number {
    const io = this.#io!;
    const queue = this.#datagrams.get(this.#peers.get(fd)!)!;
    let entry = firstEntry;
    for (let i = 0; i < datagrams; i++) {
      const parts: Uint8Array[] = [];
      for (const end = entry + io.lengths[first + i]!; entry < end; entry++) {
        const at = io.iov[2 * entry]!;
        parts.push(io.arena.subarray(at, at + io.iov[2 * entry + 1]!));
      }
      // Parity, of what is not lost.
      if (io.cuts[first + i]! < 0) continue;
      queue.push({ bytes: Buffer.concat(parts), ecn: io.ecn[first + i]! });
    }
    return datagrams;
  }

  /** Writes to `slots` from `at` on; returns how many that took. */
  #fill(at: number, bytes: Uint8Array): number {
    const { arena, slots } = this.#io!;
    const count = slotsFor(bytes.byteLength);
    let done = 0;
    for (let i = 0; i < count; i++) {
      const headroom = i === 0 ? HEADROOM_BYTES : 0;
      const n = Math.min(SLOT_BYTES - headroom, bytes.byteLength - done);
      arena.set(bytes.subarray(done, done + n), slots[at + i]! * SLOT_BYTES + headroom);
      done += n;
    }
    return count;
  }
}
