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
import { Checksum, type Arena } from '../arena.js';
import type { DeviceContext } from '../device/device.js';
import { DropReason, type DropSink } from '../drops.js';
import { Segmenter } from '../wire/segmenter.js';
import type { Delivery } from './delivery.js';

export class Salvage {
  readonly #arena: Arena;
  readonly #drops: DropSink;
  readonly #port: number;
  readonly #delivery: Delivery;
  readonly #segmenter: Segmenter;

  constructor(context: DeviceContext, delivery: Delivery) {
    this.#arena = context.arena;
    this.#drops = context.drops;
    this.#port = context.index;
    this.#delivery = delivery;
    this.#segmenter = new Segmenter(context.arena);
  }

  /**
   * Delivers the whole segments of `frame`, which stays the caller's. Its first `headerBytes` bytes are known, and the
   * `marks` of its datagrams; the runs
   * of received bytes are the `count` pairs (start, end) from `runs[at]` on, in order.
   */
  save(
    frame: number,
    channel: number,
    gsoSize: number,
    marks: number,
    headerBytes: number,
    runs: Int32Array,
    at: number,
    count: number,
  ): void {
    const segmenter = this.#segmenter;
    if (!segmenter.begin(frame, gsoSize, headerBytes)) return;
    const frameBytes = this.#arena.length[frame]!;
    for (let i = 0; i < count; i++) {
      const start = runs[at + 2 * i]! - segmenter.headerBytes;
      const end = runs[at + 2 * i + 1]!;
      const first = Math.max(0, Math.ceil(start / gsoSize));
      const after = end === frameBytes ? segmenter.segments : Math.floor((end - segmenter.headerBytes) / gsoSize);
      if (after > first) this.#saveRun(channel, first, after, marks);
    }
  }

  /** Delivers segments `first` … `after - 1` as one frame. */
  #saveRun(channel: number, first: number, after: number, marks: number): void {
    const saved = this.#segmenter.run(first, after);
    if (saved === -1) this.#drops.drop(DropReason.arenaFull, -1, this.#port);
    else this.#delivery.deliver(saved, channel, this.#arena.gsoSize[saved]!, Checksum.partial, marks);
  }
}
