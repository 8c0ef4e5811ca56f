/**
 * One attempt at new keys: a session, the stream under it, and the packets that carry the stream. Both roles have one at a
 * time; one that is done stays for the peer's last repetitions, until the next takes its place.
 */
import type { Epochs } from './epochs.js';
import { bare, emitPacket, PacketKind, type Packet } from './packet.js';
import type { EpochKeys } from '../device/device.js';
import type { Role, Session, StartSession } from './session.js';
import { HandshakeStream } from './stream.js';

/** Without anything new from the peer for so long, an attempt is given up. */
export const SILENCE_MS = 3_000;
/** And however new things keep coming: who sees our packets can make them come byte by byte. */
const LONGEST_MS = 30_000;

/** What a role works with. */
export interface Conduct {
  readonly peer: string;
  readonly nowMs: () => number;
  readonly random: (bytes: number) => Uint8Array;
  /** What comes and goes is sealed with keys that work: the peer alone can have said it. */
  readonly isSealed: boolean;
  /** One datagram to the peer; it may get lost. */
  readonly send: (payload: Uint8Array) => void;
  readonly startSession: StartSession;
  readonly epochs: Epochs;
  /** Initiator: an attempt has given keys, so that no other is to give some as well. */
  readonly onAuthenticated: () => void;
  /** An attempt came to nothing, and why. */
  readonly onFailed: (reason: string) => void;
  /** Both ends have new keys. */
  readonly onSealed: () => void;
  /** Whoever polls is to look at `nextMs` again. */
  readonly onChanged: () => void;
}

/** An end of a tunnel in its role. */
export interface Handshaker {
  /** When `poll` has something to do. */
  readonly nextMs: number;
  /** Keys are needed, and gone on for until there are some. */
  readonly isWanted: boolean;
  receive(packet: Packet, nowMs: number): void;
  poll(nowMs: number): void;
  /** Keys are needed, at once. */
  want(nowMs: number): void;
  /** There are some, from elsewhere: what has not come to keys yet is closed, and what has is no failure of ours any more. */
  rest(): void;
  /** The first datagram came that only a holder of this epoch's keys can have sealed. */
  epochSeen(epoch: number): void;
  close(): void;
}

export interface AttemptEvents {
  /** As `SessionEvents.confirmed`. */
  readonly confirmed: () => void;
  readonly failed: (reason: string) => void;
}

export class Attempt {
  readonly id: Uint8Array;
  cookie: Uint8Array;
  /** From `authenticated` on. */
  epoch: number | undefined;
  /** The session is over, well: what is left is to repeat and acknowledge. */
  isDone: boolean;
  readonly #role: Role;
  readonly #conduct: Conduct;
  readonly #stream: HandshakeStream;
  readonly #session: Session;
  readonly #events: AttemptEvents;
  readonly #endMs: number;
  #isClosed: boolean;

  constructor(role: Role, id: Uint8Array, cookie: Uint8Array, conduct: Conduct, events: AttemptEvents) {
    this.id = id;
    this.cookie = cookie;
    this.epoch = undefined;
    this.isDone = false;
    this.#role = role;
    this.#conduct = conduct;
    this.#events = events;
    this.#endMs = conduct.nowMs() + LONGEST_MS;
    this.#isClosed = false;
    const send = (offset: number, acknowledged: number, data: Uint8Array): void =>
      conduct.send(
        emitPacket({ kind: PacketKind.piece, attempt: this.id, cookie: this.cookie, offset, acknowledged, data }),
      );
    const deliver = (data: Uint8Array): void => this.#session.receive(data);
    this.#stream = new HandshakeStream({ send, deliver }, conduct.nowMs());
    this.#session = conduct.startSession(role, {
      write: (bytes) => {
        if (!this.#stream.write(bytes, conduct.nowMs())) events.failed('the handshake is too long');
        conduct.onChanged();
      },
      authenticated: (keys) => this.#authenticated(keys),
      confirmed: () => {
        events.confirmed();
        conduct.onChanged();
      },
      failed: (reason) => {
        events.failed(reason);
        conduct.onChanged();
      },
    });
  }

  get nextMs(): number {
    return Math.min(this.#stream.nextMs, this.isDone ? Infinity : this.deadlineMs);
  }

  get deadlineMs(): number {
    return Math.min(this.progressMs + SILENCE_MS, this.#endMs);
  }

  /** When the peer last got on with it. */
  get progressMs(): number {
    return this.#stream.progressMs;
  }

  /** Whether anything came from a peer that takes part in it. */
  get isAnswered(): boolean {
    return this.#stream.received > 0;
  }

  get isAcknowledged(): boolean {
    return this.#stream.isAcknowledged;
  }

  is(packet: Packet): boolean {
    return Buffer.compare(packet.attempt, this.id) === 0;
  }

  receive({ offset, acknowledged, data }: Packet, nowMs: number): void {
    this.#stream.receive(offset, acknowledged, data, nowMs);
  }

  /** Repeats what the peer has not acknowledged, for a while. */
  poll(nowMs: number): void {
    if (!this.isDone || nowMs < this.deadlineMs) this.#stream.poll(nowMs);
    else this.#stream.abandon();
  }

  /** Once more from where the peer is: it has told us how. */
  again(nowMs: number): void {
    this.#stream.again(nowMs);
  }

  done(): void {
    this.isDone = true;
    this.#session.close();
  }

  /** It has come to nothing here, and the peer is told. */
  abort(): void {
    this.close();
    this.#conduct.send(emitPacket(bare(PacketKind.close, this.id, this.cookie)));
  }

  /** Another takes its place. */
  close(): void {
    this.#isClosed = true;
    this.#session.close();
  }

  #authenticated(keys: EpochKeys): void {
    this.#conduct.epochs.install(keys, this.#conduct.nowMs(), (refusal) => {
      if (this.#isClosed) return;
      if (refusal === undefined) this.#installed(keys.epoch);
      else this.#events.failed(refusal);
      this.#conduct.onChanged();
    });
    for (const key of [...keys.send, ...keys.receive]) key.fill(0);
  }

  #installed(epoch: number): void {
    this.epoch = epoch;
    if (this.#role === 'responder') {
      this.#session.confirm();
      return;
    }
    // The responder installed its own before it let us know who it is.
    this.#conduct.onAuthenticated();
    this.#conduct.epochs.confirm(epoch, this.#conduct.nowMs(), (refusal) => {
      if (this.#isClosed) return;
      if (refusal === undefined) this.#session.confirm();
      else this.#events.failed(refusal);
      this.#conduct.onChanged();
    });
  }
}
