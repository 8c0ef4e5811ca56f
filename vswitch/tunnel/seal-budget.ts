/**
 * How much one key seals: when others should be asked for, and when it must seal no more. Counted by datagrams of the
 * lane, which are its nonces.
 *
 *   0 ───────────────► rekey ───────────────► stop − RESERVE ─────────► stop
 *     all is sealed          others are asked for   probes, handshakes   nothing
 *
 * AES-GCM stays confidential, with a chance of 2⁻⁵⁷ to the contrary, for 2²⁸ packets of up to 2¹¹ bytes (RFC 9001
 * appendix B.1.1), or 2²³ of any length (§6.6). ChaCha20-Poly1305 has no such limit, and keeps the same. Called by `lane.ts`.
 */
import type { KeyLimits } from '../../model/messages.js';

/** What one list of datagrams may have, and as many probes and handshakes as are sent within a key's life of an hour. */
const RESERVE = 2 ** 15;
export const MIN_STOP_DATAGRAMS = 2 * RESERVE;
export const MAX_STOP_DATAGRAMS = 2 ** 28;
const SHORT_BYTES = 2 ** 11;
const STOP_LONG_DATAGRAMS = 2 ** 23;
/** Keys that are asked for come later: after so small a part of what one may seal. */
const REKEY_SHARE = 4;
const REKEY_BYTES = 2 ** 37;

export class SealBudget {
  readonly #rekey: number;
  readonly #stop: number;
  /** The lane's counter when the key began. */
  #start: number;
  /** What was said of it already. */
  #isRekeyDue: boolean;
  #isSpent: boolean;

  /** `packetBytes`: of the longest. */
  constructor(packetBytes: number, limits: KeyLimits = {}) {
    const most = packetBytes <= SHORT_BYTES ? MAX_STOP_DATAGRAMS : STOP_LONG_DATAGRAMS;
    this.#stop = Math.min(limits.stopDatagrams ?? most, most);
    const soon = limits.rekeyDatagrams ?? this.#stop / REKEY_SHARE;
    this.#rekey = Math.min(soon, this.#stop / REKEY_SHARE, REKEY_BYTES / packetBytes);
    this.#start = 0;
    this.#isRekeyDue = false;
    this.#isSpent = false;
  }

  /** A new key, from this counter on. */
  begin(counter: number): void {
    this.#start = counter;
    this.#isRekeyDue = false;
    this.#isSpent = false;
  }

  /** Whether a list of datagrams with frames may be sealed. */
  hasFrames(counter: number): boolean {
    return counter - this.#start < this.#stop - RESERVE;
  }

  /** Whether one more datagram, of a probe or handshake, may be. */
  hasOne(counter: number): boolean {
    return counter - this.#start < this.#stop;
  }

  /** True once a key: others should be asked for. */
  rekeyIsDue(counter: number): boolean {
    if (this.#isRekeyDue || counter - this.#start < this.#rekey) return false;
    this.#isRekeyDue = true;
    return true;
  }

  /** True once a key: no frames are sealed any more. */
  isSpent(counter: number): boolean {
    if (this.#isSpent || this.hasFrames(counter)) return false;
    this.#isSpent = true;
    return true;
  }
}
