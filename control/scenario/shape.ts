/**
 * Checks a value against the scenario's schema, and says what does not fit in Luthier's words: zod's own messages speak
 * of unions and discriminators, which a writer of scenarios never heard of.
 *
 * Called by `load.ts` and `change-link.ts`.
 */
import type { z } from 'zod';
import { nearest, quoted, suggestion } from '../../model/names.js';
import { ScenarioError, UsageError } from '../../model/errors.js';
import { direction, type RawLinkProperties } from '../../model/link-properties.js';
import { outerSchema, SECTIONS } from '../../model/scenario.js';
import type { RawScenario } from '../../model/scenario.js';
import { Problems } from './problems.js';
import type { Path } from './problems.js';
import { objectSource } from './source.js';
import type { Source } from './source.js';

type Issue = z.core.$ZodIssue;
/** What is wrong, and a hint. */
type Said = readonly [string, (string | undefined)?];

/** The value with its type. Throws the first `ScenarioError` in the order of the file. */
export function checkShape(source: Source): RawScenario {
  const { value } = source;
  const problems = new Problems(source);
  check(outerSchema, value, [], problems, value);
  for (const [name, section] of Object.entries(SECTIONS)) {
    const entries = valueAt(value, [name]);
    if (typeof entries !== 'object' || entries === null) continue;
    checkSection(name, section, entries, problems, value);
  }
  problems.throwFirst();
  // The schema refuses and changes nothing: what it has let pass is what was written.
  return value as RawScenario;
}

/** A direction's properties that stand in no file. Throws `UsageError`. */
export function checkProperties(value: unknown): RawLinkProperties {
  const source = objectSource(value);
  const problems = new Problems(source);
  check(direction, source.value, [], problems, source.value);
  try {
    problems.throwFirst();
  } catch (cause) {
    if (!(cause instanceof ScenarioError)) throw cause;
    throw new UsageError(cause.message, { ...(cause.hint === undefined ? {} : { hint: cause.hint }), cause });
  }
  return source.value as RawLinkProperties;
}

/**
 * Entry by entry up to the first that is wrong: a section of tens of thousands, all wrong, would otherwise take as many
 * times what it takes to tell one.
 */
function checkSection(
  name: string,
  { key, entry }: { readonly key?: z.ZodType; readonly entry: z.ZodType },
  entries: object,
  problems: Problems,
  root: unknown,
): void {
  const listed: Iterable<[string | number, unknown]> = Array.isArray(entries)
    ? (entries as readonly unknown[]).entries()
    : Object.entries(entries);
  for (const [part, item] of listed) {
    const path = [name, part];
    const [issue] = key?.safeParse(part).error?.issues ?? [];
    if (issue !== undefined) problems.addKey(path, ...lines(issue.message));
    if (!check(entry, item, path, problems, root) || issue !== undefined) return;
  }
}

/** Whether `value`, which stands at `path`, fits. */
function check(schema: z.ZodType, value: unknown, path: Path, problems: Problems, root: unknown): boolean {
  const { error } = schema.safeParse(value);
  for (const issue of error?.issues ?? []) report(issue, path, root, problems);
  return error === undefined;
}

/** `base` is where the issue's own path begins: issues inside unions are relative to the union. */
function report(issue: Issue, base: Path, root: unknown, problems: Problems): void {
  const path = [...base, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  const value = valueAt(root, path);
  const key = path.at(-1);
  if (value === undefined && typeof key === 'string' && issue.code !== 'custom') {
    reportMissing(key, path.slice(0, -1), issue, root, problems);
    return;
  }
  switch (issue.code) {
    case 'unrecognized_keys': {
      const [message, hint] = lines(issue.message);
      problems.addKey([...path, issue.keys[0] ?? ''], message, hint);
      return;
    }
    case 'invalid_key': // of an environment
      problems.addKey(path, ...lines(issue.issues[0]?.message ?? issue.message));
      return;
    case 'invalid_union':
      reportUnion(issue, path, root, problems);
      return;
    case 'invalid_value':
      problems.add(path, ...invalidValue(issue, value));
      return;
    case 'too_small':
    case 'too_big':
      // The only ones without a message of their own are the pair of endpoints.
      if (issue.origin === 'array' && key === 'endpoints') problems.add(path, 'a link has two endpoints');
      else problems.add(path, ...lines(issue.message));
      return;
    case 'invalid_type':
      problems.add(path, ...invalidType(issue, value));
      return;
    default:
      problems.add(path, ...lines(issue.message));
  }
}

/** A key that looks like the missing one is what the writer has to change, so it is that which is reported. */
function reportMissing(key: string, path: Path, issue: Issue, root: unknown, problems: Problems): void {
  const written = Object.keys(valueAt(root, path) as object).find((other) => nearest(other, [key]) === key);
  if (written === undefined)
    problems.add(path, `"${key}" is missing`, Object.hasOwn(DISCRIMINATORS, key) ? kinds(issue) : undefined);
  else problems.addKey([...path, written], `unknown key ${quoted(written)}`, suggestion(written, [key]));
}

/**
 * Something that is told apart by a key of its own, with a value there is not; or something of two forms, the first of
 * them text: of these, the one that was written is the one to speak of.
 */
function reportUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: Path,
  root: unknown,
  problems: Problems,
): void {
  const value = valueAt(root, path);
  const key = path.at(-1);
  if (issue.errors.length === 0) {
    problems.add(path, `${shown(value)} is not a ${DISCRIMINATORS[String(key)] ?? String(key)}`, kinds(issue, value));
    return;
  }
  const [asText = [], asParts = []] = issue.errors;
  const hasParts = typeof value === 'object' && value !== null;
  for (const inner of hasParts ? asParts : asText) report(inner, path, root, problems);
}

/** Keys by whose value a mapping is told what else it holds. */
const DISCRIMINATORS: Readonly<Record<string, string>> = { kind: 'kind of node', discipline: 'discipline of a queue' };

function kinds(issue: Issue, value?: unknown): string | undefined {
  const known = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
  return suggestion(typeof value === 'string' ? value : '', known);
}

function invalidValue(issue: Extract<Issue, { code: 'invalid_value' }>, value: unknown): Said {
  const [message, hint] = lines(issue.message);
  // A literal of the schema has a message of its own; a list of words has not.
  if (issue.values.length < 2 || typeof issue.values[0] !== 'string') return [message, hint];
  const known = issue.values.map(String);
  return [`${shown(value)} is not one of ${known.join(', ')}`, suggestion(String(value), known)];
}

/** Messages of the schema stand; what zod says by itself is about mappings and lists. */
function invalidType(issue: Extract<Issue, { code: 'invalid_type' }>, value: unknown): Said {
  switch (issue.expected) {
    case 'object':
    case 'record':
      return [`a mapping (key: value) is expected, not ${shown(value)}`];
    case 'array':
    case 'tuple':
      return [`a list is expected, not ${shown(value)}`];
    default:
      return lines(issue.message);
  }
}

/** `value` in a message: short, and never a whole subtree. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a mapping';
  if (value === null || value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The schema's convention: what is wrong, and on a second line the hint. */
function lines(message: string): Said {
  const [what = message, hint] = message.split('\n');
  return [what, hint];
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}
