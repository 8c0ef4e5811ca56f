/**
 * The last 4096 drops, in a ring in shared memory. The engine's thread writes and never waits; the main thread copies
 * what it finds and throws away what was overwritten meanwhile.
 *
 *   int32 word 0: records begun since the start
 *   int32 word 1: records completed
 *   then 4096 records, number n at n modulo 4096:
 *     offset  bytes  type     field
 *     0       8      float64  time, the engine's clock in ns
 *     8       4      int32    where (see `drops.ts`)
 *     12      4      int32    length of the frame, 0 where there was none
 *     16      1      uint8    reason
 *     17      1      uint8    bytes of `header`
 *     18      6               –
 *     24      64     bytes    the frame's first bytes
 */
import { type Arena, SLOT_BYTES } from './arena.js';

export const RECORDS = 4096;
export const RECORDED_BYTES = 64;

const RECORD_BYTES = 88;
const BEGUN = 0;
const COMPLETED = 1;
const PREFIX_BYTES = 8;
const WHERE = 8;
const LENGTH = 12;
const REASON = 16;
const HEADER_LENGTH = 17;
const HEADER = 24;

export interface RecordedDrop {
  readonly nowNs: number;
  readonly where: number;
  readonly lengthBytes: number;
  readonly reason: number;
  readonly header: Uint8Array;
}

export class FlightRecorder {
  readonly #counts: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #ints: Int32Array;
  readonly #doubles: Float64Array;

  /** On the memory that `allocate` gave, in either thread. */
  constructor(buffer: SharedArrayBuffer) {
    this.#counts = new Int32Array(buffer, 0, 2);
    this.#bytes = new Uint8Array(buffer, PREFIX_BYTES);
    this.#ints = new Int32Array(buffer, PREFIX_BYTES);
    this.#doubles = new Float64Array(buffer, PREFIX_BYTES);
  }

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(PREFIX_BYTES + RECORDS * RECORD_BYTES);
  }

  /** Called by the engine's thread alone. `frame` is -1 where there is none. */
  record(nowNs: number, reason: number, where: number, arena: Arena, frame: number): void {
    const number = this.#counts[COMPLETED]!;
    // Past 2³² it goes on where the ring is full and the position is the same.
    const next = (number + 1) | 0 || RECORDS;
    Atomics.store(this.#counts, BEGUN, next);
    const at = (number & (RECORDS - 1)) * RECORD_BYTES;
    const length = frame === -1 ? 0 : arena.length[frame]!;
    this.#doubles[at / 8] = nowNs;
    this.#ints[(at + WHERE) / 4] = where;
    this.#ints[(at + LENGTH) / 4] = length;
    this.#bytes[at + REASON] = reason;
    let recorded = 0;
    if (frame !== -1) {
      recorded = Math.min(length, RECORDED_BYTES, SLOT_BYTES - arena.offset[frame]!);
      const start = arena.start(frame);
      for (let i = 0; i < recorded; i++) this.#bytes[at + HEADER + i] = arena.bytes[start + i]!;
    }
    this.#bytes[at + HEADER_LENGTH] = recorded;
    Atomics.store(this.#counts, COMPLETED, next);
  }

  /** Oldest first. */
  read(): RecordedDrop[] {
    const end = Atomics.load(this.#counts, COMPLETED);
    const held = end >= 0 && end < RECORDS ? end : RECORDS;
    const drops: RecordedDrop[] = [];
    for (let i = held; i >= 1; i--) drops.push(this.#at((end - i) & (RECORDS - 1)));
    // What was begun since then overwrote the oldest, perhaps while they were read.
    const begun = (Atomics.load(this.#counts, BEGUN) - end) | 0;
    const overwritten = begun - (RECORDS - held);
    return overwritten > 0 ? drops.slice(overwritten) : drops;
  }

  #at(index: number): RecordedDrop {
    const at = index * RECORD_BYTES;
    return {
      nowNs: this.#doubles[at / 8]!,
      where: this.#ints[(at + WHERE) / 4]!,
      lengthBytes: this.#ints[(at + LENGTH) / 4]!,
      reason: this.#bytes[at + REASON]!,
      header: this.#bytes.slice(at + HEADER, at + HEADER + this.#bytes[at + HEADER_LENGTH]!),
    };
  }
}
