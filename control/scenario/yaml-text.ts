/**
 * YAML to plain values, with the place of every one of them. The events are js-yaml's; what becomes of them is decided
 * here, because a scenario is stricter than YAML: one document, keys that are strings and stand once, no tags, and a
 * bound on depth and on values, aliases expanded.
 *
 * Values are frozen as they are made, and keep no trace of the text. Their places are in an `Outline`, a few numbers each,
 * which is searched only when something is to be told: 65535 links cost it nothing.
 *
 * Called by `source.ts` alone.
 */
import {
  boolCoreTag,
  EVENT_ID,
  floatCoreTag,
  getScalarValue,
  intCoreTag,
  NOT_RESOLVED,
  nullCoreTag,
  parseEvents,
  SCALAR_STYLE,
  YAMLException,
} from 'js-yaml';
import type { Event, ScalarEvent } from 'js-yaml';
import { quoted } from '../../model/names.js';
import { MAX_DEPTH, MAX_ENTRIES, MAX_VALUES } from './source-limits.js';
import type { Path } from './problems.js';

/** What is wrong with a text, at an offset of it. `source.ts` makes a `ScenarioError` of it. */
export class YamlProblem extends Error {
  readonly offset: number;
  readonly hint: string | undefined;

  constructor(offset: number, message: string, hint?: string) {
    super(message);
    this.offset = offset;
    this.hint = hint;
  }
}

export interface YamlText {
  /** Undefined where the text has no document, or an empty one. */
  readonly value: unknown;
  readonly outline: Outline;
}

/** Throws `YamlProblem`. */
export function readYaml(text: string): YamlText {
  let events: readonly Event[];
  try {
    // The parser counts the document, and a key apart from its mapping.
    events = parseEvents(text, { maxDepth: MAX_DEPTH + 2 });
  } catch (cause) {
    if (cause instanceof YAMLException) throw syntaxProblem(cause);
    throw cause;
  }
  return new Reader(text, events).read();
}

function syntaxProblem({ reason, mark }: YAMLException): YamlProblem {
  const offset = mark?.position ?? 0;
  if (reason.startsWith('nesting exceeded')) return new YamlProblem(offset, `nests deeper than ${MAX_DEPTH} levels`);
  return new YamlProblem(offset, `not YAML that can be read: ${reason}`, syntaxHint(reason));
}

function syntaxHint(reason: string): string {
  if (/\btabs?\b/.test(reason)) return 'indent with spaces: YAML allows no tabs there';
  if (/indentation|multiline key/.test(reason)) {
    return 'indent the keys of one mapping alike, with spaces; close every "[", "{" and quote; quote text with ": " in it';
  }
  if (/unexpected end|missed comma|after a mapping key|key-value separator|node content/.test(reason)) {
    return 'close every "[", "{" and quote, part entries by commas, and write ": " after each key';
  }
  return 'text with ":", "#", "*", "%" or "!" in it is safe in quotes';
}

/** What an anchor stands for: shared by its aliases, counted for each. */
interface Anchored {
  readonly value: unknown;
  readonly values: number;
  readonly index: number;
}

/** Walks the events once; its recursion is as deep as the text nests, which the parser has bounded. */
class Reader {
  readonly #text: string;
  readonly #events: readonly Event[];
  readonly #outline: Outline;
  readonly #anchors = new Map<string, Anchored>();
  /** Anchors of what is being read at the moment: nothing may hold itself. */
  readonly #open = new Set<string>();
  #next = 0;
  #values = 0;
  /** Of the last thing that has a place; what is empty has none of its own. */
  #offset = 0;

  constructor(text: string, events: readonly Event[]) {
    this.#text = text;
    this.#events = events;
    this.#outline = new Outline(events.length);
  }

  read(): YamlText {
    const outline = this.#outline;
    if (this.#events.length === 0) return { value: undefined, outline };
    this.#next = 1; // after the document's own event
    const value = this.#node() ?? undefined;
    if (this.#next + 1 < this.#events.length) {
      const marker = /^(---|\.\.\.)(?=\s|$)/gm;
      marker.lastIndex = this.#offset;
      throw new YamlProblem(
        marker.exec(this.#text)?.index ?? this.#offset,
        'a second YAML document begins here',
        'a file describes one network: put the other into a file of its own',
      );
    }
    return { value, outline };
  }

  #node(): unknown {
    const event = this.#events[this.#next++]!;
    if (event.type === EVENT_ID.ALIAS)
      return this.#alias(this.#text.slice(event.anchorStart, event.anchorEnd), event.anchorStart - 1);
    if (event.type === EVENT_ID.DOCUMENT || event.type === EVENT_ID.POP) throw new TypeError('a node was expected');
    if (event.tagStart >= 0) {
      const tag = this.#text.slice(event.tagStart, event.tagEnd);
      throw new YamlProblem(
        event.tagStart,
        `the tag ${quoted(tag)} means nothing here`,
        'leave it out, or put it in quotes if it is text',
      );
    }
    const anchor = event.anchorStart >= 0 ? this.#text.slice(event.anchorStart, event.anchorEnd) : undefined;
    const before = this.#values;
    this.#offset = this.#offsetOf(event);
    const index = this.#outline.open(this.#offset);
    this.#count(1);
    if (anchor !== undefined) this.#open.add(anchor);
    const value =
      event.type === EVENT_ID.SCALAR
        ? this.#scalar(event)
        : event.type === EVENT_ID.SEQUENCE
          ? this.#list()
          : this.#mapping();
    this.#outline.close(index);
    if (anchor !== undefined) {
      this.#open.delete(anchor);
      this.#anchors.set(anchor, { value, values: this.#values - before, index });
    }
    return value;
  }

  #scalar(event: ScalarEvent): unknown {
    const text = event.valueStart < 0 ? '' : getScalarValue(this.#text, event);
    return event.style === SCALAR_STYLE.PLAIN ? plainValue(text) : text;
  }

  #list(): readonly unknown[] {
    const list: unknown[] = [];
    while (!this.#ends()) this.#countEntries(list.push(this.#node()));
    return Object.freeze(list);
  }

  #mapping(): Readonly<Record<string, unknown>> {
    const map: Record<string, unknown> = {};
    for (let entries = 1; !this.#ends(); entries++) {
      this.#countEntries(entries);
      const key = this.#key();
      if (Object.hasOwn(map, key)) {
        throw new YamlProblem(
          this.#offset,
          `${quoted(key)} stands twice in one mapping`,
          'rename or remove one of the two',
        );
      }
      map[key] = this.#node();
    }
    return Object.freeze(map);
  }

  #key(): string {
    const event = this.#events[this.#next]!;
    const isText = event.type === EVENT_ID.SCALAR;
    const key = this.#node();
    const offset = isText ? this.#offset : this.#offsetOf(event);
    if (typeof key !== 'string') {
      const hint = typeof key === 'number' || typeof key === 'boolean' ? `quote it: "${key}"` : undefined;
      throw new YamlProblem(offset, 'a key is a string', hint);
    }
    if (key === '__proto__') throw new YamlProblem(offset, 'the key "__proto__" is not allowed');
    if (key === '<<') {
      throw new YamlProblem(
        offset,
        'a merge key ("<<") is no part of YAML 1.2',
        'repeat the keys, or use an alias for all of a value',
      );
    }
    this.#outline.nameLast(key);
    return key;
  }

  #alias(name: string, offset: number): unknown {
    this.#offset = offset;
    const target = this.#anchors.get(name);
    if (target === undefined) {
      if (this.#open.has(name)) throw new YamlProblem(offset, `the alias *${name} is inside of what it stands for`);
      throw new YamlProblem(
        offset,
        `the alias *${name} has no anchor &${name}`,
        `write "&${name}" before the value that it stands for`,
      );
    }
    this.#count(target.values);
    this.#outline.alias(offset, target.index);
    return target.value;
  }

  #count(values: number): void {
    this.#values += values;
    if (this.#values > MAX_VALUES) {
      throw new YamlProblem(
        this.#offset,
        `holds more than ${MAX_VALUES} values, aliases expanded`,
        'split it into several networks',
      );
    }
  }

  #countEntries(entries: number): void {
    if (entries <= MAX_ENTRIES) return;
    throw new YamlProblem(this.#offset, `a list or mapping has at most ${MAX_ENTRIES} entries`);
  }

  /** Consumes the end of a collection. */
  #ends(): boolean {
    if (this.#events[this.#next]!.type !== EVENT_ID.POP) return false;
    this.#next++;
    return true;
  }

  #offsetOf(event: Event): number {
    switch (event.type) {
      case EVENT_ID.SEQUENCE:
      case EVENT_ID.MAPPING:
        return event.start;
      case EVENT_ID.SCALAR:
        if (event.valueStart < 0) return event.anchorStart < 0 ? this.#offset : event.anchorStart - 1;
        if (event.style === SCALAR_STYLE.PLAIN) return event.valueStart;
        return event.style === SCALAR_STYLE.LITERAL_BLOCK || event.style === SCALAR_STYLE.FOLDED_BLOCK
          ? this.#blockHeader(event)
          : event.valueStart - 1;
      case EVENT_ID.ALIAS:
        return event.anchorStart - 1;
      default:
        return this.#offset;
    }
  }

  /**
   * A block scalar's text begins below the `|` or `>` that stands for it, and before that, on its line, stand but an
   * anchor, `-`, `?` and what was read last: a key and its colon. A comment may come after it, with anything in it.
   */
  #blockHeader({ valueStart, anchorEnd }: ScalarEvent): number {
    const text = this.#text;
    const floor = Math.max(this.#offset, anchorEnd, endOf(this.#events[this.#next - 2]!));
    let at = valueStart;
    if (at > floor && text.charCodeAt(at - 1) === LINE_FEED) at--;
    if (at > floor && text.charCodeAt(at - 1) === CARRIAGE_RETURN) at--;
    while (at > floor && !isLineBreak(text.charCodeAt(at - 1))) at--;
    while (at < valueStart && !isBlockIndicator(text.charCodeAt(at))) at++;
    return at;
  }
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

function isLineBreak(code: number): boolean {
  return code === LINE_FEED || code === CARRIAGE_RETURN;
}

/** `|` or `>` */
function isBlockIndicator(code: number): boolean {
  return code === 0x7c || code === 0x3e;
}

/** Of what an event has on its own in the text; 0 where that is nothing. */
function endOf(event: Event): number {
  if (event.type === EVENT_ID.SCALAR) return Math.max(0, event.valueEnd);
  return event.type === EVENT_ID.ALIAS ? event.anchorEnd : 0;
}

const IMPLICIT = [nullCoreTag, boolCoreTag, intCoreTag, floatCoreTag] as const;
/** What could be a number, a boolean or null of the core schema; most of a scenario's words, and `10ms`, cannot. */
const MAYBE_IMPLICIT = /^(?:[-+.0-9][-+._:0-9a-fA-FinINoOxX]*|~|[nNtTfF][a-zA-Z]{3,4})?$/;

/** A plain scalar, by YAML's core schema (YAML 1.2, 10.3), whatever a `%YAML` line says. */
function plainValue(text: string): unknown {
  if (!MAYBE_IMPLICIT.test(text)) return text;
  for (const tag of IMPLICIT) {
    const value = tag.resolve(text, false, tag.tagName);
    if (value !== NOT_RESOLVED) return value;
  }
  return text;
}

/** Where everything stands: the nodes of the text in their order, each with its offset and where its own nodes end. */
export class Outline {
  readonly #offsets: Int32Array;
  readonly #ends: Int32Array;
  /** Of those that are keys. */
  readonly #names: (string | undefined)[];
  #length = 0;
  readonly #aliases = new Map<number, number>();
  /** Of the collections that were asked about: their members' nodes, by key or number. */
  readonly #members = new Map<number, ReadonlyMap<string | number, Member>>();

  /** `most`: as many nodes as there can be. */
  constructor(most: number) {
    this.#offsets = new Int32Array(most);
    this.#ends = new Int32Array(most);
    this.#names = new Array<string | undefined>(most);
  }

  open(offset: number): number {
    this.#offsets[this.#length] = offset;
    return this.#length++;
  }

  close(index: number): void {
    this.#ends[index] = this.#length;
  }

  alias(offset: number, target: number): void {
    const index = this.open(offset);
    this.close(index);
    this.#aliases.set(index, target);
  }

  /** The node that was closed last is a key. */
  nameLast(key: string): void {
    this.#names[this.#length - 1] = key;
  }

  /** Of a path's key or value; where the path ends early, of the last thing that is there. */
  offsetOf(path: Path, what: 'key' | 'value'): number {
    let node = 0;
    let offset = this.#offsets[0] ?? 0;
    for (const [depth, part] of path.entries()) {
      const member = this.#membersOf(this.#aliases.get(node) ?? node).get(part);
      if (member === undefined) break;
      const wanted = what === 'key' && depth === path.length - 1 ? member.key : member.value;
      offset = this.#offsets[wanted]!;
      node = member.value;
    }
    return offset;
  }

  #membersOf(node: number): ReadonlyMap<string | number, Member> {
    const known = this.#members.get(node);
    if (known !== undefined) return known;
    const members = new Map<string | number, Member>();
    const end = this.#ends[node] ?? 0;
    for (let child = node + 1; child < end; child = this.#ends[child]!) {
      const name = this.#names[child];
      if (name === undefined) members.set(members.size, { key: child, value: child });
      else {
        const value = this.#ends[child]!;
        members.set(name, { key: child, value });
        child = value;
      }
    }
    this.#members.set(node, members);
    return members;
  }
}

interface Member {
  readonly key: number;
  readonly value: number;
}
