/**
 * From a file, a text or an object to a checked scenario. Everything that needs no running system is checked here, in
 * stages, each of which throws its first problem in the order of the file: the text (`source-file.ts`, `source.ts`), the
 * shape and the units (`shape.ts`), recordings that links name (`recordings.ts`), names (`topology.ts`), links' properties
 * and addresses (`resolve.ts`). A scenario that loads, resolves.
 *
 * Whatever is given, nothing but `ScenarioError` comes out. Called by `cli/`, the agent and the TypeScript API.
 *
 *   const network = resolve(load('scenario.yaml'));
 */
import { dirname } from 'node:path';
import type { EmulationInputs } from '../../model/emulation.js';
import { NO_INPUTS } from '../../model/emulation.js';
import { ScenarioError } from '../../model/errors.js';
import type { SourcePosition } from '../../model/errors.js';
import type { RawScenario } from '../../model/scenario.js';
import { Problems } from './problems.js';
import type { Path, Positions } from './problems.js';
import { readRecordings, type Recordings } from './recordings.js';
import { checkedTopology } from './resolve.js';
import { checkShape } from './shape.js';
import { objectSource, textSource } from './source.js';
import type { Source } from './source.js';
import { readText } from './source-file.js';

/** A checked scenario, frozen, and where everything in it stands. */
export interface Scenario extends Positions {
  /** Undefined when it was an object. */
  readonly file: string | undefined;
  /** Units as written. */
  readonly raw: RawScenario;
  /** What it names by paths. */
  readonly inputs: EmulationInputs;
}

export interface LoadOptions {
  /** Where paths in an object start from; those in a file start from its own folder. */
  readonly folder?: string;
}

/** Loads a file by its path, or an object of the same shape. Throws `ScenarioError`. */
export function load(source: string | RawScenario, { folder }: LoadOptions = {}): Scenario {
  if (typeof source === 'string') return loadText(readText(source), source);
  return check(objectSource(source), folder === undefined ? { inputs: NO_INPUTS } : { folder });
}

/** Loads YAML or JSON that was read from `file`, which positions then name. Throws `ScenarioError`. */
export function loadText(text: string, file: string): Scenario {
  return check(
    guarded({ file, line: 1, column: 1 }, () => textSource(text, file)),
    { folder: dirname(file) },
  );
}

/**
 * Loads a value of unknown origin, with the `inputs` that it names. Its positions are those of an object unless
 * `positionOf` knows better.
 */
export function parseScenario(
  raw: unknown,
  inputs: EmulationInputs = NO_INPUTS,
  positionOf?: (path: Path) => SourcePosition,
): Scenario {
  return check(objectSource(raw, positionOf), { inputs });
}

function check(source: Source, from: Recordings): Scenario {
  return guarded(source.position([]), () => {
    const raw = checkShape(source);
    const problems = new Problems(source);
    const inputs = readRecordings(raw, from, problems);
    problems.throwFirst();
    const scenario = Object.freeze<Scenario>({
      file: source.file,
      raw,
      inputs,
      position: (path) => source.position(path),
      keyPosition: (path) => source.keyPosition(path),
    });
    checkedTopology(scenario);
    return scenario;
  });
}

/** A parser's own failure is still the input's: what it chokes on is no scenario. */
function guarded<Value>(position: SourcePosition, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof ScenarioError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ScenarioError(position, `the scenario cannot be understood: ${why}`, { cause });
  }
}
