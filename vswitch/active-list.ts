/**
 * A list of things that have work to do, refilled breath by breath. Unlike an array whose length is set to 0, it keeps
 * its memory when it is emptied (V8 gives an emptied array a new backing store at the next push), so that a breath
 * allocates nothing. Used by `engine.ts` for ports and by `transmit-list.ts` for directions.
 */
export class ActiveList<T> {
  /** The first `count` are in the list; what stands behind them is of the past. */
  readonly items: T[];
  count: number;

  constructor() {
    this.items = [];
    this.count = 0;
  }

  push(item: T): void {
    if (this.count === this.items.length) this.items.push(item);
    else this.items[this.count] = item;
    this.count++;
  }

  /** Forgets an item, also as one of the past. For set-up: it takes time in the length of the list. */
  remove(item: T): void {
    const at = this.items.indexOf(item);
    if (at !== -1 && at < this.count) {
      this.items.copyWithin(at, at + 1, this.count);
      this.count--;
    }
    this.items.length = this.count;
  }
}
