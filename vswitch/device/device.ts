/**
 * The one interface to everything that frames come from and go to. Implementations: `tap`, `udp`, `dgram`, `vxlan`,
 * `memory`, `pcap`; one compliance suite (`test/compliance/port-device.ts`) runs against all of them. `registry.ts` makes them
 * from the configuration; `engine.ts` calls them.
 *
 * Devices never block and never throw on the data path: they count a `DropReason` in the sink they were given.
 */
import type { Clock } from '../../model/clock.js';
import type { AeadAlgorithm } from '../../native/binding.js';
import type { Arena, FrameBatch } from '../arena.js';
import type { DropSink } from '../drops.js';
import type { TrunkOptions } from '../stack/trunk.js';
import type { LaneBoard } from '../tunnel/lane-board.js';
import type { Telemetry } from '../telemetry.js';
import type { NativeIo } from './native-io.js';

export const ETHERNET_HEADER_BYTES = 14;
export const VLAN_TAG_BYTES = 4;

/** What `rxBatch` answers when the device is gone for good (its interface was deleted): it is not asked again. */
export const RX_GONE = -1;
/** What it answers when it has no memory to read into: frames wait in the device, and it is asked again once there is. */
export const RX_NO_MEMORY = -2;

export interface PortDevice {
  /** Largest Ethernet payload (without the 14-byte header, without a VLAN tag) that it takes in one frame. */
  readonly mtuBytes: number;
  /** At most this many frames come from one `rxBatch`. */
  readonly batchSize: number;
  /** Becomes readable when `rxBatch` has something to give; -1: it has none, and is asked on each breath. */
  readonly fd: number;
  /** When `poll` is due, in the clock's nanoseconds; Infinity while nothing is. */
  readonly nextNs: number;

  /**
   * Appends received frames to `out`, at most `batchSize` and at most what is free in `out`; the caller owns them.
   * Returns how many were appended. A device that returned a full batch is asked again without waiting.
   * When it appended none: 0, RX_GONE or RX_NO_MEMORY.
   */
  rxBatch(out: FrameBatch): number;

  /**
   * Sends frames `from` … `frames.count - 1`. Takes ownership of all that it consumed, sent or dropped and counted, and
   * returns how many that were; the rest stay with the caller (the device is full: ask again when it is writable, or
   * where `isHolding`, after the `poll` that is then due).
   * It leaves `frames` as it was. A frame that `exceedsMtu` is dropped as `tooLong`.
   */
  txBatch(frames: FrameBatch, from: number): number;

  /** Whether the interface behind it sees a link; absent where there is no such interface. Not on a frame's way. */
  setCarrier?(on: boolean): void;

  /**
   * From here on it tells when its host sent a frame, as that stands in the memory of this descriptor (`arrivalsOpen`), which it
   * closes; absent where frames come from no host.
   */
  watchArrivals?(fd: number): void;

  /** Whether the last `txBatch` left frames for a later time, though its descriptor takes them; absent where it never does. */
  readonly isHolding?: boolean;

  /** Nothing ever comes from it, so its descriptor is not waited for but where it is full. */
  readonly sendsOnly?: boolean;

  /** Where it may be sealed. Not on a frame's way. */
  readonly keys?: KeyControl;

  /** Handshakes, where it is a tunnel. Not on a frame's way. */
  readonly tunnel?: TunnelControl;

  /** Of its channels, where it is a trunk. */
  readonly presence?: ChannelPresence;

  /**
   * Whether there is nobody at the other end any more, as far as it knows; absent where that cannot be known. It becomes
   * true in `poll` alone.
   */
  readonly peerIsDead?: boolean;

  /** Does what time asks for (old half-rebuilt frames). What that yields comes out of the `rxBatch` that follows. */
  poll(nowNs: number): void;

  /** Releases what it holds (descriptors, queued and half-rebuilt frames). Idempotent. */
  close(): void;
}

/** Whether what is flooded into a channel has a way out at its other end: each end shows it to the other. */
export interface ChannelPresence {
  show(channel: number, isUp: boolean): void;
  /** As the other end shows it: at first it is not. */
  isUp(channel: number): boolean;
}

/** What one epoch brings: a secret of 44 bytes (key, IV) for each lane, by way. */
export interface EpochKeys {
  readonly epoch: number;
  readonly algorithm: AeadAlgorithm;
  readonly send: readonly Uint8Array[];
  readonly receive: readonly Uint8Array[];
}

/** What of that one lane is given: to seal with, its own alone; to open, all of the peer's where it hears, else none. */
export interface LaneKeys extends Omit<EpochKeys, 'send'> {
  readonly send: Uint8Array;
}

export interface KeyControl {
  /** Datagrams of this epoch are opened from now on. */
  installKeys(keys: LaneKeys): void;
  /** Datagrams are sealed with this epoch from now on; others that are installed are still opened. */
  useKeys(epoch: number): void;
  dropKeys(epoch: number): void;
}

export interface TunnelControl {
  /** Eight bytes that handshake datagrams of both ends bear, so that a flood of strangers' takes no place of theirs. */
  markHandshakes(mark: Uint8Array): void;
  /**
   * Sends a piece of a handshake, 1 … 1184 bytes, sealed with the keys that are used, or open; it may be lost, and is where
   * there are no such keys.
   */
  sendHandshake(payload: Uint8Array, isSealed: boolean): void;
}

/** What a tunnel tells; none of it is on a frame's way. */
export interface TunnelEvents {
  /** A handshake datagram came: sealed, of the peer; else from whomever. The bytes are the receiver's own. */
  handshake(payload: Uint8Array, isSealed: boolean): void;
  /** The first authentic datagram of an epoch came. */
  epoch(epoch: number): void;
  /** An epoch has sealed so much that it should be replaced. */
  volume(epoch: number): void;
  /** An epoch has sealed as much as it may: frames are dropped until another is used. */
  spent(epoch: number): void;
  /** The peer is looked for, as it is not heard where it was; or that is over. */
  searching(isSearching: boolean): void;
  /**
   * A datagram of another version of the format, or of another network, came from anybody; told four times in a row at most,
   * then once a second.
   */
  foreign(version: number, network: number): void;
  /**
   * So many frames came whose ECN field goes together with that of their datagrams as nobody should make it; told once a
   * minute (RFC 6040 §4.2).
   */
  ecnAnomalies(frames: number): void;
}

/** What every device is given by the engine that runs it. */
export interface DeviceContext {
  readonly arena: Arena;
  /** Absent where an engine runs without the addon (tests): only `memory`, `pcap` and `dgram` can be had there. */
  readonly io?: NativeIo;
  readonly drops: DropSink;
  /** Read once a breath: it stands still within one. */
  readonly clock: Clock;
  /** Of this device in the engine: the `port` of `DropSink.drop`. */
  readonly index: number;
  /** Where a tunnel's events go; absent where nobody asks. */
  readonly tunnelEvents?: TunnelEvents;
  /** Of a tunnel that has lanes in several engines, and of its lanes: what they have in common. */
  readonly board?: LaneBoard;
  /** To other engines of the process, by their number; absent where there are none. */
  readonly trunks?: ReadonlyMap<number, TrunkOptions>;
  /** Where a tunnel's health is shown; absent where nobody looks. */
  readonly telemetry?: Telemetry;
}

/**
 * Whether a frame is too long for a device. A VLAN tag does not count, as on Linux (`is_skb_forwardable`); of a
 * super-frame, each segment counts, and `gsoSize` says how long they are at most.
 */
export function exceedsMtu(arena: Arena, frame: number, mtuBytes: number): boolean {
  const gsoSize = arena.gsoSize[frame]!;
  if (gsoSize > 0) return gsoSize > mtuBytes;
  const payload = arena.length[frame]! - ETHERNET_HEADER_BYTES;
  return payload > mtuBytes && (payload > mtuBytes + VLAN_TAG_BYTES || !hasVlanTag(arena, frame));
}

/** IEEE 802.1Q C-tag (0x8100) or S-tag (0x88a8). */
function hasVlanTag(arena: Arena, frame: number): boolean {
  const at = arena.start(frame) + 12;
  const type = (arena.bytes[at]! << 8) | arena.bytes[at + 1]!;
  return type === 0x8100 || type === 0x88a8;
}
