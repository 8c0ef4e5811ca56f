/**
 * The key exchange: TLS 1.3 by `node:tls`, each end with a certificate that the other has pinned, over a pipe of ours in
 * place of a socket. Keys and epoch come from the exporter (RFC 8446 §7.5), so they are as secret as the connection, and
 * end with it. Nothing is resumed and no clock is asked: certificates do not expire, they are replaced.
 */
import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { Duplex } from 'node:stream';
import {
  connect,
  createSecureContext,
  createServer,
  type CommonConnectionOptions,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import { get32 } from '../wire/bytes.js';
import { agree, helloOf, type Agreement, type Terms } from './hello.js';
import type { EpochKeys } from '../device/device.js';
import type { Role, Session, SessionEvents, StartSession } from './session.js';

/** PEM. */
export interface Credentials {
  readonly certificate: string;
  readonly privateKey: string;
  readonly peerCertificate: string;
}

/** RFC 5705 §4: labels without registration start so. */
const KEY_LABEL = 'EXPORTER-Luthier-tunnel-key';
const EPOCH_LABEL = 'EXPORTER-Luthier-tunnel-epoch';
/** A key of 32 bytes and an IV of 12. */
const LANE_KEY_BYTES = 44;
const EPOCH_BYTES = 4;
/** Contexts of the exporter, by who sends. */
const SENDER: { readonly [role in Role]: number } = { initiator: 0, responder: 1 };

/** Of everything that is said within TLS. */
const MAX_SAID_BYTES = 4096;

/** Throws where the credentials do not fit together. */
export function tlsSessions(credentials: Credentials, terms: Terms): StartSession {
  const { certificate, privateKey, peerCertificate } = credentials;
  createSecureContext({ cert: certificate, key: privateKey, ca: [new X509Certificate(peerCertificate).toString()] });
  return (role, events) => new TlsSession(role, events, credentials, terms);
}

class TlsSession implements Session {
  readonly #role: Role;
  readonly #events: SessionEvents;
  readonly #terms: Terms;
  readonly #pinned: Buffer;
  readonly #pipe: Pipe;
  #socket: TLSSocket | undefined;
  #agreement: Agreement | undefined;
  #heard: string;
  #ended: boolean;

  constructor(role: Role, events: SessionEvents, credentials: Credentials, terms: Terms) {
    const { certificate, privateKey, peerCertificate } = credentials;
    this.#role = role;
    this.#events = events;
    this.#terms = terms;
    this.#pinned = new X509Certificate(peerCertificate).raw;
    this.#heard = '';
    this.#ended = false;
    this.#pipe = new Pipe((bytes) => {
      if (!this.#ended) events.write(bytes);
    });
    const options: SecureContextOptions & CommonConnectionOptions = {
      cert: certificate,
      key: privateKey,
      ca: [peerCertificate],
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ecdhCurve: 'X25519',
      rejectUnauthorized: true,
    };
    if (role === 'initiator') {
      // It is no host's certificate: that it is the pinned one is checked below.
      const socket = connect({ ...options, socket: this.#pipe, checkServerIdentity: () => undefined }, () => {
        this.#secured(socket);
      });
      this.#adopt(socket);
    } else {
      const server = createServer({ ...options, requestCert: true });
      server.on('secureConnection', (socket) => {
        this.#adopt(socket);
        this.#secured(socket);
      });
      server.on('tlsClientError', (error) => {
        this.#fail(this.#reasonOf(error));
      });
      server.emit('connection', this.#pipe);
    }
  }

  receive(bytes: Uint8Array): void {
    if (!this.#ended) this.#pipe.push(bytes);
  }

  confirm(): void {
    if (this.#role === 'responder') this.#say(helloOf(this.#terms));
    else
      this.#say({ ready: true }, () => {
        if (!this.#ended) this.#events.confirmed();
      });
  }

  close(): void {
    this.#ended = true;
    this.#socket?.destroy();
    this.#pipe.destroy();
  }

  #adopt(socket: TLSSocket): void {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      this.#hear(text);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#fail(this.#reasonOf(error));
    });
    socket.on('close', () => {
      this.#fail(`${this.#terms.peer} ended the handshake`);
    });
  }

  /** TLS has proven that the peer has the private key of the certificate that it showed. */
  #secured(socket: TLSSocket): void {
    if (this.#ended) return;
    const shown = socket.getPeerX509Certificate()?.raw;
    if (!socket.authorized || shown?.byteLength !== this.#pinned.byteLength || !timingSafeEqual(shown, this.#pinned)) {
      this.#fail(this.#wrongCertificate());
    } else if (this.#role === 'initiator') this.#say(helloOf(this.#terms));
  }

  #say(value: unknown, onWritten?: () => void): void {
    if (!this.#ended) this.#socket?.write(`${JSON.stringify(value)}\n`, onWritten);
  }

  #hear(text: string): void {
    if (this.#ended) return;
    this.#heard += text;
    if (this.#heard.length > MAX_SAID_BYTES) {
      this.#fail(`${this.#terms.peer} says more than a handshake has`);
      return;
    }
    for (let end = this.#heard.indexOf('\n'); end !== -1; end = this.#heard.indexOf('\n')) {
      const line = this.#heard.slice(0, end);
      this.#heard = this.#heard.slice(end + 1);
      this.#understand(line);
    }
  }

  #understand(line: string): void {
    if (this.#ended) return;
    const said = parse(line);
    if (this.#agreement === undefined) {
      const agreed = agree(this.#terms, said);
      if (typeof agreed === 'string') {
        this.#refuse(agreed);
        return;
      }
      this.#agreement = agreed;
      this.#events.authenticated(this.#export(agreed));
    } else if (this.#role === 'responder') this.#events.confirmed();
  }

  #export({ algorithm, peerLanes }: Agreement): EpochKeys {
    const socket = this.#socket!;
    const lane = (sender: number, index: number): Uint8Array =>
      socket.exportKeyingMaterial(LANE_KEY_BYTES, KEY_LABEL, Buffer.from([sender, index]));
    const own = SENDER[this.#role];
    const epoch = get32(socket.exportKeyingMaterial(EPOCH_BYTES, EPOCH_LABEL, Buffer.alloc(0)), 0);
    return {
      // 0 says that there is no seal.
      epoch: epoch === 0 ? 1 : epoch,
      algorithm,
      send: Array.from({ length: this.#terms.lanes }, (_, index) => lane(own, index)),
      receive: Array.from({ length: peerLanes }, (_, index) => lane(1 - own, index)),
    };
  }

  #refuse(reason: string): void {
    // The peer finds the same by itself, from our hello.
    if (this.#role === 'responder') this.#say(helloOf(this.#terms), () => this.#fail(reason));
    else this.#fail(reason);
  }

  #fail(reason: string): void {
    if (this.#ended) return;
    this.close();
    this.#events.failed(reason);
  }

  #reasonOf(error: NodeJS.ErrnoException): string {
    const { peer, machine } = this.#terms;
    const code = error.code ?? '';
    if (VERIFY_ERRORS.test(code)) return this.#wrongCertificate();
    // The server's side of node:tls hangs up on a client whose certificate it does not take.
    if (code === 'ECONNRESET' && this.#role === 'responder') return this.#wrongCertificate();
    if (code.startsWith('ERR_SSL_TLS') && code.includes('ALERT')) return `${peer} refused ${machine} (${code})`;
    return `TLS with ${peer} failed (${code === '' ? error.message : code})`;
  }

  #wrongCertificate(): string {
    return `${this.#terms.peer} showed another certificate than the one that this machine has of it`;
  }
}

/** What X509_verify_cert finds wrong, as node names it. */
const VERIFY_ERRORS = /SELF_SIGNED|UNABLE_TO|CERT_|INVALID_CA|ISSUER/;

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** What node:tls takes for a socket. */
class Pipe extends Duplex {
  readonly #write: (bytes: Uint8Array) => void;

  constructor(write: (bytes: Uint8Array) => void) {
    super();
    this.#write = write;
    // TLS has said it already.
    this.on('error', () => undefined);
  }

  override _read(): void {
    // Bytes are pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#write(chunk);
    done();
  }
}
