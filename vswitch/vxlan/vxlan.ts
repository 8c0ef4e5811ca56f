/**
 * A VXLAN tunnel endpoint (RFC 7348) of one VNI: what is behind a Linux VXLAN device, Open vSwitch or hardware is at a port
 * of ours. The UDP socket was opened by the agent, as those of tunnels are.
 *
 *   frames ─► whose is the destination address? ─► outbound: header, frame ─► addon: to that VTEP, or to all, or the group
 *   frames ◄─ learn: source address → VTEP      ◄─ header off: ours?        ◄─ addon: from whom it came
 *
 * Which VTEP an address is behind is learned from what comes (§4.1) in an FDB of the device's own, as in Linux: for the
 * bridge all of it is one port, on whose link the user's properties hold, and nothing is sent from one VTEP to another. What
 * is not known, and groups, goes to all remotes (head-end replication) or to the multicast group. With one remote there is
 * nothing to learn. Where the remotes are named, whoever else sends is a stranger; with a group, members are who is heard.
 *
 * One socket has one source port, where §5 recommends one of a range by the flow's hash, for the sake of links that share
 * load: those see one flow. Datagrams have a UDP checksum, which §5 would rather have zero: a segmented send must have one
 * (udp_send_skb in net/ipv4/udp.c), and the kernel has it made by hardware where there is some.
 */
import { constants } from 'node:os';
import { StateError } from '../../model/errors.js';
import { type Arena, FrameBatch, MAX_FRAME_SLOTS, SLOT_BYTES, slotsFor } from '../arena.js';
import {
  type DeviceContext,
  ETHERNET_HEADER_BYTES,
  exceedsMtu,
  type PortDevice,
  RX_NO_MEMORY,
} from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { DropReason, type DropSink } from '../drops.js';
import { Fdb } from '../fdb.js';
import { PortField, Telemetry } from '../telemetry.js';
import { decapsulateEcn, EcnFate, markOf } from '../tunnel/decapsulation.js';
import { parseEndpoint } from '../tunnel/roaming/endpoint.js';
import { get16, get32 } from '../wire/bytes.js';
import { vniOf, VXLAN_BYTES } from '../wire/vxlan.js';
import { Outbound } from './outbound.js';
import { UnfinishedFrames } from './unfinished.js';
import { Vteps } from './vteps.js';

const { EINVAL, EIO, EMSGSIZE } = constants.errno;

/** Slots of one read, and as many frames at most that wait between two `rxBatch`. */
const READ_SLOTS = 256;
/** Reads of one `rxBatch`, so that datagrams which yield no frame cannot hold the engine. */
const READS = 8;
/** Bit of `udpFeatures`, as `UdpFeature` of native/binding.ts, which cannot be imported without loading the addon. */
const FEATURE_SEGMENT = 1;
/** Of `udpReceiverCreate`. */
const NO_TUNNEL = 0;
/** As of a bridge (control/wiring.ts), and of Linux's VXLAN devices (FDB_AGE_DEFAULT). */
const AGEING_NS = 300e9;
const FDB_LIMIT = 16_384;
/** Instead of a VTEP's number: to all. */
const ALL = -1;

export interface VxlanDeviceOptions {
  /** From `udpOpen` with `isVxlan`, connected to nobody; the device closes it. */
  readonly fd: number;
  /** 0 … 2²⁴-1 */
  readonly vni: number;
  /** At least one, or a group. */
  readonly remotes: readonly string[];
  readonly group?: string;
  /** That all of them listen at. */
  readonly port: number;
  /** Of guests: the underlay's less what `vxlanOverheadBytes` (model/vxlan.ts) says. */
  readonly mtuBytes: number;
}

export class VxlanDevice implements PortDevice {
  readonly mtuBytes: number;
  readonly batchSize = 256;
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #telemetry: Telemetry | undefined;
  readonly #port: number;
  readonly #io: NativeIo;
  readonly #vni: number;
  readonly #receiver: number;
  readonly #headerSlot: number;
  readonly #outbound: Outbound;
  readonly #unfinished: UnfinishedFrames;
  readonly #vteps: Vteps;
  /** Absent where there is one VTEP alone. */
  readonly #fdb: Fdb | undefined;
  /** Null where remotes are named. */
  readonly #group: Uint8Array | null;
  /** Where something goes to, or comes from. */
  readonly #endpoint: Uint8Array;
  /** Received, not given yet. */
  readonly #pending: FrameBatch;
  /** Datagrams wait in our buffers, which no poller can tell. */
  #hasMore: boolean;
  /** 1 while the kernel cuts, else 0. */
  #segments: number;
  #fd: number;

  constructor(context: DeviceContext, options: VxlanDeviceOptions) {
    const { io } = context;
    if (io === undefined) throw new TypeError('a VXLAN device needs the native addon');
    const { fd, vni, remotes, group, port, mtuBytes } = options;
    this.mtuBytes = mtuBytes;
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#telemetry = context.telemetry;
    this.#port = context.index;
    this.#io = io;
    this.#vni = vni;
    this.#headerSlot = io.arena.takeSlot();
    if (this.#headerSlot === -1) throw new StateError('there is no memory for frames left');
    this.#outbound = new Outbound(io, { vni, mtuBytes, headerSlot: this.#headerSlot });
    this.#unfinished = new UnfinishedFrames(io.arena, mtuBytes);
    this.#vteps = new Vteps();
    for (const remote of remotes) this.#vteps.add(parseEndpoint(remote, port));
    const isAlone = group === undefined && this.#vteps.count === 1;
    this.#fdb = isAlone ? undefined : new Fdb(FDB_LIMIT, AGEING_NS, context.clock);
    this.#group = group === undefined ? null : parseEndpoint(group, port);
    this.#endpoint = parseEndpoint(group ?? remotes[0]!, port);
    this.#pending = new FrameBatch(READ_SLOTS);
    this.#hasMore = false;
    this.#segments = (io.native.udpFeatures(fd) & FEATURE_SEGMENT) === 0 ? 0 : 1;
    this.#receiver = io.native.udpReceiverCreate(NO_TUNNEL);
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  get nextNs(): number {
    return this.#hasMore || this.#pending.count > 0 ? 0 : Infinity;
  }

  rxBatch(out: FrameBatch): number {
    const limit = Math.min(this.batchSize, out.capacity - out.count);
    let appended = this.#give(out, limit);
    let left = 2;
    for (let reads = 0; appended < limit && left > 0 && reads < READS; reads++) {
      left = this.#read();
      appended += this.#give(out, limit - appended);
    }
    this.#hasMore = left === 2;
    if (left !== RX_NO_MEMORY) return appended;
    return appended > 0 ? appended : RX_NO_MEMORY;
  }

  txBatch(frames: FrameBatch, from: number): number {
    const { ids, count } = frames;
    let done = from;
    while (done < count && this.#fd !== -1) {
      const way = this.#wayOf(ids[done]!);
      let after = done + 1;
      while (after < count && this.#wayOf(ids[after]!) === way) after++;
      if (!this.#outbound.stage(frames, done, after)) {
        this.#outbound.letGo();
        this.#drop(this.#outbound.refusal, ids[done++]!);
        continue;
      }
      const staged = this.#outbound.datagrams;
      const sent = this.#send(way, staged);
      const whole = this.#outbound.finish(frames, done, Math.max(0, sent));
      for (let last = done + whole; done < last; done++) this.#arena.release(ids[done]!);
      if (sent < 0) {
        this.#outbound.letGo();
        this.#drop(sent === -EMSGSIZE ? DropReason.tooLong : DropReason.deviceError, ids[done++]!);
      } else if (sent < staged) break;
    }
    return done - from;
  }

  poll(): void {
    // Nothing here is timed; what waits comes out of the `rxBatch` that follows.
  }

  close(): void {
    if (this.#fd === -1) return;
    this.#io.native.close(this.#fd);
    this.#fd = -1;
    this.#io.native.udpReceiverDestroy(this.#receiver);
    this.#outbound.letGo();
    for (let i = 0; i < this.#pending.count; i++) this.#arena.release(this.#pending.ids[i]!);
    this.#pending.count = 0;
    this.#hasMore = false;
    this.#arena.returnSlot(this.#headerSlot);
  }

  // --- out -----------------------------------------------------------------------------------------------------------

  /** The VTEP that a frame's destination is behind; ALL where that is not known, or it is a group. */
  #wayOf(frame: number): number {
    if (this.#fdb === undefined) return 0;
    const { bytes } = this.#arena;
    const at = this.#arena.start(frame);
    return (bytes[at]! & 1) === 1 ? ALL : this.#fdb.lookup(get16(bytes, at), get32(bytes, at + 2) | 0);
  }

  /** Sends what is staged; returns how many datagrams have left, or -errno of the first. */
  #send(way: number, staged: number): number {
    if (way !== ALL) {
      this.#vteps.address(way, this.#endpoint);
      return this.#write(staged, this.#endpoint);
    }
    if (this.#group !== null) return this.#write(staged, this.#group);
    // The first one says how far it goes. What the others do not take is lost to them: it is not sent twice to anybody.
    let most = 0;
    let error = 0;
    for (let vtep = 0; vtep < this.#vteps.count; vtep++) {
      this.#vteps.address(vtep, this.#endpoint);
      const wanted = most === 0 ? staged : most;
      const sent = this.#write(wanted, this.#endpoint);
      if (sent > 0 && most === 0) most = sent;
      else if (sent < 0 && error === 0) error = sent;
      for (let lost = most === 0 ? 0 : most - Math.max(0, sent); lost > 0; lost--)
        this.#drops.drop(sent < 0 ? DropReason.deviceError : DropReason.queueFull, -1, this.#port);
    }
    return most === 0 ? error : most;
  }

  #write(datagrams: number, to: Uint8Array): number {
    const { native, handle, endpoint, lengths } = this.#io;
    let sent = 0;
    let entry = 0;
    while (sent < datagrams) {
      endpoint.set(to);
      const n = native.udpWrite(handle, this.#fd, sent, entry, datagrams - sent, 0, this.#segments, 1, 0);
      if (n > 0) {
        for (const end = sent + n; sent < end; sent++) entry += lengths[sent]!;
        continue;
      }
      // A path that cannot cut (no checksums in hardware: EIO; UDP encapsulated in something: EINVAL).
      if (this.#segments === 1 && (n === -EIO || n === -EINVAL)) {
        this.#segments = 0;
        continue;
      }
      return sent > 0 ? sent : n;
    }
    return sent;
  }

  // --- in ------------------------------------------------------------------------------------------------------------

  #give(out: FrameBatch, limit: number): number {
    const pending = this.#pending;
    const n = Math.min(limit, pending.count);
    for (let i = 0; i < n; i++) out.push(pending.ids[i]!, 0);
    pending.shift(n);
    return n;
  }

  /**
   * Reads what fits the slots that are free; all that was read before has been given. Returns what is left, as `udpMore`
   * says it; RX_NO_MEMORY: the socket keeps what it has.
   */
  #read(): number {
    if (this.#fd === -1) return 0;
    const { lengths, native, handle, slots } = this.#io;
    const offered = this.#io.offerSlots(READ_SLOTS);
    // A datagram has at most 64 KiB.
    if (offered < MAX_FRAME_SLOTS) return RX_NO_MEMORY;
    const n = native.udpRead(handle, this.#receiver, this.#fd, offered, 0, 1);
    if (n < 0) return 0;
    if (this.#telemetry !== undefined)
      this.#telemetry.ports[Telemetry.portBase(this.#port) + PortField.rxOverruns] = native.udpOverruns(this.#receiver);
    this.#io.takeDatagrams(n);
    for (let i = 0, at = 0; i < n; i++) {
      const bytes = lengths[i]!;
      if (bytes < 0) {
        this.#drops.drop(DropReason.badDatagram, -1, this.#port);
        continue;
      }
      this.#take(this.#arena.adopt(slots[at]!, bytes), i);
      at += slotsFor(bytes);
    }
    return native.udpMore(this.#receiver);
  }

  /** A datagram, which is a frame once its header is off. */
  #take(frame: number, index: number): void {
    const arena = this.#arena;
    const { bytes } = arena;
    const vni = arena.length[frame]! < VXLAN_BYTES ? -1 : vniOf(bytes, arena.start(frame));
    if (vni !== this.#vni) {
      this.#drop(vni === -1 ? DropReason.badDatagram : DropReason.unknownVni, frame);
      return;
    }
    // Who sends what is not ours is no member of a group.
    const vtep = this.#sourceOf(this.#io.sources[index]!);
    if (vtep === -1 && this.#group === null) {
      this.#drop(DropReason.stranger, frame);
    } else {
      arena.offset[frame]! += VXLAN_BYTES;
      arena.length[frame]! -= VXLAN_BYTES;
      this.#takeFrame(frame, vtep, this.#io.ecn[index]!);
    }
  }

  #takeFrame(frame: number, vtep: number, ecn: number): void {
    const arena = this.#arena;
    const { bytes } = arena;
    if (arena.length[frame]! < ETHERNET_HEADER_BYTES) {
      this.#drop(DropReason.malformed, frame);
      return;
    }
    const at = arena.start(frame);
    const knownBytes = Math.min(arena.length[frame]!, SLOT_BYTES - arena.offset[frame]!);
    if (decapsulateEcn(bytes, at, knownBytes, markOf(ecn)) === EcnFate.dropped) {
      this.#drop(DropReason.ecnConflict, frame);
      return;
    }
    this.#unfinished.mark(frame);
    if (exceedsMtu(arena, frame, this.mtuBytes)) {
      this.#drop(DropReason.tooLong, frame);
      return;
    }
    if (this.#fdb !== undefined && vtep !== -1) this.#fdb.learn(get16(bytes, at + 6), get32(bytes, at + 8) | 0, vtep);
    this.#pending.push(frame, 0);
  }

  /** The VTEP that a datagram came from; -1 where it is none. With a group, whoever is heard is one. */
  #sourceOf(source: number): number {
    const { endpoint, native, handle } = this.#io;
    if (native.udpSource(handle, this.#receiver, source) !== 1) return -1;
    return this.#group === null ? this.#vteps.numberOf(endpoint) : this.#vteps.add(endpoint);
  }

  #drop(reason: DropReason, frame: number): void {
    this.#drops.drop(reason, frame, this.#port);
    this.#arena.release(frame);
  }
}
