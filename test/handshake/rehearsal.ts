/**
 * A key exchange with the flights of the real one and no cryptography: what is around it can so be tested on a virtual
 * clock, at once. Its keys come from a random value of each end; whatever is not a message of the other end to this one is
 * a failure, as in TLS.
 */
import { createHash } from 'node:crypto';
import type { EpochKeys } from '../../vswitch/device/device.js';
import type { Role, Session, SessionEvents, StartSession } from '../../vswitch/handshake/session.js';

/** Lengths of the messages, about those of TLS with such certificates: the second takes two pieces. */
const FLIGHTS = { first: 320, server: 1400, client: 900, hello: 250, ready: 40 } as const;
type Flight = keyof typeof FLIGHTS;

export function rehearsals(random: (bytes: number) => Uint8Array): StartSession {
  return (role, events) => new Rehearsal(role, events, random(16));
}

class Rehearsal implements Session {
  readonly #role: Role;
  readonly #events: SessionEvents;
  readonly #own: Uint8Array;
  #peers: Uint8Array | undefined;
  #heard: Buffer;
  #expected: Flight[];
  #ended: boolean;

  constructor(role: Role, events: SessionEvents, own: Uint8Array) {
    this.#role = role;
    this.#events = events;
    this.#own = own;
    this.#heard = Buffer.alloc(0);
    this.#expected = role === 'initiator' ? ['server', 'hello'] : ['first', 'client', 'ready'];
    this.#ended = false;
    if (role === 'initiator') this.#say('first');
  }

  receive(bytes: Uint8Array): void {
    this.#heard = Buffer.concat([this.#heard, bytes]);
    for (;;) {
      const [flight] = this.#expected;
      if (this.#ended || flight === undefined || this.#heard.byteLength < FLIGHTS[flight]) return;
      const message = this.#heard.subarray(0, FLIGHTS[flight]);
      this.#heard = this.#heard.subarray(FLIGHTS[flight]);
      this.#expected = this.#expected.slice(1);
      this.#take(flight, message);
    }
  }

  confirm(): void {
    if (this.#role === 'responder') this.#say('hello');
    else {
      this.#say('ready');
      this.#events.confirmed();
    }
  }

  close(): void {
    this.#ended = true;
  }

  #take(flight: Flight, message: Buffer): void {
    this.#peers ??= Uint8Array.from(message.subarray(0, 16));
    // As in TLS, what was said to another exchange is worth nothing in this one.
    const isFresh = flight === 'first' || message.subarray(24, 40).equals(this.#own);
    if (!isFresh || message.toString('latin1', 16, 22) !== flight.padEnd(6)) {
      this.#ended = true;
      this.#events.failed('nonsense');
    } else if (flight === 'first') this.#say('server');
    else if (flight === 'server') this.#say('client');
    else if (flight === 'ready') this.#events.confirmed();
    else this.#events.authenticated(this.#keys());
  }

  #say(flight: Flight): void {
    const message = Buffer.alloc(FLIGHTS[flight]);
    message.set(this.#own);
    message.write(flight.padEnd(6), 16, 'latin1');
    if (this.#peers !== undefined) message.set(this.#peers, 24);
    this.#events.write(message);
  }

  #keys(): EpochKeys {
    const [initiator, responder] = this.#role === 'initiator' ? [this.#own, this.#peers!] : [this.#peers!, this.#own];
    const derive = (label: string): Buffer =>
      createHash('sha512').update(label).update(initiator).update(responder).digest().subarray(0, 44);
    const [there, back] = [derive('there'), derive('back')];
    return {
      epoch: derive('epoch').readUInt32BE(0) || 1,
      algorithm: 'aes-256-gcm',
      send: [this.#role === 'initiator' ? there : back],
      receive: [this.#role === 'initiator' ? back : there],
    };
  }
}
