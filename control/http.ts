/**
 * HTTP on Unix sockets, as agent and switch processes speak it: JSON bodies, errors as `{ code, message, hint }`.
 */
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import type * as z from 'zod';
import { LuthierError, RemoteError, UsageError } from '../model/errors.js';

export interface RequestOptions {
  readonly socket: string;
  readonly method: 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** The request goes on until it aborts: what is streamed for as long as it does is then brought to its end. In place of a body. */
  readonly until?: AbortSignal;
  /** Whom an error message names: `agent`, `switch a`. */
  readonly remote: string;
  /** Longest silence. Default: none (streams, long operations). */
  readonly timeoutMs?: number;
}

/** How long a stream is wanted. */
export interface StreamEnd {
  /** When it aborts, what came before still comes, and the stream ends. */
  readonly until: AbortSignal;
  /** When it aborts, the stream breaks off. */
  readonly signal: AbortSignal;
}

/** The response as a stream, once its status is 200. */
export function openStream(options: RequestOptions): Promise<IncomingMessage> {
  const { socket, method, path, body, signal, until, remote, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const outgoing = request(
      {
        socketPath: socket,
        method,
        path,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
        headers: {
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': payload.byteLength }),
          ...(until === undefined ? {} : { 'transfer-encoding': 'chunked' }),
        },
      },
      (response) => {
        if (response.statusCode === 200) {
          resolve(response);
          return;
        }
        readText(response).then((text) => reject(errorFrom(remote, response.statusCode ?? 0, text)), reject);
      },
    );
    outgoing.on('error', (cause) => reject(connectionError(remote, cause)));
    if (timeoutMs !== undefined)
      outgoing.setTimeout(timeoutMs, () =>
        outgoing.destroy(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: 'ETIMEDOUT' })),
      );
    if (until === undefined) outgoing.end(payload);
    else endWith(outgoing, until);
  });
}

/** Sends its head now, and ends it when `until` aborts. */
function endWith(outgoing: ClientRequest, until: AbortSignal): void {
  const end = (): void => void outgoing.end();
  outgoing.flushHeaders();
  if (until.aborted) end();
  else until.addEventListener('abort', end, { once: true });
  outgoing.once('close', () => {
    until.removeEventListener('abort', end);
  });
}

export async function requestJson<T>(options: RequestOptions): Promise<T> {
  const text = await readText(await openStream(options));
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** One value per line. */
export async function* lines<T>(response: IncomingMessage): AsyncGenerator<T> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    rest += chunk as string;
    let end: number;
    while ((end = rest.indexOf('\n')) !== -1) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      if (line !== '') yield JSON.parse(line) as T;
    }
  }
}

export async function readText(message: IncomingMessage, limitBytes = Infinity): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message) {
    bytes += (chunk as Buffer).byteLength;
    if (bytes > limitBytes) throw new LuthierError('E_TOO_LARGE', `a request of more than ${limitBytes} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The body of a request, as its path has it. Throws a UsageError that says what of it is wrong. */
export async function readJson<Shape extends z.ZodType>(
  request: IncomingMessage,
  shape: Shape,
  limitBytes: number,
): Promise<z.infer<Shape>> {
  const wrong = (why: string, cause: unknown): UsageError =>
    new UsageError(`the body of ${request.method ?? ''} ${request.url ?? ''} is wrong: ${why}`, {
      hint: 'control/agent.ts says what each request takes; the command and the API of the same version send that',
      cause,
    });
  const text = await readText(request, limitBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong(`not JSON: ${(cause as Error).message}`, cause);
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  throw wrong(issues.join('; '), parsed.error);
}

function errorFrom(remote: string, status: number, text: string): LuthierError {
  try {
    const { code, message, hint } = JSON.parse(text) as { code: string; message: string; hint?: string };
    return new LuthierError(code, message, hint === undefined ? {} : { hint });
  } catch (cause) {
    return new RemoteError(remote, `${remote} answered with status ${status}: ${text.slice(0, 200)}`, { cause });
  }
}

function connectionError(remote: string, cause: Error): Error {
  if (cause.name === 'AbortError') return cause;
  return new RemoteError(remote, `cannot talk to ${remote}: ${cause.message}`, { cause });
}
