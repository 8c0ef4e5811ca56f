import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { main } from './main.js';

const SCENARIO = `name: pair
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1], rate: 2mbit, delay: 10ms, loss: 5% }
  - { endpoints: [h2, s1], delay: 1ms }
`;

let folder: string;
let file: string;
let printed: string;
let told: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'luthier-simulate-'));
  file = join(folder, 'pair.yaml');
  writeFileSync(file, SCENARIO);
  const take = (add: (text: string) => void) => (text: unknown) => {
    add(String(text));
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(take((text) => (printed += text)));
  vi.spyOn(process.stderr, 'write').mockImplementation(take((text) => (told += text)));
});

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  rmSync(folder, { recursive: true });
});

/** Its exit status; what it printed stands in `printed`, and what it told in `told`. */
function luthier(...words: string[]): Promise<number> {
  printed = told = '';
  return main(['simulate', ...words]);
}

describe('luthier simulate', () => {
  test('prints the same table every time, and how long it took beside it', async () => {
    expect(await luthier(file, '--seconds', '2')).toBe(0);
    const first = printed;
    expect(first).toMatch(/^pair: 2s, seed \d+, 2 streams\nLINK +FROM +TO +IN +OUT +BYTES +RATE +LOST .* MAX\n/);
    expect(first).toMatch(/^h1--s1 +h1:eth0 +s1 .* 14\.000000 ms/m);
    expect(told).toMatch(/^\d+\.\d\d s: \S+ times real time\n$/);
    expect(await luthier(file, '--seconds', '2')).toBe(0);
    expect(printed).toBe(first);
    expect(await luthier(file, '--seconds', '2', '--json')).toBe(0);
    expect(JSON.parse(printed)).toMatchObject({ luthier: 1, simulation: { network: 'pair', durationNs: 2e9 } });
  });

  test('records, replays, and ends with 1 where a replay differs', async () => {
    const recording = join(folder, 'run.jsonl');
    expect(await luthier(file, '--seconds', '2', '--record', recording)).toBe(0);
    expect(readFileSync(recording, 'utf8')).toMatch(/^\{"luthier":1,"recording":"links","network":"pair",/);
    expect(await luthier(file, '--replay', recording)).toBe(0);
    expect(printed).toMatch(/\nas recorded, to the nanosecond: \d+ outcomes\n$/);
    writeFileSync(file, SCENARIO.replace('10ms', '11ms'));
    expect(await luthier(file, '--replay', recording)).toBe(1);
    expect(printed).toMatch(/\nnot as recorded: \d+ of \d+ outcomes are; the first that is not:\n {2}h1--s1, /);
  });

  test.each([
    [['--pattern', 'bursts'], 'there is no pattern bursts'],
    [['--size', '59B'], '"59B" is less than 60B'],
    [['--size', '2000B'], 'sends no frames of 2000 bytes'],
    [['--rate', '10'], '10'],
    [['--seconds', '100000'], 'at most a day'],
    [['--record', '/dev/null', '--replay', '/dev/null'], 'exclude each other'],
    [['--replay', '/dev/null'], '/dev/null:1: this is no line of a recording'],
    [['--replay', '/nowhere/run.jsonl'], 'cannot be read'],
  ])('refuses %j', async (words, message) => {
    expect(await luthier(file, ...words)).toBe(2);
    expect(told).toContain(message);
  });
});
