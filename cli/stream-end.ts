/**
 * How `capture` and `record` end: by ^C, or after `--seconds`. What passed before belongs to them, so the stream is read
 * until the switch process ends it. One that hangs, or whose reader does, is not waited for; nor is any on a second ^C
 * (`untilInterrupted`).
 */
import type { StreamEnd } from '../control/http.js';

/** The longest that a stream which is to end may say nothing. */
const PATIENCE_MS = 5_000;

export const ENDED_EARLY = 'the switch process or the agent has ended, or does not answer';

export class StreamEnding implements StreamEnd {
  readonly until: AbortSignal;
  readonly signal: AbortSignal;
  readonly #whole = new AbortController();
  readonly #atOnce = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(interrupted: AbortSignal, seconds?: number) {
    this.until = this.#whole.signal;
    this.signal = this.#atOnce.signal;
    const end = (): void => {
      this.#whole.abort();
      this.#wait();
    };
    if (seconds !== undefined) this.#timer = setTimeout(end, seconds * 1000);
    if (interrupted.aborted) end();
    else interrupted.addEventListener('abort', end, { once: true });
  }

  /** The stream, each of whose pieces is waited for anew once it is to end. */
  async *following(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of stream) {
      if (this.until.aborted) this.#wait();
      yield piece;
    }
  }

  /** Nothing more is wanted. */
  now(): void {
    clearTimeout(this.#timer);
    this.#atOnce.abort();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    if (!this.signal.aborted) this.#timer = setTimeout(() => this.now(), PATIENCE_MS);
  }
}
