/**
 * What links become later, and when. The engine's thread asks it between two breaths, so that a change comes at its time
 * whatever the agent does then, and whether there is one. Filled by `PUT /config` and `PUT /links`, which say all that is to
 * come of each link that they name.
 *
 * What is due already when it is told is handed out at once: so that whoever tells need not hurry, as long as it says what
 * a link was at some moment, and all that comes after that moment.
 */
import type { LinkChange, ScheduledLink } from '../model/messages.js';

export interface DueChange {
  readonly atNs: number;
  readonly change: LinkChange;
}

export class Schedule {
  /** When the next one is due, by the clock of what it was given; Infinity for never. Read in the engine's loop. */
  nextNs: number;
  /** Ascending; of the same moment, in the order in which they were given. Those before `#next` were handed out. */
  #changes: DueChange[];
  #next: number;

  constructor() {
    this.nextNs = Infinity;
    this.#changes = [];
    this.#next = 0;
  }

  /** Of these links, in place of what was to come of them. */
  replace(links: readonly ScheduledLink[]): void {
    const told = new Set(links.map(({ name }) => name));
    this.#put([...this.#waiting().filter(({ change }) => !told.has(change.name)), ...links.flatMap(changesOf)]);
  }

  /** Of all links there are. */
  replaceAll(links: readonly ScheduledLink[]): void {
    this.#put(links.flatMap(changesOf));
  }

  /** In order; each is handed out once. */
  takeDue(nowNs: number): readonly DueChange[] {
    const first = this.#next;
    while (this.#next < this.#changes.length && this.#changes[this.#next]!.atNs <= nowNs) this.#next++;
    const due = this.#changes.slice(first, this.#next);
    this.#look();
    return due;
  }

  #waiting(): DueChange[] {
    return this.#changes.slice(this.#next);
  }

  #put(changes: DueChange[]): void {
    this.#changes = changes.sort((a, b) => a.atNs - b.atNs);
    this.#next = 0;
    this.#look();
  }

  #look(): void {
    this.nextNs = this.#changes[this.#next]?.atNs ?? Infinity;
  }
}

function changesOf({ name, later = [] }: ScheduledLink): DueChange[] {
  return later.map(({ atNs, forward, reverse }) => ({ atNs, change: { name, forward, reverse } }));
}
