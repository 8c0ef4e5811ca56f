/**
 * Whether there is somebody at the other end. Anything authentic that comes from the peer is a sign of life; one that says
 * nothing for a while, though it was asked again and again meanwhile, is dead. Being asked is part of it: a process that
 * was stopped itself has not asked, and takes nobody for dead when it goes on.
 *
 *   waiting ──heard──► alive ◄──heard── dead
 *      └────────silence──┴────silence────►
 *
 * Called by `tunnel-health.ts`.
 */
export const PeerState = {
  /** Nothing was heard since the start, which is not long ago. */
  waiting: 1,
  alive: 2,
  dead: 3,
} as const;

export type PeerState = (typeof PeerState)[keyof typeof PeerState];

/** So that whoever looks sees within 3 s of its death that a peer is dead. */
export const SILENCE_NS = 2.5e9;
/** Silence of a peer that is asked, after which it may be somewhere else: a few losses are not meant. */
const DOUBT_NS = 0.75e9;
const DOUBT_QUESTIONS = 3;
/** Questions that must have gone without an answer: a path that loses every fifth round trip loses so many once in 15 000. */
export const MIN_QUESTIONS = 6;

export class Liveness {
  state: PeerState;
  /** Since when `state` is what it is. */
  sinceNs: number;
  #heardNs: number;
  #questions: number;

  constructor(nowNs: number) {
    this.state = PeerState.waiting;
    this.sinceNs = nowNs;
    this.#heardNs = nowNs;
    this.#questions = 0;
  }

  /** Until when it may be silent; Infinity when that does not matter. */
  get nextNs(): number {
    if (this.state === PeerState.dead || this.#questions < MIN_QUESTIONS) return Infinity;
    return this.#heardNs + SILENCE_NS;
  }

  /** When it begins to be doubted that the peer still is where it was; Infinity while it is not asked. */
  get doubtNs(): number {
    return this.#questions < DOUBT_QUESTIONS ? Infinity : this.#heardNs + DOUBT_NS;
  }

  asked(): void {
    this.#questions++;
  }

  /** True when it is alive from now on. */
  heard(nowNs: number): boolean {
    this.#heardNs = nowNs;
    this.#questions = 0;
    return this.state !== PeerState.alive && this.#become(PeerState.alive, nowNs);
  }

  /** True when it is dead from now on. */
  poll(nowNs: number): boolean {
    return nowNs >= this.nextNs && this.#become(PeerState.dead, nowNs);
  }

  #become(state: PeerState, nowNs: number): true {
    this.state = state;
    this.sinceNs = nowNs;
    return true;
  }
}
