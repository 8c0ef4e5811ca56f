/**
 * A sealed tunnel through a translator of addresses, on real sockets: its outer port changes, it is cut, and somebody on
 * the way copies what passes.
 *
 *   a ── inner [ translator ] outer ── b
 *                      copies ┄┄ enemy ┄┘
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecordingSink } from '../../../test/compliance/recording-sink.js';
import { rehearsals } from '../../../test/handshake/rehearsal.js';
import { NETWORK, batchOf, pattern, plainFrame } from '../../../test/tunnel/fixture.js';
import type { Native } from '../../../native/binding.js';
import { FrameBatch } from '../../arena.js';
import { NativeIo } from '../../device/native-io.js';
import { TunnelHandshake } from '../../handshake/tunnel-handshake.js';
import { Telemetry } from '../../telemetry.js';
import { get32 } from '../../wire/bytes.js';
import { keysOfLane } from '../tunnel-keys.js';
import { UdpDevice } from '../udp.js';
import { DatagramType } from '../wire.js';

const found = await import('../../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);
const missing = found instanceof Error ? ` (skipped: ${found.message})` : '';
const native = found as Native;

const ADDRESS = '127.0.0.1';
const EPOCH = 7;
const SECRETS = [pattern(44, 1), pattern(44, 2)] as const;
const MARK = pattern(8, 3);
const patience = { timeout: 30_000, interval: 5 };

const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

async function plainSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, ADDRESS);
  await once(socket, 'listening');
  // What is sent to a port that is no more is refused.
  socket.on('error', () => undefined);
  return socket;
}

class End {
  readonly io = new NativeIo(native, 4 * 2 ** 20);
  readonly drops = new RecordingSink();
  readonly telemetry = new Telemetry(Telemetry.allocate());
  /** Of frames that came. */
  readonly lengths: number[] = [];
  readonly device: UdpDevice;
  readonly port: number;
  /** Where its keys come from later; undefined where they are there from the start. */
  readonly keys: TunnelHandshake | undefined;
  readonly #peerPort: number;
  readonly #isFirst: boolean;

  /** `exchanges`: keys are agreed on with the peer; the end that is the first begins. */
  constructor(fd: number, peerPort: number, isFirst: boolean, exchanges = false) {
    const options = { networkNumber: NETWORK, pathMtuBytes: 1500, ipHeaderBytes: 20, seal: 'required' } as const;
    const context = { arena: this.io.arena, io: this.io, drops: this.drops, clock: this.io, index: 0 };
    const peer = { address: ADDRESS, port: peerPort };
    const tunnelEvents = {
      handshake: (payload: Uint8Array, isSealed: boolean) => this.keys?.receive(payload, isSealed),
      epoch: (epoch: number) => this.keys?.epochSeen(epoch),
      volume: () => undefined,
      spent: () => undefined,
      searching: (isSearching: boolean) => this.keys?.searching(isSearching),
      foreign: () => undefined,
      ecnAnomalies: () => undefined,
    };
    this.device = new UdpDevice({ ...context, telemetry: this.telemetry, tunnelEvents }, { ...options, fd, peer });
    this.device.markHandshakes(MARK);
    this.port = native.udpAddress(fd).port;
    this.#peerPort = peerPort;
    this.#isFirst = isFirst;
    closing.push(() => this.close());
    this.keys = exchanges ? this.#exchange() : undefined;
    if (exchanges) return;
    const [send, receive] = isFirst ? SECRETS : ([SECRETS[1], SECRETS[0]] as const);
    this.device.installKeys({ epoch: EPOCH, algorithm: 'aes-256-gcm', send, receive: [receive] });
    this.device.useKeys(EPOCH);
  }

  get state(): { address?: string; moves?: number; liveness?: string; searching?: boolean } {
    return this.telemetry.tunnel(0) ?? {};
  }

  /** What the engine does. */
  breathe(): void {
    native.tick(this.io.handle);
    this.keys?.poll();
    if (this.device.nextNs <= this.io.nowNs()) this.device.poll(this.io.nowNs());
    const batch = new FrameBatch(this.device.batchSize);
    this.device.rxBatch(batch);
    for (let i = 0; i < batch.count; i++) {
      this.lengths.push(this.io.arena.length[batch.ids[i]!]!);
      this.io.arena.release(batch.ids[i]!);
    }
  }

  send(frameBytes: number): void {
    const batch = batchOf(this.io.arena, [plainFrame(frameBytes)]);
    expect(this.device.txBatch(batch, 0)).toBe(1);
  }

  /** Another process on the same socket, as the keeper has it. */
  restart(): End {
    const fd = native.dup(this.device.fd);
    this.close();
    return new End(fd, this.#peerPort, this.#isFirst, this.keys !== undefined);
  }

  #exchange(): TunnelHandshake {
    const random = (bytes: number): Uint8Array => Uint8Array.from(randomBytes(bytes));
    return new TunnelHandshake({
      role: this.#isFirst ? 'initiator' : 'responder',
      peer: 'the other',
      nowMs: () => performance.now(),
      random,
      startSession: rehearsals(random),
      send: (payload, isSealed) => {
        this.device.sendHandshake(payload, isSealed);
      },
      keys: {
        install: (keys, done) => {
          this.device.installKeys(keysOfLane(keys, 0));
          done();
        },
        sendWith: (epoch, done) => {
          this.device.useKeys(epoch);
          done();
        },
        drop: (epoch) => {
          this.device.dropKeys(epoch);
        },
      },
      onChanged: () => undefined,
      onFailed: () => undefined,
      onSealed: () => undefined,
    });
  }

  close(): void {
    if (this.device.fd === -1) return;
    this.device.close();
    this.io.close();
    expect(this.io.arena.freeSlots, 'slots leaked').toBe(this.io.arena.slotCount);
  }
}

/** Passes datagrams on, in the name of `outer`. */
class Translator {
  isCut = false;
  /** Datagrams from `a`, as they pass. */
  copy: (datagram: Uint8Array) => void = () => undefined;
  inner!: Socket;
  outer!: Socket;
  portA = 0;
  portB = 0;

  static async start(): Promise<Translator> {
    const translator = new Translator();
    translator.inner = await plainSocket();
    await translator.rebind();
    translator.inner.on('message', (datagram) => {
      translator.copy(datagram);
      if (!translator.isCut) translator.outer.send(datagram, translator.portB, ADDRESS);
    });
    closing.push(() => {
      translator.inner.close();
      translator.outer.close();
    });
    return translator;
  }

  get innerPort(): number {
    return this.inner.address().port;
  }

  get outerPort(): number {
    return this.outer.address().port;
  }

  toA(datagram: Uint8Array): void {
    this.inner.send(datagram, this.portA, ADDRESS);
  }

  /** Another port outside; what comes to the one before is lost. */
  async rebind(): Promise<void> {
    const before = this.outer as Socket | undefined;
    this.outer = await plainSocket();
    before?.close();
    this.outer.on('message', (datagram) => {
      if (!this.isCut) this.toA(datagram);
    });
  }
}

describe.skipIf(found instanceof Error)(`a tunnel through a translator${missing}`, () => {
  let nat: Translator;
  let a: End;
  let b: End;

  beforeEach(async () => {
    nat = await Translator.start();
    start(true, false);
    await until(() => a.state.liveness === 'alive' && b.state.liveness === 'alive');
  });

  /** `exchanges`: keys are agreed on; `a` begins where it is the first. */
  function start(aIsFirst: boolean, exchanges: boolean): void {
    const open = (peerPort: number): number =>
      native.udpOpen({
        bind: { address: '0.0.0.0', port: 0 },
        connect: { address: ADDRESS, port: peerPort },
      });
    const [fdA, fdB] = [open(nat.innerPort), open(nat.outerPort)];
    a = new End(fdA, nat.innerPort, aIsFirst, exchanges);
    b = new End(fdB, nat.outerPort, !aIsFirst, exchanges);
    nat.portA = a.port;
    nat.portB = b.port;
  }

  const at = (port: number): string => `${ADDRESS}:${port}`;

  function until(holds: () => boolean): Promise<void> {
    return expect
      .poll(() => {
        a.breathe();
        b.breathe();
        return holds();
      }, patience)
      .toBe(true);
  }

  /** Frames pass both ways. */
  async function passes(): Promise<void> {
    a.lengths.length = b.lengths.length = 0;
    b.send(61);
    a.send(60);
    await until(() => a.lengths.includes(61) && b.lengths.includes(60));
  }

  const connection = (end: End): string => {
    const isConnected = native.udpPeer(end.io.handle, end.device.fd) === 1;
    return isConnected ? at((end.io.endpoint[16]! << 8) | end.io.endpoint[17]!) : '';
  };

  it('goes on through another port, and so does a process that comes after', async () => {
    await nat.rebind();
    await until(() => b.state.address === at(nat.outerPort));
    await passes();
    expect(b.state.moves).toBe(1);
    expect(a.state).toMatchObject({ address: at(nat.innerPort), moves: 0 });
    await until(() => connection(b) === at(nat.outerPort));

    b = b.restart();
    expect(b.port).toBe(nat.portB);
    b.breathe();
    await until(() => b.state.liveness === 'alive');
    expect(b.state).toMatchObject({ address: at(nat.outerPort), moves: 0 });
  });

  it('moves nowhere for copies of its datagrams, and sends no more there than came', async () => {
    const enemy = await plainSocket();
    closing.push(() => enemy.close());
    let [sentBytes, receivedBytes] = [0, 0];
    enemy.on('message', (datagram) => (receivedBytes += datagram.byteLength));
    const forge = (datagram: Uint8Array): void => {
      sentBytes += datagram.byteLength;
      enemy.send(datagram, b.port, ADDRESS);
    };
    // While the peer is heard, they do not even arrive.
    nat.copy = forge;
    for (let i = 0; i < 20; i++) await passes();
    expect([connection(b), b.drops.reasons]).toEqual([at(nat.outerPort), []]);
    expect([sentBytes > 0, receivedBytes]).toEqual([true, 0]);
    // When it is not, they are authentic and new, and come from where the peer is not.
    nat.isCut = true;
    await until(() => receivedBytes > 0);
    await until(() => b.state.liveness === 'dead');
    expect(b.state).toMatchObject({ address: at(nat.outerPort), moves: 0 });
    expect(receivedBytes).toBeLessThanOrEqual(sentBytes);
    nat.isCut = false;
    await until(() => connection(b) === at(nat.outerPort));
    await passes();
    expect(b.state.moves).toBe(0);
  });

  it('comes back from somebody who passed its datagrams on while its path was cut', async () => {
    const enemy = await plainSocket();
    closing.push(() => enemy.close());
    enemy.on('message', (datagram) => nat.toA(datagram));
    nat.copy = (datagram) => enemy.send(datagram, b.port, ADDRESS);
    nat.isCut = true;
    await until(() => b.state.address === at(enemy.address().port));
    nat.isCut = false;
    await until(() => b.state.address === at(nat.outerPort));
    expect(connection(b)).toBe(at(nat.outerPort));
    await passes();
  });

  describe.each([
    ['begins', true],
    ['is asked', false],
  ])('whose end behind it %s handshakes', (_, aIsFirst) => {
    beforeEach(async () => {
      a.close();
      b.close();
      start(aIsFirst, true);
      await until(() => a.state.liveness === 'alive' && b.state.liveness === 'alive');
      // It has another port outside, where it is not found at first.
      nat.isCut = true;
      await nat.rebind();
      await until(() => a.state.searching === true && b.state.searching === true);
    });

    const areTogether = async (): Promise<void> => {
      await until(() => b.state.address === at(nat.outerPort) && a.state.liveness === 'alive');
      await passes();
      await until(() => connection(b) === at(nat.outerPort) && connection(a) === at(nat.innerPort));
    };

    it('is found by a process that begins while it is looked for', async () => {
      b = b.restart();
      nat.isCut = false;
      await areTogether();
    });

    it('is found when it is another process itself', async () => {
      a = a.restart();
      nat.isCut = false;
      await areTogether();
    });

    it('is found when both are other processes', async () => {
      a = a.restart();
      b = b.restart();
      nat.isCut = false;
      await areTogether();
    });

    it('is not looked for where strangers say, and who has seen it is sent thrice what he sends at most', async () => {
      b = b.restart();
      const enemy = await plainSocket();
      closing.push(() => enemy.close());
      let receivedBytes = 0;
      enemy.on('message', (datagram) => (receivedBytes += datagram.byteLength));
      let seen: Uint8Array | undefined;
      nat.copy = (datagram) => {
        if (datagram[1] === DatagramType.handshake && get32(datagram, 8) === 0) seen ??= datagram.slice();
      };
      await until(() => seen !== undefined);
      const unmarked = seen!.map((byte, i) => (i >= 12 && i < 20 ? 0 : byte));
      enemy.send(unmarked, b.port, ADDRESS);
      await until(() => b.drops.reasons.includes('stranger'));
      const endMs = performance.now() + 1_500;
      await until(() => performance.now() > endMs);
      expect(receivedBytes).toBe(0);
      enemy.send(seen!, b.port, ADDRESS);
      await until(() => receivedBytes > 0);
      await until(() => performance.now() > endMs + 3_000);
      expect(receivedBytes).toBeLessThanOrEqual(3 * seen!.byteLength);
      nat.isCut = false;
      await areTogether();
    });
  });
});
