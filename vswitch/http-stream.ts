/**
 * From a ring to the response of an HTTP request, for as long as the request lasts. Used by `capture-stream.ts` and
 * `recording/stream.ts`.
 *
 * A request whose body has no length said before (`transfer-encoding: chunked`) lasts until that body ends; the response
 * then has all that came into the ring before, and ends. One without a body lasts until its client goes: what is on its
 * way at that moment is lost.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RingReader } from './ring.js';

export interface StreamSource {
  /** The ring, or what stands for several. */
  readonly reader: Pick<RingReader, 'wait' | 'wake'>;
  /** Some of what is in the ring; empty when nothing is, undefined when nothing will be any more. */
  next(): string | Uint8Array | undefined;
  /** Once it has resolved, nothing comes into the ring. */
  stop(): Promise<void>;
}

/** Aborts when the request's body ends: never where it has none. */
export function bodyEnd(request: IncomingMessage): AbortSignal {
  const end = new AbortController();
  if (request.headers['transfer-encoding'] !== undefined) request.resume().once('end', () => end.abort());
  return end.signal;
}

/** Until the client goes, or, when `until` aborts, all that came before is written. The response's head has been. */
export async function stream(response: ServerResponse, source: StreamSource, until: AbortSignal): Promise<void> {
  const { reader } = source;
  const state = { isOver: false };
  let stopping: Promise<void> | undefined;
  const end = (): Promise<void> => {
    stopping ??= source.stop().finally(() => {
      state.isOver = true;
      reader.wake();
    });
    return stopping;
  };
  // Where the engine has ended, so does the process.
  const endUnwatched = (): void => void end().catch(() => undefined);
  response.once('close', endUnwatched);
  if (until.aborted) endUnwatched();
  else until.addEventListener('abort', endUnwatched, { once: true });
  try {
    while (!response.closed) {
      const some = source.next();
      if (some === undefined) break;
      if (some.length > 0) {
        if (!response.write(some)) await drained(response);
      } else if (state.isOver) {
        break;
      } else {
        await reader.wait();
      }
    }
  } finally {
    await end();
  }
  response.end();
}

/**
 * Resolves when the client has taken what was written, or is gone. What a client takes at once is written without a turn of
 * the event loop, so one is waited for: however much comes, other requests are heard, and the end of this one.
 */
async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
  await nextTurn();
}
