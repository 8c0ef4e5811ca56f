/**
 * A scenario's text, or an object in its place, as a plain value with a position for every path in it. What reaches the
 * schema is bounded whatever was given: in bytes, in depth, and in values once aliases are expanded. Everything that is
 * wrong is a `ScenarioError`.
 *
 * Called by `load.ts` alone.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { Composer, isAlias, isMap, isScalar, isSeq, LineCounter, Parser } from 'yaml';
import type { CST, Document, Node, Pair, YAMLError } from 'yaml';
import { ScenarioError } from '../model/errors.js';
import type { SourcePosition } from '../model/errors.js';
import { quoted } from '../model/names.js';
import { located } from './problems.js';
import type { Path, Positions } from './problems.js';

export interface Source extends Positions {
  readonly file: string | undefined;
  readonly value: unknown;
}

/** Some 8000 hosts with their links, written generously. */
const MAX_BYTES = 1024 * 1024;
/** The format needs 6: document, nodes, a node, its command, an argument, and one to spare. */
const MAX_DEPTH = 16;
/** Enough for an object with 65535 links, more than a megabyte of text holds; aliases of aliases exceed it. */
const MAX_VALUES = 500_000;

export const OBJECT_POSITION: SourcePosition = { file: '<object>', line: 1, column: 1 };

/** The file's text, from anything that can be read: a pipe too, but never more than the limit. */
export function readText(file: string): string {
  const start = { file, line: 1, column: 1 };
  const bytes = Buffer.alloc(MAX_BYTES + 1);
  let length = 0;
  try {
    const descriptor = openSync(file, 'r');
    try {
      for (;;) {
        const count = readSync(descriptor, bytes, length, bytes.length - length, null);
        if (count === 0) break;
        length += count;
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    throw new ScenarioError(start, `${quoted(file)} cannot be read: ${readFailure(cause)}`, { cause });
  }
  if (length > MAX_BYTES) throw tooLarge(start);
  return decode(bytes.subarray(0, length), file);
}

function readFailure(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EISDIR') return 'it is a directory';
  if (code === 'EACCES') return 'permission is denied';
  return cause instanceof Error ? cause.message : 'unknown error';
}

function tooLarge(position: SourcePosition): ScenarioError {
  return new ScenarioError(position, `the scenario is larger than ${MAX_BYTES} bytes`, {
    hint: 'a scenario has at most 1 MiB: split it into several networks',
  });
}

/** UTF-8, with or without a byte order mark (RFC 3629). YAML would allow UTF-16 too; Luthier's files are UTF-8. */
function decode(bytes: Uint8Array, file: string): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    throw new ScenarioError({ file, line: 1, column: 1 }, 'the file is UTF-16', { hint: 'save it as UTF-8' });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const line = firstBrokenLine(bytes);
    throw new ScenarioError({ file, line, column: 1 }, `line ${line} is not UTF-8 text`, {
      hint: 'save the file as UTF-8',
      cause,
    });
  }
}

/** A line feed is never part of a longer UTF-8 sequence, so lines can be decoded one by one. */
function firstBrokenLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for (let line = 1, start = 0; ; line++) {
    const feed = bytes.indexOf(0x0a, start);
    const end = feed === -1 ? bytes.length : feed;
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    if (feed === -1) return line;
    start = feed + 1;
  }
}

/** Parses YAML; JSON is a part of it. */
export function textSource(text: string, file: string): Source {
  const start = { file, line: 1, column: 1 };
  if (Buffer.byteLength(text) > MAX_BYTES) throw tooLarge(start);
  const lines = new LineCounter();
  const at = (offset: number): SourcePosition => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const nul = text.indexOf('\0');
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  if (nul !== -1) {
    throw new ScenarioError(at(nul), 'the file holds a NUL character: it is binary, not YAML', {
      hint: 'a scenario is a text file; docs/scenario.md shows one',
    });
  }
  const deep = tokens.map(firstTooDeep).find((offset) => offset !== undefined);
  if (deep !== undefined) throw new ScenarioError(at(deep), `nests deeper than ${MAX_DEPTH} levels`);
  const document = compose(tokens, text.length, at);
  if (document.contents === null) {
    throw new ScenarioError(start, 'the file is empty', { hint: 'the smallest scenario has "name" and "nodes"' });
  }
  return {
    file,
    value: new YamlReader(document, at).read(document.contents),
    position: (path) => at(offsetOf(document, path, 'value')),
    keyPosition: (path) => at(offsetOf(document, path, 'key')),
  };
}

/**
 * The offset of what is nested too deep. The composer recurses and, near the end of its stack, V8's regular expressions
 * abort the process: depth is checked on the parser's tokens, which are built without recursion.
 */
function firstTooDeep(token: CST.Token): number | undefined {
  const open: { readonly token: CST.Token; readonly depth: number }[] = [{ token, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    if (depth > MAX_DEPTH) return token.offset;
    if (token.type === 'document') {
      if (token.value !== undefined) open.push({ token: token.value, depth });
    } else if ('items' in token) {
      for (const item of token.items) {
        if (item.key) open.push({ token: item.key, depth: depth + 1 });
        if (item.value) open.push({ token: item.value, depth: depth + 1 });
      }
    }
  }
  return undefined;
}

/**
 * One document without errors. Warnings are errors here: they stand for something that would be ignored, such as an
 * unknown tag. `schema` is pinned: a `%YAML 1.1` line must not turn `02:00` into a number or `no` into false. Keys are
 * compared in `YamlReader`: the composer's own check takes time with the square of their number.
 */
function compose(
  tokens: readonly CST.Token[],
  length: number,
  at: (offset: number) => SourcePosition,
): Document.Parsed {
  const composer = new Composer({ schema: 'core', uniqueKeys: false, logLevel: 'silent' });
  const [document, second] = [...composer.compose(tokens, true, length)];
  if (document === undefined) throw new ScenarioError(at(0), 'the file is empty');
  const problems: YAMLError[] = [...document.errors, ...document.warnings];
  const [first] = problems.sort((a, b) => a.pos[0] - b.pos[0]);
  if (first !== undefined) {
    throw new ScenarioError(at(first.pos[0]), `not YAML that can be read: ${first.message.split('\n')[0] ?? ''}`, {
      hint: yamlHint(first.code),
    });
  }
  if (second !== undefined) {
    throw new ScenarioError(at(second.range[0]), 'a second YAML document begins here', {
      hint: 'a file describes one network: put the other into a file of its own',
    });
  }
  return document;
}

function yamlHint(code: YAMLError['code']): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'indent with spaces: YAML allows no tabs there';
    case 'BAD_INDENT':
      return 'indent with spaces, the keys of one mapping alike, and close every "[" and "{"';
    case 'MISSING_CHAR':
      return 'close every quote and bracket, and write a ":" after each key';
    default:
      return 'strings with ":", "#", "*" or "!" in them are safe in quotes';
  }
}

/** Turns nodes into plain values: aliases expanded, keys that are no strings or stand twice refused. */
class YamlReader {
  readonly #document: Document.Parsed;
  readonly #at: (offset: number) => SourcePosition;
  #values = 0;

  constructor(document: Document.Parsed, at: (offset: number) => SourcePosition) {
    this.#document = document;
    this.#at = at;
  }

  read(node: Node | null, depth = 0): unknown {
    if (node === null) return null;
    // Depth is bounded in the text already; here it stops an alias inside of its own anchor.
    if (depth > MAX_DEPTH) throw this.#error(node, `nests deeper than ${MAX_DEPTH} levels`);
    if (++this.#values > MAX_VALUES) throw this.#error(node, `holds more than ${MAX_VALUES} values, aliases expanded`);
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) throw this.#error(node, `the alias *${node.source} has no anchor &${node.source}`);
      return this.read(target, depth + 1);
    }
    if (isSeq<Node>(node)) return node.items.map((item) => this.read(item, depth + 1));
    if (isMap<Node, Node | null>(node)) return this.#readMap(node.items, depth);
    if (isScalar(node)) return node.value;
    throw this.#error(node, 'is neither a mapping, nor a list, nor a value');
  }

  #readMap(pairs: readonly Pair<Node, Node | null>[], depth: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (const { key, value } of pairs) {
      if (!isScalar(key) || typeof key.value !== 'string') {
        const shown = isScalar(key) ? String(key.value) : undefined;
        throw this.#error(key, 'a key is a string', shown === undefined ? undefined : `quote it: "${shown}"`);
      }
      if (key.value === '__proto__') throw this.#error(key, 'the key "__proto__" is not allowed');
      if (Object.hasOwn(map, key.value)) {
        throw this.#error(key, `${quoted(key.value)} stands twice in one mapping`, 'rename or remove one of the two');
      }
      map[key.value] = this.read(value, depth + 1);
    }
    return map;
  }

  #error(node: Node, message: string, hint?: string): ScenarioError {
    return new ScenarioError(this.#at(node.range?.[0] ?? 0), message, hint === undefined ? {} : { hint });
  }
}

/** Offset of a path's key or value; where the path ends early, of the last thing that is there. */
function offsetOf(document: Document.Parsed, path: Path, what: 'key' | 'value'): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document) ?? null;
    const last = index === path.length - 1;
    if (isMap<Node, Node | null>(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
      if (pair === undefined) return offset;
      const empty = pair.value?.range == null || pair.value.range[0] === pair.value.range[1];
      const stands = empty || (last && what === 'key') ? pair.key : pair.value!;
      offset = stands.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq<Node>(node) && typeof part === 'number') {
      const item: Node | undefined = node.items[part];
      if (item === undefined) return offset;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else {
      return offset;
    }
  }
  return offset;
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
    if (Array.isArray(part)) return Array.from(part as readonly unknown[], (item, i) => plain(item, [...path, i]));
    if (typeof part !== 'object') throw refuse(`a ${typeof part} is no part of a scenario`);
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(part)) {
      if (key === '__proto__') throw refuse('the key "__proto__" is not allowed');
      if (item !== undefined) copy[key] = plain(item, [...path, key]);
    }
    return copy;
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
