/**
 * The end of a tunnel that answers attempts. It keeps no memory of, and sends no more to, whoever has not shown that it
 * hears us (the cookie, as in RFC 9147 §5.1; what is sealed needs none); of one that has, the latest attempt counts. While
 * keys are wanted, it asks.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Attempt, type Conduct, type Handshaker } from './attempt.js';
import { bare, COOKIE_BYTES, emitPacket, NO_ATTEMPT, NO_COOKIE, PacketKind, type Packet } from './packet.js';
import { TokenBucket } from './token-bucket.js';

const FIRST_PLEA_MS = 100;
const LAST_PLEA_MS = 1_000;
/** An initiator that fails pauses for less: without any attempt for so long, there is none. */
const UNANSWERED_MS = 6_000;
/** Attempts that are begun, each of which costs a few milliseconds: more only delays. */
const STARTS = { burst: 8, intervalMs: 500 };
/** A cookie is good for one to two of these. */
const COOKIE_MS = 60_000;
const SECRET_BYTES = 32;

export class Responder implements Handshaker {
  readonly #conduct: Conduct;
  readonly #secret: Uint8Array;
  readonly #starts: TokenBucket;
  #attempt: Attempt | undefined;
  /** Keys are needed: we ask until we have them. */
  #isWanted: boolean;
  #pleaMs: number;
  #pleas: number;
  /** Since when nobody has begun an attempt. */
  #unansweredMs: number;

  constructor(conduct: Conduct) {
    const nowMs = conduct.nowMs();
    this.#conduct = conduct;
    this.#secret = conduct.random(SECRET_BYTES);
    this.#starts = new TokenBucket(STARTS.burst, STARTS.intervalMs, nowMs);
    this.#attempt = undefined;
    this.#isWanted = false;
    this.#pleaMs = nowMs;
    this.#pleas = 0;
    this.#unansweredMs = nowMs;
  }

  get nextMs(): number {
    const attemptMs = this.#attempt?.nextMs ?? Infinity;
    if (this.#isBusy) return attemptMs;
    return Math.min(attemptMs, this.#isWanted ? this.#pleaMs : Infinity);
  }

  get isWanted(): boolean {
    return this.#isWanted;
  }

  want(nowMs: number): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#pleas = 0;
    this.#pleaMs = nowMs;
    this.#unansweredMs = nowMs;
  }

  rest(): void {
    this.#isWanted = false;
    this.#pleas = 0;
    if (!this.#isBusy) return;
    const attempt = this.#attempt!;
    if (attempt.epoch === undefined) {
      attempt.close();
      this.#attempt = undefined;
    } else {
      // The initiator may have left it without a word, or still wait for what it said last to be acknowledged.
      attempt.done();
    }
  }

  receive(packet: Packet, nowMs: number): void {
    const { kind } = packet;
    if (kind === PacketKind.close) {
      if (this.#isBusy && this.#attempt!.is(packet))
        this.#failed(`${this.#conduct.peer} gave the handshake up: its log says why`);
    } else if (kind === PacketKind.piece) {
      if (this.#conduct.isSealed || this.#isProven(packet, nowMs)) this.#piece(packet, nowMs);
      else if (isFirst(packet)) this.#challenge(packet, nowMs);
    }
  }

  /**
   * A datagram that only the peer can have sealed: it has the keys, whatever became of its last packet, and also of the
   * attempt. Who sees our packets can forge some that end an attempt, between our half of it and the peer's; we would go on
   * with keys then that the peer soon forgets.
   */
  epochSeen(epoch: number): void {
    if (this.#isBusy && this.#attempt!.epoch === epoch) this.#attempt!.done();
    this.#confirmed(epoch);
  }

  poll(nowMs: number): void {
    const attempt = this.#attempt;
    attempt?.poll(nowMs);
    if (attempt !== undefined && this.#isBusy && nowMs >= attempt.deadlineMs)
      this.#failed(`${this.#conduct.peer} does not answer any more`);
    if (this.#isWanted && !this.#isBusy && nowMs >= this.#pleaMs) this.#ask(nowMs);
  }

  close(): void {
    this.#attempt?.close();
    this.#attempt = undefined;
  }

  get #isBusy(): boolean {
    return this.#attempt?.isDone === false;
  }

  #ask(nowMs: number): void {
    const pauseMs = Math.min(FIRST_PLEA_MS * 2 ** this.#pleas, LAST_PLEA_MS);
    this.#pleaMs = nowMs + pauseMs;
    this.#pleas++;
    this.#conduct.send(emitPacket(bare(PacketKind.please, NO_ATTEMPT, NO_COOKIE)));
    if (nowMs - this.#unansweredMs >= UNANSWERED_MS) this.#conduct.onFailed(`${this.#conduct.peer} does not answer`);
  }

  #challenge({ attempt }: Packet, nowMs: number): void {
    this.#conduct.send(emitPacket(bare(PacketKind.cookie, attempt, this.#cookie(attempt, nowMs))));
  }

  #isProven({ attempt, cookie }: Packet, nowMs: number): boolean {
    return [nowMs, nowMs - COOKIE_MS].some((ms) => timingSafeEqual(cookie, this.#cookie(attempt, ms)));
  }

  #cookie(attempt: Uint8Array, nowMs: number): Uint8Array {
    const minute = String(Math.floor(nowMs / COOKIE_MS));
    return createHmac('sha256', this.#secret).update(attempt).update(minute).digest().subarray(0, COOKIE_BYTES);
  }

  #piece(packet: Packet, nowMs: number): void {
    if (this.#attempt?.is(packet) !== true) {
      if (!isFirst(packet) || !this.#starts.take(nowMs)) return;
      this.#begin(packet);
    }
    this.#attempt?.receive(packet, nowMs);
  }

  #begin({ attempt, cookie }: Packet): void {
    this.#attempt?.close();
    this.#attempt = new Attempt('responder', attempt.slice(), cookie.slice(), this.#conduct, {
      confirmed: () => {
        const { epoch } = this.#attempt!;
        this.#attempt!.done();
        this.#confirmed(epoch!);
      },
      failed: (reason) => {
        this.#attempt?.abort();
        this.#failed(reason);
      },
    });
  }

  #confirmed(epoch: number): void {
    const isWanted = this.#isWanted;
    // While the engine is asked, others are not: the peer would take that for a loss of these, and begin anew.
    this.#isWanted = false;
    const isAsked = this.#conduct.epochs.confirm(epoch, this.#conduct.nowMs(), (refusal) => {
      if (refusal === undefined) {
        this.#isWanted = false;
        this.#pleas = 0;
        this.#conduct.onSealed();
      } else {
        this.#isWanted = true;
        this.#failed(refusal);
      }
      this.#conduct.onChanged();
    });
    if (!isAsked) this.#isWanted = isWanted;
  }

  #failed(reason: string): void {
    this.#attempt?.close();
    this.#attempt = undefined;
    this.#unansweredMs = this.#conduct.nowMs();
    this.#pleaMs = this.#unansweredMs + LAST_PLEA_MS;
    this.#conduct.onFailed(reason);
  }
}

/** The one that an attempt begins with. */
function isFirst({ offset, data }: Packet): boolean {
  return offset === 0 && data.byteLength > 0;
}
