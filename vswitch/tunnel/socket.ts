/**
 * A tunnel's UDP socket, which is connected to the peer or open: then it hears everybody, and says with each datagram where
 * it goes. All calls of the addon on it are here. Called by `udp.ts`; `roaming/` decides which of the two it is.
 */
import type { NativeIo } from '../device/native-io.js';
import { ENDPOINT_BYTES } from './roaming/endpoint.js';

export class TunnelSocket {
  /** -1 when it is closed. */
  fd: number;
  readonly #io: NativeIo;
  /** Of the addon: buffers, and what waits in them. */
  readonly #buffers: number;
  /** Where all goes; null while it is connected. */
  #destination: Uint8Array | null;
  /** Whom it was connected to last. */
  readonly #peer: Uint8Array;
  /** Of the addon: what makes the parity of what is sent; 0: nothing does. */
  readonly #parity: number;

  constructor(io: NativeIo, fd: number, networkNumber: number, hasParity: boolean) {
    this.fd = fd;
    this.#io = io;
    this.#buffers = io.native.udpReceiverCreate(networkNumber);
    this.#destination = null;
    this.#peer = new Uint8Array(ENDPOINT_BYTES);
    this.#parity = hasParity ? io.native.parityCreate() : 0;
  }

  /** Writes to `into` whom it is connected to; false when that is nobody. */
  peer(into: Uint8Array): boolean {
    const { native, handle, endpoint } = this.#io;
    const isConnected = native.udpPeer(handle, this.fd) === 1;
    if (isConnected) into.set(endpoint);
    return isConnected;
  }

  /** False where there is no way to it. */
  connect(endpoint: Uint8Array): boolean {
    const { native, handle } = this.#io;
    this.#io.endpoint.set(endpoint);
    this.#peer.set(endpoint);
    this.#destination = null;
    return native.udpConnect(handle, this.fd) === 0;
  }

  /** `destination` stays the caller's, who may change it. */
  open(destination: Uint8Array): void {
    this.#io.native.udpDisconnect(this.fd);
    this.#destination = destination;
  }

  /** As `udpWrite` of native/binding.ts. */
  write(first: number, firstEntry: number, datagrams: number, ring: number, segments: number): number {
    const { native, handle } = this.#io;
    const isOpen = this.#address();
    return native.udpWrite(handle, this.fd, first, firstEntry, datagrams, ring, segments, isOpen, this.#parity);
  }

  /** The one datagram of the scatter list, to somewhere else; an open socket's alone. */
  writeTo(endpoint: Uint8Array, ring: number): number {
    const { native, handle } = this.#io;
    this.#io.endpoint.set(endpoint);
    return native.udpWrite(handle, this.fd, 0, 0, 1, ring, 0, 1, 0);
  }

  /** As `udpRead`. `hearsAll`: open handshakes of whomever are taken, where it is open. */
  read(slots: number, ring: number, hearsAll: boolean): number {
    const { native, handle } = this.#io;
    const isOpen = this.#address();
    // What came before it was connected may wait still, from anywhere.
    if (isOpen === 0) this.#io.endpoint.set(this.#peer);
    return native.udpRead(handle, this.#buffers, this.fd, slots, ring, isOpen === 1 && hearsAll ? 2 : isOpen);
  }

  /** As `udpMore`. */
  more(): number {
    return this.#io.native.udpMore(this.#buffers);
  }

  /** As `udpOverruns`. */
  overruns(): number {
    return this.#io.native.udpOverruns(this.#buffers);
  }

  /** Blocks that begin from now on have up to so many rows of parity. */
  set parityRows(rows: number) {
    this.#io.native.parityRows(this.#parity, rows);
  }

  /** Datagrams that did not come and were rebuilt, ever; and those that could not be. */
  repaired(): number {
    return this.#io.native.udpRepaired(this.#buffers);
  }

  unrepaired(): number {
    return this.#io.native.udpUnrepaired(this.#buffers);
  }

  /** Writes to `into` where a datagram of the last `read` came from. */
  source(number: number, into: Uint8Array): void {
    this.#io.native.udpSource(this.#io.handle, this.#buffers, number);
    into.set(this.#io.endpoint);
  }

  close(): void {
    this.#io.native.close(this.fd);
    this.fd = -1;
    this.#io.native.udpReceiverDestroy(this.#buffers);
    if (this.#parity !== 0) this.#io.native.parityDestroy(this.#parity);
  }

  /** 1 when it is open, as the addon wants it. */
  #address(): number {
    if (this.#destination === null) return 0;
    this.#io.endpoint.set(this.#destination);
    return 1;
  }
}
