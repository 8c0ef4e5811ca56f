/**
 * Where a peer may be that has lost its keys, or that we have lost ours of: an address from which an open handshake came.
 * TLS proves who is there, and for that it must be answered there; what is sent there goes to where all goes as well, so a
 * lead that leads nowhere costs nothing else. No more than thrice what came from it goes to it, as to any address that is
 * not validated (RFC 9000 §8.1). Only who has seen the tunnel's handshakes can be one: they bear its mark.
 *
 * Used by `roaming.ts`, while the peer is looked for.
 */
import { ENDPOINT_BYTES, isSameEndpoint } from './endpoint.js';

/** RFC 9000 §8.1. */
const AMPLIFICATION = 3;
/** After which another may take its place. */
const TURN_NS = 1e9;

export class Lead {
  readonly endpoint: Uint8Array;
  #sinceNs: number;
  /** Bytes that may go there. */
  #creditBytes: number;

  constructor() {
    this.endpoint = new Uint8Array(ENDPOINT_BYTES);
    this.#sinceNs = -Infinity;
    this.#creditBytes = 0;
  }

  /** An open handshake datagram of `bytes` came from there. */
  heard(source: Uint8Array, bytes: number, nowNs: number): void {
    if (!isSameEndpoint(source, this.endpoint)) {
      if (nowNs < this.#sinceNs + TURN_NS) return;
      this.endpoint.set(source);
      this.#sinceNs = nowNs;
      this.#creditBytes = 0;
    }
    this.#creditBytes += AMPLIFICATION * bytes;
  }

  /** Whether a datagram of `bytes` may go there; then they are taken for sent. */
  spend(bytes: number): boolean {
    if (bytes > this.#creditBytes) return false;
    this.#creditBytes -= bytes;
    return true;
  }

  forget(): void {
    this.#sinceNs = -Infinity;
    this.#creditBytes = 0;
  }
}
