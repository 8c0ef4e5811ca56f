/**
 * Copying between chains of slots: the bytes of a frame or datagram in the arena, from any position to any other, without
 * views. A position is a slot and an offset in it; past a slot's end, the data goes on at 0 of the next one of the chain.
 * Called by the tunnel, on the data path.
 */
import { SLOT_BYTES, type Arena } from '../arena.js';

/**
 * Copies `count` bytes from (fromSlot, fromAt) to (toSlot, toAt). Offsets may lie at or behind their slot's end: the
 * position is then in a later slot of the chain. Both chains must be long enough; they must not be the same bytes.
 */
export function copyChain(
  arena: Arena,
  fromSlot: number,
  fromAt: number,
  toSlot: number,
  toAt: number,
  count: number,
): void {
  const { bytes, next } = arena;
  while (count > 0) {
    while (fromAt >= SLOT_BYTES) {
      fromAt -= SLOT_BYTES;
      fromSlot = next[fromSlot]!;
    }
    while (toAt >= SLOT_BYTES) {
      toAt -= SLOT_BYTES;
      toSlot = next[toSlot]!;
    }
    const n = Math.min(count, SLOT_BYTES - fromAt, SLOT_BYTES - toAt);
    const from = fromSlot * SLOT_BYTES + fromAt;
    bytes.copyWithin(toSlot * SLOT_BYTES + toAt, from, from + n);
    fromAt += n;
    toAt += n;
    count -= n;
  }
}
