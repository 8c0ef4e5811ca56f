/**
 * Where `capture` writes: a stream (standard output) or a file. A file is opened before anything is captured, so that a wrong path
 * is told at once; it loses what it had only when the capture runs. What fits no more is not written in part: the file
 * stays readable.
 */
import { once } from 'node:events';
import { constants, existsSync } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { writeError, writeTo } from './output.js';

export interface CaptureTarget {
  /** Frames follow from now on. */
  begin(): Promise<void>;
  /** All of it or, with a SyscallError, nothing. */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export class CaptureFile implements CaptureTarget {
  readonly #file: string;
  readonly #handle: FileHandle;
  /** A device or a pipe has no length to cut. */
  readonly #regular: boolean;
  /** We made the file, and it is to go again unless the capture begins. */
  #unused: boolean;
  #length = 0;

  private constructor(file: string, handle: FileHandle, regular: boolean, unused: boolean) {
    this.#file = file;
    this.#handle = handle;
    this.#regular = regular;
    this.#unused = unused;
  }

  /** Throws a SyscallError. */
  static async open(file: string): Promise<CaptureFile> {
    const unused = !existsSync(file);
    try {
      const handle = await open(file, constants.O_WRONLY | constants.O_CREAT, 0o666);
      return new CaptureFile(file, handle, (await handle.stat()).isFile(), unused);
    } catch (cause) {
      throw writeError(file, cause);
    }
  }

  async begin(): Promise<void> {
    this.#unused = false;
    await this.#cut();
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) at += (await this.#handle.write(bytes, at)).bytesWritten;
      this.#length += bytes.length;
    } catch (cause) {
      await this.#cut();
      throw writeError(this.#file, cause);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
    if (this.#unused) await rm(this.#file, { force: true });
  }

  async #cut(): Promise<void> {
    if (this.#regular) await this.#handle.truncate(this.#length);
  }
}

export class CaptureStream implements CaptureTarget {
  readonly #out: Writable;
  readonly #what: string;
  readonly #aborted: Promise<unknown>;

  /** A reader that is slow, or sleeps, is waited for until `signal` aborts. */
  constructor(out: Writable, what: string, signal: AbortSignal) {
    this.#out = out;
    this.#what = what;
    this.#aborted = once(signal, 'abort');
    // `cli/main.ts` leaves errors of standard output to whoever listens as well: it is `write` that tells them.
    out.on('error', ignore);
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  async write(bytes: Uint8Array): Promise<void> {
    await Promise.race([writeTo(this.#out, bytes, this.#what), this.#aborted]);
  }

  /** Once it has failed, `ignore` stays: its error event may be still to come. */
  close(): Promise<void> {
    if (!this.#out.errored) this.#out.off('error', ignore);
    return Promise.resolve();
  }
}

function ignore(): void {}
