/**
 * For the tests of this folder: a keeper of one's own in a temporary folder, registered arrays, descriptors that are
 * closed after the test, and waiting for a state.
 *
 *   await using keeper = await KeeperFixture.start();
 *   const pid = keeper.host('h1');
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { native, nativeDirectory, ENDPOINT_BYTES, VNET_HDR_BYTES, type IoArrays } from './binding.js';
import { KeeperClient } from './keeper.js';

/** As in vswitch/arena.ts, which this folder may not import; layout is checked by the tests of the devices. */
export const SLOT_BYTES = 2048;
export const HEADROOM_BYTES = 128;

/** Namespaces and TAPs need root. Tests that do are skipped, visibly, without it. */
export const isRoot = process.getuid?.() === 0;

export const nsrunPath = join(nativeDirectory, 'nsrun');

export class KeeperFixture implements AsyncDisposable {
  readonly directory: string;
  readonly socket: string;
  process: ChildProcess;
  #ended: Promise<unknown>;
  #client: KeeperClient | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    this.socket = join(directory, 'keeper.sock');
    writeFileSync(join(directory, 'hosts'), '127.0.0.1 localhost\n10.0.0.2 h2\n');
    writeFileSync(join(directory, 'hostname'), 'from-the-file\n');
    this.process = startKeeper(this.socket);
    this.#ended = once(this.process, 'exit');
  }

  static async start(): Promise<KeeperFixture> {
    const fixture = new KeeperFixture(mkdtempSync(join(tmpdir(), 'luthier-keeper-')));
    await once(fixture.process.stdout!, 'data');
    return fixture;
  }

  /** Its hosts live on. */
  async kill(): Promise<void> {
    this.#client?.close();
    this.#client = undefined;
    this.process.kill('SIGKILL');
    await this.#ended;
  }

  /** Another keeper at the place of one that was killed. */
  async startAnother(): Promise<void> {
    rmSync(this.socket);
    this.process = startKeeper(this.socket);
    this.#ended = once(this.process, 'exit');
    await once(this.process.stdout!, 'data');
  }

  get client(): KeeperClient {
    this.#client ??= this.connect();
    return this.#client;
  }

  connect(): KeeperClient {
    return KeeperClient.connect(this.socket);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** A host whose files are the fixture's own, and which outlives the keeper: by the next answer its init is kept. */
  host(name: string): number {
    const init = this.client.host(name, name, this.directory);
    this.client.pid();
    return init;
  }

  async ended(): Promise<void> {
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    this.process.kill('SIGTERM');
    await this.#ended;
    rmSync(this.directory, { recursive: true });
  }
}

function startKeeper(socket: string): ChildProcess {
  return spawn(join(nativeDirectory, 'keeper'), [socket], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** When it started, in clock ticks since boot; as `PID:START` has it. */
export function startOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}

/** Its arguments, with blanks between. */
export function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
}

/** A busy machine is no failure. */
export const PATIENCE_MS = 20_000;

/** Resolves with what `look` gives as soon as that is neither undefined nor false; throws, with its text, where it never is. */
export async function until<T>(look: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${String(look)}`);
    await setTimeout(2);
  }
}

/** One line of /proc/PID/status, `undefined` when the process or the line is not there. */
export function processStatus(pid: number, key: string): string | undefined {
  try {
    return new RegExp(`^${key}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** Ended: not collected by its parent yet (Z), being collected (X), or gone. */
export function hasEnded(pid: number): boolean {
  return /^[ZX]/.test(processStatus(pid, 'State') ?? 'Z');
}

/** What a call of the addon threw. */
export function failure(call: () => unknown): { name: string; message: string; syscall?: string; errno?: string } {
  try {
    call();
  } catch (error) {
    const { name, message, syscall, errno } = error as Error & { syscall?: string; errno?: string };
    return { name, message, ...(syscall === undefined ? {} : { syscall }), ...(errno === undefined ? {} : { errno }) };
  }
  throw new Error('the call did not fail');
}

const descriptors = new Set<number>();
const handles = new Set<number>();

/** To be closed by `releaseAll`. */
export function own(fd: number): number {
  descriptors.add(fd);
  return fd;
}

/** Closes one before its time. */
export function disown(fd: number): void {
  descriptors.delete(fd);
  native.close(fd);
}

/** After each test. */
export function releaseAll(): void {
  for (const fd of descriptors) native.close(fd);
  for (const handle of handles) native.ioDestroy(handle);
  descriptors.clear();
  handles.clear();
}

/** Registered arrays, with an arena of some slots; released by `releaseAll`. */
export class Io {
  readonly arrays: IoArrays;
  readonly handle: number;

  constructor(slots: number, frames = 64, entries = 2 * slots) {
    this.arrays = {
      arena: new Uint8Array(native.arenaCreate(slots * SLOT_BYTES)),
      iov: new Int32Array(entries),
      slots: new Int32Array(slots),
      lengths: new Int32Array(frames),
      cuts: new Int32Array(frames),
      ecn: new Uint8Array(frames),
      sources: new Int32Array(frames),
      came: new Float64Array(frames),
      endpoint: new Uint8Array(ENDPOINT_BYTES),
      vnet: new Uint8Array(frames * VNET_HDR_BYTES),
      ready: new Int32Array(16),
      clock: new Float64Array(5),
    };
    this.handle = native.ioCreate(this.arrays);
    handles.add(this.handle);
  }

  /** Slots 0, 1, 2 … to read into. */
  offerSlots(count: number): void {
    for (let i = 0; i < count; i++) this.arrays.slots[i] = i;
  }
}
