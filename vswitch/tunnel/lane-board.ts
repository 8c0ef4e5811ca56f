/**
 * What the lanes of a tunnel have in common, in shared memory. The thread that has the tunnel's device measures the path,
 * follows the peer and writes; the others read it before they send, and say what the kernel refused them. The socket is one,
 * whoever sends, so to the peer and to whatever translates addresses all lanes are the same flow.
 *
 *   word       writer   what
 *   0          tunnel   how often the destination was changed; odd while it is being
 *   1          tunnel   1: the socket is open, and each datagram names the destination
 *   2 … 6      tunnel   the destination (`endpoint.ts`), two bytes spare
 *   7          tunnel   path MTU, bytes
 *   8          tunnel   what the peer holds unread, bytes
 *   9          lanes    how often packets were refused for their length, of all lanes
 *   10         tunnel   as often the path MTU has been taken back for that
 *   11         lanes    how often ICMP said that packets are too long
 *   12         lanes    how often there was no way to the peer
 *   13         all      how much may go at once (`burst-bound.ts`)
 *   14 + 2 n   lane n   datagrams that it has sent, a double
 */
import { MAX_ENGINES } from '../limits.js';
import type { TunnelHealth } from './health/tunnel-health.js';
import type { Route } from './datagram-writer.js';
import type { LanePath } from './lane.js';
import { ENDPOINT_BYTES, isSameEndpoint } from './roaming/endpoint.js';
import { MIN_PATH_MTU_BYTES } from './wire.js';

const Word = {
  changes: 0,
  isOpen: 1,
  destination: 2,
  pathMtu: 7,
  peerBuffer: 8,
  refusals: 9,
  heeded: 10,
  doubts: 11,
  losses: 12,
  burst: 13,
};
const DESTINATION_WORDS = 5;
const SENT_AT = 14;
const WORDS = SENT_AT + 2 * MAX_ENGINES;

/** What of a tunnel's health concerns its lanes. */
type Path = Pick<TunnelHealth, 'pathMtuBytes' | 'peerBufferBytes' | 'refused' | 'doubtPathMtu'>;

export interface LaneBoard {
  readonly words: SharedArrayBuffer;
  /** How many there are, that of the tunnel's device included. */
  readonly lanes: number;
}

/** `lanes`: at least 2. */
export function allocateBoard(lanes: number): LaneBoard {
  return { words: new SharedArrayBuffer(4 * WORDS), lanes };
}

/** The word of `BurstBound`. */
export function burstOf({ words }: LaneBoard): Int32Array {
  return new Int32Array(words, 4 * Word.burst, 1);
}

/** The tunnel's end of it. */
export class BoardWriter {
  readonly #words: Int32Array;
  readonly #destination: Uint8Array;
  readonly #sent: Float64Array;
  readonly #lanes: number;
  // What was heeded.
  #doubts: number;
  #losses: number;

  constructor({ words, lanes }: LaneBoard) {
    this.#words = new Int32Array(words);
    this.#destination = new Uint8Array(words, 4 * Word.destination, ENDPOINT_BYTES);
    this.#sent = new Float64Array(words, 4 * SENT_AT, lanes);
    this.#lanes = lanes;
    this.#doubts = 0;
    this.#losses = 0;
    Atomics.store(this.#words, Word.pathMtu, MIN_PATH_MTU_BYTES);
  }

  /** Datagrams that the others have sent. */
  get sentDatagrams(): number {
    let sent = 0;
    for (let lane = 1; lane < this.#lanes; lane++) sent += this.#sent[lane]!;
    return sent;
  }

  /** The socket hears everybody, and this is where all goes. Before it is so. */
  open(destination: Uint8Array): void {
    const words = this.#words;
    if (Atomics.load(words, Word.isOpen) === 1 && isSameEndpoint(destination, this.#destination)) return;
    Atomics.add(words, Word.changes, 1);
    const copy = new Int32Array(DESTINATION_WORDS);
    new Uint8Array(copy.buffer).set(destination);
    for (let i = 0; i < DESTINATION_WORDS; i++) Atomics.store(words, Word.destination + i, copy[i]!);
    Atomics.store(words, Word.isOpen, 1);
    Atomics.add(words, Word.changes, 1);
  }

  /** The socket is connected. After it is. */
  connected(): void {
    Atomics.store(this.#words, Word.isOpen, 0);
    // What lanes lost on the way before is of the past.
    this.#losses = Atomics.load(this.#words, Word.losses);
  }

  /** Does what the tunnel's device would have, had it been refused what a lane was. */
  heed(health: Path, roaming: Route | undefined, nowNs: number): void {
    const words = this.#words;
    const refusals = Atomics.load(words, Word.refusals);
    const doubts = Atomics.load(words, Word.doubts);
    const losses = Atomics.load(words, Word.losses);
    if (refusals !== Atomics.load(words, Word.heeded)) {
      health.refused(nowNs);
      this.tell(health);
      Atomics.store(words, Word.heeded, refusals);
    }
    if (doubts !== this.#doubts) health.doubtPathMtu(nowNs);
    if (losses !== this.#losses) roaming?.lost(nowNs);
    this.#doubts = doubts;
    this.#losses = losses;
  }

  /** How the path is. */
  tell({ pathMtuBytes, peerBufferBytes }: Pick<Path, 'pathMtuBytes' | 'peerBufferBytes'>): void {
    Atomics.store(this.#words, Word.pathMtu, pathMtuBytes);
    Atomics.store(this.#words, Word.peerBuffer, peerBufferBytes);
  }
}

/** A lane's end of it. */
export class BoardReader implements LanePath, Route {
  pathMtuBytes: number;
  peerBufferBytes: number;
  /** Each datagram is to name the destination. */
  isOpen: boolean;
  readonly destination: Uint8Array;
  readonly #words: Int32Array;
  /** The destination, as words and as bytes. */
  readonly #copy: Int32Array;
  readonly #copyBytes: Uint8Array;
  readonly #sent: Float64Array;
  readonly #lane: number;
  #changes: number;
  /** Of `refusals`, when we were refused last. */
  #refusal: number;

  constructor({ words, lanes }: LaneBoard, lane: number) {
    this.pathMtuBytes = MIN_PATH_MTU_BYTES;
    this.peerBufferBytes = 0;
    this.isOpen = false;
    this.destination = new Uint8Array(ENDPOINT_BYTES);
    this.#words = new Int32Array(words);
    this.#copy = new Int32Array(DESTINATION_WORDS);
    this.#copyBytes = new Uint8Array(this.#copy.buffer, 0, ENDPOINT_BYTES);
    this.#sent = new Float64Array(words, 4 * SENT_AT, lanes);
    this.#lane = lane;
    this.#changes = 0;
    this.#refusal = 0;
  }

  /** Looks how it is now. */
  read(): void {
    const words = this.#words;
    const isHeeded = Atomics.load(words, Word.heeded) - this.#refusal >= 0;
    this.pathMtuBytes = isHeeded ? Atomics.load(words, Word.pathMtu) : MIN_PATH_MTU_BYTES;
    this.peerBufferBytes = Atomics.load(words, Word.peerBuffer);
    const changes = Atomics.load(words, Word.changes);
    if (changes !== this.#changes && (changes & 1) === 0) {
      for (let i = 0; i < DESTINATION_WORDS; i++) this.#copy[i] = Atomics.load(words, Word.destination + i);
      // Else it was changed meanwhile, and is read whole the next time.
      if (Atomics.load(words, Word.changes) === changes) {
        this.destination.set(this.#copyBytes);
        this.#changes = changes;
      }
    }
    this.isOpen = Atomics.load(words, Word.isOpen) === 1 && this.#changes > 0;
  }

  /** Datagrams of this lane, ever. */
  sent(datagrams: number): void {
    this.#sent[this.#lane] = datagrams;
  }

  refused(): boolean {
    this.#refusal = Atomics.add(this.#words, Word.refusals, 1) + 1;
    const isNarrower = this.pathMtuBytes > MIN_PATH_MTU_BYTES;
    this.pathMtuBytes = MIN_PATH_MTU_BYTES;
    return isNarrower;
  }

  doubtPathMtu(): void {
    Atomics.add(this.#words, Word.doubts, 1);
  }

  /** The peer is looked for by the tunnel's device; until then, what is sent is lost. */
  lost(): boolean {
    Atomics.add(this.#words, Word.losses, 1);
    return false;
  }
}
