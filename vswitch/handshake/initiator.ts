/**
 * The end of a tunnel that begins attempts: while keys are wanted, and when the other end asks. An attempt that fails is
 * followed by another, but for one that somebody only asked for while keys work: a `please` can be forged, and must not
 * keep us busy.
 */
import { Attempt, type Conduct, type Handshaker } from './attempt.js';
import { ATTEMPT_BYTES, NO_COOKIE, PacketKind, type Packet } from './packet.js';
import { TokenBucket } from './token-bucket.js';

const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 5_000;
/** An attempt that goes on is not begun anew because somebody asks: whoever can, asks all the time. */
const GOES_ON_MS = 1_000;
/** How often asking is heard: a restarted peer is answered at once, a flood of forged requests is not. */
const PLEAS = { burst: 3, intervalMs: 3_000 };

export class Initiator implements Handshaker {
  readonly #conduct: Conduct;
  readonly #pleas: TokenBucket;
  #attempt: Attempt | undefined;
  /** Our part of the attempt is written. */
  #isWritten: boolean;
  /** Keys are needed: we go on until we have them. */
  #isWanted: boolean;
  /** When the next attempt begins, while keys are needed. */
  #beginMs: number;
  #pauseMs: number;

  constructor(conduct: Conduct) {
    const nowMs = conduct.nowMs();
    this.#conduct = conduct;
    this.#pleas = new TokenBucket(PLEAS.burst, PLEAS.intervalMs, nowMs);
    this.#attempt = undefined;
    this.#isWritten = false;
    this.#isWanted = false;
    this.#beginMs = nowMs;
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  get nextMs(): number {
    const attemptMs = this.#attempt?.nextMs ?? Infinity;
    if (this.#isBusy) return attemptMs;
    return Math.min(attemptMs, this.#isWanted ? this.#beginMs : Infinity);
  }

  get isWanted(): boolean {
    return this.#isWanted;
  }

  want(nowMs: number): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#beginMs = nowMs;
  }

  rest(): void {
    this.#isWanted = false;
    this.#pauseMs = FIRST_PAUSE_MS;
    if (!this.#isBusy || this.#attempt?.epoch !== undefined) return;
    this.#attempt?.close();
    this.#attempt = undefined;
  }

  receive(packet: Packet, nowMs: number): void {
    if (packet.kind === PacketKind.please) {
      this.#asked(nowMs);
      return;
    }
    const attempt = this.#attempt;
    if (attempt?.is(packet) !== true) return;
    if (packet.kind === PacketKind.piece) {
      attempt.receive(packet, nowMs);
      this.#finishIfAcknowledged();
    } else if (attempt.isDone) {
      return;
    } else if (packet.kind === PacketKind.close) {
      attempt.close();
      this.#failed(`${this.#conduct.peer} gave the handshake up: its log says why`, this.#pauseMs);
    } else if (!attempt.isAnswered) {
      attempt.cookie = packet.cookie.slice();
      attempt.again(nowMs);
    }
  }

  /** What the attempt itself waits for says more. */
  epochSeen(): void {}

  poll(nowMs: number): void {
    const attempt = this.#attempt;
    attempt?.poll(nowMs);
    if (attempt !== undefined && this.#isBusy && nowMs >= attempt.deadlineMs) {
      attempt.close();
      this.#failed(`${this.#conduct.peer} does not answer`, 0);
    }
    if (this.#isWanted && !this.#isBusy && nowMs >= this.#beginMs) this.#begin();
  }

  close(): void {
    this.#attempt?.close();
    this.#attempt = undefined;
  }

  get #isBusy(): boolean {
    return this.#attempt?.isDone === false;
  }

  /** The peer says that it has no keys. Where it takes part in an attempt, it has been restarted since. */
  #asked(nowMs: number): void {
    if (this.#isBusy && !this.#attempt!.isAnswered) {
      // It was not there yet when we began. What is said again is shorter than what asked for it.
      this.#attempt!.again(nowMs);
      return;
    }
    if (this.#isBusy && nowMs - this.#attempt!.progressMs < GOES_ON_MS) return;
    if (!this.#pleas.take(nowMs)) return;
    this.#begin();
  }

  #begin(): void {
    const { random } = this.#conduct;
    // We seal with keys that the peer may not have.
    if (this.#isBusy && this.#attempt?.epoch !== undefined) this.#isWanted = true;
    this.#attempt?.close();
    this.#isWritten = false;
    this.#attempt = new Attempt('initiator', random(ATTEMPT_BYTES), NO_COOKIE, this.#conduct, {
      confirmed: () => {
        this.#isWritten = true;
        this.#finishIfAcknowledged();
      },
      failed: (reason) => {
        this.#attempt?.abort();
        this.#failed(reason, this.#pauseMs);
      },
    });
  }

  /** When all of ours is with the peer, it has the keys too. */
  #finishIfAcknowledged(): void {
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.isDone || !this.#isWritten || !attempt.isAcknowledged) return;
    attempt.done();
    this.#isWanted = false;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#conduct.onSealed();
  }

  #failed(reason: string, pauseMs: number): void {
    // We seal with keys that the peer may not have.
    if (this.#attempt?.epoch !== undefined) this.#isWanted = true;
    this.#attempt = undefined;
    this.#beginMs = this.#conduct.nowMs() + pauseMs;
    this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_PAUSE_MS);
    this.#conduct.onFailed(reason);
  }
}
