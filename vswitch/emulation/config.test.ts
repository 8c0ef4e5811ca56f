import { describe, expect, it } from 'vitest';
import { type Emulation, NO_EMULATION } from '../../model/emulation.js';
import { inputsSchema, linkPropertiesSchema } from './config.js';

const takes = (emulation: Emulation): boolean => linkPropertiesSchema.safeParse({ state: 'up', emulation }).success;
const takesTrace = (trace: readonly number[]): boolean =>
  inputsSchema.safeParse({ traces: { trace }, distributions: {} }).success;

describe('the shape of an emulation', () => {
  it('has the bounds without which an engine would stand still', () => {
    const limit = { unit: 'packets', packets: 10 } as const;
    const pie = { discipline: 'pie', limit, targetNs: 1e6, alpha: 1, beta: 1, maxBurstNs: 0, ecn: false } as const;
    expect(takes({ ...NO_EMULATION, queue: { ...pie, updateNs: 1e6 } })).toBe(true);
    expect(takes({ ...NO_EMULATION, queue: { ...pie, updateNs: 1 } })).toBe(false);
    const red = { discipline: 'red', limit, markRatio: 0.1, weightRatio: 0.1, ecn: false } as const;
    expect(takes({ ...NO_EMULATION, queue: { ...red, minBytes: 10, maxBytes: 11 } })).toBe(true);
    expect(takes({ ...NO_EMULATION, queue: { ...red, minBytes: 10, maxBytes: 10 } })).toBe(false);
  });

  it('has a chance for each state of a loss', () => {
    const states = (...rows: number[][]): Emulation => ({
      ...NO_EMULATION,
      loss: { model: 'states', states: rows.map((nextRatios) => ({ lossRatio: 0, nextRatios })) },
    });
    expect(takes(states([0.5, 0.5], [1, 0]))).toBe(true);
    expect(takes(states([0.5, 0.5], [1]))).toBe(false);
  });

  it('takes a trace that ascends and has a period', () => {
    expect(takesTrace([0, 0, 3])).toBe(true);
    for (const trace of [[], [0], [3, 2], [-1, 2]]) expect(takesTrace(trace)).toBe(false);
  });
});
