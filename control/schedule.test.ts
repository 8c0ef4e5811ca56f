import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Link, Network } from '../model/network.js';
import { advance, comingEvents, momentsOf, withLink } from './schedule.js';
import { parseScenario, resolve } from './scenario/index.js';

type Event = { at: string; link: string; from?: string; set: Record<string, string> };

function network(events: Event[]): Network {
  return resolve(
    parseScenario({
      name: 'n',
      nodes: { h1: { kind: 'host' }, h2: { kind: 'host' }, s1: { kind: 'switch' } },
      links: [{ endpoints: ['h1', 's1'] }, { endpoints: ['h2', 's1'] }],
      events,
    }),
  );
}

const linkOf = ({ links }: Network, name = 'h1--s1'): Link => links.find((link) => link.name === name)!;
const delays = ({ forward, reverse }: Link): (number | undefined)[] =>
  [forward, reverse].map(({ emulation }) => emulation?.delayNs);

describe('a network with events', () => {
  const from = network([
    { at: '1s', link: 'h1--s1', set: { delay: '10ms' } },
    { at: '2s', link: 'h1--s1', from: 's1', set: { delay: '20ms' } },
    { at: '2s', link: 'h2--s1', set: { state: 'down' } },
    { at: '3s', link: 'h1--s1', set: { loss: '1%' } },
  ]);

  it('is the same until the first is due', () => {
    expect(advance(from, -Infinity)).toBe(from);
    expect(advance(from, 1e9 - 1)).toBe(from);
  });

  it('is what those that have passed make of it, key by key and direction by direction', () => {
    const at2 = advance(from, 2e9);
    expect(delays(linkOf(at2))).toEqual([10e6, 20e6]);
    expect(linkOf(at2, 'h2--s1').forward.state).toBe('down');
    expect([at2.passedEvents, comingEvents(at2).length]).toEqual([3, 1]);
    const last = linkOf(advance(at2, 3e9));
    expect(delays(last)).toEqual([10e6, 20e6]);
    expect(last.reverse.emulation!.loss).toMatchObject({ model: 'random', lossRatio: 0.01 });
  });

  it('says what becomes of each link from then on', () => {
    const moments = momentsOf(advance(from, 1e9));
    expect([...moments].map(([name, own]) => [name, own.map(({ atNs }) => atNs)])).toEqual([
      ['h1--s1', [2e9, 3e9]],
      ['h2--s1', [2e9]],
    ]);
    expect(delays(moments.get('h1--s1')![0]!.link)).toEqual([10e6, 20e6]);
  });

  it('goes on from what a link was made by hand', () => {
    const at1 = advance(from, 1e9);
    const byHand = withLink(at1, { ...linkOf(at1), forward: { state: 'down' } });
    expect(linkOf(advance(byHand, 2e9)).forward).toEqual({ state: 'down' });
    expect(delays(linkOf(advance(byHand, 2e9)))[1]).toBe(20e6);
  });

  it('does without links that it has not, or not any more', () => {
    const without = { ...from, links: from.links.slice(1) };
    expect(advance(without, 3e9).links.map(({ name, forward }) => [name, forward.state])).toEqual([['h2--s1', 'down']]);
  });
});

it('is the same at a moment, whatever moments were looked at before', () => {
  const event = fc.record({
    at: fc.nat(50).map((ms) => `${ms}ms`),
    link: fc.constantFrom('h1--s1', 'h2--s1'),
    set: fc.record({ delay: fc.integer({ min: 1, max: 99 }).map((ms) => `${ms}ms`) }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 8 }), fc.array(fc.nat(60)), (events, looks) => {
      const from = network(events);
      let now = from;
      for (const ms of [...looks.sort((a, b) => a - b), 60]) {
        now = advance(now, ms * 1e6);
        expect(now).toEqual(advance(from, ms * 1e6));
        for (const [name, moments] of momentsOf(now))
          expect(linkOf(advance(now, Infinity), name)).toEqual(moments.at(-1)!.link);
      }
      expect(comingEvents(now)).toEqual([]);
    }),
  );
});
