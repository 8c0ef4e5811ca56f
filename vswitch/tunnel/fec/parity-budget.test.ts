import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ParityBudget } from './parity-budget.js';

const SAVED_BYTES = 64 * 1024;
const FREE_BYTES_PER_S = 32e3;

describe('what parity may cost', () => {
  it('is half of what it protects, what was saved, and 32 kB a second', () => {
    const step = fc.record({
      ns: fc.nat(1e8),
      sent: fc.nat(100_000),
      rows: fc.nat(32),
      rowBytes: fc.integer({ min: 1, max: 8000 }),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const budget = new ParityBudget();
        let [nowNs, sent, cost] = [0, 0, 0];
        for (const { ns, sent: bytes, rows, rowBytes } of steps) {
          nowNs += ns;
          budget.tick(nowNs);
          budget.sent(bytes);
          sent += bytes;
          const taken = budget.take(rows, rowBytes);
          expect(taken).toBeLessThanOrEqual(rows);
          cost += taken * rowBytes;
          expect(cost).toBeLessThanOrEqual(sent / 2 + SAVED_BYTES + (nowNs / 1e9) * FREE_BYTES_PER_S + 1e-6);
        }
      }),
    );
  });

  it('lets a ping a millisecond be doubled for a while, and some of them for ever', () => {
    const budget = new ParityBudget();
    let doubled = 0;
    for (let ms = 0; ms < 10_000; ms++) {
      budget.tick(ms * 1e6);
      budget.sent(98);
      doubled += budget.take(1, 98);
    }
    expect(doubled).toBeGreaterThan(8000);
    expect(doubled).toBeLessThan(10_000);
  });
});
