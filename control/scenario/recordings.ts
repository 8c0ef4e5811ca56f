/**
 * Recordings that links and events name by their paths: packet-delivery traces and tables of a distribution. Read when the
 * scenario is loaded, within bounds, and carried with it from then on (`EmulationInputs`): an agent reads none.
 *
 * A trace is Mahimahi's: on each line the millisecond at which 1504 bytes may pass, ascending; the last is its period.
 * A table has a number a line, in any order, after `#` comments: samples of a delay, or its quantiles. It comes to at most
 * 4096 quantiles at equal distances, the least and the largest number among them, straight between them, and brought to
 * mean 0 and standard deviation 1 as such.
 *
 * Called by `load.ts` alone.
 */
import { isAbsolute, join } from 'node:path';
import { MAX_RECORDED, NO_INPUTS, type EmulationInputs } from '../../model/emulation.js';
import { ScenarioError } from '../../model/errors.js';
import { DISTRIBUTIONS, NONE, type RawLinkProperties } from '../../model/link-properties.js';
import { quoted } from '../../model/names.js';
import type { RawScenario } from '../../model/scenario.js';
import { deepFreeze } from '../../model/freeze.js';
import type { Path, Problems } from './problems.js';
import { readText } from './source-file.js';

/** Where recordings come from: a folder that their paths start from, or whoever read them before. */
export type Recordings = { readonly folder: string } | { readonly inputs: EmulationInputs };

const MAX_QUANTILES = 4096;

/** What the scenario names, each once. What cannot be had is a problem where it is named first. */
export function readRecordings(raw: RawScenario, from: Recordings, problems: Problems): EmulationInputs {
  const traces = new Map<string, readonly number[]>();
  const distributions = new Map<string, readonly number[]>();
  let left = MAX_RECORDED;
  const read = (into: Map<string, readonly number[]>, kind: Kind, name: string, path: Path): void => {
    if (into.has(name)) return;
    const numbers = recording(kind, name, from, (message, hint) => {
      problems.add(path, message, hint);
    });
    into.set(name, numbers);
    left -= numbers.length;
    if (left < 0 && left + numbers.length >= 0)
      problems.add(path, `the traces and tables have more than ${MAX_RECORDED} numbers together`, 'use shorter ones');
  };
  for (const [{ trace, distribution }, path] of directions(raw)) {
    if (trace !== undefined && trace !== NONE) read(traces, TRACE, trace, [...path, 'trace']);
    if (distribution !== undefined && distribution !== NONE && !DISTRIBUTIONS.some((known) => known === distribution))
      read(distributions, TABLE, distribution, [...path, 'distribution']);
  }
  if (traces.size + distributions.size === 0) return NO_INPUTS;
  return deepFreeze({ traces: Object.fromEntries(traces), distributions: Object.fromEntries(distributions) });
}

function* directions({ links = [], events = [] }: RawScenario): Generator<readonly [RawLinkProperties, Path]> {
  for (const [index, link] of links.entries()) {
    if (link.trace !== undefined || link.distribution !== undefined) yield [link, ['links', index]];
    if (link.forward !== undefined) yield [link.forward, ['links', index, 'forward']];
    if (link.reverse !== undefined) yield [link.reverse, ['links', index, 'reverse']];
  }
  for (const [index, { set }] of events.entries()) yield [set, ['events', index, 'set']];
}

interface Kind {
  readonly in: keyof EmulationInputs;
  /** Throws `Unreadable`. */
  readonly parse: (text: string) => number[];
  /** Of numbers that were parsed by another; undefined where they are as `parse` gives them. */
  readonly wrong: (numbers: readonly number[]) => string | undefined;
}

const TRACE: Kind = { in: 'traces', parse: parseTrace, wrong: wrongTrace };
const TABLE: Kind = { in: 'distributions', parse: parseTable, wrong: wrongTable };

function recording(
  kind: Kind,
  name: string,
  from: Recordings,
  refuse: (message: string, hint?: string) => void,
): readonly number[] {
  if ('inputs' in from) {
    const given = from.inputs[kind.in];
    if (!Object.hasOwn(given, name)) {
      refuse(`the contents of ${quoted(name)} are not given`, 'say which folder paths start from: load(…, { folder })');
      return [];
    }
    const numbers = given[name]!;
    const wrong = kind.wrong(numbers);
    if (wrong !== undefined) refuse(`${quoted(name)}: ${wrong}`);
    return numbers;
  }
  const file = isAbsolute(name) ? name : join(from.folder, name);
  try {
    return kind.parse(readText(file, 'use a shorter recording'));
  } catch (cause) {
    if (cause instanceof Unreadable) refuse(`${name}:${cause.line}: ${cause.message}`, cause.hint);
    else if (cause instanceof ScenarioError) {
      // What cannot be read is named.
      const isNamed = cause.message.startsWith(quoted(file));
      refuse(isNamed ? cause.message : `${name}:${cause.position.line}: ${cause.message}`, cause.hint);
    } else throw cause;
    return [];
  }
}

/** A line of a recording that is wrong. */
class Unreadable extends Error {
  readonly line: number;
  readonly hint: string;

  constructor(line: number, message: string, hint: string) {
    super(message);
    this.line = line;
    this.hint = hint;
  }
}

function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines.length > MAX_RECORDED)
    throw new Unreadable(MAX_RECORDED + 1, `a recording has at most ${MAX_RECORDED} lines`, 'use a shorter one');
  return lines;
}

// --- traces ----------------------------------------------------------------------------------------------------------

const TRACE_HINT = 'each line of a trace is a whole number of milliseconds, ascending: when 1504 bytes may pass';

function parseTrace(text: string): number[] {
  const times = linesOf(text).map((line, index) => {
    const time = /^[0-9]{1,12}$/.test(line) ? Number(line) : NaN;
    if (Number.isNaN(time))
      throw new Unreadable(index + 1, line === '' ? 'the line is empty' : `${shown(line)} is no time`, TRACE_HINT);
    return time;
  });
  times.forEach((time, index) => {
    if (index > 0 && time < times[index - 1]!)
      throw new Unreadable(index + 1, `${time} is before ${times[index - 1]!}`, TRACE_HINT);
  });
  if (times.length === 0) throw new Unreadable(1, 'the trace is empty', TRACE_HINT);
  if (times.at(-1) === 0) throw new Unreadable(times.length, 'the trace has a period of 0', TRACE_HINT);
  return times;
}

function wrongTrace(times: readonly number[]): string | undefined {
  if (times.length === 0 || !(times.at(-1)! > 0)) return 'a trace has a period of more than 0';
  const isWrong = times.some((time, i) => !Number.isSafeInteger(time) || time < (times[i - 1] ?? 0));
  return isWrong ? 'a trace is whole milliseconds, ascending' : undefined;
}

// --- distributions ---------------------------------------------------------------------------------------------------

const TABLE_HINT = 'each line of a table is a number, as 1.5 or -3e2, or begins with "#"';

function parseTable(text: string): number[] {
  const samples: number[] = [];
  linesOf(text).forEach((line, index) => {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) return;
    const value = /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?$/i.test(trimmed) ? Number(trimmed) : NaN;
    if (!Number.isFinite(value) || Math.abs(value) > MAX_SAMPLE)
      throw new Unreadable(index + 1, `${shown(trimmed)} is not a number of a table`, TABLE_HINT);
    samples.push(value);
  });
  samples.sort((a, b) => a - b);
  if (samples.length === 0) throw new Unreadable(1, 'the table is empty', TABLE_HINT);
  if (samples[0] === samples.at(-1))
    throw new Unreadable(1, 'all numbers of the table are the same', 'a distribution has a spread');
  return standardised(resampled(samples));
}

/** Their squares stay far from what a double can hold. */
const MAX_SAMPLE = 1e100;

function resampled(samples: readonly number[]): readonly number[] {
  if (samples.length <= MAX_QUANTILES) return samples;
  const step = (samples.length - 1) / (MAX_QUANTILES - 1);
  return Array.from({ length: MAX_QUANTILES }, (_, i) => {
    const place = Math.min(i * step, samples.length - 1);
    const below = Math.floor(place);
    const [low, high] = [samples[below]!, samples[Math.min(below + 1, samples.length - 1)]!];
    return low + (place - below) * (high - low);
  });
}

/** To mean 0 and standard deviation 1 of what `moments` says. */
function standardised(quantiles: readonly number[]): number[] {
  // Twice: where the spread is small beside the mean, the first pass leaves an error that the second does not.
  return [1, 2].reduce((values: readonly number[]) => {
    const { mean, sigma } = moments(values);
    return values.map((value) => (value - mean) / sigma);
  }, quantiles) as number[];
}

/** Of the distribution whose quantiles these are, at equal distances and straight between them. */
function moments(quantiles: readonly number[]): { mean: number; sigma: number } {
  const pieces = quantiles.length - 1;
  let sum = 0;
  for (let i = 0; i < pieces; i++) sum += (quantiles[i]! + quantiles[i + 1]!) / 2;
  const mean = sum / pieces;
  let squares = 0;
  for (let i = 0; i < pieces; i++) {
    const [a, b] = [quantiles[i]! - mean, quantiles[i + 1]! - mean];
    squares += (a * a + a * b + b * b) / 3;
  }
  return { mean, sigma: Math.sqrt(squares / pieces) };
}

/** How far a table that was brought to mean 0 and σ 1 may be from it. */
const TOLERANCE = 1e-6;

function wrongTable(quantiles: readonly number[]): string | undefined {
  if (quantiles.length < 2 || quantiles.length > MAX_QUANTILES) return `a table has 2 to ${MAX_QUANTILES} quantiles`;
  if (quantiles.some((value, i) => !Number.isFinite(value) || value < (quantiles[i - 1] ?? -Infinity)))
    return 'quantiles ascend';
  const { mean, sigma } = moments(quantiles);
  const isStandard = Math.abs(mean) < TOLERANCE && Math.abs(sigma - 1) < TOLERANCE;
  return isStandard ? undefined : 'quantiles have mean 0 and standard deviation 1';
}

function shown(line: string): string {
  return quoted(line.length > 40 ? `${line.slice(0, 37)}...` : line);
}
