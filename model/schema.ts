/**
 * Parts that the scenario's schemas are made of: objects that refuse unknown keys, quantities that must carry their unit,
 * text. A message is either one line, what is wrong, or two, what is wrong and a hint.
 *
 * Used by `scenario.ts` and `link-properties.ts`.
 */
import * as z from 'zod';
import { UsageError } from './errors.js';
import { quoted, suggestion } from './names.js';

/** The keys of an object, all of them: another is refused with the nearest of these. */
export function strict<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined;
      const key = issue.keys[0] ?? '';
      return twoLines(`unknown key ${quoted(key)}`, suggestion(key, Object.keys(shape)));
    },
  });
}

export function twoLines(message: string, hint: string | undefined): string {
  return hint === undefined ? message : `${message}\n${hint}`;
}

/** A refinement by a parser of `units.ts`; what the parser returns is not kept: resolving parses again. */
export function readableBy<Value>(parse: (value: Value) => unknown): z.core.CheckFn<Value> {
  return (context) => {
    try {
      parse(context.value);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      context.issues.push({ code: 'custom', input: context.value, message: twoLines(error.message, error.hint) });
    }
  };
}

/** A quantity that must carry its unit: a bare number is refused with the way to write it. */
export function quantity(
  what: string,
  example: string,
  parse: (text: string) => unknown,
  pattern: string,
  description: string,
) {
  return z
    .string({
      error: (issue) =>
        typeof issue.input === 'number'
          ? twoLines(`${issue.input} has no unit`, `${what} is written ${quoted(example)}`)
          : twoLines(`${what} is expected`, `write ${quoted(example)}`),
    })
    .check(readableBy(parse))
    .meta({ description, examples: [example], pattern });
}

export const DECIMAL = '[0-9]+(\\.[0-9]+)?';

export const RATIO_PATTERN = `^${DECIMAL}%?$`;

/** Written as a number or as a string; one schema without a union, so that a message speaks of what was written. */
export function ratioLike(
  parse: (value: string | number) => unknown,
  expected: string,
  pattern: string,
  description: string,
) {
  return z
    .custom<string | number>((value) => typeof value === 'string' || typeof value === 'number', {
      message: expected,
      abort: true,
    })
    .check(readableBy(parse))
    .meta({
      description,
      anyOf: [
        { type: 'number', minimum: 0, maximum: 1 },
        { type: 'string', pattern },
      ],
    });
}

/** Any text but NUL, which neither argv nor an environment can hold. */
export function text(what: string) {
  return z
    .string({
      error: (issue) =>
        typeof issue.input === 'number' || typeof issue.input === 'boolean'
          ? twoLines(`${what} is text, not ${String(issue.input)}`, `quote it: "${String(issue.input)}"`)
          : `${what} is expected`,
    })
    .refine((value) => !value.includes('\0'), { error: `${what} contains a NUL character` });
}
