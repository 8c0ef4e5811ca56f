/**
 * The tunnel endpoints (VTEPs) that frames come from and go to, each with a number: those of the configuration, and with a
 * multicast group those that are heard. A hash table on their addresses with linear probing; nothing is ever removed, so a
 * number stays what it is. Called by `vxlan.ts`, for each datagram.
 *
 * An endpoint is as the addon has it (`tunnel/roaming/endpoint.ts`). A VTEP is its address: the port that a datagram comes
 * from follows the hash of the flow in it (RFC 7348 §5), and what is sent goes to the one port that all listen at.
 */
import { MAX_REMOTES } from '../../model/vxlan.js';
import { get32 } from '../wire/bytes.js';

const ADDRESS_BYTES = 16;
/** Beyond, what is behind further ones is sent to all, as what is not known is. */
const MAX_VTEPS = MAX_REMOTES;
const SLOTS = 2 * MAX_VTEPS;

export class Vteps {
  count: number;
  /** By number. */
  readonly #addresses: Uint8Array;
  readonly #numbersPlus1: Uint16Array;

  constructor() {
    this.count = 0;
    this.#addresses = new Uint8Array(MAX_VTEPS * ADDRESS_BYTES);
    this.#numbersPlus1 = new Uint16Array(SLOTS);
  }

  /** -1: it is not among them. */
  numberOf(endpoint: Uint8Array): number {
    return this.#numbersPlus1[this.#slotOf(endpoint)]! - 1;
  }

  /** Its number, new or not; -1 when there are too many. */
  add(endpoint: Uint8Array): number {
    const slot = this.#slotOf(endpoint);
    if (this.#numbersPlus1[slot] !== 0) return this.#numbersPlus1[slot]! - 1;
    if (this.count === MAX_VTEPS) return -1;
    for (let i = 0; i < ADDRESS_BYTES; i++) this.#addresses[this.count * ADDRESS_BYTES + i] = endpoint[i]!;
    this.#numbersPlus1[slot] = ++this.count;
    return this.count - 1;
  }

  /** Writes its address to an endpoint, whose port stays as it is. */
  address(number: number, into: Uint8Array): void {
    for (let i = 0; i < ADDRESS_BYTES; i++) into[i] = this.#addresses[number * ADDRESS_BYTES + i]!;
  }

  /** Where it is, or would be. */
  #slotOf(endpoint: Uint8Array): number {
    let hash = 0;
    for (let i = 0; i < ADDRESS_BYTES; i += 4) hash = Math.imul(hash ^ get32(endpoint, i), 0x9e3779b1);
    let slot = (hash >>> 8) & (SLOTS - 1);
    while (this.#numbersPlus1[slot] !== 0 && !this.#isAt(slot, endpoint)) slot = (slot + 1) & (SLOTS - 1);
    return slot;
  }

  #isAt(slot: number, endpoint: Uint8Array): boolean {
    const at = (this.#numbersPlus1[slot]! - 1) * ADDRESS_BYTES;
    for (let i = 0; i < ADDRESS_BYTES; i++) if (this.#addresses[at + i] !== endpoint[i]) return false;
    return true;
  }
}
