/**
 * The keys of one tunnel: a role, the epochs that came of it, and what people are told of both. Pure: time, randomness,
 * the way to the peer and the key exchange are arguments. Called by `handshakes.ts`.
 */
import type { TunnelState } from '../../model/messages.js';
import type { Conduct, Handshaker } from './attempt.js';
import { Epochs, type KeyCommands } from './epochs.js';
import { Initiator } from './initiator.js';
import { parsePacket } from './packet.js';
import { Responder } from './responder.js';
import type { Role } from './session.js';

export interface TunnelHandshakeOptions extends Pick<Conduct, 'peer' | 'nowMs' | 'random' | 'send' | 'startSession'> {
  readonly role: Role;
  readonly keys: KeyCommands;
  /** Something is to be done at another time than `nextMs` said. */
  readonly onChanged: () => void;
  /** For the log: an attempt came to nothing. */
  readonly onFailed: (reason: string) => void;
  /** There are new keys at both ends. */
  readonly onSealed: () => void;
}

export class TunnelHandshake {
  readonly #nowMs: () => number;
  readonly #epochs: Epochs;
  readonly #handshaker: Handshaker;
  #exchanges: number;
  /** Why the last attempt failed, where none has succeeded since. */
  #reason: string | undefined;

  constructor({ role, keys, onFailed, onSealed, ...options }: TunnelHandshakeOptions) {
    this.#nowMs = options.nowMs;
    this.#epochs = new Epochs(keys);
    this.#exchanges = 0;
    this.#reason = undefined;
    const conduct: Conduct = {
      ...options,
      epochs: this.#epochs,
      onFailed: (reason) => {
        this.#reason = reason;
        onFailed(reason);
      },
      onSealed: () => {
        this.#exchanges++;
        this.#reason = undefined;
        onSealed();
      },
    };
    this.#handshaker = role === 'initiator' ? new Initiator(conduct) : new Responder(conduct);
  }

  get nextMs(): number {
    return Math.min(this.#handshaker.nextMs, this.#epochs.nextMs);
  }

  /** Frames go both ways, as far as we can know. */
  get isSealed(): boolean {
    return this.#epochs.current !== undefined;
  }

  get state(): Omit<TunnelState, 'name' | 'peer'> {
    const { current } = this.#epochs;
    const reason = this.#reason === undefined ? {} : { reason: this.#reason };
    if (current === undefined) return { state: this.#reason === undefined ? 'handshaking' : 'failed', ...reason };
    return {
      state: 'sealed',
      algorithm: current.algorithm,
      epochAgeSeconds: Math.round(this.#nowMs() - current.sinceMs) / 1e3,
      rekeys: Math.max(this.#exchanges - 1, 0),
      ...reason,
    };
  }

  /** The payload of a handshake datagram, from anybody. */
  receive(payload: Uint8Array): void {
    const packet = parsePacket(payload);
    if (packet !== undefined) this.#handshaker.receive(packet, this.#nowMs());
  }

  epochSeen(epoch: number): void {
    this.#handshaker.epochSeen(epoch);
  }

  /** An epoch has sealed as much as one may. */
  rekey(epoch: number): void {
    if (epoch === this.#epochs.current?.epoch) this.#handshaker.rekey(this.#nowMs());
  }

  poll(): void {
    const nowMs = this.#nowMs();
    this.#handshaker.poll(nowMs);
    this.#epochs.poll(nowMs);
  }

  /** The device is gone, and all keys with it: the engine is asked nothing more. */
  close(): void {
    this.#handshaker.close();
  }
}
