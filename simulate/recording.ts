/**
 * A recording: what came into the emulated directions of a network's links and what became of each frame, by the engine's
 * clock, as lines of JSON in the order in which the engine told them. All that a direction decides follows from the network
 * (its seed and links), the frames, and when they and changes came: `replay.ts` shows it. docs/json.md has the format.
 *
 *   {"luthier":1,"recording":"links","network":"n","seed":1}
 *   {"at":1200,"link":"h1--s1","way":0,"came":"AgAA…"}                           also "gsoSize", "checksum"
 *   {"at":5000,"link":"h1--s1","way":0,"changed":{"state":"up", …}}
 *   {"at":11200,"link":"h1--s1","way":0,"left":"<hash>","since":1200}            "at": when it was due
 *   {"link":"h1--s1","way":0,"dropped":"lost","frame":"<hash>"}
 *   {"at":1000000000,"end":true}
 */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { type LinkProperties } from '../model/emulation.js';
import { UsageError } from '../model/errors.js';
import type { OfferedFrame } from './host-device.js';

/** Of which direction of which link: 0 forward, 1 reverse. */
export interface Way {
  readonly link: string;
  readonly way: 0 | 1;
}

/** What comes: the same again makes the same of it. */
export type Cause = Way & { readonly at: number } & (
    { readonly frame: OfferedFrame } | { readonly changed: LinkProperties }
  );

/** What becomes of it. `at` is when a frame was due, `since` when it came; the time of a drop is that of nobody's clock. */
export type Outcome = Way &
  (
    | { readonly at: number; readonly since: number; readonly left: string }
    | { readonly dropped: string; readonly frame: string }
  );

export interface Recording {
  readonly network: string;
  readonly seed: number;
  readonly endNs: number;
  readonly causes: readonly Cause[];
  readonly outcomes: readonly Outcome[];
}

/** Takes one line after the other, each with its line feed. */
export type Sink = (line: string) => void;

export class RecordingWriter {
  readonly #sink: Sink;

  constructor(sink: Sink, network: { readonly name: string; readonly seed: number }) {
    this.#sink = sink;
    this.#line({ luthier: 1, recording: 'links', network: network.name, seed: network.seed });
  }

  cause(cause: Cause): void {
    const { at, link, way } = cause;
    if ('changed' in cause) {
      this.#line({ at, link, way, changed: cause.changed });
      return;
    }
    const { bytes, gsoSize, checksum } = cause.frame;
    this.#line({ at, link, way, came: Buffer.from(bytes).toString('base64'), gsoSize, checksum });
  }

  outcome(outcome: Outcome): void {
    this.#line(outcome);
  }

  /** All that was due before then has been told. */
  end(atNs: number): void {
    this.#line({ at: atNs, end: true });
  }

  #line(facts: object): void {
    this.#sink(`${JSON.stringify(facts)}\n`);
  }
}

const at = z.number().min(0);
const of = { link: z.string(), way: z.union([z.literal(0), z.literal(1)]) };
const header = z.strictObject({
  luthier: z.literal(1),
  recording: z.literal('links'),
  network: z.string(),
  seed: z.number(),
});
const line = z.union([
  z.strictObject({
    at,
    ...of,
    came: z.base64(),
    gsoSize: z.int().min(0).max(65_535).optional(),
    checksum: z.tuple([z.int().min(0).max(2), z.int().min(0).max(65_535), z.int().min(0).max(65_535)]).optional(),
  }),
  z.strictObject({ at, ...of, changed: z.custom<LinkProperties>((value) => typeof value === 'object') }),
  z.strictObject({ at, ...of, left: z.string(), since: at }),
  z.strictObject({ ...of, dropped: z.string(), frame: z.string() }),
  z.strictObject({ at, end: z.literal(true) }),
]);

/** Throws a UsageError with the file and its line. */
export function readRecording(file: string): Recording {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`the recording ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return parseRecording(text, file);
}

export function parseRecording(text: string, file: string): Recording {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const parse = <Shape extends z.ZodType>(shape: Shape, number: number): z.infer<Shape> => {
    try {
      return shape.parse(JSON.parse(lines[number - 1] ?? ''));
    } catch (cause) {
      throw new UsageError(`${file}:${number}: this is no line of a recording of links`, {
        cause,
        hint: 'such a file is written by: luthier simulate FILE --record RECORDING',
      });
    }
  };
  const { network, seed } = parse(header, 1);
  const causes: Cause[] = [];
  const outcomes: Outcome[] = [];
  let endNs: number | undefined;
  for (let number = 2; number <= lines.length; number++) {
    const facts = parse(line, number);
    if ('came' in facts) {
      const { at: atNs, link, way, came, gsoSize, checksum } = facts;
      const frame = {
        bytes: Buffer.from(came, 'base64'),
        ...(gsoSize === undefined ? {} : { gsoSize }),
        ...(checksum === undefined ? {} : { checksum }),
      };
      causes.push({ at: atNs, link, way, frame });
    } else if ('changed' in facts) {
      causes.push(facts);
    } else if ('end' in facts) {
      endNs = facts.at;
    } else {
      outcomes.push(facts);
    }
  }
  if (endNs === undefined)
    throw new UsageError(`${file}:${lines.length}: the recording has no end`, {
      hint: 'whatever wrote it was interrupted: record again',
    });
  return { network, seed, endNs, causes, outcomes };
}
