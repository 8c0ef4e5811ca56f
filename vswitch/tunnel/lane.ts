/**
 * One lane of a tunnel: all that one thread sends to a peer. A lane has its own counters, frame ids, keys and bounds, so that
 * threads have nothing in common that they write to, and its number in each datagram's header.
 *
 *   frames ─► sender: list of datagrams ─► addon: sealed, cut, in segmented sends
 *
 * The path is the tunnel's, measured by one of the threads. Used by `udp.ts`, which is lane 0 and all that comes, and by
 * `lane-device.ts`.
 */
import type { KeyLimits } from '../../model/messages.js';
import type { FrameBatch } from '../arena.js';
import type { DeviceContext, KeyControl, LaneKeys } from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { DropReason } from '../drops.js';
import { StateError } from '../../model/errors.js';
import type { BurstBound } from './burst-bound.js';
import { DatagramWriter, type DatagramSocket, type PathErrors, type Route } from './datagram-writer.js';
import type { Parity } from './fec/parity.js';
import { SealBudget } from './seal-budget.js';
import { TunnelSender } from './sender.js';
import type { TunnelKeys } from './tunnel-keys.js';
import { TAG_BYTES } from './wire.js';

/** Bits of `udpFeatures`, as `UdpFeature` of native/binding.ts, which cannot be imported without loading the addon. */
const FEATURE_SEGMENT = 1;
const FEATURE_ECN = 4;

/** What a lane needs to know of the path. */
export interface LanePath extends PathErrors {
  /** No packet is to be larger. */
  readonly pathMtuBytes: number;
  /** What the peer holds unread, of all lanes; 0: it does not say. */
  readonly peerBufferBytes: number;
}

/** Of the tunnel, and the same for all its lanes. */
export interface LaneShape {
  readonly networkNumber: number;
  /** Of the underlay: no datagram's IP packet is larger. 1280 … 65535 */
  readonly pathMtuBytes: number;
  /** 20 or 40. */
  readonly ipHeaderBytes: number;
  readonly keyLimits?: KeyLimits;
}

export interface LaneOptions {
  readonly shape: LaneShape;
  /** 0 … 255, the engine's thread. */
  readonly lane: number;
  readonly fd: number;
  readonly socket: DatagramSocket;
  readonly path: LanePath;
  /** How much goes at once, of all lanes together. */
  readonly burst: BurstBound;
  /** Absent where the peer is looked for nowhere else. */
  readonly route: Route | undefined;
  /** Absent where the tunnel is not sealed. */
  readonly keys: TunnelKeys | undefined;
  readonly parity: Parity | undefined;
}

export class Lane implements KeyControl {
  readonly sender: TunnelSender;
  /** All that goes to the peer, and counts of what did not. */
  readonly outgoing: DatagramWriter;
  readonly burst: BurstBound;
  readonly #context: DeviceContext;
  readonly #path: LanePath;
  readonly #keys: TunnelKeys | undefined;
  /** Of the present epoch. */
  readonly #budget: SealBudget;

  constructor(context: DeviceContext, io: NativeIo, options: LaneOptions) {
    const { burst, fd, keys, lane, parity, path, route, shape, socket } = options;
    const { networkNumber, ipHeaderBytes, keyLimits } = shape;
    const features = io.native.udpFeatures(fd);
    const hasSegments = (features & FEATURE_SEGMENT) !== 0;
    this.#context = context;
    this.#path = path;
    this.#keys = keys;
    this.#budget = new SealBudget(shape.pathMtuBytes, keyLimits);
    this.burst = burst;
    this.sender = new TunnelSender(context, {
      ...{ networkNumber, lane, ipHeaderBytes, tagBytes: keys === undefined ? 0 : TAG_BYTES },
      ...{ iov: io.iov, lengths: io.lengths, ecn: io.ecn, pathMtuBytes: path.pathMtuBytes },
      ...(hasSegments ? { cuts: io.cuts } : {}),
      // Whether the peer looks at the field is not asked; one that runs on a kernel like ours does.
      ecnMode: (features & FEATURE_ECN) === 0 ? 'compatibility' : 'normal',
      ...(parity === undefined ? {} : { parity }),
    });
    this.outgoing = new DatagramWriter({
      ...{ clock: context.clock, lengths: io.lengths, sender: this.sender, hasSegments },
      ...{ socket, health: path, roaming: route },
    });
  }

  /** What seals, as the addon wants it. */
  get ring(): number {
    return this.#keys === undefined ? 0 : this.#keys.sendRing;
  }

  /** Whether one more datagram that has no frames may go: where it is to be sealed, there is a key that may. */
  get maySendOne(): boolean {
    return this.#keys === undefined || (this.#keys.epoch !== 0 && this.#budget.hasOne(this.sender.counter));
  }

  /** As `PortDevice.txBatch`, of a socket that is open. */
  send(frames: FrameBatch, from: number, nowNs: number): number {
    let done = from;
    const keys = this.#keys;
    const path = this.#path;
    if (keys?.epoch === 0) return this.#dropAll(frames, from, DropReason.noKey);
    this.burst.peerBufferBytes = path.peerBufferBytes;
    while (done < frames.count && this.burst.begin(nowNs)) {
      if (keys !== undefined && !this.#budget.hasFrames(this.sender.counter)) {
        done += this.#dropAll(frames, done, DropReason.keySpent);
        break;
      }
      const { pathMtuBytes } = path;
      if (pathMtuBytes !== this.sender.pathMtuBytes) this.sender.pathMtuBytes = pathMtuBytes;
      const datagrams = this.sender.pack(frames, done);
      const admitted = this.burst.admit(this.sender.heldBytes, datagrams);
      const sent = this.outgoing.write(admitted, this.ring);
      this.burst.settle(this.sender.heldBytes, admitted, sent, sent < datagrams && sent === admitted);
      done += this.sender.finish(sent);
      // What was packed for a path that has become narrower is packed anew.
      if (sent < datagrams && path.pathMtuBytes === pathMtuBytes) break;
    }
    if (keys !== undefined) this.#measureVolume(keys.epoch);
    return done - from;
  }

  installKeys(keys: LaneKeys): void {
    this.#sealed().install(keys);
  }

  /** Datagrams are sealed with this epoch from now on; the one before may still be opened. */
  useKeys(epoch: number): void {
    this.#sealed().use(epoch);
    this.sender.epoch = epoch;
    this.#budget.begin(this.sender.counter);
  }

  dropKeys(epoch: number): void {
    const keys = this.#sealed();
    keys.drop(epoch);
    this.sender.epoch = keys.epoch;
  }

  close(): void {
    this.sender.close();
    this.#keys?.close();
  }

  #sealed(): TunnelKeys {
    if (this.#keys === undefined) throw new StateError('the tunnel is not sealed');
    return this.#keys;
  }

  #dropAll(frames: FrameBatch, from: number, reason: DropReason): number {
    const { arena, drops, index } = this.#context;
    for (let i = from; i < frames.count; i++) {
      drops.drop(reason, frames.ids[i]!, index);
      arena.release(frames.ids[i]!);
    }
    return frames.count - from;
  }

  #measureVolume(epoch: number): void {
    const { counter } = this.sender;
    const events = this.#context.tunnelEvents;
    if (this.#budget.rekeyIsDue(counter)) events?.volume(epoch);
    if (this.#budget.isSpent(counter)) events?.spent(epoch);
  }
}
