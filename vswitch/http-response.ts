/** What streams to an HTTP client have in common. Used by `capture-stream.ts` and `recording/stream.ts`. */
import type { ServerResponse } from 'node:http';

/** Resolves when the client has taken what was written, or is gone. */
export function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
