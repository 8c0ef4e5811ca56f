import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameBatch } from '../arena.js';
import { Fifo } from './fifo.js';

describe('Fifo', () => {
  it('conserves frames and their order: taken = given + refused + held', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.boolean(), { maxLength: 100 }), (limit, steps) => {
        const fifo = new Fifo(limit);
        const model: number[] = [];
        let next = 0;
        let refused = 0;
        let given = 0;
        for (const enqueue of steps) {
          if (enqueue) {
            const taken = fifo.enqueue(next);
            expect(taken).toBe(model.length < limit);
            if (taken) model.push(next);
            else refused++;
            next++;
          } else {
            const frame = fifo.dequeue();
            expect(frame).toBe(model.shift() ?? -1);
            if (frame !== -1) given++;
          }
          expect(fifo.length).toBe(model.length);
          expect(fifo.due[0]).toBe(model.length === 0 ? Infinity : 0);
          expect(next).toBe(given + refused + fifo.length);
        }
      }),
    );
  });

  it('holds as many as it may, in order, wherever its ring began', () => {
    for (const before of [0, 1, 50, 64]) {
      const fifo = new Fifo(1000);
      for (let i = 0; i < before; i++) fifo.enqueue(-2);
      for (let i = 0; i < before; i++) fifo.dequeue();
      const batch = new FrameBatch(600);
      while (batch.count < 600) batch.push(batch.count, 0);
      for (let i = 0; i < 100; i++) expect(fifo.enqueue(i)).toBe(true);
      expect([fifo.enqueueAll(batch, 100), fifo.enqueueAll(batch, 0), fifo.length]).toEqual([600, 400, 1000]);
      expect(fifo.enqueue(0)).toBe(false);
      const given = Array.from({ length: 1000 }, () => fifo.dequeue());
      expect(given).toEqual([...Array(600).keys(), ...Array(400).keys()]);
      expect(fifo.dequeue()).toBe(-1);
    }
  });

  it('takes and gives many as it does one by one', () => {
    const step = fc.record({ isGiven: fc.boolean(), frames: fc.nat(12), from: fc.nat(3), most: fc.nat(12) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        const [fifo, model] = [new Fifo(limit), new Fifo(limit)];
        let next = 0;
        for (const { isGiven, frames, from, most } of steps) {
          const batch = new FrameBatch(12);
          if (isGiven) {
            while (batch.count < frames) batch.push(next++, 0);
            const first = Math.min(from, frames);
            const end = fifo.enqueueAll(batch, first);
            for (let i = first; i < end; i++) expect(model.enqueue(batch.ids[i]!)).toBe(true);
            if (end < frames) expect(model.enqueue(0)).toBe(false);
          } else {
            while (batch.count < from) batch.push(7, 7);
            fifo.dequeueAll(batch, most);
            expect([...batch.ids.subarray(0, from)]).toEqual(Array(from).fill(7));
            const given = [...batch.ids.subarray(from, batch.count)];
            expect(given).toEqual(given.map(() => model.dequeue()));
            expect(given.length === Math.min(most, batch.capacity - from) || model.length === 0).toBe(true);
          }
          expect([fifo.length, fifo.due[0]]).toEqual([model.length, model.due[0]]);
        }
      }),
    );
  });

  it('refuses a size that makes no sense', () => {
    expect(() => new Fifo(0)).toThrow(RangeError);
  });
});
