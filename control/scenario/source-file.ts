/**
 * A file as text, a scenario's or a recording's: read no further than it may be long, from a file or a pipe, and decoded
 * strictly. Everything that is wrong is a `ScenarioError`.
 *
 * Called by `load.ts` and `recordings.ts`.
 */
import { isUtf8 } from 'node:buffer';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { ScenarioError } from '../../model/errors.js';
import { quoted } from '../../model/names.js';
import { MAX_BYTES } from './source-limits.js';

const CHUNK_BYTES = 1 << 16;
/** How long a pipe may be silent: its writer is at work. */
const PIPE_PATIENCE_MS = 10_000;
const PIPE_POLL_MS = 5;

/** `shorten`: what to do about one that is too long. Throws `ScenarioError`. */
export function readText(file: string, shorten = 'split it into several networks'): string {
  let bytes: Uint8Array;
  try {
    // A pipe that nobody writes into must not keep us waiting (fifo(7)).
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stats = fstatSync(descriptor);
      refuseOtherThanFile(stats, file, shorten);
      bytes = readAll(descriptor, file, shorten);
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    if (cause instanceof ScenarioError) throw cause;
    throw unreadable(file, ...failure(cause, file));
  }
  return decode(bytes, file);
}

function unreadable(file: string, why: string, hint?: string): ScenarioError {
  const options = hint === undefined ? {} : { hint };
  return new ScenarioError({ file, line: 1, column: 1 }, `${quoted(file)} cannot be read: ${why}`, options);
}

function refuseOtherThanFile(stats: Stats, file: string, shorten: string): void {
  if (stats.isDirectory()) throw unreadable(file, 'it is a directory', 'name the file in it');
  if (!stats.isFile() && !stats.isFIFO()) {
    throw unreadable(file, 'it is a device', 'what is read is a file or a pipe');
  }
  if (stats.size > MAX_BYTES) throw tooLarge(file, shorten);
}

function failure(cause: unknown, file: string): [why: string, hint?: string] {
  const { code, message } = cause as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return file === '-'
        ? ['there is no such file', 'standard input is /dev/stdin']
        : ['there is no such file', 'see what there is: ls'];
    case 'ENOTDIR':
      return ['a part of its path is no directory'];
    case 'EISDIR':
      return ['it is a directory', 'name the file in it'];
    case 'EACCES':
    case 'EPERM':
      return ['permission is denied', 'run as a user who may read it'];
    case 'ENXIO':
      return ['it is a socket', 'what is read is a file or a pipe'];
    case 'ELOOP':
      return ['it is a symbolic link that leads back to itself'];
    case 'ENAMETOOLONG':
      return ['its name is too long'];
    default:
      return [message];
  }
}

function tooLarge(file: string, shorten: string): ScenarioError {
  return new ScenarioError({ file, line: 1, column: 1 }, `the file is larger than ${MAX_BYTES} bytes`, {
    hint: `the most is ${MAX_BYTES / 2 ** 20} MiB: ${shorten}`,
  });
}

function readAll(descriptor: number, file: string, shorten: string): Uint8Array {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let silentSince = performance.now();
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const count = readNow(descriptor, chunk);
    if (count === 0) return Buffer.concat(chunks, length);
    if (count === undefined) {
      if (performance.now() - silentSince > PIPE_PATIENCE_MS) {
        const seconds = PIPE_PATIENCE_MS / 1000;
        throw unreadable(file, `nothing came through the pipe for ${seconds} s`, 'write it into a file first');
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_POLL_MS);
      continue;
    }
    silentSince = performance.now();
    chunks.push(chunk.subarray(0, count));
    length += count;
    if (length > MAX_BYTES) throw tooLarge(file, shorten);
  }
}

/** Undefined when there is nothing to read for the moment. */
function readNow(descriptor: number, chunk: Uint8Array): number | undefined {
  try {
    return readSync(descriptor, chunk);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw cause;
  }
}

/** UTF-8, with or without a byte order mark (RFC 3629). YAML would allow UTF-16 too; Luthier's files are UTF-8. */
function decode(bytes: Uint8Array, file: string): string {
  if (looksLikeUtf16(bytes)) {
    throw new ScenarioError({ file, line: 1, column: 1 }, 'the file is UTF-16', { hint: 'save it as UTF-8' });
  }
  if (isUtf8(bytes)) return new TextDecoder('utf-8').decode(bytes);
  const before = bytes.subarray(0, firstBrokenByte(bytes));
  const line = before.reduce((lines, byte) => lines + Number(byte === 0x0a), 1);
  const column = new TextDecoder('utf-8').decode(before.subarray(before.lastIndexOf(0x0a) + 1)).length + 1;
  throw new ScenarioError({ file, line, column }, 'this is not UTF-8 text', { hint: 'save the file as UTF-8' });
}

/** A byte order mark, or that every scenario begins with ASCII, of which UTF-16 has one byte zero. */
function looksLikeUtf16([first, second]: Uint8Array): boolean {
  if (first === undefined || second === undefined) return false;
  return (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || (first === 0) !== (second === 0);
}

/** The end of the longest part that is UTF-8. Each half is looked at once: the part before it is known to be right. */
function firstBrokenByte(bytes: Uint8Array): number {
  let right = 0;
  for (let wrong = bytes.length; wrong - right > 1;) {
    const middle = characterStart(bytes, (right + wrong) >>> 1);
    if (middle <= right) return right;
    if (isUtf8(bytes.subarray(right, middle))) right = middle;
    else wrong = middle;
  }
  return right;
}

/** The longest character has four bytes, of which all but the first begin with the bits 10. */
function characterStart(bytes: Uint8Array, offset: number): number {
  let start = offset;
  while (start > 0 && offset - start < 3 && (bytes[start]! & 0xc0) === 0x80) start--;
  return start;
}
