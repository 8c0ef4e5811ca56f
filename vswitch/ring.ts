/**
 * Records on their way from one thread to another: one ring in shared memory, one writer, one reader. What does not fit is
 * counted and left out: the writer never waits. What a record is, `capture-ring.ts` and `recording/record-ring.ts` say, of
 * an engine's way to the main thread, and `stack/trunk-ring.ts`, of that from engine to engine.
 *
 *   int32 word 0: written, bytes ever      1: read, bytes ever      2: records that did not fit      3: see `TrunkReader`
 *   then the ring: records, each at a multiple of 8; positions are modulo its size, which is a power of two
 *
 *   offset  bytes  type     field
 *   0       4      uint32   length of the record, padding included; 0: the next one is at the ring's start
 *   4       …               the record
 */
import { type Arena, SLOT_BYTES } from './arena.js';

const PREFIX_BYTES = 16;
const WRITTEN = 0;
const READ = 1;
const LOST = 2;

class Ring {
  protected readonly words: Int32Array;
  protected readonly size: number;
  // The ring's bytes, as whoever knows the records' layout needs them.
  protected readonly bytes: Uint8Array;
  protected readonly shorts: Uint16Array;
  protected readonly longs: Uint32Array;
  protected readonly doubles: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    const size = buffer.byteLength - PREFIX_BYTES;
    this.words = new Int32Array(buffer, 0, PREFIX_BYTES / 4);
    this.size = size;
    this.bytes = new Uint8Array(buffer, PREFIX_BYTES, size);
    this.shorts = new Uint16Array(buffer, PREFIX_BYTES, size / 2);
    this.longs = new Uint32Array(buffer, PREFIX_BYTES, size / 4);
    this.doubles = new Float64Array(buffer, PREFIX_BYTES, size / 8);
  }
}

/** Of a ring with room for so many bytes, a power of two. */
export function allocateRing(ringBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(PREFIX_BYTES + ringBytes);
}

export class RingWriter extends Ring {
  /** What `written` becomes when the records that were reserved are complete. */
  #next: number;

  constructor(buffer: SharedArrayBuffer) {
    super(buffer);
    this.#next = this.words[WRITTEN]!;
  }

  /** Where a record of so many bytes is to be written, its length already is; -1, and it is counted, when it does not fit. */
  protected reserve(bytes: number): number {
    const recordBytes = (bytes + 7) & ~7;
    const written = this.#next;
    let at = written & (this.size - 1);
    const toEnd = this.size - at;
    const skipped = recordBytes > toEnd ? toEnd : 0;
    const used = (written - Atomics.load(this.words, READ)) | 0;
    if (used + skipped + recordBytes > this.size) {
      this.countLost();
      return -1;
    }
    if (skipped > 0) {
      this.longs[at / 4] = 0;
      at = 0;
    }
    this.longs[at / 4] = recordBytes;
    this.#next = (written + skipped + recordBytes) | 0;
    return at;
  }

  /** What was reserved is complete: the reader may have it. */
  protected publish(): void {
    Atomics.store(this.words, WRITTEN, this.#next);
    Atomics.notify(this.words, WRITTEN);
  }

  protected countLost(): void {
    Atomics.add(this.words, LOST, 1);
  }

  /** Ends a `wait` though there is nothing to read. */
  protected wakeReader(): void {
    Atomics.notify(this.words, WRITTEN);
  }

  /** Views are made here and nowhere else on a frame's way: whoever is captured or recorded pays for it. */
  protected copy(arena: Arena, frame: number, to: number): void {
    let left = arena.length[frame]!;
    let start = arena.start(frame);
    let room = SLOT_BYTES - arena.offset[frame]!;
    for (let slot = frame; left > 0;) {
      const n = Math.min(left, room);
      this.bytes.set(arena.bytes.subarray(start, start + n), to);
      to += n;
      left -= n;
      slot = arena.next[slot]!;
      start = slot * SLOT_BYTES;
      room = SLOT_BYTES;
    }
  }
}

export class RingReader extends Ring {
  readonly buffer: SharedArrayBuffer;
  /** What `read` becomes when the record that was given last has been read. */
  #next: number;

  /** `buffer` is new. */
  constructor(buffer: SharedArrayBuffer) {
    super(buffer);
    this.buffer = buffer;
    this.#next = 0;
  }

  /** Records that did not fit, ever. */
  get lost(): number {
    return Atomics.load(this.words, LOST) >>> 0;
  }

  /** Whether there is no record that was not read. */
  get empty(): boolean {
    return Atomics.load(this.words, WRITTEN) === this.words[READ];
  }

  /** Where the oldest record is; -1 when there is none. */
  protected first(): number {
    const read = this.words[READ]!;
    if (Atomics.load(this.words, WRITTEN) === read) return -1;
    let at = read & (this.size - 1);
    let skipped = 0;
    if (this.longs[at / 4] === 0) {
      skipped = this.size - at;
      at = 0;
    }
    this.#next = (read + skipped + this.longs[at / 4]!) | 0;
    return at;
  }

  /** Its place may be written to again. */
  protected release(): void {
    Atomics.store(this.words, READ, this.#next);
  }

  /** Resolves when there is a record that was not read, or `wake` was called. */
  async wait(): Promise<void> {
    const read = this.words[READ]!;
    await Atomics.waitAsync(this.words, WRITTEN, read).value;
  }

  /** Ends a `wait`, for a reader that is to end. */
  wake(): void {
    Atomics.notify(this.words, WRITTEN);
  }
}
