import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_RECORDED } from '../../model/emulation.js';
import { ScenarioError } from '../../model/errors.js';
import type { RawScenario } from '../../model/scenario.js';
import { QuantileTable } from '../../vswitch/emulation/jitter.js';
import { load, parseScenario } from './load.js';
import { resolve } from './resolve.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'luthier-recordings-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A scenario beside the recordings that it names. */
function scenario(properties: string, events = ''): string {
  const file = join(folder, 'scenario.yaml');
  writeFileSync(
    file,
    `name: x\nnodes: { h1: { kind: host }, h2: { kind: host } }\nlinks: [{ endpoints: [h1, h2], ${properties} }]\n${events}`,
  );
  return file;
}
const write = (name: string, content: string | Uint8Array): void => {
  writeFileSync(join(folder, name), content);
};
const failure = (run: () => unknown): ScenarioError => {
  try {
    run();
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};
const table = (numbers: readonly number[]): readonly number[] => {
  write('table.txt', numbers.join('\n'));
  return load(scenario('delay: 10ms, jitter: 1ms, distribution: table.txt')).inputs.distributions['table.txt']!;
};

describe('a trace', () => {
  it('is read beside the scenario, once, and carried with the network', () => {
    write('cell.trace', '0\n3\n3\n10\n');
    const loaded = load(
      scenario('forward: { trace: cell.trace }', 'events: [{ at: 1s, link: h1--h2, set: { trace: ./cell.trace } }]\n'),
    );
    const network = resolve(loaded);
    expect(network.inputs).toEqual({
      traces: { 'cell.trace': [0, 3, 3, 10], './cell.trace': [0, 3, 3, 10] },
      distributions: {},
    });
    // 4 packets of 1504 bytes in 10 ms are 4.8 Mbit/s, of which 50 ms are less than 64 KiB.
    expect(network.links[0]?.forward.emulation).toMatchObject({
      trace: 'cell.trace',
      queue: { limit: { bytes: 65536 } },
    });
    expect(Object.isFrozen(network.inputs.traces['cell.trace'])).toBe(true);
  });

  it('may be read by its full path, and with the line ends of other systems', () => {
    write('dos.trace', '5\r\n10\r\n');
    expect(load(scenario(`trace: ${join(folder, 'dos.trace')}`)).inputs.traces).toEqual({
      [join(folder, 'dos.trace')]: [5, 10],
    });
  });

  it('has a default queue of 50 ms at its average rate', () => {
    write('fast.trace', Array.from({ length: 1000 }, (_, i) => `${Math.floor(i / 100) + 1}`).join('\n'));
    // 1000 packets in 10 ms: 50 ms are 5000 of them.
    const { emulation } = resolve(load(scenario('trace: fast.trace'))).links[0]!.forward;
    expect(emulation?.queue.limit).toMatchObject({ bytes: 5000 * 1504 });
  });

  it.each<[string, string | Uint8Array, string]>([
    ['empty', '', 'bad.trace:1: the trace is empty'],
    ['unsorted', '1\n5\n4\n', 'bad.trace:3: 4 is before 5'],
    ['negative', '-1\n5\n', 'bad.trace:1: "-1" is no time'],
    ['of fractions', '1\n1.5\n', 'bad.trace:2: "1.5" is no time'],
    ['without an end', '0\n0\n', 'bad.trace:2: the trace has a period of 0'],
    ['with a gap', '1\n\n5\n', 'bad.trace:2: the line is empty'],
    ['of text', 'a\n', 'bad.trace:1: "a" is no time'],
    ['binary', Uint8Array.of(0x31, 0x0a, 0xff, 0x00), 'bad.trace:2: this is not UTF-8 text'],
    ['binary from its beginning', Uint8Array.of(0x80, 0x81), 'bad.trace:1: this is not UTF-8 text'],
    ['zeros', new Uint8Array(100), 'bad.trace:1: '],
    ['of numbers that are too large', '9999999999999\n', 'bad.trace:1: "9999999999999" is no time'],
    ['too long', '1\n'.repeat(MAX_RECORDED + 1), `bad.trace:${MAX_RECORDED + 1}: a recording has at most`],
    ['larger than a file may be', Buffer.alloc(9 << 20, '1\n'), 'bad.trace:1: the file is larger than'],
  ])('is refused where it is %s', (_, content, message) => {
    write('bad.trace', content);
    const error = failure(() => load(scenario('forward: { trace: bad.trace }')));
    expect(error.position).toEqual({ file: join(folder, 'scenario.yaml'), line: 3, column: 50 });
    expect(error.message).toContain(message);
    expect(error.hint).toBeDefined();
  });

  it('is refused where it is not there, or no file', () => {
    expect(failure(() => load(scenario('trace: missing.trace'))).message).toContain('there is no such file');
    expect(failure(() => load(scenario('trace: .'))).message).toContain('it is a directory');
    expect(failure(() => load(scenario('trace: /dev/zero'))).message).toContain('it is a device');
  });

  it('takes no more room than all recordings together may', () => {
    write('long.trace', '1\n'.repeat(MAX_RECORDED));
    write('short.trace', '1\n');
    expect(load(scenario('trace: long.trace')).inputs.traces['long.trace']).toHaveLength(MAX_RECORDED);
    const both = 'forward: { trace: long.trace }, reverse: { trace: short.trace }';
    expect(failure(() => load(scenario(both))).message).toContain('numbers together');
  });
});

describe('a table of a distribution', () => {
  it('comes to mean 0 and standard deviation 1, sorted', () => {
    expect(table([30, 10, 20])).toEqual([-1, 0, 1].map((value) => expect.closeTo(value * Math.sqrt(3), 12) as number));
  });

  it('is the same wherever its numbers lie', () => {
    const shape = [0, 1, 1, 2, 7];
    const moved = table(shape.map((value) => 1e6 + value * 1e-3));
    const own = table(shape);
    moved.forEach((value, i) => expect(value).toBeCloseTo(own[i]!, 5));
  });

  it('has at most 4096 quantiles, the least and the largest number among them', () => {
    const numbers = Array.from({ length: 10_001 }, (_, i) => i);
    const quantiles = table(numbers);
    expect(quantiles).toHaveLength(4096);
    expect(quantiles[0]).toBeCloseTo(-Math.sqrt(3), 9);
    expect(quantiles.at(-1)).toBeCloseTo(Math.sqrt(3), 9);
  });

  it('is what a switch draws from as it is', () => {
    const quantiles = table([1, 2, 3, 10, 50]);
    new QuantileTable(quantiles).quantiles.forEach((value, i) => expect(value).toBeCloseTo(quantiles[i]!, 12));
  });

  it('may have comments, gaps and exponents', () => {
    write('table.txt', '# measured on Monday\n\n 1.5e1 \n-2\n.5\n');
    expect(load(scenario('delay: 1ms, jitter: 1ms, distribution: ./table.txt')).inputs.distributions).toHaveProperty([
      './table.txt',
    ]);
  });

  it.each([
    ['empty', '# nothing\n', 'is empty'],
    ['without a spread', '5\n5\n', 'are the same'],
    ['of text', '1\nabc\n', 'bad.dist:2: "abc" is not a number'],
    ['of what is no number', '1\nNaN\n', 'bad.dist:2: "NaN" is not a number'],
    ['of what is infinite', '1\n1e400\n', 'bad.dist:2: "1e400" is not a number'],
    ['of columns', '1 2\n', 'bad.dist:1: "1 2" is not a number'],
  ])('is refused where it is %s', (_, content, message) => {
    write('bad.dist', content);
    const error = failure(() => load(scenario('delay: 1ms, jitter: 1ms, distribution: bad.dist')));
    expect(error.position).toMatchObject({ line: 3, column: 71 });
    expect(error.message).toContain(message);
  });
});

describe('recordings of an object', () => {
  const raw: RawScenario = {
    name: 'x',
    nodes: { h1: { kind: 'host' }, h2: { kind: 'host' } },
    links: [{ endpoints: ['h1', 'h2'], trace: 'cell.trace', delay: '1ms', jitter: '1ms', distribution: 'lan.dist' }],
  };
  const inputs = {
    traces: { 'cell.trace': [5, 10] },
    distributions: { 'lan.dist': [-Math.sqrt(3), Math.sqrt(3)] },
  };

  it('are read from the folder that is said', () => {
    write('cell.trace', '5\n10\n');
    write('lan.dist', '1\n2\n');
    expect(load(raw, { folder }).inputs.traces).toEqual(inputs.traces);
    const error = failure(() => load(raw));
    expect(error.message).toBe('links[0].trace: the contents of "cell.trace" are not given');
    expect(error.hint).toContain('folder');
  });

  it('come with it over a socket, where no file is read', () => {
    expect(resolve(parseScenario(raw, inputs)).inputs).toEqual(inputs);
    expect(failure(() => parseScenario(raw, { ...inputs, traces: {} })).message).toContain('not given');
    const trace = (times: number[]) =>
      failure(() => parseScenario(raw, { ...inputs, traces: { 'cell.trace': times } }));
    expect(trace([]).message).toContain('a period of more than 0');
    expect(trace([5, 4]).message).toContain('ascending');
    expect(trace([0.5]).message).toContain('whole milliseconds');
    const dist = (values: number[]) =>
      failure(() => parseScenario(raw, { ...inputs, distributions: { 'lan.dist': values } }));
    expect(dist([1]).message).toContain('2 to 4096');
    expect(dist([1, 0]).message).toContain('ascend');
    expect(dist([0, 1]).message).toContain('mean 0');
  });

  it('are those that are named, and no others', () => {
    const more = { ...inputs, traces: { ...inputs.traces, other: [1] } };
    expect(Object.keys(parseScenario(raw, more).inputs.traces)).toEqual(['cell.trace']);
  });
});
