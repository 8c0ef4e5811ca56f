/**
 * One run of the key exchange, between a reliable stream and whoever installs the keys. `tls-session.ts` is the real one;
 * tests of everything around it use one that has the same flights and no cryptography.
 *
 *   initiator                                    responder
 *   ClientHello ───────────────────────────────►
 *               ◄─────────────────────────────── ServerHello … certificate … Finished
 *   certificate … Finished, hello ─────────────►  authenticated: installs the keys
 *               ◄─────────────────────────────── hello
 *   authenticated: installs the keys,
 *   sends with them
 *   ready ─────────────────────────────────────►  confirmed: sends with them
 *
 * Either end can open what the other seals before the other begins to: no frame is lost on the way from key to key.
 */
import type { EpochKeys } from '../device/device.js';

export type Role = 'initiator' | 'responder';

export interface SessionEvents {
  /** Bytes for the peer. */
  readonly write: (bytes: Uint8Array) => void;
  /** The peer is who it should be, and both ends will have these keys. Answered by `Session.confirm`, once installed. */
  readonly authenticated: (keys: EpochKeys) => void;
  /** Responder: the peer has installed them as well. Initiator: all has been written. */
  readonly confirmed: () => void;
  /** Why, for people. Nothing follows. */
  readonly failed: (reason: string) => void;
}

export interface Session {
  /** Bytes of the peer, in order. */
  receive(bytes: Uint8Array): void;
  /** The keys are installed here. */
  confirm(): void;
  /** No event follows. */
  close(): void;
}

export type StartSession = (role: Role, events: SessionEvents) => Session;
