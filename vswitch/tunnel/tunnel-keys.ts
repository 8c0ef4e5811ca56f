/**
 * The keys of a tunnel: epochs that come from the handshake, one of which is sealed with, and all of which open. What the
 * addon holds of them is never read back. Called by `lane.ts`, on behalf of the engine's commands.
 *
 *   install 7 ─► use 7 ─► install 9 ─► (the peer seals with 9) ─► use 9 ─► drop 7
 *
 * A nonce is used once: the counter of a lane goes on over epochs, and an epoch that was left is never sealed with again. Each
 * lane of an epoch has a key of its own, and a thread is given none to seal with but its lane's: what another seals, it seals
 * with another key.
 */
import { StateError } from '../../model/errors.js';
import type { EpochKeys, LaneKeys } from '../device/device.js';
import type { DeviceCalls } from '../device/native-io.js';

export class TunnelKeys {
  /** Keyrings, as the addon's calls want them. */
  readonly sendRing: number;
  readonly receiveRing: number;
  readonly #native: DeviceCalls;
  readonly #lane: number;
  readonly #installed: Set<number>;
  /** Epochs that were sealed with, the present one included. */
  readonly #used: Set<number>;
  /** Epochs that the peer has sealed with. */
  readonly #met: Set<number>;
  #epoch: number;

  constructor(native: DeviceCalls, lane: number) {
    this.#native = native;
    this.#lane = lane;
    this.sendRing = native.keyringCreate();
    this.receiveRing = native.keyringCreate();
    this.#installed = new Set();
    this.#used = new Set();
    this.#met = new Set();
    this.#epoch = 0;
  }

  /** What is sealed with; 0 while there is no key. */
  get epoch(): number {
    return this.#epoch;
  }

  /** From now on datagrams of this epoch are opened. */
  install({ epoch, algorithm, send, receive }: LaneKeys): void {
    if (this.#installed.has(epoch)) throw new StateError(`epoch ${epoch} has keys already`);
    this.#installed.add(epoch);
    try {
      this.#native.keyringAdd(this.sendRing, { epoch, algorithm, lane: this.#lane, secret: send, seals: true });
      receive.forEach((secret, lane) => {
        this.#native.keyringAdd(this.receiveRing, { epoch, algorithm, lane, secret, seals: false });
      });
    } catch (cause) {
      this.drop(epoch);
      throw cause;
    }
  }

  /** From now on datagrams are sealed with it. */
  use(epoch: number): void {
    if (epoch === this.#epoch) return;
    if (!this.#installed.has(epoch)) throw new StateError(`there are no keys for epoch ${epoch}`);
    if (this.#used.has(epoch)) throw new StateError(`epoch ${epoch} was left, and is not sealed with again`);
    this.#used.add(epoch);
    this.#epoch = epoch;
  }

  /** An authentic datagram of an epoch came; true when it was the first. */
  meet(epoch: number): boolean {
    const isFirst = !this.#met.has(epoch);
    this.#met.add(epoch);
    return isFirst;
  }

  /** Forgets an epoch. */
  drop(epoch: number): void {
    if (epoch === this.#epoch) this.#epoch = 0;
    this.#installed.delete(epoch);
    this.#used.delete(epoch);
    this.#met.delete(epoch);
    this.#native.keyringRemove(this.sendRing, epoch);
    this.#native.keyringRemove(this.receiveRing, epoch);
  }

  /** Forgets all. */
  close(): void {
    this.#native.keyringDestroy(this.sendRing);
    this.#native.keyringDestroy(this.receiveRing);
  }
}

/** What a lane is given of an epoch's keys. All that the peer sends is heard by lane 0. */
export function keysOfLane({ epoch, algorithm, send, receive }: EpochKeys, lane: number): LaneKeys {
  const secret = send[lane];
  if (secret === undefined) throw new StateError(`epoch ${epoch} brings no key for lane ${lane}`);
  return { epoch, algorithm, send: secret, receive: lane === 0 ? receive : [] };
}
