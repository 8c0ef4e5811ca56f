import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_INPUTS, PLAIN } from '../../model/emulation.js';
import { UsageError } from '../../model/errors.js';
import type { RawLinkProperties } from '../../model/link-properties.js';
import type { Network } from '../../model/network.js';
import { linkProperties } from '../../test/fixtures/link-properties.js';
import { changeLink, parseChange, parseSettings } from './change-link.js';
import { contradiction } from './contradictions.js';
import { resolveDirection, writtenOf } from './direction.js';
import { load, resolve } from './index.js';

const network: Network = {
  ...resolve(
    load({
      name: 'n',
      nodes: { s1: { kind: 'switch' }, s2: { kind: 'switch' }, h1: { kind: 'host' } },
      links: [{ endpoints: ['h1', 's1'], mtu: 9000 }, { endpoints: ['s1', 's2'] }],
    }),
  ),
  inputs: { traces: { 'cell.trace': [0, 6, 12] }, distributions: { 'lan.dist': [-1, 1] } },
};
const inputs = network.inputs;
const change = (properties: RawLinkProperties, from?: string, before = network) =>
  changeLink(before, 'h1--s1', properties, from);
const after = (...changes: RawLinkProperties[]) =>
  changes.reduce((now, properties) => {
    const link = change(properties, undefined, now);
    return { ...now, links: now.links.map((other) => (other.name === link.name ? link : other)) };
  }, network);

const refused = (run: () => unknown): UsageError => {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('changeLink', () => {
  it('changes both directions, or the one that leaves a node', () => {
    const both = change({ delay: '20ms' });
    expect(both.forward.emulation?.delayNs).toBe(20e6);
    expect(both.reverse).toEqual(both.forward);
    const one = change({ delay: '20ms' }, 's1');
    expect(one.forward).toBe(network.links[0]!.forward);
    expect(one.reverse.emulation?.delayNs).toBe(20e6);
    expect(Object.isFrozen(one.reverse.emulation)).toBe(true);
  });

  it('leaves what is not named, and the network that it is given, as it was', () => {
    const before = JSON.stringify(network);
    const link = after({ rate: '10mbit', delay: '5ms', loss: '1%' }, { delay: '20ms', state: 'down' }).links[0]!;
    expect(writtenOf(link.forward)).toEqual({ state: 'down', rate: '10mbit', delay: '20ms', loss: '1%' });
    expect(JSON.stringify(network)).toBe(before);
  });

  it('takes away what is none', () => {
    expect(after({ rate: '10mbit', delay: '5ms' }, { rate: 'none', delay: 'none' }).links[0]?.forward).toBe(PLAIN);
  });

  it('takes away with a jitter what was said of it', () => {
    const varied = after({ delay: '5ms', jitter: '1ms', distribution: 'pareto', correlation: '50%' });
    expect(writtenOf(change({ jitter: 'none' }, undefined, varied).forward)).toEqual({ delay: '5ms' });
    expect(writtenOf(change({ jitter: '2ms' }, undefined, varied).forward)).toMatchObject({ distribution: 'pareto' });
  });

  it('has the default queue follow the rate, and keeps one that was written', () => {
    const limit = (link: ReturnType<typeof change>) => link.forward.emulation?.queue.limit;
    expect(limit(after({ rate: '10mbit' }).links[0]!)).toEqual({ unit: 'bytes', bytes: 65536, byDefault: true });
    expect(limit(after({ rate: '10mbit' }, { rate: '1gbit' }).links[0]!)).toMatchObject({ bytes: 6_250_000 });
    const written = after({ rate: '10mbit', queue: '64KiB' }, { rate: '1gbit' }).links[0]!;
    expect(limit(written)).toEqual({ unit: 'bytes', bytes: 65536 });
  });

  it('keeps a queue while there is no rate', () => {
    const link = after({ rate: '10mbit', queue: '30p' }, { rate: 'none' }, { rate: '1mbit' }).links[0]!;
    expect(writtenOf(link.forward)).toEqual({ rate: '1mbit', queue: '30p' });
  });

  it.each<[RawLinkProperties[], string | undefined, RegExp]>([
    [[{ jitter: '2ms' }], undefined, /^h1--s1 from h1: jitter: a jitter of 2ms is more than the delay, 0ns$/],
    [[{ delay: '5ms', jitter: '2ms' }, { delay: '1ms' }], 's1', /^h1--s1 from s1: delay: a jitter of 2ms/],
    [[{ distribution: 'pareto' }], undefined, /distribution: a distribution of no jitter/],
    [[{ delay: '5ms', jitter: '0ms', correlation: '5%' }], undefined, /correlation: a correlation of no jitter/],
    [[{ reorder: '1%' }], undefined, /reorder: what is not delayed/],
    [[{ queue: '10p' }], undefined, /queue: nothing waits/],
    [[{ overhead: 24 }], undefined, /overhead: an overhead counts/],
    [[{ rate: '1mbit' }, { trace: 'cell.trace' }], undefined, /trace: a trace says the rate/],
    [[{ trace: 'cell.trace' }, { rate: '1mbit' }], undefined, /rate: a trace says the rate/],
    [[{ rate: '1mbit', queue: '9013B' }], undefined, /queue: a queue of 9013B is smaller than one frame/],
    [[{ rate: '100mbit', queue: '1ms' }, { rate: '72mbit' }], undefined, /rate: in 1ms the link passes less/],
    [[{ rate: '1mbit', queue: { discipline: 'red', min: '30kB', max: '30kB' } }], undefined, /queue: the least av/],
    [
      [{ rate: '1mbit', queue: { discipline: 'red', min: '3kB', max: '30kB', limit: '29kB' } }],
      undefined,
      /queue: the average of red never reaches/,
    ],
    [
      [{ rate: '1mbit', queue: { discipline: 'red', min: '3kB', max: '30kB', limit: '3p' } }],
      undefined,
      /red never reaches 30kB in a queue of at most 27042B/,
    ],
    [
      [{ rate: '1mbit', queue: { discipline: 'red', min: '3kB', max: '30kB', limit: '200ms' } }],
      undefined,
      /red never reaches 30kB in a queue of at most 25kB/,
    ],
    [[{ rate: '1mbit', queue: { discipline: 'codel', target: '100ms' } }], undefined, /queue: the target of codel/],
    [[{ trace: 'other.trace' }], undefined, /^trace: the network did not come up with "other.trace"$/],
    [[{ delay: '1s', jitter: '1ms', distribution: 'x.dist' }], undefined, /^distribution: the network did not/],
  ])('refuses %j', (changes, from, message) => {
    const before = after(...changes.slice(0, -1));
    const error = refused(() => change(changes.at(-1)!, from, before));
    expect(error.message).toMatch(message);
    expect(error.hint).toBeDefined();
  });

  it('takes what is just enough', () => {
    expect(change({ rate: '1mbit', queue: '9014B' })).toBeDefined();
    expect(change({ delay: '2ms', jitter: '2ms', reorder: '100%', loss: '100%' })).toBeDefined();
    expect(change({ trace: 'cell.trace', queue: '100ms', overhead: 24 })).toBeDefined();
    expect(change({ delay: '1s', jitter: '1ms', distribution: 'lan.dist' }).forward.emulation?.jitter).toMatchObject({
      distribution: { table: 'lan.dist' },
    });
  });

  it('names what is near where a name is wrong', () => {
    expect(refused(() => changeLink(network, 'h1-s1', { delay: '1ms' })).hint).toContain('"h1--s1"');
    expect(refused(() => change({ delay: '1ms' }, 's2')).message).toBe('"s2" is no end of h1--s1');
  });

  it('gives back what it was made of, whatever it was', () => {
    fc.assert(
      fc.property(linkProperties(inputs), (written) => {
        const properties = resolveDirection(written, { inputs });
        const again = writtenOf(properties);
        expect(resolveDirection(again, { inputs })).toEqual(properties);
        expect(writtenOf(resolveDirection(again, { inputs }))).toEqual(again);
        // What is written again has the form that the schema asks for.
        expect(Object.keys(again).length === 0 ? {} : parseChange(again)).toEqual(again);
      }),
    );
  });

  it('changes one key as if all had been written anew', () => {
    const all = linkProperties(inputs);
    fc.assert(
      fc.property(all, all, (written, next) => {
        const before = resolveDirection(written, { inputs });
        const usual = { mtuBytes: 9000, inputs };
        if (contradiction({ ...usual, properties: before, written }) !== undefined) return;
        for (const key of Object.keys(next) as (keyof RawLinkProperties)[]) {
          const one = { [key]: next[key] } as RawLinkProperties;
          const expected = resolveDirection({ ...written, ...one }, { inputs });
          const link = { ...network.links[0]!, forward: before, reverse: before };
          const running = { ...network, links: [link] };
          const wrong = contradiction({ ...usual, properties: expected, written: one });
          if (wrong === undefined) expect(change(one, 'h1', running).forward).toEqual(expected);
          else expect(refused(() => change(one, 'h1', running)).message).toContain(wrong.message);
        }
      }),
    );
  });
});

describe('settings of a command line', () => {
  it('are what they would be in a file', () => {
    expect(
      parseSettings([
        'delay=20ms',
        'loss=gilbert-elliott 1% 10%',
        'corrupt=0.001',
        'overhead=24',
        'queue={ discipline: codel, target: 3ms }',
        'rate=none',
      ]),
    ).toEqual({
      delay: '20ms',
      loss: 'gilbert-elliott 1% 10%',
      corrupt: 0.001,
      overhead: 24,
      queue: { discipline: 'codel', target: '3ms' },
      rate: 'none',
    });
    expect(parseSettings(['loss=[{ ratio: 0, next: [1] }]'])).toEqual({ loss: [{ ratio: 0, next: [1] }] });
  });

  it.each([
    [['delay'], '"delay" sets nothing', 'delay=20ms'],
    [['dealy=1ms'], 'unknown key "dealy"', '"delay"'],
    [['delay=20'], 'delay: 20 has no unit', '"10ms"'],
    [['delay='], 'delay: no value is given', 'delay=none'],
    [['delay=2h'], 'delay: "2h" is more than 1h', 'longer'],
    [['delay=1ms', 'delay=2ms'], 'delay is set twice', 'once'],
    [['rate=1bit'], 'rate: "1bit" is less than 1kbit', 'state: down'],
    [['rate=1mbps'], 'rate: "1mbps" has no unit', 'mbit'],
    [['mtu=1400'], 'mtu: interfaces have it', 'luthier up'],
    [['state=none'], 'state: "none" is not one of up, down', 'up, down'],
    [['queue={ discipline: codl }'], 'queue.discipline: "codl" is not a discipline of a queue', '"codel"'],
    [['queue={ discipline: codel, targt: 5ms }'], 'queue: unknown key "targt"', '"target"'],
    [['queue={'], 'queue: not YAML', 'close every'],
    [['loss=[{ ratio: 1, next: [50%] }]'], 'loss: the chances of what comes after state 1 add up to 0.5', '100%'],
    [['distribution=norml'], 'distribution: "norml" is not one of', '"normal"'],
    [[], 'the change sets nothing', 'delay'],
  ])('%j are refused', (words, message, hint) => {
    const error = refused(() => parseSettings(words));
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });

  it('of unknown origin are checked too', () => {
    expect(refused(() => parseChange({ delay: 5 })).message).toBe('delay: 5 has no unit');
    expect(refused(() => parseChange('delay')).message).toContain('a mapping');
    expect(parseChange({ delay: '5ms', rate: undefined })).toEqual({ delay: '5ms' });
    expect(resolveDirection({}, { inputs: NO_INPUTS })).toBe(PLAIN);
  });
});
