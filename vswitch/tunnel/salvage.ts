/**
 * What can be saved of a super-frame of which chunks are missing: every run of segments that is there from its first byte
 * to its last becomes a frame (a super-frame again when it has more than one segment).
 *
 *   super-frame   [headers]   0   |   1   |   2   |   3   |   4   |   5   ]        segments of gsoSize bytes
 *   received      ─────────────────────────     ──────────────────────────        runs of bytes
 *   saved         [headers][  0   |   1   ]            [headers][ 4  |  5 ]
 *
 * Without its headers nothing can be saved: they stand in the first chunk, and again in the last.
 * Called by `reassembly.ts` when it gives a frame up.
 */
import { Checksum, HEADROOM_BYTES, type Arena } from '../arena.js';
import type { DeviceContext } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { copyChain } from '../wire/chain.js';
import { FrameHeaders } from '../wire/headers.js';
import { segmentCount, writeRunHeaders } from '../wire/segment.js';
import type { Delivery } from './delivery.js';

export class Salvage {
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #delivery: Delivery;
  readonly #headers: FrameHeaders;

  constructor(context: DeviceContext, delivery: Delivery) {
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#delivery = delivery;
    this.#headers = new FrameHeaders();
  }

  /**
   * Delivers the whole segments of `frame`, which stays the caller's. Its first `headerBytes` bytes are known; the runs
   * of received bytes are the `count` pairs (start, end) from `runs[at]` on, in order.
   */
  save(
    frame: number,
    channel: number,
    gsoSize: number,
    headerBytes: number,
    runs: Int32Array,
    at: number,
    count: number,
  ): void {
    const arena = this.#arena;
    const headers = this.#headers;
    const frameBytes = arena.length[frame]!;
    if (!headers.parse(arena.bytes, arena.start(frame), headerBytes)) return;
    const segments = segmentCount(frameBytes - headers.payload, gsoSize);
    for (let i = 0; i < count; i++) {
      const start = runs[at + 2 * i]! - headers.payload;
      const end = runs[at + 2 * i + 1]!;
      const first = Math.max(0, Math.ceil(start / gsoSize));
      const after = end === frameBytes ? segments : Math.floor((end - headers.payload) / gsoSize);
      if (after > first) this.#saveRun(frame, channel, gsoSize, first, after, segments);
    }
  }

  /** Delivers segments `first` … `after - 1` as one frame. */
  #saveRun(frame: number, channel: number, gsoSize: number, first: number, after: number, segments: number): void {
    const arena = this.#arena;
    const headerBytes = this.#headers.payload;
    const from = headerBytes + first * gsoSize;
    const payloadBytes = Math.min(arena.length[frame]!, headerBytes + after * gsoSize) - from;
    const saved = arena.alloc(headerBytes + payloadBytes);
    if (saved === -1) {
      this.#drops.drop(DropReason.arenaFull, -1, this.#port);
      return;
    }
    copyChain(arena, frame, HEADROOM_BYTES, saved, HEADROOM_BYTES, headerBytes);
    copyChain(arena, frame, HEADROOM_BYTES + from, saved, HEADROOM_BYTES + headerBytes, payloadBytes);
    const isLast = after === segments;
    writeRunHeaders(arena.bytes, arena.start(saved), this.#headers, gsoSize, first, payloadBytes, isLast);
    this.#delivery.deliver(saved, channel, payloadBytes > gsoSize ? gsoSize : 0, Checksum.partial);
  }
}
