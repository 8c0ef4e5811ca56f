/**
 * A scenario's text, or an object in its place, as a plain value with a position for every path in it. What reaches the
 * schema is bounded whatever was given: in bytes, in depth, and in values once aliases are expanded. Everything that is
 * wrong is a `ScenarioError`.
 *
 * Called by `load.ts` alone.
 */
import { ScenarioError } from '../../model/errors.js';
import type { SourcePosition } from '../../model/errors.js';
import { located } from './problems.js';
import type { Path, Positions } from './problems.js';
import { MAX_BYTES, MAX_DEPTH, MAX_ENTRIES, MAX_MARKS, MAX_VALUES } from './source-limits.js';
import { readYaml, YamlProblem } from './yaml-text.js';
import type { YamlText } from './yaml-text.js';

export interface Source extends Positions {
  readonly file: string | undefined;
  /** Frozen through and through. */
  readonly value: unknown;
}

export const OBJECT_POSITION: SourcePosition = { file: '<object>', line: 1, column: 1 };

/** Parses YAML; JSON is a part of it. */
export function textSource(text: string, file: string): Source {
  const places = new Places(text, file);
  refuseBulk(text, places);
  const { value, outline } = readYamlAt(text, places);
  if (value === undefined) {
    throw new ScenarioError(places.at(0), 'the file is empty', {
      hint: 'the smallest scenario has "name" and "nodes"',
    });
  }
  return {
    file,
    value,
    position: (path) => places.at(outline.offsetOf(path, 'value')),
    keyPosition: (path) => places.at(outline.offsetOf(path, 'key')),
  };
}

function readYamlAt(text: string, places: Places): YamlText {
  try {
    return readYaml(text);
  } catch (cause) {
    if (!(cause instanceof YamlProblem)) throw cause;
    const { hint } = cause;
    throw new ScenarioError(places.at(cause.offset), cause.message, hint === undefined ? { cause } : { hint, cause });
  }
}

/** What would take the parser more memory or time than a scenario may, or what no text has in it. */
function refuseBulk(text: string, places: Places): void {
  if (text.length > MAX_BYTES)
    throw new ScenarioError(places.at(0), `the scenario is larger than ${MAX_BYTES} characters`);
  let marks = 0;
  for (let offset = 0; offset < text.length; offset++) {
    switch (text.charCodeAt(offset)) {
      case 0x00:
        throw new ScenarioError(places.at(offset), 'the file holds a NUL character: it is binary, not YAML', {
          hint: 'a scenario is a text file; docs/scenario.md shows one',
        });
      case 0x0a: // line feed
      case 0x0d: // carriage return
      case 0x2c: // ,
      case 0x3f: // ?
      case 0x5b: // [
      case 0x7b: // {
        marks++;
        break;
      case 0x3a: // `:`, but not those of a MAC or IPv6 address
        if (!continuesAddress(text.charCodeAt(offset + 1))) marks++;
        break;
    }
    if (marks > MAX_MARKS) {
      throw new ScenarioError(
        places.at(offset),
        `more than ${MAX_MARKS} lines, keys and items stand before this place`,
        {
          hint: 'split it into several networks',
        },
      );
    }
  }
}

/** Hexadecimal digits, and another colon. */
function continuesAddress(code: number): boolean {
  const lowerCase = code | 0x20;
  return (code >= 0x30 && code <= 0x3a) || (lowerCase >= 0x61 && lowerCase <= 0x66);
}

/** Lines and columns of offsets; most texts are never asked for one. */
class Places {
  readonly #text: string;
  readonly #file: string;
  /** Where each line begins. */
  #lines: readonly number[] | undefined;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  at(offset: number): SourcePosition {
    this.#lines ??= lineStarts(this.#text);
    let line = 0;
    for (let above = this.#lines.length; above - line > 1;) {
      const middle = (line + above) >>> 1;
      if (this.#lines[middle]! <= offset) line = middle;
      else above = middle;
    }
    return { file: this.#file, line: line + 1, column: offset - this.#lines[line]! + 1 };
  }
}

/** Line feeds, as editors count; a carriage return before one is part of its line. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (let feed = text.indexOf('\n'); feed !== -1; feed = text.indexOf('\n', feed + 1)) starts.push(feed + 1);
  return starts;
}

/** A value made in code or read from JSON. Keys whose value is undefined count as absent. */
export function objectSource(
  value: unknown,
  positionOf: (path: Path) => SourcePosition = () => OBJECT_POSITION,
): Source {
  let values = 0;
  const plain = (part: unknown, path: Path): unknown => {
    const refuse = (message: string): ScenarioError => new ScenarioError(positionOf(path), located(path, message));
    if (path.length > MAX_DEPTH) throw refuse(`nests deeper than ${MAX_DEPTH} levels`);
    if (++values > MAX_VALUES) throw refuse(`the scenario holds more than ${MAX_VALUES} values`);
    if (part === null || typeof part === 'string' || typeof part === 'number' || typeof part === 'boolean') return part;
    if (typeof part !== 'object') throw refuse(`a ${typeof part} is no part of a scenario`);
    const entries = Array.isArray(part) ? part.length : Object.keys(part).length;
    if (entries > MAX_ENTRIES) throw refuse(`a list or mapping has at most ${MAX_ENTRIES} entries`);
    if (Array.isArray(part))
      return Object.freeze(Array.from(part as readonly unknown[], (item, i) => plain(item, [...path, i])));
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(part)) {
      if (key === '__proto__') throw refuse('the key "__proto__" is not allowed');
      if (item !== undefined) copy[key] = plain(item, [...path, key]);
    }
    return Object.freeze(copy);
  };
  return {
    file: undefined,
    value: readPlain(() => plain(value, []), positionOf),
    position: positionOf,
    keyPosition: positionOf,
  };
}

/** Getters and proxies in a caller's object run the caller's code, which may throw anything. */
function readPlain(read: () => unknown, positionOf: (path: Path) => SourcePosition): unknown {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof ScenarioError) throw cause;
    throw new ScenarioError(positionOf([]), 'the scenario object cannot be read', { cause });
  }
}
