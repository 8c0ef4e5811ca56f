import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LaterChange, ScheduledLink } from '../model/messages.js';
import { Schedule } from './schedule.js';

const UP = { state: 'up' } as const;
const DOWN = { state: 'down' } as const;

function link(name: string, ...atNs: number[]): ScheduledLink {
  const later = atNs.map((at): LaterChange => ({ atNs: at, forward: DOWN, reverse: UP }));
  return { name, forward: UP, reverse: UP, later };
}

const taken = (schedule: Schedule, nowNs: number): string[] =>
  schedule.takeDue(nowNs).map(({ atNs, change }) => `${change.name} ${atNs}`);

describe('Schedule', () => {
  it('hands out what is due, once, in the order of time, and says when to ask again', () => {
    const schedule = new Schedule();
    expect(schedule.nextNs).toBe(Infinity);
    schedule.replaceAll([link('a', 30, 10), link('b', 20), { name: 'c', forward: UP, reverse: UP }]);
    expect(schedule.nextNs).toBe(10);
    expect(taken(schedule, 9)).toEqual([]);
    expect(taken(schedule, 20)).toEqual(['a 10', 'b 20']);
    expect(schedule.nextNs).toBe(30);
    expect(schedule.takeDue(30)).toEqual([{ atNs: 30, change: { name: 'a', forward: DOWN, reverse: UP } }]);
    expect(schedule.nextNs).toBe(Infinity);
    expect(taken(schedule, 1e9)).toEqual([]);
  });

  it('keeps the order given within a moment', () => {
    const schedule = new Schedule();
    const [first, second] = [UP, DOWN].map((reverse): LaterChange => ({ atNs: 5, forward: UP, reverse }));
    schedule.replaceAll([{ ...link('a'), later: [first!, second!] }]);
    expect(schedule.takeDue(5).map(({ change }) => change.reverse.state)).toEqual(['up', 'down']);
  });

  it('forgets what was to come of a link that it is told of anew, and of no other', () => {
    const schedule = new Schedule();
    schedule.replaceAll([link('a', 10, 40), link('b', 20)]);
    schedule.takeDue(10);
    schedule.replace([link('a', 30)]);
    expect(taken(schedule, 100)).toEqual(['b 20', 'a 30']);
    schedule.replace([link('a', 50), link('b', 60)]);
    schedule.replace([link('a')]);
    expect(taken(schedule, 100)).toEqual(['b 60']);
  });

  it('hands out at once what is due when it is told', () => {
    const schedule = new Schedule();
    schedule.replace([link('a', 1, 2)]);
    expect(taken(schedule, 1000)).toEqual(['a 1', 'a 2']);
  });

  it('hands out each change once, none early, in order, however time goes on', () => {
    const times = fc.array(fc.nat(100), { maxLength: 20 });
    fc.assert(
      fc.property(times, times, fc.array(fc.nat(20)), (a, b, steps) => {
        const schedule = new Schedule();
        schedule.replaceAll([link('a', ...a), link('b', ...b)]);
        let nowNs = 0;
        const seen: number[] = [];
        for (const step of [...steps, 100]) {
          nowNs += step;
          const due = schedule.takeDue(nowNs).map(({ atNs }) => atNs);
          for (const atNs of due) expect(atNs).toBeLessThanOrEqual(nowNs);
          expect(schedule.nextNs).toBeGreaterThan(nowNs);
          seen.push(...due);
        }
        expect(seen).toEqual([...a, ...b].sort((x, y) => x - y));
      }),
    );
  });
});
