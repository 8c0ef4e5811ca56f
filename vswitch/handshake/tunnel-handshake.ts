/**
 * The keys of one tunnel: the epochs that there are, and the two ways in which others are agreed on, each with a handshaker
 * of our role that knows nothing of the other's:
 *
 *   sealed   with the keys that work, so that nobody else can say anything in it. Keys are replaced in this way
 *   open     where an end has no keys, and says so. Anybody can send anything; what comes of it is authenticated by TLS
 *
 * So whoever sees an open handshake and disturbs it delays an end that has lost its keys, and nothing else: what works goes
 * on, and is replaced in time. Where the sealed way comes to nothing, the open one is tried beside it, as the peer may have
 * other keys than we think.
 *
 * Pure: time, randomness, the way to the peer and the key exchange are arguments. Called by `handshakes.ts`.
 */
import type { TunnelState } from '../../model/messages.js';
import type { Conduct, Handshaker } from './attempt.js';
import { Epochs, type KeyCommands } from './epochs.js';
import { Initiator } from './initiator.js';
import { parsePacket } from './packet.js';
import { Responder } from './responder.js';
import type { Role } from './session.js';

/** Keys are replaced when they are so old, unless it is configured. */
export const REKEY_MS = 600_000;
/** The initiator replaces them by itself; the responder asks where it has not. */
const OVERDUE_MS = 60_000;

export interface TunnelHandshakeOptions extends Pick<Conduct, 'peer' | 'nowMs' | 'random' | 'startSession'> {
  readonly role: Role;
  readonly rekeyMs?: number;
  /** One datagram to the peer, sealed with the keys in use, or open; it may get lost. */
  readonly send: (payload: Uint8Array, isSealed: boolean) => void;
  readonly keys: KeyCommands;
  /** Something is to be done at another time than `nextMs` said. */
  readonly onChanged: () => void;
  /** For the log: an attempt came to nothing. */
  readonly onFailed: (reason: string) => void;
  /** There are new keys at both ends. */
  readonly onSealed: () => void;
}

export class TunnelHandshake {
  readonly #options: TunnelHandshakeOptions;
  readonly #epochs: Epochs;
  readonly #sealed: Handshaker;
  readonly #open: Handshaker;
  readonly #lifetimeMs: number;
  /** When the keys that work are to be replaced. */
  #dueMs: number;
  #exchanges: number;
  /** Why the last attempt failed, where none has succeeded since. */
  #reason: string | undefined;
  /** The epoch that seals no frames any more. */
  #spent: number | undefined;
  /** The engine looks for the peer. */
  #isSearching: boolean;

  constructor(options: TunnelHandshakeOptions) {
    const { role, rekeyMs = REKEY_MS } = options;
    this.#options = options;
    this.#epochs = new Epochs(options.keys);
    this.#sealed = this.#way(true);
    this.#open = this.#way(false);
    this.#lifetimeMs = role === 'initiator' ? rekeyMs : rekeyMs + OVERDUE_MS;
    this.#dueMs = Infinity;
    this.#exchanges = 0;
    this.#reason = undefined;
    this.#spent = undefined;
    this.#isSearching = false;
    this.#open.want(options.nowMs());
  }

  get nextMs(): number {
    return Math.min(this.#sealed.nextMs, this.#open.nextMs, this.#epochs.nextMs, this.#dueMs);
  }

  /** Frames go both ways, as far as we can know. */
  get isSealed(): boolean {
    const { current } = this.#epochs;
    return current !== undefined && current.epoch !== this.#spent;
  }

  get state(): Omit<TunnelState, 'name' | 'peer'> {
    const { current } = this.#epochs;
    const reason = this.#reason === undefined ? {} : { reason: this.#reason };
    if (current === undefined) return { state: this.#reason === undefined ? 'handshaking' : 'failed', ...reason };
    return {
      state: this.isSealed ? 'sealed' : 'failed',
      algorithm: current.algorithm,
      epochAgeSeconds: Math.round(this.#options.nowMs() - current.sinceMs) / 1e3,
      rekeys: Math.max(this.#exchanges - 1, 0),
      ...reason,
    };
  }

  /** The payload of a handshake datagram: of the peer where it came sealed, else from anybody. */
  receive(payload: Uint8Array, isSealed: boolean): void {
    const packet = parsePacket(payload);
    if (packet !== undefined) (isSealed ? this.#sealed : this.#open).receive(packet, this.#options.nowMs());
  }

  /** The first datagram came that only a holder of this epoch's keys can have sealed. */
  epochSeen(epoch: number): void {
    this.#epochs.met(epoch, this.#options.nowMs());
    this.#sealed.epochSeen(epoch);
    this.#open.epochSeen(epoch);
  }

  /** An epoch has sealed so much that it should be replaced. */
  rekey(epoch: number): void {
    if (epoch === this.#epochs.current?.epoch) this.#sealed.want(this.#options.nowMs());
  }

  /** An epoch has sealed as much as any key may: no frame is sent until there is another. */
  spent(epoch: number): void {
    if (epoch !== this.#epochs.current?.epoch) return;
    this.#spent = epoch;
    this.rekey(epoch);
    this.#failed('the keys have sealed as much as they may, and there are no others yet: nothing is sent');
  }

  /**
   * The engine looks for the peer, or has found it. One that has lost its keys, and does not know where we are now, cannot
   * begin: so we do, in the open way. The keys in use stay, and that nobody answers is no failure of theirs.
   */
  searching(isSearching: boolean): void {
    this.#isSearching = isSearching;
    if (isSearching) this.#open.want(this.#options.nowMs());
    else if (!this.#isNeeded) this.#open.rest();
  }

  poll(): void {
    const nowMs = this.#options.nowMs();
    if (nowMs >= this.#dueMs) {
      this.#dueMs = Infinity;
      this.#sealed.want(nowMs);
    }
    this.#epochs.poll(nowMs);
    if (this.#epochs.current === undefined && this.#sealed.isWanted) {
      // What could be said in it is heard by nobody.
      this.#sealed.rest();
      this.#open.want(nowMs);
    }
    this.#sealed.poll(nowMs);
    this.#open.poll(nowMs);
  }

  /** The device is gone, and all keys with it: the engine is asked nothing more. */
  close(): void {
    this.#sealed.close();
    this.#open.close();
  }

  #way(isSealed: boolean): Handshaker {
    const { role, peer, nowMs, random, startSession, send, onChanged } = this.#options;
    const other = (): Handshaker => (isSealed ? this.#open : this.#sealed);
    const conduct: Conduct = {
      ...{ peer, nowMs, random, startSession, onChanged, isSealed },
      epochs: this.#epochs,
      send: (payload) => {
        send(payload, isSealed);
      },
      // Both ends have epochs in one order so, and seal with the same. Whatever becomes of the attempt, new keys are in use:
      // they are replaced in time in the sealed way, though somebody prevents the end of an open one again and again.
      onAuthenticated: () => {
        other().rest();
        this.#dueMs = nowMs() + this.#lifetimeMs;
      },
      onFailed: (reason) => {
        if (isSealed && this.#sealed.isWanted) this.#open.want(nowMs());
        if (!this.#isSearching || this.#isNeeded) this.#failed(reason);
      },
      onSealed: () => {
        other().rest();
        this.#agreed();
      },
    };
    return role === 'initiator' ? new Initiator(conduct) : new Responder(conduct);
  }

  /** Keys are needed, whoever is looked for. */
  get #isNeeded(): boolean {
    return this.#epochs.current === undefined || this.#sealed.isWanted;
  }

  #agreed(): void {
    this.#exchanges++;
    this.#reason = undefined;
    this.#spent = undefined;
    this.#dueMs = this.#options.nowMs() + this.#lifetimeMs;
    this.#options.onSealed();
  }

  #failed(reason: string): void {
    this.#reason = reason;
    this.#options.onFailed(reason);
  }
}
