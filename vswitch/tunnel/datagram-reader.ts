/**
 * Datagrams in from a tunnel's socket: what the addon has taken apart, opened and joined goes on to the receiver; what it
 * refused is counted; and what either says of where the peer is goes to `roaming/`. Called by `udp.ts`.
 */
import { type Arena, MAX_FRAME_SLOTS, slotsFor } from '../arena.js';
import { type DeviceContext, RX_NO_MEMORY } from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { DropReason } from '../drops.js';
import type { DatagramWriter } from './datagram-writer.js';
import type { TunnelReceiver } from './receiver.js';
import { ENDPOINT_BYTES } from './roaming/endpoint.js';
import type { Roaming } from './roaming/roaming.js';
import type { TunnelSocket } from './socket.js';
import { WIRE_VERSION } from './wire.js';

/** Slots of one read, which stay in stock in between: some 250 datagrams at a path MTU of 1500, or seven super-frames. */
const READ_SLOTS = 256;
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

export interface DatagramReaderParts {
  readonly socket: TunnelSocket;
  readonly receiver: TunnelReceiver;
  readonly roaming: Roaming;
  /** Which knows what the socket's errors are of. */
  readonly outgoing: DatagramWriter;
  readonly isSealed: boolean;
  /** As `ControlSink`. */
  readonly foreign: (version: number, network: number) => void;
  /** A datagram of another epoch than the one before it was opened. */
  readonly met: (epoch: number) => void;
}

export class DatagramReader {
  /** Datagrams that carried frames or parity, ever. */
  receivedDatagrams: number;
  /** Whether something of the last read was the peer's, from where all goes. */
  isHeard: boolean;
  /** Where the datagram comes from that is being looked at; null: from where all goes. */
  source: Uint8Array | null;
  readonly #context: DeviceContext;
  readonly #arena: Arena;
  readonly #io: NativeIo;
  readonly #socket: TunnelSocket;
  readonly #receiver: TunnelReceiver;
  readonly #roaming: Roaming;
  readonly #outgoing: DatagramWriter;
  readonly #isSealed: boolean;
  readonly #foreign: (version: number, network: number) => void;
  readonly #met: (epoch: number) => void;
  readonly #elsewhere: Uint8Array;
  /** Of the last datagram that was opened. */
  #epoch: number;

  constructor(context: DeviceContext, io: NativeIo, parts: DatagramReaderParts) {
    this.receivedDatagrams = 0;
    this.isHeard = false;
    this.source = null;
    this.#context = context;
    this.#arena = context.arena;
    this.#io = io;
    this.#socket = parts.socket;
    this.#receiver = parts.receiver;
    this.#roaming = parts.roaming;
    this.#outgoing = parts.outgoing;
    this.#isSealed = parts.isSealed;
    this.#foreign = parts.foreign;
    this.#met = parts.met;
    this.#elsewhere = new Uint8Array(ENDPOINT_BYTES);
    this.#epoch = 0;
  }

  /**
   * Reads what fits the slots that are free. Returns what is left, as `udpMore` says it; RX_NO_MEMORY: the socket keeps
   * what it has. `isSearching`: whoever may be the peer is heard.
   */
  read(ring: number, isSearching: boolean): number {
    this.isHeard = false;
    const { cuts, ecn, lengths, slots, sources } = this.#io;
    const offered = this.#io.offerSlots(READ_SLOTS);
    // A datagram has at most 64 KiB.
    if (offered < MAX_FRAME_SLOTS) return RX_NO_MEMORY;
    let n = this.#socket.read(offered, ring, isSearching);
    if (n < 0 && this.#outgoing.isWorthRetrying(-n, 0)) n = this.#socket.read(offered, ring, isSearching);
    if (n < 0) return 0;
    const nowNs = this.#context.clock.nowNs();
    this.#io.takeDatagrams(n);
    for (let i = 0, at = 0; i < n; i++) {
      const bytes = lengths[i]!;
      if (bytes < 0) {
        const isRefused = bytes !== -PARITY && bytes !== -LATE;
        if (isRefused) this.#context.drops.drop(REFUSALS[-bytes]!, -1, this.#context.index);
        else this.receivedDatagrams++;
        if (bytes === -FOREIGN) this.#foreign(ecn[i]!, ecn[i] === WIRE_VERSION ? cuts[i]! >>> 0 : 0);
        if (isRefused && bytes !== -TWIN) continue;
        if (sources[i]! === 0) this.isHeard = true;
        else this.#roaming.heardFrom(this.#sourceOf(sources[i]!), nowNs);
        continue;
      }
      this.source = sources[i]! === 0 ? null : this.#sourceOf(sources[i]!);
      this.#receiver.datagram(this.#arena.adopt(slots[at]!, bytes), nowNs, ecn[i]!);
      if (this.#receiver.isFrames) this.receivedDatagrams += cuts[i]!;
      if (this.#isSealed ? this.#receiver.epoch !== 0 : this.#receiver.isOurs) {
        if (this.source === null) this.isHeard = true;
        else this.#roaming.heardFrom(this.source, nowNs);
      }
      at += slotsFor(bytes);
      const { epoch } = this.#receiver;
      if (epoch === this.#epoch || epoch === 0) continue;
      this.#epoch = epoch;
      this.#met(epoch);
    }
    return this.#socket.more();
  }

  #sourceOf(number: number): Uint8Array {
    this.#socket.source(number, this.#elsewhere);
    return this.#elsewhere;
  }
}
