/**
 * What a frame costs when it crosses from one engine to another: two trunk devices on the addon's memory, in one thread, so
 * that it is the work of both ends and nothing of the scheduler. The reader is rung for with every batch.
 *
 *   npx tsx bench/engines/trunk.ts
 */
import { native } from '../../native/binding.js';
import { FrameBatch } from '../../vswitch/arena.js';
import { NativeIo } from '../../vswitch/device/native-io.js';
import { allocateWay, TrunkDevice } from '../../vswitch/stack/trunk.js';

const SECONDS = 0.2;
const TURNS = 15;

const ways = [0, 1].map(() => allocateWay(8 * 2 ** 20, native.eventfd()));
const [near, far] = [0, 1].map((self) => {
  const io = new NativeIo(native, 16 * 2 ** 20);
  const drops = {
    drop: () => {
      throw new Error('a frame was dropped');
    },
  };
  const context = { arena: io.arena, io, drops, clock: io, index: 0 };
  return { io, trunk: new TrunkDevice(context, { out: ways[self]!, in: ways[1 - self]! }) };
}) as [End, End];

interface End {
  readonly io: NativeIo;
  readonly trunk: TrunkDevice;
}

console.log('ns for a frame, both ends (median of 15)');
for (const [title, frameBytes] of [
  ['60 bytes', 60],
  ['1514 bytes', 1514],
  ['62 KB', 62_592],
] as const)
  for (const batch of [1, 16, 64]) {
    const took = Array.from({ length: TURNS }, () => nsPerFrame(frameBytes, batch)).sort((a, b) => a - b);
    console.log(
      `${title.padEnd(12)} in batches of ${String(batch).padEnd(3)} ${took[TURNS >> 1]!.toFixed(0).padStart(6)}`,
    );
  }

/** To and fro, so that each end has its frames back. */
function nsPerFrame(frameBytes: number, count: number): number {
  const batch = new FrameBatch(64);
  for (let i = 0; i < count; i++) batch.push(near.io.arena.alloc(frameBytes), 1);
  let crossed = 0;
  const startedMs = performance.now();
  let endedMs = startedMs;
  while (endedMs - startedMs < SECONDS * 1000) {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.trunk.txBatch(batch, 0);
      batch.count = 0;
      to.trunk.rxBatch(batch);
      crossed += batch.count;
    }
    endedMs = performance.now();
  }
  for (let i = 0; i < batch.count; i++) near.io.arena.release(batch.ids[i]!);
  return ((endedMs - startedMs) * 1e6) / crossed;
}
