import { describe, expect, it } from 'vitest';
import { Liveness, MIN_QUESTIONS, PeerState, SILENCE_NS } from './liveness.js';

function ask(liveness: Liveness, times = MIN_QUESTIONS): void {
  for (let i = 0; i < times; i++) liveness.asked();
}

describe('Liveness', () => {
  it('waits, hears, and notices silence', () => {
    const liveness = new Liveness(0);
    expect(liveness.state).toBe(PeerState.waiting);
    expect(liveness.heard(1e9)).toBe(true);
    expect(liveness.heard(2e9)).toBe(false);
    expect([liveness.state, liveness.sinceNs]).toEqual([PeerState.alive, 1e9]);
    ask(liveness);
    expect(liveness.nextNs).toBe(2e9 + SILENCE_NS);
    expect(liveness.poll(2e9 + SILENCE_NS - 1)).toBe(false);
    expect(liveness.poll(2e9 + SILENCE_NS)).toBe(true);
    expect(liveness.poll(9e9)).toBe(false);
    expect([liveness.state, liveness.sinceNs, liveness.nextNs]).toEqual([PeerState.dead, 2e9 + SILENCE_NS, Infinity]);
    expect(liveness.heard(10e9)).toBe(true);
    expect(liveness.state).toBe(PeerState.alive);
  });

  it('takes nobody for dead whom it has not asked', () => {
    const liveness = new Liveness(0);
    liveness.heard(0);
    ask(liveness, MIN_QUESTIONS - 1);
    expect(liveness.poll(60e9)).toBe(false);
    liveness.asked();
    expect(liveness.poll(60e9)).toBe(true);
  });

  it('takes a peer that never spoke for dead, too', () => {
    const liveness = new Liveness(0);
    ask(liveness);
    expect(liveness.poll(SILENCE_NS)).toBe(true);
  });
});
