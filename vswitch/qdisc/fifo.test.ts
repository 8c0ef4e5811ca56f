import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
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

  it('refuses a size that makes no sense', () => {
    expect(() => new Fifo(0)).toThrow(RangeError);
  });
});
