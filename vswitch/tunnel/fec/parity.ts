/**
 * The block of datagrams that parity will be of, as a sender sees it: datagrams with frames in a row of counters. What they
 * have in them is the addon's (native/fec.h), which adds each to the parity on its way out.
 *
 *   counter   100 … 115        116, 117        118 …
 *             ╰─ a block ─╯    its parity      the next block
 *
 * A block ends behind the first frame with which it has MIN_BLOCK_DATAGRAMS, so that a super-frame and its parity leave
 * together and nothing overtakes what is being rebuilt; when it is WAIT_NS old; or when something else takes a counter.
 * Nothing that is to be sent ever waits for it. Called by `../sender.ts` and `protection.ts`.
 */
import type { Fec } from '../../../model/fec.js';
import { ParityBudget } from './parity-budget.js';
import { Redundancy } from './redundancy.js';

/** Behind the header of a parity datagram, and in front of each column that it is of: native/fec.h. */
export const PARITY_HEADER_BYTES = 4;
export const COLUMN_HEADER_BYTES = 4;
/** By so much are datagrams shorter, that their parity is no longer than the path takes. */
export const PARITY_OVERHEAD_BYTES = PARITY_HEADER_BYTES + COLUMN_HEADER_BYTES;
/** Longer payloads are not protected, so none are sent: both ends keep some. As in native/fec.h. */
export const FEC_PAYLOAD_BYTES = 8000;

/** A frame has at most 57 datagrams, at the least path MTU: with it, a block has fewer than FEC_MAX_DATA. */
export const MIN_BLOCK_DATAGRAMS = 16;
/** Parity of a block that does not fill is sent so long after its first datagram. */
export const WAIT_NS = 1e6;

const NONE = -1;

export class Parity {
  readonly redundancy: Redundancy;
  /** Parity datagrams that went out, ever. */
  sentDatagrams: number;
  readonly #budget: ParityBudget;
  /** Counter of its first datagram; NONE: no block is open. */
  #first: number;
  /** What follows its last one, once another datagram has taken a counter; NONE: it goes on with the next. */
  #end: number;
  /** Of the frames in it. */
  #bytes: number;

  constructor(setting: Fec) {
    this.redundancy = new Redundancy(setting);
    this.sentDatagrams = 0;
    this.#budget = new ParityBudget();
    this.#first = NONE;
    this.#end = NONE;
    this.#bytes = 0;
  }

  /** Blocks that begin now get parity. */
  get isOn(): boolean {
    return this.redundancy.rows > 0;
  }

  get isOpen(): boolean {
    return this.#first !== NONE;
  }

  /** The first datagram of the block; NONE. */
  get first(): number {
    return this.#first;
  }

  tick(nowNs: number): void {
    this.#budget.tick(nowNs);
  }

  /** The frame that is added next begins at `counter`, or goes on with the block that is open. */
  begin(counter: number): void {
    if (this.#first === NONE && this.isOn) this.#first = counter;
  }

  add(frameBytes: number): void {
    this.#bytes += frameBytes;
    this.#budget.sent(frameBytes);
  }

  /** Datagrams of the block, where `counter` is the next. */
  count(counter: number): number {
    if (this.#first === NONE) return 0;
    return (this.#end === NONE ? counter : this.#end) - this.#first;
  }

  /** Whether no more can be added to it, or need be. */
  isFull(counter: number): boolean {
    return this.#end !== NONE || this.count(counter) >= MIN_BLOCK_DATAGRAMS;
  }

  /** Something else takes `counter`. */
  interrupt(counter: number): void {
    if (this.#first !== NONE && this.#end === NONE) this.#end = counter;
    if (this.#first === this.#end) this.clear();
  }

  /** Of what was packed only that in front of `end` went out, and the block then was what began with `first`. */
  rewind(first: number, end: number): void {
    this.#first = first;
    this.#end = first === NONE ? NONE : end;
    if (this.#first === this.#end) this.clear();
  }

  /** How many rows the block gets, which are no longer than `mostBytes`; they are paid, and the block is over. */
  close(counter: number, mostBytes: number): number {
    const datagrams = this.count(counter);
    const rowBytes = Math.min(mostBytes, this.#bytes);
    this.clear();
    return datagrams === 0 ? 0 : this.#budget.take(this.redundancy.rowsOf(datagrams), Math.max(rowBytes, 1));
  }

  /** The block gets no parity. */
  clear(): void {
    this.#first = NONE;
    this.#end = NONE;
    this.#bytes = 0;
  }
}
