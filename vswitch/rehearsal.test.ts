import { describe, expect, it } from 'vitest';
import { MemoryCalls } from './memory-calls.js';
import { Rehearsal } from './rehearsal.js';

/** Stands for the addon, with the descriptor that nobody has. */
function calls(): MemoryCalls {
  const memory = new MemoryCalls(() => 0);
  memory.tapRead = memory.tapWrite = () => -9;
  return memory;
}

describe('a rehearsal', () => {
  it('passes its frame to and fro, again and again, and keeps nothing', () => {
    const rehearsal = new Rehearsal(calls());
    for (let n = 0; n < 1000; n++) expect(rehearsal.run()).toBe(true);
    rehearsal.close();
  });

  it('tells what the engine takes itself: the median, within bounds', () => {
    const rehearsal = new Rehearsal(calls());
    const other = new Rehearsal(calls());
    let [nowNs, pauses] = [0, 0];
    expect(
      rehearsal.costNs(
        other,
        () => (nowNs += 7000),
        () => pauses++,
      ),
    ).toBe(3500);
    expect(
      rehearsal.costNs(
        other,
        () => (nowNs += 7e6),
        () => pauses++,
      ),
    ).toBe(50_000);
    expect(pauses).toBeGreaterThan(2);
    other.close();
    rehearsal.close();
  });

  it('begins as long before something is due as the last ones took, and half as long again', () => {
    const rehearsal = new Rehearsal(calls());
    for (let n = 0; n < 100; n++) rehearsal.took(100_000);
    expect(rehearsal.leadNs[0]).toBeCloseTo(150_000, 0);
    // One that was interrupted says little.
    rehearsal.took(1e9);
    expect(rehearsal.leadNs[0]).toBeLessThan(230_000);
    rehearsal.close();
  });
});
