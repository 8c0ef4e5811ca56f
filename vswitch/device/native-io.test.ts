import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameBatch, SLOT_BYTES } from '../arena.js';
import { MemoryCalls } from '../memory-calls.js';
import { NativeIo } from './native-io.js';

const SLOTS = 24;

it('offers slots that are free, each once, and gives all back in the end', () => {
  const step = fc.record({ offered: fc.nat(SLOTS), taken: fc.nat(SLOTS), released: fc.nat(SLOTS) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const io = new NativeIo(new MemoryCalls(() => 0), SLOTS * SLOT_BYTES);
      const frames = new FrameBatch(SLOTS);
      for (const { offered, taken, released } of steps) {
        const count = io.offerSlots(offered);
        expect(count).toBeLessThanOrEqual(offered);
        // Fewer than were asked for: all there are.
        if (count < offered) expect(count).toBe(SLOTS - frames.count);
        const used = Math.min(taken, count);
        const places = [...io.slots.subarray(0, count), ...frames.ids.subarray(0, frames.count)];
        expect(new Set(places).size).toBe(places.length);
        for (let i = 0; i < used; i++) frames.push(io.arena.adopt(io.slots[i]!, 60), 0);
        io.takeOffered(used);
        const left = Math.min(released, frames.count);
        io.arena.releaseAll(frames, 0, left);
        frames.shift(left);
      }
      io.arena.releaseAll(frames, 0, frames.count);
      io.close();
      expect(io.arena.freeSlots).toBe(SLOTS);
    }),
  );
});

it('releases chains and frames that others hold among single ones', () => {
  const { arena } = new NativeIo(new MemoryCalls(() => 0), SLOTS * SLOT_BYTES);
  const frames = new FrameBatch(8);
  for (const bytes of [60, 60, 9000, 60, 4000, 60]) frames.push(arena.alloc(bytes), 0);
  const held = frames.ids[3]!;
  arena.retain(held);
  arena.releaseAll(frames, 0, frames.count);
  expect(arena.freeSlots).toBe(SLOTS - 1);
  arena.release(held);
  expect(arena.freeSlots).toBe(SLOTS);
  expect([...arena.next].every((slot) => slot === -1)).toBe(true);
});
