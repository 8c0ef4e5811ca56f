/**
 * The keys that a tunnel has at the moment, by epoch: which the engine seals with, which it still opens, and when it
 * forgets the others. Keys pass through; nothing here keeps them.
 *
 *   installed ──confirm──► current ──both ends seal with newer ones──► 10 s later dropped
 *       └─────────────────────┴──── an hour after it was installed dropped: with the current one gone, nothing is sealed
 *                                   until there are others
 *
 * The engine may refuse; so whoever asks is told when it has done it, or why it has not.
 */
import type { AeadAlgorithm } from '../../native/binding.js';
import type { EpochKeys } from '../device/device.js';

/** Datagrams that were sealed with an older key may be this late. */
const LATE_MS = 10_000;
/** No key is there for longer, whatever prevents another: what it may seal and how many forgeries it meets is so bounded. */
export const LIFETIME_MS = 3_600_000;
/** More than attempts can succeed within that time; those that come to nothing leave keys behind that nobody uses. */
const MAX_EPOCHS = 8;

/** Called once, at once or later: it is done; or why it is not, for people. */
export type Done = (refusal?: string) => void;

/** To the engine. What is asked first is done first. */
export interface KeyCommands {
  install(keys: EpochKeys, done: Done): void;
  sendWith(epoch: number, done: Done): void;
  drop(epoch: number): void;
}

export interface CurrentEpoch {
  readonly epoch: number;
  readonly algorithm: AeadAlgorithm;
  readonly sinceMs: number;
}

interface Installed {
  readonly epoch: number;
  readonly algorithm: AeadAlgorithm;
  readonly endMs: number;
  /** When what was sealed with it is too late, since neither end does any more; Infinity while one does, or may. */
  lateMs: number;
}

export class Epochs {
  readonly #commands: KeyCommands;
  /** Oldest first. */
  #installed: Installed[];
  #current: CurrentEpoch | undefined;
  /** The newest that the engine was asked to seal with. */
  #asked: number | undefined;
  /** What the peer began last to seal with. */
  #met: number | undefined;

  constructor(commands: KeyCommands) {
    this.#commands = commands;
    this.#installed = [];
    this.#current = undefined;
    this.#asked = undefined;
    this.#met = undefined;
  }

  /** What is sealed with; undefined while nothing can be sent. */
  get current(): CurrentEpoch | undefined {
    return this.#current;
  }

  get nextMs(): number {
    return this.#installed.reduce((next, { endMs, lateMs }) => Math.min(next, endMs, lateMs), Infinity);
  }

  /** What the peer seals can be opened once it is done. Refused where the epoch's number is in use, a chance of 2⁻³². */
  install(keys: EpochKeys, nowMs: number, done: Done): void {
    const { epoch, algorithm } = keys;
    if (this.#installed.some((other) => other.epoch === epoch)) {
      done('the new epoch has the number of one that is in use');
      return;
    }
    if (this.#installed.length === MAX_EPOCHS) {
      const oldest = this.#installed.find(({ epoch: other }) => other !== this.#current?.epoch && other !== this.#met)!;
      this.#drop((other) => other === oldest);
    }
    const installed = { epoch, algorithm, endMs: nowMs + LIFETIME_MS, lateMs: Infinity };
    this.#installed.push(installed);
    this.#commands.install(keys, (refusal) => {
      if (refusal !== undefined) this.#forget(installed);
      done(refusal);
    });
  }

  /**
   * The peer can open it too: from here on it is sealed with. False, and nothing follows, where that was asked for already,
   * of it or of a newer one. What was sealed with goes on where the engine refuses.
   */
  confirm(epoch: number, nowMs: number, done: Done): boolean {
    const index = this.#installed.findIndex((other) => other.epoch === epoch);
    const installed = this.#installed[index];
    const askedIndex = this.#installed.findIndex((other) => other.epoch === this.#asked);
    if (installed === undefined || index <= askedIndex) return false;
    this.#asked = epoch;
    this.#commands.sendWith(epoch, (refusal) => {
      if (refusal === undefined) this.#count(installed, nowMs);
      // The peer may seal with it all the same: it can still be opened.
      else if (this.#asked === epoch) this.#asked = this.#current?.epoch;
      done(refusal);
    });
    return true;
  }

  /** The peer seals with it, though it may have been late for that: not with older ones any more. */
  met(epoch: number, nowMs: number): void {
    const index = this.#installed.findIndex((other) => other.epoch === epoch);
    if (index === -1) return;
    this.#met = epoch;
    this.#installed[index]!.lateMs = Infinity;
    this.#retire(this.#installed.slice(0, index), nowMs);
  }

  poll(nowMs: number): void {
    this.#drop(({ endMs, lateMs }) => Math.min(endMs, lateMs) <= nowMs);
  }

  #count(installed: Installed, nowMs: number): void {
    const { epoch, algorithm } = installed;
    const index = this.#installed.indexOf(installed);
    installed.lateMs = Infinity;
    this.#current = { epoch, algorithm, sinceMs: nowMs };
    this.#retire(this.#installed.slice(0, index), nowMs);
  }

  /** Neither end seals with them: they open what is late. */
  #retire(older: readonly Installed[], nowMs: number): void {
    for (const installed of older) {
      if (installed.epoch === this.#current?.epoch || installed.epoch === this.#met) continue;
      installed.lateMs = Math.min(installed.lateMs, nowMs + LATE_MS);
    }
  }

  #drop(isDropped: (installed: Installed) => boolean): void {
    for (const installed of this.#installed.filter(isDropped)) {
      this.#commands.drop(installed.epoch);
      this.#forget(installed);
    }
  }

  #forget(installed: Installed): void {
    this.#installed = this.#installed.filter((other) => other !== installed);
    if (installed.epoch === this.#current?.epoch) this.#current = undefined;
  }
}
