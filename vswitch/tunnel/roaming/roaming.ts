/**
 * Where the peer of a tunnel is. It is where it was configured, and its socket is connected to that: the kernel lets nobody
 * else in. Only when the peer is not heard there any more, the socket is opened to everybody, and what comes sealed from
 * elsewhere makes that address a candidate. A candidate is asked (path validation, RFC 9000 §8.2), and the tunnel moves
 * there when the answer comes from there.
 *
 *               silence                        a candidate has answered
 *   ┌─────────┐ ───────────────► ┌───────────┐ ─────────────────────────► ┌───────┐
 *   │ settled │                  │ searching │                            │ trial │ the address before is asked too
 *   └─────────┘ ◄─────────────── └───────────┘ ◄───────────────────────── └───────┘ and gets the tunnel back if it
 *        ▲     heard where it was                       silence               │     answers (RFC 9000 §9.3.3)
 *        └────────────────────────────────────────────────────────────────────┘
 *                                     3 s have passed
 *
 * So a copy of a datagram that is faster than the datagram itself moves nothing, as long as the peer is heard; and an
 * address that only passes on what it sees gets a tunnel no sooner than the way it had before is cut, for as long as the
 * trial takes. To a candidate goes no more than came from it, a short datagram for each of its own. Nor does such a copy
 * hide an address: the datagram itself is then known for a twin, and names a candidate as well as the copy did.
 *
 * A peer that has no keys, or other ones than we, can only begin a handshake: where that comes from is a `Lead`.
 *
 * While searching, an own address that has changed does no harm either: an open socket's is chosen with each datagram.
 *
 * Pure: time, randomness and the socket are given. Nothing is sent but by `poll` and `act`. Called by `../udp.ts`.
 */
import { ADDRESS_WORDS, TunnelField } from '../../telemetry.js';
import { get16, get32 } from '../../wire/bytes.js';
import { challengeKind, ChallengeKind, copyValue, emptyMessage, isSameValue, valueOf } from './challenge.js';
import { ENDPOINT_BYTES, isSameEndpoint } from './endpoint.js';
import { Lead } from './lead.js';

/** A candidate is asked no more often. */
const CHALLENGE_NS = 100e6;
/** After which another takes the place of a candidate that has not answered. */
const CANDIDATE_NS = 1e9;
const TRIAL_NS = 3e9;
/** How often the address before is asked meanwhile. */
const TRIAL_CHALLENGE_NS = 500e6;
/** A peer that is lost for so long may also be where it was configured, and back: each is tried for as long. */
const TURN_NS = 5e9;

const State = { settled: 0, searching: 1, trial: 2 } as const;

type State = (typeof State)[keyof typeof State];

/** The device, and the socket in it. */
export interface RoamingContext {
  /** False where that cannot be, for now: then it is connected to nobody. */
  connect(endpoint: Uint8Array): boolean;
  /** From now on it hears everybody; `destination` may change. */
  open(destination: Uint8Array): void;
  /** Sends a message of CHALLENGE_BYTES, sealed, on the open socket. */
  sendTo(endpoint: Uint8Array, message: Uint8Array): void;
  /** Fills with what nobody can guess. */
  random(into: Uint8Array): void;
  /** The peer was proven to be elsewhere than before: what is known of the path is of another one (RFC 9000 §9.4). */
  moved(nowNs: number): void;
}

export class Roaming {
  /** Where all goes. */
  readonly destination: Uint8Array;
  /** The socket hears everybody, and is told with each datagram where it goes. */
  isOpen: boolean;
  /** How often the peer was found elsewhere. */
  moves: number;
  /** Of use while searching. */
  readonly lead: Lead;
  readonly #context: RoamingContext;
  readonly #configured: Uint8Array;
  /** Where the peer was last proven to be. */
  readonly #home: Uint8Array;
  /** Of `trial`. */
  readonly #previous: Uint8Array;
  readonly #candidate: Uint8Array;
  /** What the candidate, or in a trial the address before, is asked. */
  readonly #challenge: Uint8Array;
  readonly #answer: Uint8Array;
  #state: State;
  #hasCandidate: boolean;
  #candidateNs: number;
  #challengeNs: number;
  /** When the trial ends; when the destination is changed. */
  #untilNs: number;
  // What has come since the last `act`.
  #isHeard: boolean;
  #isPreviousHeard: boolean;
  #isCandidateHeard: boolean;
  #isAsked: boolean;
  /** The challenge was answered; the candidate was heard after it was asked. Both prove it. */
  #isProven: boolean;
  #isCandidateBack: boolean;
  /** The candidate was asked. */
  #isCandidateAsked: boolean;

  /**
   * `home` is where the socket is connected to, or null where that is nobody: then the process before us was looking for its
   * peer. One that is not sealed (`isSealed` false) stays where it is configured.
   */
  constructor(
    context: RoamingContext,
    configured: Uint8Array,
    home: Uint8Array | null,
    nowNs: number,
    isSealed = true,
  ) {
    this.#context = context;
    this.#configured = configured.slice();
    this.#home = (home ?? configured).slice();
    this.destination = this.#home.slice();
    this.#previous = new Uint8Array(ENDPOINT_BYTES);
    this.#candidate = new Uint8Array(ENDPOINT_BYTES);
    this.#challenge = emptyMessage(ChallengeKind.challenge);
    this.#answer = emptyMessage(ChallengeKind.answer);
    this.moves = 0;
    this.#hasCandidate = false;
    this.#candidateNs = 0;
    this.#challengeNs = 0;
    this.#untilNs = Infinity;
    this.#isHeard = false;
    this.#isPreviousHeard = false;
    this.#isCandidateHeard = false;
    this.#isAsked = false;
    this.#isProven = false;
    this.#isCandidateBack = false;
    this.#isCandidateAsked = false;
    this.lead = new Lead();
    this.isOpen = false;
    this.#state = State.settled;
    if (home !== null) return;
    if (isSealed) this.#search(nowNs);
    else this.#settle(nowNs);
  }

  /** The peer is not heard where it was, and may be anywhere. */
  get isSearching(): boolean {
    return this.#state === State.searching;
  }

  /** When `poll` is due; `searchNs` is when the peer has been silent for too long. */
  nextNs(searchNs: number): number {
    if (this.#state === State.settled) return searchNs;
    if (this.#state === State.searching) return this.#untilNs;
    return Math.min(searchNs, this.#untilNs, this.#challengeNs);
  }

  poll(nowNs: number, searchNs: number): void {
    if (this.#state === State.searching) {
      if (nowNs >= this.#untilNs) this.#turn(nowNs);
    } else if (nowNs >= searchNs) {
      this.#search(nowNs);
    } else if (this.#state === State.trial) {
      if (nowNs >= this.#untilNs) this.#settle(nowNs);
      else if (nowNs >= this.#challengeNs) this.#ask(this.#previous, nowNs, TRIAL_CHALLENGE_NS);
    }
  }

  /** The kernel has no way from here to there. True when it is worth another try. */
  lost(nowNs: number): boolean {
    if (this.isOpen) return false;
    this.#search(nowNs);
    return true;
  }

  /** Something authentic came from `destination`. */
  heard(): void {
    this.#isHeard = true;
  }

  /**
   * Something authentic came from another address: new, or what had come from elsewhere a moment before. Whoever copies what
   * passes can be the faster one, or the slower: so both may be asked, in turns, and neither is believed.
   */
  heardFrom(source: Uint8Array, nowNs: number): void {
    if (this.#state === State.trial && isSameEndpoint(source, this.#previous)) this.#isPreviousHeard = true;
    if (this.#state !== State.searching) return;
    if (isSameEndpoint(source, this.#home)) {
      // While it is looked for where it was configured.
      this.destination.set(source);
      this.#isHeard = true;
    } else if (isSameEndpoint(source, this.#candidate) && this.#hasCandidate) {
      this.#isCandidateHeard = true;
      this.#isCandidateBack = this.#isCandidateAsked;
    } else if (!this.#hasCandidate || nowNs >= this.#candidateNs + CANDIDATE_NS) {
      this.#candidate.set(source);
      this.#hasCandidate = this.#isCandidateHeard = true;
      this.#isProven = this.#isCandidateAsked = this.#isCandidateBack = false;
      this.#candidateNs = this.#challengeNs = nowNs;
      this.#context.random(valueOf(this.#challenge));
    }
  }

  /**
   * The payload of an authentic probe; `source` is null where it is from `destination`. False when it is neither a challenge
   * nor an answer.
   */
  onProbe(bytes: Uint8Array, at: number, lengthBytes: number, source: Uint8Array | null): boolean {
    const kind = challengeKind(bytes, at, lengthBytes);
    if (kind === 0) return false;
    if (kind === ChallengeKind.answer) {
      if (this.#isAwaited && isSameValue(bytes, at, this.#challenge)) this.#isProven = true;
    } else if (source === null) {
      copyValue(bytes, at, this.#answer);
      this.#isAsked = true;
    }
    return true;
  }

  /** Does what follows from all that was read. */
  act(nowNs: number): void {
    if (this.#state === State.searching) {
      if (this.#isHeard) this.#found(nowNs);
      else if (this.#isProven && this.#isCandidateBack) this.#move(nowNs);
      else if (this.#isCandidateHeard && nowNs >= this.#challengeNs) {
        this.#isCandidateAsked = true;
        this.#ask(this.#candidate, nowNs, CHALLENGE_NS);
      }
    } else if (this.#state === State.trial && this.#isProven && this.#isPreviousHeard) {
      this.#relocate(this.#previous, nowNs);
      this.#settle(nowNs);
    }
    this.#isHeard = this.#isCandidateHeard = false;
    if (!this.#isAsked) return;
    this.#isAsked = false;
    this.#context.sendTo(this.destination, this.#answer);
  }

  /** Writes what is known to where others look (`Telemetry`). */
  report(fields: Float64Array, base: number): void {
    for (let i = 0; i < ADDRESS_WORDS; i++) fields[base + TunnelField.address + i] = get32(this.#home, 4 * i);
    fields[base + TunnelField.port] = get16(this.#home, 4 * ADDRESS_WORDS);
    fields[base + TunnelField.moves] = this.moves;
    fields[base + TunnelField.searching] = this.isOpen ? 1 : 0;
  }

  /**
   * That the peer has got what an address was asked is known whoever brings the answer (RFC 9000 §8.2.3); but only if its own
   * come from there, too, that way is whole.
   */
  get #isAwaited(): boolean {
    return this.#state === State.trial || (this.#state === State.searching && this.#isCandidateAsked);
  }

  #search(nowNs: number): void {
    if (!this.isOpen) this.#context.open(this.destination);
    this.isOpen = true;
    this.#state = State.searching;
    this.#hasCandidate = this.#isProven = this.#isCandidateAsked = this.#isCandidateBack = false;
    this.lead.forget();
    this.#untilNs = isSameEndpoint(this.#home, this.#configured) ? Infinity : nowNs + TURN_NS;
  }

  #turn(nowNs: number): void {
    const isAtHome = isSameEndpoint(this.destination, this.#home);
    this.destination.set(isAtHome ? this.#configured : this.#home);
    this.#untilNs = nowNs + TURN_NS;
  }

  /** Heard where it was, or where whoever configured it says that it is. */
  #found(nowNs: number): void {
    if (!isSameEndpoint(this.destination, this.#home)) this.#relocate(this.destination, nowNs);
    this.#settle(nowNs);
  }

  #move(nowNs: number): void {
    this.#previous.set(this.#home);
    this.#relocate(this.#candidate, nowNs);
    this.#state = State.trial;
    this.#isProven = this.#isPreviousHeard = false;
    this.#untilNs = nowNs + TRIAL_NS;
    this.#challengeNs = nowNs;
    this.#context.random(valueOf(this.#challenge));
  }

  #relocate(endpoint: Uint8Array, nowNs: number): void {
    this.#home.set(endpoint);
    this.destination.set(endpoint);
    this.moves++;
    this.#context.moved(nowNs);
  }

  #settle(nowNs: number): void {
    this.isOpen = false;
    this.#state = State.settled;
    if (!this.#context.connect(this.#home)) this.#search(nowNs);
  }

  #ask(endpoint: Uint8Array, nowNs: number, pauseNs: number): void {
    this.#challengeNs = nowNs + pauseNs;
    this.#context.sendTo(endpoint, this.#challenge);
  }
}
