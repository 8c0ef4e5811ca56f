/**
 * How much may wait. A time is as many bytes, overhead included, as the rate passes in it. In cells of the direction's row
 * (`rows.ts`): most packets, most bytes, and the overhead that counts for each packet.
 */
import type { QueueLimit } from '../../model/emulation.js';

const PACKETS = 0;
const BYTES = 1;
const OVERHEAD = 2;
export const BOUND_CELLS = 3;

export function writeBound(
  cells: Float64Array,
  at: number,
  limit: QueueLimit,
  rateBps: number,
  overheadBytes: number,
): void {
  cells[at + PACKETS] = limit.unit === 'packets' ? limit.packets : Infinity;
  cells[at + BYTES] = limit.unit === 'bytes' ? limit.bytes : Infinity;
  cells[at + OVERHEAD] = 0;
  if (limit.unit !== 'time') return;
  cells[at + BYTES] = Math.floor((rateBps * limit.durationNs) / 8e9);
  cells[at + OVERHEAD] = overheadBytes;
}

/** So many packets, and bytes without overhead, are more than may wait. */
export function exceedsBound(cells: Float64Array, at: number, packets: number, bytes: number): boolean {
  return packets > cells[at + PACKETS]! || bytes + packets * cells[at + OVERHEAD]! > cells[at + BYTES]!;
}

/** Where so many packets wait, and bytes, how many more of `packetBytes` may, `most` or fewer. */
export function roomInBound(
  cells: Float64Array,
  at: number,
  packets: number,
  bytes: number,
  packetBytes: number,
  most: number,
): number {
  const overheadBytes = cells[at + OVERHEAD]!;
  const byCount = cells[at + PACKETS]! - packets;
  const usedBytes = bytes + packets * overheadBytes;
  const byBytes = Math.floor((cells[at + BYTES]! - usedBytes) / (packetBytes + overheadBytes));
  return Math.max(0, Math.min(most, byCount, byBytes));
}
