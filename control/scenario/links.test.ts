import { describe, expect, it } from 'vitest';
import { PLAIN } from '../../model/emulation.js';
import { ScenarioError } from '../../model/errors.js';
import type { Network } from '../../model/network.js';
import { loadText } from './load.js';
import { resolve } from './resolve.js';

const HEAD = 'name: x\nnodes: { s1: { kind: switch }, s2: { kind: switch }, h1: { kind: host }, h2: { kind: host } }\n';
const network = (text: string): Network => resolve(loadText(HEAD + text, 'x'));
const first = (text: string) => network(`links: [{ endpoints: [h1, s1], ${text} }]`).links[0]!;
const failure = (text: string): ScenarioError => {
  try {
    network(text);
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('properties of a link', () => {
  it('come with every default', () => {
    expect(first('rate: 100mbit, forward: { delay: 10ms, jitter: 1ms }')).toMatchObject({
      forward: {
        state: 'up',
        emulation: {
          rateBps: 100e6,
          overheadBytes: 0,
          delayNs: 10e6,
          jitter: { jitterNs: 1e6, distribution: 'normal', correlationRatio: 0 },
          duplicateRatio: 0,
          reorderRatio: 0,
          corruptRatio: 0,
          queue: { discipline: 'drop-tail', limit: { unit: 'bytes', bytes: 625_000, byDefault: true } },
          segments: 'auto',
        },
      },
      reverse: { emulation: { rateBps: 100e6, delayNs: 0 } },
    });
  });

  it.each(['mtu: 9000', 'delay: 0ms', 'loss: 0', 'rate: none', 'segments: auto', 'duplicate: 0%', 'state: up'])(
    'are none where nothing is asked for: %s',
    (text) => {
      expect(first(text)).toMatchObject({ forward: PLAIN, reverse: PLAIN });
      expect(first(text).forward).not.toHaveProperty('emulation');
    },
  );

  it('of a direction go before those of the link, and none takes away', () => {
    const { forward, reverse } = first(
      'delay: 10ms, loss: 1%, forward: { delay: 20ms, loss: none }, reverse: { state: down }',
    );
    expect(forward.emulation?.delayNs).toBe(20e6);
    expect(forward.emulation).not.toHaveProperty('loss');
    expect(reverse).toMatchObject({ state: 'down', emulation: { delayNs: 10e6, loss: { lossRatio: 0.01 } } });
  });

  it('are shared by links that say the same', () => {
    const { links } = network('links: [{ endpoints: [h1, s1], delay: 1ms }, { endpoints: [h2, s1], delay: 1ms }]');
    expect(links[1]!.reverse).toBe(links[0]!.forward);
    expect(Object.isFrozen(links[0]!.forward.emulation?.queue.limit)).toBe(true);
  });

  it('have the MTU of a link between switches, which no interface keeps', () => {
    const { links } = network(
      'links: [{ endpoints: [s1, s2], mtu: 1400 }, { endpoints: [h1, s1], mtu: 1400, delay: 1ms }]',
    );
    expect(links[0]).toMatchObject({
      forward: { emulation: { mtuBytes: 1400 } },
      reverse: { emulation: { mtuBytes: 1400 } },
    });
    expect(links[1]!.forward.emulation).not.toHaveProperty('mtuBytes');
  });
});

describe('what contradicts itself', () => {
  const link = (text: string): string => `links: [{ endpoints: [h1, s1], ${text} }]`;
  it.each([
    [link('reorder: 1%'), 41, 'not delayed', 'delay'],
    [link('jitter: 1ms'), 40, 'more than the delay, 0ns', 'at least the jitter'],
    [link('delay: 1ms, jitter: 2ms'), 52, '2ms is more than the delay, 1ms', undefined],
    [link('delay: 1ms, forward: { jitter: 2ms }'), 63, '2ms is more than the delay, 1ms', undefined],
    [link('jitter: 2ms, delay: 5ms, reverse: { delay: 1ms }'), 75, '2ms is more than the delay, 1ms', undefined],
    [link('distribution: pareto'), 46, 'a distribution of no jitter', '"jitter"'],
    [link('delay: 1ms, jitter: 0ms, distribution: pareto'), 71, 'a distribution of no jitter', '"jitter"'],
    [link('correlation: 10%'), 45, 'a correlation of no jitter', '"jitter"'],
    [link('distribution: norml'), 46, 'not one of uniform', '"normal"'],
    [link('queue: 100p'), 39, 'neither a rate nor a trace', '"rate"'],
    [link('queue: 100p, forward: { rate: 1mbit }'), 39, 'reverse: nothing waits', '"rate"'],
    [link('overhead: 24'), 42, 'there is none', '"rate"'],
    [link('rate: 1mbit, queue: 1513B'), 52, 'smaller than one frame of the link’s MTU, 1514B', '"1p"'],
    [link('rate: 1mbit, queue: 1514B, mtu: 1501'), 52, 'smaller than one frame of the link’s MTU, 1515B', undefined],
    [link('rate: 1mbit, queue: 12111us'), 52, 'less than one frame', '12112us'],
    [link('rate: 1mbit, overhead: 24, queue: 12303us'), 66, 'less than one frame', '12304us'],
    [link('rate: 1mbit, queue: { discipline: red, min: 3kB, max: 3kB }'), 52, 'not below', '"min"'],
    [link('rate: 1mbit, queue: { discipline: red, max: 3kB }'), 52, '"min" is missing', undefined],
    [link('rate: 1mbit, queue: { max: 3kB }'), 52, '"discipline" is missing', 'drop-tail, red, codel'],
    [link('rate: 1mbit, queue: { discipline: cake }'), 66, '"cake" is not a discipline of a queue', 'fq-codel'],
    [link('rate: 1mbit, queue: { discipline: codel, ecn: 1 }'), 78, 'ecn is true or false', undefined],
    [link('rate: 1mbit, queue: { discipline: pie, alpha: 1001 }'), 78, 'the most is 1000', undefined],
    [link('rate: 1mbit, queue: { discipline: fq-codel, flow: 5 }'), 76, 'unknown key "flow"', '"flows"'],
    [link('rate: 1mbit, queue: { discipline: fq-codel, target: 1s }'), 52, 'not below its interval', 'RFC 8289'],
    [link('loss: [{ ratio: 0, next: [50%, 50%] }]'), 38, 'there are 1 states', '"next"'],
    [link('loss: [{ ratio: 0, next: [0.5, x] }, { ratio: 1, next: [0, 1] }]'), 63, 'not a ratio', undefined],
    [link('loss: [{ ratio: 0 }]'), 39, '"next" is missing', undefined],
    [link('loss: {}'), 38, 'a list is expected, not a mapping', undefined],
  ])('%s', (text, column, message, hint) => {
    const error = failure(text);
    expect(error.position).toEqual({ file: 'x', line: 3, column });
    expect(error.message).toContain(message);
    if (hint !== undefined) expect(error.hint).toContain(hint);
  });

  it('unless an event mends it', () => {
    const queued = (events: string): string => `links: [{ endpoints: [h1, s1], queue: 100p }]\nevents: [${events}]`;
    expect(network(queued('{ at: 1s, link: h1--s1, set: { rate: 1mbit } }')).links[0]?.forward.emulation).toMatchObject(
      {
        queue: { limit: { packets: 100 } },
      },
    );
    const both =
      '{ at: 1s, link: h1--s1, from: h1, set: { rate: 1mbit } }, { at: 1s, link: h1--s1, from: s1, set: { rate: 1mbit } }';
    expect(network(queued(both))).toBeDefined();
    const one = '{ at: 1s, link: h1--s1, from: h1, set: { rate: 1mbit } }';
    expect(failure(queued(one)).message).toContain('nothing waits');
    const none = '{ at: 1s, link: h1--s1, set: { rate: none } }';
    expect(failure(queued(none)).message).toContain('nothing waits');
  });
});

describe('events', () => {
  const text = (...events: string[]): string =>
    `links: [{ endpoints: [h1, s1], delay: 5ms }]\nevents:\n${events.map((event) => `  - { link: h1--s1, ${event} }\n`).join('')}`;

  it('are in the order of their times, then of the file', () => {
    const { events } = network(
      text('at: 2s, set: { delay: 2ms }', 'at: 1s, from: h1, set: { delay: 1ms }', 'at: 2s, set: { loss: 1% }'),
    );
    expect(events).toEqual([
      { atNs: 1e9, link: 'h1--s1', from: 'h1', set: { delay: '1ms' } },
      { atNs: 2e9, link: 'h1--s1', set: { delay: '2ms' } },
      { atNs: 2e9, link: 'h1--s1', set: { loss: '1%' } },
    ]);
    expect(Object.isFrozen(events[0]?.set)).toBe(true);
  });

  it.each([
    [['at: 1s, set: { jitter: 6ms }'], 5, 44, 'at that time, a jitter of 6ms is more than the delay, 5ms'],
    [
      ['at: 2s, set: { delay: 1ms }', 'at: 1s, set: { jitter: 3ms }'],
      5,
      43,
      'a jitter of 3ms is more than the delay, 1ms',
    ],
    [['at: 1s, set: { rate: 1mbit, queue: 1ms }'], 5, 56, 'less than one frame'],
    [
      ['at: 1s, set: { rate: 1mbit }', 'at: 2s, set: { rate: none }', 'at: 3s, set: { queue: 5p }'],
      7,
      43,
      'nothing waits',
    ],
    [['at: 721h, set: { delay: 1ms }'], 5, 25, 'is more than 720h'],
    [['at: -1s, set: { delay: 1ms }'], 5, 25, 'is not a time'],
  ])('%j are refused', (events, line, column, message) => {
    const error = failure(text(...events));
    expect(error.position).toMatchObject({ line, column });
    expect(error.message).toContain(message);
  });

  it('may make of a link what needs an order', () => {
    expect(network(text('at: 1s, set: { delay: 10ms }', 'at: 2s, set: { jitter: 6ms }'))).toBeDefined();
  });
});
