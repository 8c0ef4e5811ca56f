/**
 * The keys that a tunnel has at the moment, by epoch: which the engine seals with, which it still opens, and when it
 * forgets the others. Keys pass through; nothing here keeps them.
 *
 *   installed ──confirm──► current ──a newer one is confirmed──► 10 s later dropped
 */
import type { AeadAlgorithm } from '../../native/binding.js';
import type { EpochKeys } from '../device/device.js';

/** Datagrams that were sealed with an older key may be this late. */
const LATE_MS = 10_000;
/** More than attempts can succeed within that time; those that come to nothing leave keys behind that nobody uses. */
const MAX_EPOCHS = 8;

/** To the engine. What is asked first is done first. */
export interface KeyCommands {
  install(keys: EpochKeys): void;
  sendWith(epoch: number): void;
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
  dropMs: number;
}

export class Epochs {
  readonly #commands: KeyCommands;
  /** Oldest first. */
  #installed: Installed[];
  #current: CurrentEpoch | undefined;

  constructor(commands: KeyCommands) {
    this.#commands = commands;
    this.#installed = [];
    this.#current = undefined;
  }

  /** What is sealed with; undefined while nothing can be sent. */
  get current(): CurrentEpoch | undefined {
    return this.#current;
  }

  get nextMs(): number {
    return this.#installed.reduce((next, { dropMs }) => Math.min(next, dropMs), Infinity);
  }

  /** What the peer seals can be opened from here on. False where the epoch's number is in use, a chance of 2⁻³². */
  install(keys: EpochKeys): boolean {
    const { epoch, algorithm } = keys;
    if (this.#installed.some((other) => other.epoch === epoch)) return false;
    if (this.#installed.length === MAX_EPOCHS) {
      const oldest = this.#installed.find((other) => other.epoch !== this.#current?.epoch)!;
      this.#drop((other) => other === oldest);
    }
    this.#installed.push({ epoch, algorithm, dropMs: Infinity });
    this.#commands.install(keys);
    return true;
  }

  /** The peer can open it too: from here on it is sealed with. False where that, or a newer one, was so already. */
  confirm(epoch: number, nowMs: number): boolean {
    const index = this.#installed.findIndex((other) => other.epoch === epoch);
    const installed = this.#installed[index];
    const currentIndex = this.#installed.findIndex((other) => other.epoch === this.#current?.epoch);
    if (installed === undefined || index <= currentIndex) return false;
    for (const older of this.#installed.slice(0, index)) older.dropMs = Math.min(older.dropMs, nowMs + LATE_MS);
    this.#current = { epoch, algorithm: installed.algorithm, sinceMs: nowMs };
    this.#commands.sendWith(epoch);
    return true;
  }

  poll(nowMs: number): void {
    this.#drop(({ dropMs }) => dropMs <= nowMs);
  }

  #drop(isDropped: (installed: Installed) => boolean): void {
    for (const { epoch } of this.#installed.filter(isDropped)) this.#commands.drop(epoch);
    this.#installed = this.#installed.filter((installed) => !isDropped(installed));
  }
}
