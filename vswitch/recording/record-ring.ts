/**
 * What a recording tells, on its way from the engine's thread to the main thread by a ring (`../ring.ts`). With the first
 * record that does not fit, the recording is over: without it, what follows cannot be replayed. The rest is only counted.
 *
 *   offset  bytes  type     field
 *   0       4      uint32   length of the record, padding included
 *   4       4      uint32   length of what follows the header
 *   8       8      float64  at
 *   16      8      float64  when it was told (`came`), since (`left`); when it is told (`settled`)
 *   24      4      uint32   which direction: 2 × the link's place in the recording, + 1 for reverse; `settled`: how many wait
 *   28      1      uint8    kind
 *   29      1      uint8    reason (`dropped`)
 *   30      2      uint16   gsoSize
 *   32      1      uint8    csumState
 *   33      1               –
 *   34      2      uint16   csumStart
 *   36      2      uint16   csumOffset
 *   38      2               –
 *   40      n               the frame, or LinkProperties as JSON, then padding
 */
import type { LinkProperties } from '../../model/emulation.js';
import type { Arena } from '../arena.js';
import type { DropReason } from '../drops.js';
import { allocateRing, RingReader, RingWriter } from '../ring.js';

/** Half a second of 100 Mbit/s, in and out: longer than the main thread is ever kept from reading on a machine that is not overloaded. */
const RING_BYTES = 16 * 2 ** 20;

const BODY_LENGTH = 4;
const AT = 8;
const SINCE = 16;
const DIRECTION = 24;
const KIND = 28;
const REASON = 29;
const GSO_SIZE = 30;
const CSUM_STATE = 32;
const CSUM_START = 34;
const CSUM_OFFSET = 36;
const HEADER_BYTES = 40;

export const RecordKind = { came: 0, left: 1, dropped: 2, changed: 3, begun: 4, gone: 5, settled: 6 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

const NO_BYTES = new Uint8Array(0);

export interface TakenRecord {
  readonly kind: RecordKind;
  readonly at: number;
  readonly since: number;
  readonly direction: number;
  readonly reason: number;
  readonly gsoSize: number;
  readonly checksum: readonly [state: number, start: number, offset: number];
  /** Empty where there is neither a frame nor properties. */
  readonly body: Uint8Array;
}

/** The engine's side. */
export class RecordPoint extends RingWriter {
  /** One did not fit. */
  #over: boolean;

  constructor(buffer: SharedArrayBuffer) {
    super(buffer);
    this.#over = false;
  }

  /** `frame` -1: there is none. */
  frame(kind: RecordKind, direction: number, at: number, since: number, arena: Arena, frame: number): void {
    this.#frame(kind, direction, at, since, 0, arena, frame);
  }

  dropped(direction: number, at: number, reason: DropReason, arena: Arena, frame: number): void {
    this.#frame(RecordKind.dropped, direction, at, 0, reason, arena, frame);
  }

  properties(kind: RecordKind, direction: number, at: number, properties: LinkProperties): void {
    this.#bytes(kind, direction, at, Buffer.from(JSON.stringify(properties)));
  }

  gone(direction: number, at: number): void {
    this.#bytes(RecordKind.gone, direction, at, NO_BYTES);
  }

  settled(at: number, nowNs: number, waiting: number): void {
    const start = this.#begin(RecordKind.settled, waiting, at, 0);
    if (start === -1) return;
    this.doubles[(start + SINCE) / 8] = nowNs;
    this.publish();
  }

  #frame(
    kind: RecordKind,
    direction: number,
    at: number,
    since: number,
    reason: number,
    arena: Arena,
    frame: number,
  ): void {
    const length = frame === -1 ? 0 : arena.length[frame]!;
    const start = this.#begin(kind, direction, at, length);
    if (start === -1) return;
    this.doubles[(start + SINCE) / 8] = since;
    this.bytes[start + REASON] = reason;
    if (frame !== -1) {
      this.shorts[(start + GSO_SIZE) / 2] = arena.gsoSize[frame]!;
      this.bytes[start + CSUM_STATE] = arena.csumState[frame]!;
      this.shorts[(start + CSUM_START) / 2] = arena.csumStart[frame]!;
      this.shorts[(start + CSUM_OFFSET) / 2] = arena.csumOffset[frame]!;
      this.copy(arena, frame, start + HEADER_BYTES);
    }
    this.publish();
  }

  #bytes(kind: RecordKind, direction: number, at: number, bytes: Uint8Array): void {
    const start = this.#begin(kind, direction, at, bytes.byteLength);
    if (start === -1) return;
    this.bytes.set(bytes, start + HEADER_BYTES);
    this.publish();
  }

  #begin(kind: RecordKind, direction: number, at: number, bodyBytes: number): number {
    if (this.#over) {
      this.countLost();
      this.wakeReader();
      return -1;
    }
    const start = this.reserve(HEADER_BYTES + bodyBytes);
    if (start === -1) {
      this.#over = true;
      return -1;
    }
    this.longs[(start + BODY_LENGTH) / 4] = bodyBytes;
    this.doubles[(start + AT) / 8] = at;
    this.longs[(start + DIRECTION) / 4] = direction;
    this.bytes[start + KIND] = kind;
    return start;
  }
}

/** The main thread's side. */
export class RecordReader extends RingReader {
  constructor() {
    super(allocateRing(RING_BYTES));
  }

  /** The oldest one, as a copy; undefined when there is none. */
  next(): TakenRecord | undefined {
    const start = this.first();
    if (start === -1) return undefined;
    const bodyBytes = this.longs[(start + BODY_LENGTH) / 4]!;
    const record: TakenRecord = {
      kind: this.bytes[start + KIND] as RecordKind,
      at: this.doubles[(start + AT) / 8]!,
      since: this.doubles[(start + SINCE) / 8]!,
      direction: this.longs[(start + DIRECTION) / 4]!,
      reason: this.bytes[start + REASON]!,
      gsoSize: this.shorts[(start + GSO_SIZE) / 2]!,
      checksum: [
        this.bytes[start + CSUM_STATE]!,
        this.shorts[(start + CSUM_START) / 2]!,
        this.shorts[(start + CSUM_OFFSET) / 2]!,
      ],
      body: this.bytes.slice(start + HEADER_BYTES, start + HEADER_BYTES + bodyBytes),
    };
    this.release();
    return record;
  }
}
