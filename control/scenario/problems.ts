/**
 * What is wrong with a scenario, gathered over one stage of checking, so that the first in the order of the file is
 * reported, not the first that the code came upon. A stage throws before the next begins: later checks rely on what
 * earlier ones made sure of.
 *
 * Used by `load.ts`, `shape.ts`, `topology.ts` and `resolve.ts`.
 */
import { ScenarioError, UsageError } from '../../model/errors.js';
import type { SourcePosition } from '../../model/errors.js';

/** Where something stands in a scenario: `['links', 3, 'delay']`. */
export type Path = readonly (string | number)[];

export interface Positions {
  /** Of the value at `path`; where there is none, of the nearest thing that should hold it. */
  position(path: Path): SourcePosition;
  /** Of the key at `path`; of an item of a list, where it begins. */
  keyPosition(path: Path): SourcePosition;
}

/** What to do about a problem, or how to find it: of thousands of problems, only the first is told. */
export type Hint = string | undefined | (() => string | undefined);

interface Problem {
  readonly position: SourcePosition;
  readonly message: string;
  readonly hint: Hint;
}

export class Problems {
  readonly #positions: Positions;
  #first: Problem | undefined;

  constructor(positions: Positions) {
    this.#positions = positions;
  }

  /** The value at `path` is wrong. */
  add(path: Path, message: string, hint?: Hint): void {
    this.#add(this.#positions.position(path), located(path, message), hint);
  }

  /** The key at the end of `path` should not be there. */
  addKey(path: Path, message: string, hint?: Hint): void {
    this.#add(this.#positions.keyPosition(path), located(path.slice(0, -1), message), hint);
  }

  /** What `read` returns; undefined when it refused the value at `path`, which is then a problem. */
  try<Value>(path: Path, read: () => Value): Value | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.add(path, error.message, error.hint);
      return undefined;
    }
  }

  /** Ends a stage: throws the first problem in the order of the file, if there is one. */
  throwFirst(): void {
    if (this.#first === undefined) return;
    const { position, message, hint } = this.#first;
    const said = typeof hint === 'function' ? hint() : hint;
    throw new ScenarioError(position, message, said === undefined ? {} : { hint: said });
  }

  #add(position: SourcePosition, message: string, hint: Hint): void {
    if (this.#first !== undefined && !isBefore(position, this.#first.position)) return;
    this.#first = { position, message, hint };
  }
}

function isBefore(a: SourcePosition, b: SourcePosition): boolean {
  return a.line < b.line || (a.line === b.line && a.column < b.column);
}

/** `links[3].delay: …`, as one would write it in JavaScript. */
export function located(path: Path, message: string): string {
  if (path.length === 0) return message;
  const where = path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('');
  return `${where}: ${message}`;
}
