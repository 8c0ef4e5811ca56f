/**
 * What several engines tell for one recording, as if one had told it: in order of time, by the clock that they share. Read by
 * `stream.ts`; with a single engine it is what that one's ring gives.
 *
 *   engine 0   came 10 ─ left ─ came 40 ─ …                     what is told of an engine's own time rises in its ring; what
 *   engine 1   came 20 ─ mark 30                 ?              follows the last record there is no earlier than that one
 *                          ╰── up to 30 all is known: 40 waits for the next mark
 *
 * Each direction of a link is in one engine, so that what is told of one stays in its order.
 */
import { RecordKind, type RecordReader, type TakenRecord } from './record-ring.js';

/** One engine's part of it. */
export interface RecordSource {
  readonly reader: RecordReader;
  /** In the order that its records count directions in. */
  readonly links: readonly string[];
}

class Source {
  /** The oldest record that was not given. */
  head: TakenRecord | undefined;
  /** No record that is still to come was told before; Infinity: none is to come. */
  nextNs: number;
  /** Of its last mark; NaN before there was one. */
  settledNs: number;
  waiting: number;
  /** Records that did not fit: they came after all that is in the ring. */
  lost: number;
  /** It tells no more. */
  hasEnded: boolean;
  /** Of all sources' directions, where its own begin. */
  readonly base: number;
  readonly #reader: RecordReader;

  constructor(reader: RecordReader, base: number) {
    this.head = undefined;
    this.nextNs = 0;
    this.settledNs = NaN;
    this.waiting = 0;
    this.lost = 0;
    this.hasEnded = false;
    this.base = base;
    this.#reader = reader;
  }

  look(): void {
    if (this.head !== undefined) return;
    this.lost = this.#reader.lost;
    this.head = this.#reader.next();
    if (this.head !== undefined) this.nextNs = toldNs(this.head) ?? this.nextNs;
    else if (this.hasEnded && this.lost === 0) this.nextNs = Infinity;
  }

  wait(): Promise<void> {
    return this.#reader.wait();
  }

  wake(): void {
    this.#reader.wake();
  }
}

/** Undefined where a record has another time: a frame that leaves, when it was due. */
function toldNs({ kind, at, since }: TakenRecord): number | undefined {
  if (kind === RecordKind.settled || kind === RecordKind.came) return since;
  return kind === RecordKind.left || kind === RecordKind.gone ? undefined : at;
}

export class MergedRecords {
  /** How many did not fit the ring of the engine whose turn it is: there is nothing behind that. */
  missed: number;
  /** Of all sources, as records that `next` gives count directions. */
  readonly links: readonly string[];
  readonly #sources: readonly Source[];
  /** The one whose turn it was last. */
  #oldest: Source;

  /** Of one source at least. */
  constructor(sources: readonly RecordSource[]) {
    let base = 0;
    this.#sources = sources.map(({ reader, links }) => {
      const source = new Source(reader, base);
      base += 2 * links.length;
      return source;
    });
    this.missed = 0;
    this.links = sources.flatMap(({ links }) => links);
    this.#oldest = this.#sources[0]!;
  }

  /** The oldest one; undefined when there is none, or it may not be the oldest. */
  next(): TakenRecord | undefined {
    for (;;) {
      const { head, base, lost } = this.#look();
      if (head === undefined) {
        this.missed = lost;
        return undefined;
      }
      this.#oldest.head = undefined;
      if (head.kind !== RecordKind.settled) return { ...head, direction: base + head.direction };
      this.#oldest.settledNs = head.at;
      this.#oldest.waiting = head.direction;
      // All that was due before that was told by all.
      const at = Math.min(...this.#sources.map(({ settledNs }) => settledNs));
      const waiting = this.#sources.reduce((sum, one) => sum + one.waiting, 0);
      if (!Number.isNaN(at)) return { ...head, at, direction: waiting };
    }
  }

  #look(): Source {
    let oldest = this.#sources[0]!;
    for (const source of this.#sources) {
      source.look();
      if (source.nextNs < oldest.nextNs) oldest = source;
    }
    this.#oldest = oldest;
    return oldest;
  }

  /** None comes into the rings any more. */
  end(): void {
    for (const source of this.#sources) source.hasEnded = true;
  }

  /** Resolves when `next` may have one that it had not, or `wake` was called. */
  wait(): Promise<void> {
    return this.#oldest.wait();
  }

  wake(): void {
    for (const source of this.#sources) source.wake();
  }
}
