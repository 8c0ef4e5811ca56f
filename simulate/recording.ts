/** Reads recordings, which `vswitch/recording/lines.ts` writes. Called by `replay.ts` and `luthier simulate --replay`. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import type { LinkProperties } from '../model/emulation.js';
import { UsageError } from '../model/errors.js';
import type { Cause, Outcome, Way } from '../vswitch/recording/lines.js';

export { RecordingWriter } from '../vswitch/recording/lines.js';

export interface Recording {
  readonly network: string;
  readonly seed: number;
  /** What links left out of their delays. */
  readonly compensationNs: number;
  /** When it began: 0 where it did with the network. */
  readonly startNs: number;
  readonly endNs: number;
  readonly causes: readonly Cause[];
  readonly outcomes: readonly Outcome[];
  /** Directions that were taken away before the end. */
  readonly gone: readonly (Way & { readonly at: number })[];
}

const at = z.number().min(0);
const of = { link: z.string(), way: z.union([z.literal(0), z.literal(1)]) };
const properties = z.custom<LinkProperties>((value) => typeof value === 'object' && value !== null);
const header = z.strictObject({
  luthier: z.literal(1),
  recording: z.literal('links'),
  network: z.string(),
  seed: z.number(),
  machine: z.string().optional(),
  compensation: at.default(0),
});
const line = z.union([
  z.strictObject({
    at,
    ...of,
    came: z.base64(),
    gsoSize: z.int().min(0).max(65_535).optional(),
    checksum: z.tuple([z.int().min(0).max(2), z.int().min(0).max(65_535), z.int().min(0).max(65_535)]).optional(),
  }),
  z.strictObject({ at, ...of, changed: properties }),
  z.strictObject({ at, ...of, begun: properties }),
  z.strictObject({ at, ...of, left: z.string(), since: at }),
  z.strictObject({ ...of, dropped: z.string(), frame: z.string() }),
  z.strictObject({ at, ...of, gone: z.literal(true) }),
  z.strictObject({ at, end: z.literal(true), waiting: z.int().min(1).optional() }),
  z.strictObject({ missed: z.int().min(1) }),
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

/** Until the last line that says that it may end there: whatever wrote it may have been interrupted after that. */
export function parseRecording(text: string, file: string): Recording {
  const lines = text.split('\n');
  // What has no line feed was not written to its end.
  lines.pop();
  const parse = <Shape extends z.ZodType>(shape: Shape, number: number): z.infer<Shape> => {
    try {
      return shape.parse(JSON.parse(lines[number - 1] ?? ''));
    } catch (cause) {
      throw new UsageError(`${file}:${number}: this is no line of a recording of links`, {
        cause,
        hint: 'such a file is written by: luthier record NETWORK, luthier simulate FILE --record RECORDING',
      });
    }
  };
  const { network, seed, compensation } = parse(header, 1);
  const causes: Cause[] = [];
  const outcomes: Outcome[] = [];
  const gone: (Way & { readonly at: number })[] = [];
  let end: { readonly at: number; readonly counts: readonly [number, number, number] } | undefined;
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
    } else if ('changed' in facts || 'begun' in facts) {
      causes.push(facts);
    } else if ('end' in facts) {
      end = { at: facts.at, counts: [causes.length, outcomes.length, gone.length] };
    } else if ('gone' in facts) {
      gone.push({ link: facts.link, way: facts.way, at: facts.at });
    } else if (!('missed' in facts)) {
      outcomes.push(facts);
    }
  }
  if (end === undefined)
    throw new UsageError(`${file}:${lines.length}: the recording has no end`, {
      hint: 'whatever wrote it was interrupted: record again',
    });
  causes.length = end.counts[0];
  outcomes.length = end.counts[1];
  gone.length = end.counts[2];
  // A frame may have come before the engine came to it, which had to do with another direction before. The sort is stable.
  causes.sort((a, b) => a.at - b.at);
  const first = causes[0];
  const startNs = first !== undefined && 'begun' in first ? first.at : 0;
  return { network, seed, compensationNs: compensation, startNs, endNs: end.at, causes, outcomes, gone };
}
