import { describe, expect, it } from 'vitest';
import { Arena } from './arena.js';
import { FlightRecorder, RECORDED_BYTES, RECORDS } from './flight-recorder.js';

function recorder(): { recorder: FlightRecorder; arena: Arena; buffer: SharedArrayBuffer } {
  const buffer = FlightRecorder.allocate();
  return { recorder: new FlightRecorder(buffer), arena: new Arena(new Uint8Array(2 ** 16)), buffer };
}

describe('FlightRecorder', () => {
  it('keeps the first 64 bytes, and all of a shorter frame', () => {
    const { recorder: flight, arena } = recorder();
    const long = Uint8Array.from({ length: 1500 }, (_, i) => i & 0xff);
    const short = long.subarray(0, 20);
    flight.record(10.5, 3, 7, arena, arena.write(long));
    flight.record(11, 4, -5, arena, arena.write(short));
    flight.record(12, 9, -1, arena, -1);
    expect(flight.read()).toEqual([
      { nowNs: 10.5, reason: 3, where: 7, lengthBytes: 1500, header: long.slice(0, RECORDED_BYTES) },
      { nowNs: 11, reason: 4, where: -5, lengthBytes: 20, header: short.slice() },
      { nowNs: 12, reason: 9, where: -1, lengthBytes: 0, header: new Uint8Array() },
    ]);
  });

  it('keeps the last 4096, oldest first, for a reader on the same memory', () => {
    const { recorder: flight, arena, buffer } = recorder();
    const reader = new FlightRecorder(buffer);
    expect(reader.read()).toEqual([]);
    for (const total of [1, RECORDS - 1, RECORDS, RECORDS + 1, 3 * RECORDS + 17]) {
      for (let i = reader.read().at(-1)?.nowNs ?? 0; i < total; i++) flight.record(i + 1, 0, 0, arena, -1);
      const times = reader.read().map(({ nowNs }) => nowNs);
      expect(times).toEqual(Array.from({ length: Math.min(total, RECORDS) }, (_, i) => total - times.length + 1 + i));
    }
  });

  it('goes on past 2³² drops', () => {
    const { recorder: flight, arena, buffer } = recorder();
    new Int32Array(buffer, 0, 2).fill(-2);
    for (let i = 1; i <= 4; i++) flight.record(i, 0, 0, arena, -1);
    const read = flight.read();
    expect(read.length).toBe(RECORDS);
    expect(read.slice(-4).map(({ nowNs }) => nowNs)).toEqual([1, 2, 3, 4]);
  });

  it('leaves out what is being overwritten while it is read', () => {
    const { recorder: flight, arena, buffer } = recorder();
    for (let i = 0; i < RECORDS; i++) flight.record(i, 0, 0, arena, -1);
    // As if the writer had begun two records and completed none of them.
    new Int32Array(buffer, 0, 1)[0]! += 2;
    expect(flight.read().map(({ nowNs }) => nowNs)[0]).toBe(2);
  });
});
