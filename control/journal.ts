/**
 * The record of one network: what was intended, written and synced before it is made, and what came of it. It is what a
 * new agent adopts a running network from, completes an interrupted `down` with, and rolls an interrupted `up` back by.
 *
 * JSON lines. The first is the header; a last line without its newline was being written when the machine stopped, and
 * is ignored. When a change is complete, the record is written anew, as if the network had come up that way.
 *
 *     (new) ─ starting ──────────────┬─ running ─ stopping ─ (gone)
 *                                    │
 *               changing ─ clearing ─┘   a change of a running network: until `commit` it is taken back,
 *                                        from then on it is completed
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Link, Network, NetworkEvent } from '../model/network.js';
import { LuthierError, StateError } from '../model/errors.js';
import type { ProcessId } from './process.js';
import { recordError } from './journal-files.js';
import { advance, eventKey, withLink } from './schedule.js';

export { journalFiles } from './journal-files.js';

export interface JournalHeader {
  readonly luthier: 1;
  readonly boot: string;
  readonly name: string;
  readonly number: number;
  /** Of the network's switch processes. */
  readonly uid: number;
  /** The scenario's file, where it came from one. */
  readonly file?: string;
  /** ISO 8601 */
  readonly since: string;
  readonly memoryBytes: number;
  /** Of each switch process; absent: one. */
  readonly engines?: number;
  /** Whether switch processes leave out of delays what they take themselves; absent: they do. */
  readonly compensation?: boolean;
  /** As it was at some moment, the last of which something was recorded; its events say what it is since. */
  readonly network: Network;
  /** Once all of it was ready for the first time. */
  readonly zero?: TimeZero;
}

/** From when a network's events are counted. */
export interface TimeZero {
  /** CLOCK_MONOTONIC, of this boot */
  readonly monotonicNs: number;
  /** ISO 8601 */
  readonly at: string;
}

export type NetworkStatus = 'starting' | 'running' | 'changing' | 'clearing' | 'stopping';

/** What a change leads to. */
export type WantedNetwork = Pick<JournalHeader, 'network' | 'file' | 'memoryBytes' | 'engines' | 'compensation'>;

export type JournalEntry =
  /** `running` ends a change, whatever came of it. */
  | { readonly op: 'status'; readonly status: 'running' | 'stopping' }
  /** From what runs to `network`; the others are those of the new header. */
  | ({ readonly op: 'change' } & WantedNetwork)
  /** What is wanted has been made: the change counts, and what is not wanted any more goes. */
  | { readonly op: 'commit' }
  /** About to end the command of this host, to start another. */
  | { readonly op: 'restart'; readonly node: string }
  /** A link was changed by hand, so long after time zero. */
  | { readonly op: 'link'; readonly atNs: number; readonly link: Link }
  /** The same as it was recorded once: its state alone, of a network without events. */
  | { readonly op: 'link'; readonly link: string; readonly state: 'up' | 'down' }
  /** Time zero of the network. */
  | ({ readonly op: 'zero' } & TimeZero)
  /** An event has happened, so long after time zero. For people: what comes of it follows from the time alone. */
  | { readonly op: 'happened'; readonly event: NetworkEvent; readonly doneNs: number }
  /** About to do this action (its kind). Undoing is idempotent: one that was interrupted is simply done again. */
  | { readonly op: 'make'; readonly action: string }
  /** Processes that an action made, by role: `keeper`, `switch:a`, `host:h1`. */
  | { readonly op: 'made'; readonly processes: Readonly<Record<string, ProcessId>> }
  /** What was made since the last time is complete: nothing is left to be done to it. */
  | { readonly op: 'whole' }
  /** Roles that the network has no more: their processes were ended for good. */
  | { readonly op: 'ended'; readonly roles: readonly string[] }
  /** A cgroup that an action is about to make. */
  | { readonly op: 'cgroup'; readonly directory: string }
  /** One that is gone again. */
  | { readonly op: 'lifted'; readonly directory: string };

/**
 * What is of use to this boot alone, and the kernel keeps that long: which processes there are, and how links of what runs
 * were changed. Nobody waits for the disk.
 */
const OF_THIS_BOOT: ReadonlySet<JournalEntry['op']> = new Set(['made', 'ended', 'link', 'zero', 'happened']);

/** Told before and after each change of a record on disk: its header, its entries, a change's completion, its removal. */
export type OnRecord = (
  when: 'before' | 'after',
  what: JournalHeader | JournalEntry | 'completion' | 'removal',
) => void;

/** What the journal's lines add up to. */
export interface JournalState {
  /** Its network is what counts: before a change's commit what ran, after it what is to be. */
  header: JournalHeader;
  status: NetworkStatus;
  change: Change | undefined;
  readonly actions: Set<string>;
  readonly processes: Map<string, ProcessId>;
  /** Roles of processes that were made and are not yet known to be what they should: steps that follow may be missing. */
  readonly unfinished: Set<string>;
  readonly cgroups: Set<string>;
  /** Links that were changed by hand since the network became what a scenario says. */
  readonly changedLinks: Set<string>;
  /** When events happened, by `eventKey`. */
  readonly happened: Map<string, number>;
}

/** A change under way. */
export interface Change {
  /** What counts when it is complete. */
  readonly header: JournalHeader;
  readonly from: Network;
  /** Hosts whose command may have been ended for it. */
  readonly restarted: Set<string>;
}

export class Journal {
  readonly state: JournalState;
  readonly #file: string;
  readonly #onRecord: OnRecord;
  #fd: number | undefined;

  private constructor(file: string, state: JournalState, fd: number, onRecord: OnRecord) {
    this.#file = file;
    this.state = state;
    this.#fd = fd;
    this.#onRecord = onRecord;
  }

  /** Throws when the network has a journal already. */
  static create(file: string, header: JournalHeader, onRecord: OnRecord = nobody): Journal {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      const journal = new Journal(file, emptyState(header), openSync(file, 'ax', 0o600), onRecord);
      journal.#write(header);
      syncDirectory(dirname(file));
      return journal;
    } catch (cause) {
      throw recordError(file, cause);
    }
  }

  /** Undefined when the file has no complete header: nothing was made yet. Throws when a line makes no sense. */
  static open(file: string, onRecord: OnRecord = nobody): Journal | undefined {
    const found = parseFile(file);
    if (found === undefined) return undefined;
    const fd = openSync(file, 'a', 0o600);
    // A line that was cut short must not run together with the next one.
    if (found.completeBytes < found.bytes) ftruncateSync(fd, found.completeBytes);
    return new Journal(file, found.state, fd, onRecord);
  }

  append(entry: JournalEntry): void {
    this.#write(entry);
    fold(this.state, entry);
  }

  /**
   * Ends a change: the record becomes that of a network that came up as it is now. Where the disk has no room for it, the
   * record stays as it is, which says the same at more length.
   */
  complete(): void {
    this.append({ op: 'status', status: 'running' });
    const { header, actions, processes, cgroups, happened } = this.state;
    const entries: JournalEntry[] = [
      ...[...actions].map((action): JournalEntry => ({ op: 'make', action })),
      { op: 'made', processes: Object.fromEntries(processes) },
      ...[...cgroups].map((directory): JournalEntry => ({ op: 'cgroup', directory })),
      ...header.network.events.flatMap((event): JournalEntry[] => {
        const doneNs = happened.get(eventKey(event));
        return doneNs === undefined ? [] : [{ op: 'happened', event, doneNs }];
      }),
      { op: 'status', status: 'running' },
    ];
    const fresh = `${this.#file}.new`;
    try {
      rmSync(fresh, { force: true });
      const fd = openSync(fresh, 'ax', 0o600);
      try {
        const text = Buffer.from([header, ...entries].map((line) => `${JSON.stringify(line)}\n`).join(''));
        for (let written = 0; written < text.byteLength;) written += writeSync(fd, text, written);
        fsyncSync(fd);
        this.#onRecord('before', 'completion');
        renameSync(fresh, this.#file);
        syncDirectory(dirname(this.#file));
        this.#onRecord('after', 'completion');
      } catch (cause) {
        closeSync(fd);
        throw cause;
      }
      this.close();
      this.#fd = fd;
    } catch (cause) {
      rmSync(fresh, { force: true });
      if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw recordError(this.#file, cause);
    }
  }

  /** The network is gone: so is its record. */
  remove(): void {
    this.close();
    this.#onRecord('before', 'removal');
    rmSync(dirname(this.#file), { recursive: true, force: true });
    this.#onRecord('after', 'removal');
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** A line is there whole or not at all: one that does not fit the disk is taken back. */
  #write(value: JournalHeader | JournalEntry): void {
    if (this.#fd === undefined) throw new LuthierError('E_JOURNAL', `the journal ${this.#file} is closed`);
    this.#onRecord('before', value);
    const line = Buffer.from(`${JSON.stringify(value)}\n`);
    const { size } = fstatSync(this.#fd);
    try {
      for (let written = 0; written < line.byteLength;) written += writeSync(this.#fd, line, written);
      if (!('op' in value) || !OF_THIS_BOOT.has(value.op)) fsyncSync(this.#fd);
    } catch (cause) {
      ftruncateSync(this.#fd, size);
      throw recordError(this.#file, cause);
    }
    this.#onRecord('after', value);
  }
}

function nobody(): void {}

/** What a journal says at the moment, for whoever is not the agent that writes it. As `Journal.open`, and changes nothing. */
export function readJournal(file: string): JournalState | undefined {
  return parseFile(file)?.state;
}

function parseFile(file: string): { state: JournalState; bytes: number; completeBytes: number } | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw recordError(file, cause);
  }
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  const [first, ...rest] = complete.split('\n').slice(0, -1);
  if (first === undefined) return undefined;
  try {
    const header = JSON.parse(first) as JournalHeader;
    const state = emptyState({ ...header, network: wholeNetwork(header.network) });
    for (const line of rest) fold(state, JSON.parse(line) as JournalEntry);
    return { state, bytes: Buffer.byteLength(text), completeBytes: Buffer.byteLength(complete) };
  } catch (cause) {
    throw new StateError(`the record ${file} makes no sense: ${(cause as Error).message}`, {
      hint: `nothing of it is touched: end what still runs of that network by hand, then remove ${dirname(file)}`,
      cause,
    });
  }
}

function emptyState(header: JournalHeader): JournalState {
  return {
    header,
    status: 'starting',
    change: undefined,
    actions: new Set(),
    processes: new Map(),
    unfinished: new Set(),
    cgroups: new Set(),
    changedLinks: new Set(),
    happened: new Map(),
  };
}

function fold(state: JournalState, entry: JournalEntry): void {
  switch (entry.op) {
    case 'status':
      state.status = entry.status;
      state.change = undefined;
      if (entry.status === 'running') state.unfinished.clear();
      break;
    case 'whole':
      state.unfinished.clear();
      break;
    case 'change': {
      const { op: _op, ...wanted } = entry;
      const header = { ...state.header, ...wanted, network: wholeNetwork(wanted.network) };
      state.change = { header, from: state.header.network, restarted: new Set() };
      state.status = 'changing';
      break;
    }
    case 'commit':
      if (state.change === undefined) throw new RangeError('a commit without a change');
      state.header = state.change.header;
      state.changedLinks.clear();
      state.status = 'clearing';
      break;
    case 'restart':
      state.change?.restarted.add(entry.node);
      break;
    case 'link':
      state.header = { ...state.header, network: withChange(state.header.network, entry) };
      state.changedLinks.add(typeof entry.link === 'string' ? entry.link : entry.link.name);
      break;
    case 'zero':
      state.header = { ...state.header, zero: { monotonicNs: entry.monotonicNs, at: entry.at } };
      break;
    case 'happened':
      state.happened.set(eventKey(entry.event), entry.doneNs);
      break;
    case 'make':
      state.actions.add(entry.action);
      break;
    case 'made':
      for (const [role, id] of Object.entries(entry.processes)) {
        state.processes.set(role, id);
        state.unfinished.add(role);
      }
      break;
    case 'ended':
      for (const role of entry.roles) {
        state.processes.delete(role);
        state.unfinished.delete(role);
      }
      break;
    case 'cgroup':
      state.cgroups.add(entry.directory);
      break;
    case 'lifted':
      state.cgroups.delete(entry.directory);
      break;
  }
}

/** As it was recorded once, of links that did nothing but be up or down, a network has neither inputs nor events. */
function wholeNetwork(network: Network): Network {
  const recorded: Partial<Network> = network;
  if (recorded.events !== undefined) return network;
  return { ...network, inputs: { traces: {}, distributions: {} }, events: [], passedEvents: 0 };
}

function withChange(network: Network, entry: Extract<JournalEntry, { op: 'link' }>): Network {
  if ('atNs' in entry) return withLink(advance(network, entry.atNs), entry.link);
  const { link: name, state } = entry;
  const link = network.links.find((candidate) => candidate.name === name);
  if (link === undefined) return network;
  return withLink(network, { ...link, forward: { ...link.forward, state }, reverse: { ...link.reverse, state } });
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
