import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameBatch } from '../arena.js';
import { NativeIo } from '../device/native-io.js';
import { MemoryCalls } from '../memory-calls.js';
import { allocateWay, TrunkDevice } from './trunk.js';
import { allocateTrunk, TrunkReader, TrunkWriter } from './trunk-ring.js';

const RING_BYTES = 2 ** 13;
/** Of a record, beside the frame. */
const HEADER_BYTES = 32;

class RingLab {
  readonly near = new NativeIo(new MemoryCalls(() => 0), 2 ** 20);
  readonly far = new NativeIo(new MemoryCalls(() => 0), 2 ** 20);
  readonly writer: TrunkWriter;
  readonly reader: TrunkReader;
  #salt = 0;

  constructor() {
    const ring = allocateTrunk(RING_BYTES);
    this.writer = new TrunkWriter(ring, this.near);
    this.reader = new TrunkReader(ring, this.far);
  }

  /** Undefined: there was no room for it. */
  put(length: number): Uint8Array | undefined {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + this.#salt) & 255);
    const { arena } = this.near;
    const frame = arena.write(bytes);
    arena.gsoSize[frame] = this.#salt++ & 0xffff;
    arena.cameNs[frame] = this.#salt * 1.5e6;
    const isIn = this.writer.put(frame, this.#salt & 0xffff);
    arena.release(frame);
    return isIn ? bytes : undefined;
  }

  take(): Uint8Array | undefined {
    const { arena } = this.far;
    const frame = this.reader.take();
    if (frame === -1) return undefined;
    expect(arena.gsoSize[frame]).toBe((this.reader.channel - 1) & 0xffff);
    expect(arena.cameNs[frame]).toBe(this.reader.channel * 1.5e6);
    const bytes = arena.read(frame);
    arena.release(frame);
    return bytes;
  }
}

describe('a trunk’s ring', () => {
  it('gives what was sent, in order; all of it but what had no room', () => {
    const step = fc.oneof(
      fc.record({ put: fc.integer({ min: 14, max: 5000 }) }),
      fc.constant('send' as const),
      fc.constant('take' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const lab = new RingLab();
        const put: Uint8Array[] = [];
        const sent: Uint8Array[] = [];
        for (const todo of steps) {
          if (todo === 'send') {
            lab.writer.send();
            sent.push(...put.splice(0));
          } else if (todo === 'take') {
            expect(lab.take()).toEqual(sent.shift());
          } else {
            const bytes = lab.put(todo.put);
            if (bytes !== undefined) put.push(bytes);
            // A record is whole: at the end of the ring, less than its length may be left over.
            const held = [...sent, ...put].reduce((sum, { byteLength }) => sum + HEADER_BYTES + byteLength + 7, 0);
            if (bytes === undefined) expect(held + 2 * (HEADER_BYTES + todo.put + 7)).toBeGreaterThan(RING_BYTES);
          }
        }
        lab.writer.send();
        for (const bytes of [...sent, ...put]) expect(lab.take()).toEqual(bytes);
        expect([lab.take(), lab.reader.empty]).toEqual([undefined, true]);
      }),
    );
  });

  it('is rung for once, from when its reader awaits', () => {
    const lab = new RingLab();
    const send = (): boolean => {
      lab.put(60);
      return lab.writer.send();
    };
    expect([send(), send()]).toEqual([true, false]);
    expect(lab.reader.await()).toBe(false);
    lab.take();
    expect(send()).toBe(false);
    lab.take();
    lab.take();
    expect(lab.reader.await()).toBe(true);
    expect([send(), send()]).toEqual([true, false]);
  });
});

const dist = join(import.meta.dirname, '../../dist');
const unavailable = !existsSync(join(dist, 'vswitch/stack/trunk.js'))
  ? 'dist is not built: sh scripts/build'
  : await import('../../native/binding.js').then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );

/** Waits until its bell rings, and sends back whatever comes. A frame of 14 bytes ends it. */
const ECHO = `
const { parentPort, workerData } = require('node:worker_threads');
(async () => {
  const url = (file) => ${JSON.stringify(pathToFileURL(dist).href)} + '/' + file;
  const { native } = await import(url('native/binding.js'));
  const { NativeIo } = await import(url('vswitch/device/native-io.js'));
  const { TrunkDevice } = await import(url('vswitch/stack/trunk.js'));
  const { FrameBatch } = await import(url('vswitch/arena.js'));
  const io = new NativeIo(native, 2 ** 22);
  const drops = { drop: () => { throw new Error('dropped'); } };
  const trunk = new TrunkDevice({ arena: io.arena, io, drops, clock: io, index: 0 }, workerData);
  const epoll = native.epollCreate();
  native.epollAdd(epoll, trunk.fd, 0, 1);
  const batch = new FrameBatch(256);
  parentPort.postMessage('ready');
  for (let ended = false; !ended; ) {
    io.deadlineNs = Infinity;
    if (native.wait(io.handle, epoll) === 0) continue;
    let got;
    do {
      batch.count = 0;
      got = trunk.rxBatch(batch);
      for (let i = 0; i < batch.count; i++) ended ||= io.arena.length[batch.ids[i]] === 14;
      if (got > 0) trunk.txBatch(batch, 0);
    } while (got === trunk.batchSize);
  }
  native.close(epoll);
})();`;

describe.skipIf(unavailable !== undefined)(`two threads${unavailable ? ` (skipped: ${unavailable})` : ''}`, () => {
  it('wake each other, and lose nothing', { timeout: 60_000 }, async () => {
    const { native } = await import('../../native/binding.js');
    const [there, back] = [allocateWay(2 ** 20, native.eventfd()), allocateWay(2 ** 20, native.eventfd())];
    const worker = new Worker(ECHO, { eval: true, workerData: { out: back, in: there } });
    await once(worker, 'message');
    const io = new NativeIo(native, 2 ** 22);
    const drops = { drop: () => expect.unreachable() };
    const trunk = new TrunkDevice({ arena: io.arena, io, drops, clock: io, index: 0 }, { out: there, in: back });
    const epoll = native.epollCreate();
    native.epollAdd(epoll, trunk.fd, 0, 1);
    const out = new FrameBatch(256);
    const batch = new FrameBatch(256);
    let [sent, received] = [0, 0];
    const random = (below: number): number => (Math.imul(sent + 1, 0x9e3779b1) >>> 8) % below;
    for (let round = 0; round < 20_000; round++) {
      out.count = 0;
      for (let n = 1 + random(round % 100 === 0 ? 200 : 3); n > 0; n--)
        out.push(io.arena.write(Uint8Array.of(...new Array<number>(15).fill(0), sent >> 16, sent >> 8, sent++)), 1);
      trunk.txBatch(out, 0);
      // Often, not all is waited for: the two go on at once.
      const enough = sent - random(4);
      while (received < enough) {
        io.deadlineNs = io.nowNs() + 20e9;
        expect(native.wait(io.handle, epoll), `woken after ${received} of ${sent}`).toBe(1);
        let got: number;
        do {
          batch.count = 0;
          got = trunk.rxBatch(batch);
          for (let i = 0; i < got; i++) {
            const at = io.arena.start(batch.ids[i]!) + 15;
            const [high, middle, low] = io.arena.bytes.subarray(at, at + 3);
            if (((high! << 16) | (middle! << 8) | low!) !== received++) expect.unreachable('out of order');
            io.arena.release(batch.ids[i]!);
          }
        } while (got === trunk.batchSize);
      }
    }
    out.count = 0;
    out.push(io.arena.write(new Uint8Array(14)), 1);
    trunk.txBatch(out, 0);
    await once(worker, 'exit');
    expect(io.arena.freeSlots).toBe(io.arena.slotCount);
    native.close(epoll);
    for (const { bell } of [there, back]) native.close(bell);
    io.close();
  });
});
