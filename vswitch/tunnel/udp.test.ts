/**
 * The udp device on real sockets: what the compliance suite does not see. Errors that the kernel reports late, a path MTU
 * that is not what was said, strangers, and `dgram` as the oracle for super-frames that lose datagrams.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { RecordingSink } from '../../test/compliance/recording-sink.js';
import {
  NETWORK,
  TestReceiver,
  TestSender,
  batchOf,
  describeFrame,
  pattern,
  plainFrame,
  superFrame,
  type Frame,
} from '../../test/tunnel/fixture.js';
import { type Clock, ManualClock } from '../../model/clock.js';
import type { KeyLimits } from '../../model/messages.js';
import type { Native } from '../../native/binding.js';
import { Checksum, FrameBatch } from '../arena.js';
import { NativeIo } from '../device/native-io.js';
import { Telemetry } from '../telemetry.js';
import { Ecn } from '../wire/ecn.js';
import { BASE_BYTES } from './health/path-mtu.js';
import { UdpDevice } from './udp.js';
import { DATAGRAM_HEADER_BYTES, DatagramHeader, DatagramType, TAG_BYTES, WIRE_VERSION } from './wire.js';

const found = await import('../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);
const missing = found instanceof Error ? ` (skipped: ${found.message})` : '';
const native = found as Native;

const PATIENCE_MS = 20_000;
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

async function plainSocket(): Promise<{ socket: Socket; port: number; received: Uint8Array[] }> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  closing.push(() => socket.close());
  const received: Uint8Array[] = [];
  socket.on('message', (data) => received.push(Uint8Array.from(data)));
  return { socket, port: socket.address().port, received };
}

function headerOf(type: number, epoch: number, counter: number): Uint8Array {
  const bytes = new Uint8Array(DATAGRAM_HEADER_BYTES);
  const header = new DatagramHeader();
  Object.assign(header, { type, epoch, network: NETWORK, counterLow: counter });
  header.emit(bytes, 0);
  return bytes;
}

/** A datagram of nothing but padding. */
function sealed(secret: Uint8Array, header: Uint8Array): Uint8Array {
  const nonce = secret.slice(32);
  for (let i = 0; i < 8; i++) nonce[4 + i]! ^= header[12 + i]!;
  const cipher = createCipheriv('aes-256-gcm', secret.subarray(0, 32), nonce);
  cipher.setAAD(header);
  const payload = cipher.update(new Uint8Array(2));
  cipher.final();
  return Buffer.concat([header, payload, cipher.getAuthTag()]);
}

interface Open {
  readonly device: UdpDevice;
  readonly io: NativeIo;
  readonly drops: RecordingSink;
  readonly port: number;
  readonly telemetry: Telemetry;
  /** That it said it has heard of. */
  readonly epochs: number[];
  /** That it passed on. */
  readonly handshakes: Uint8Array[];
  /** Of these, whether they came sealed. */
  readonly areSealed: boolean[];
  /** What else it said. */
  readonly said: string[];
  /** How many frames it complained of, each time. */
  readonly anomalies: number[];
}

interface Place {
  readonly netns?: string;
  readonly port?: number;
  readonly seal?: 'required' | 'none';
  readonly keyLimits?: KeyLimits;
  readonly receiveBufferBytes?: number;
  /** The machine's where absent. */
  readonly clock?: Clock;
}

function open(peerPort: number, place: Place = {}): Open {
  const io = new NativeIo(native, 4 * 2 ** 20);
  const drops = new RecordingSink();
  const address = '127.0.0.1';
  const { port: ownPort = 0, seal = 'none', keyLimits = {}, clock = io, ...namespace } = place;
  const epochs: number[] = [];
  const handshakes: Uint8Array[] = [];
  const said: string[] = [];
  const areSealed: boolean[] = [];
  const anomalies: number[] = [];
  const fd = native.udpOpen({ bind: { address, port: ownPort }, connect: { address, port: peerPort }, ...namespace });
  const { port } = native.udpAddress(fd);
  const telemetry = new Telemetry(Telemetry.allocate());
  const context = { arena: io.arena, io, drops, clock, index: 0, telemetry };
  const options = { fd, networkNumber: NETWORK, pathMtuBytes: 1500, ipHeaderBytes: 20, seal, keyLimits } as const;
  const tunnelEvents = {
    handshake: (payload: Uint8Array, isSealed: boolean) => {
      handshakes.push(payload);
      areSealed.push(isSealed);
    },
    epoch: (epoch: number) => void epochs.push(epoch),
    volume: (epoch: number) => void said.push(`volume ${epoch}`),
    spent: (epoch: number) => void said.push(`spent ${epoch}`),
    searching: () => undefined,
    foreign: (version: number, network: number) => void said.push(`foreign ${version} ${network}`),
    ecnAnomalies: (frames: number) => void anomalies.push(frames),
  };
  const device = new UdpDevice({ ...context, tunnelEvents }, options);
  closing.push(() => {
    device.close();
    io.close();
    expect(io.arena.freeSlots, 'slots leaked').toBe(io.arena.slotCount);
  });
  return { device, io, drops, port, telemetry, epochs, handshakes, areSealed, said, anomalies };
}

function send({ device, io }: Open, frames: readonly Frame[]): void {
  expect(device.txBatch(batchOf(io.arena, frames), 0)).toBe(frames.length);
}

function take({ device, io }: Open): Frame[] {
  const batch = new FrameBatch(device.batchSize);
  device.rxBatch(batch);
  return Array.from({ length: batch.count }, (_, i) => {
    const id = batch.ids[i]!;
    const frame = {
      bytes: io.arena.read(id),
      channel: batch.channels[i]!,
      gsoSize: io.arena.gsoSize[id]!,
      checksum: io.arena.csumState[id] as Checksum,
    };
    io.arena.release(id);
    return frame;
  });
}

/** Turns of the event loop until it holds: as many as a busy machine may need. */
async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!holds() && performance.now() < endMs) await new Promise((resolve) => setImmediate(resolve));
  expect(holds()).toBe(true);
}

function sendPlain(socket: Socket, data: Uint8Array, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(data, port, '127.0.0.1', (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

describe.skipIf(found instanceof Error)(`udp device${missing}`, () => {
  it('sends the bytes that the format says, and understands them', async () => {
    const peer = await plainSocket();
    const end = open(peer.port);
    const frames = [
      plainFrame(60, 1),
      plainFrame(1514, 2),
      superFrame({ version: 6, protocol: 'tcp', payload: pattern(30_000) }, 1428, 9),
    ];
    send(end, frames);
    const expected = new TestSender(BASE_BYTES).send(frames);
    await until(() => peer.received.length === expected.length);
    expect(peer.received).toEqual(expected);
    for (const datagram of expected) await sendPlain(peer.socket, datagram, end.port);
    const back: Frame[] = [];
    await until(() => back.push(...take(end)) > 0 && back.length === frames.length);
    expect(back.map(describeFrame)).toEqual(frames.map(describeFrame));
  });

  it('salvages what is lost exactly as a receiver without the addon does', async () => {
    const peer = await plainSocket();
    const end = open(peer.port);
    const sent = superFrame({ version: 4, protocol: 'tcp', payload: pattern(20_000) }, 1448, 9);
    const datagrams = new TestSender().send([sent]).filter((_, i) => i !== 5);
    const oracle = new TestReceiver().take(...datagrams);
    oracle.receiver.poll(Infinity);
    for (const datagram of datagrams) await sendPlain(peer.socket, datagram, end.port);
    await until(() => {
      expect(take(end)).toEqual([]);
      return end.device.nextNs !== Infinity;
    });
    const saved: Frame[] = [];
    await until(() => {
      saved.push(...take(end));
      end.device.poll(Infinity);
      saved.push(...take(end));
      return saved.length === 2;
    });
    expect(saved.map(describeFrame)).toEqual(oracle.frames().map(describeFrame));
    expect(end.drops.reasons).toEqual(['incomplete']);
  });

  it('goes on when nobody listens at the peer, and counts it', async () => {
    const peer = await plainSocket();
    const end = open(peer.port);
    closing.shift();
    await new Promise<void>((resolve) => {
      peer.socket.close(resolve);
    });
    await until(() => {
      send(end, [plainFrame(60), plainFrame(1514)]);
      return end.device.outgoing.refused > 2;
    });
    expect(take(end)).toEqual([]);
    expect(end.drops.reasons).toEqual([]);
    expect(end.device.outgoing.failed).toBe(0);
  });

  it('hears no strangers', async () => {
    const [peer, stranger] = [await plainSocket(), await plainSocket()];
    const end = open(peer.port);
    const [foreign] = new TestSender().send([plainFrame(100)]);
    const [own] = new TestSender().send([plainFrame(60)]);
    await sendPlain(stranger.socket, foreign!, end.port);
    await sendPlain(peer.socket, own!, end.port);
    const got: Frame[] = [];
    await until(() => got.push(...take(end)) > 0);
    expect(got.map(({ bytes }) => bytes.byteLength)).toEqual([60]);
  });

  it('refuses empty datagrams and garbage, and takes one longer than its own path MTU', async () => {
    const peer = await plainSocket();
    const end = open(peer.port);
    const [long] = new TestSender(9000).send([plainFrame(5000)]);
    for (const data of [new Uint8Array(0), pattern(1000), long!]) await sendPlain(peer.socket, data, end.port);
    const got: Frame[] = [];
    await until(() => got.push(...take(end)) > 0);
    expect(got.map(({ bytes }) => bytes.byteLength)).toEqual([5000]);
    expect(end.drops.reasons).toEqual(['badDatagram', 'badDatagram']);
  });

  it('reads long datagrams into chains of slots', async () => {
    const peer = await plainSocket();
    const end = open(peer.port);
    const frames = [plainFrame(60, 1), plainFrame(40_000, 2), plainFrame(50_000, 3), plainFrame(61, 4)];
    for (const datagram of new TestSender(65_535).send(frames)) await sendPlain(peer.socket, datagram, end.port);
    const got: Frame[] = [];
    await until(() => got.push(...take(end)) > 0 && got.length === frames.length);
    expect(got.map(describeFrame)).toEqual(frames.map(describeFrame));
  });

  it('takes only what is authentic for a sign of its peer', async () => {
    const peer = await plainSocket();
    const end = open(peer.port, { seal: 'required' });
    const secret = pattern(44);
    end.device.installKeys({ epoch: 7, algorithm: 'aes-256-gcm', send: secret, receive: [secret] });
    const forged = headerOf(DatagramType.handshake, 0, 0);
    forged[0] = WIRE_VERSION + 1;
    for (const data of [sealed(secret, headerOf(DatagramType.frames, 7, 1)), forged, forged])
      await sendPlain(peer.socket, data, end.port);
    await until(() => take(end).length === 0 && end.drops.reasons.length === 2);
    expect(end.drops.reasons).toEqual(['badDatagram', 'badDatagram']);
    expect(end.device.receivedDatagrams()).toBe(1);
    expect(end.epochs).toEqual([7]);
  });

  it('hears its peer through a flood of handshakes that strangers make up', async () => {
    const peer = await plainSocket();
    const end = open(peer.port, { seal: 'required' });
    const mark = pattern(8);
    end.device.markHandshakes(mark);
    const forged = Buffer.concat([headerOf(DatagramType.handshake, 0, 0), pattern(28)]);
    const own = Buffer.from(forged);
    own.set(mark, 12);
    own[20] = 99;
    for (let i = 0; i < 100; i++) await sendPlain(peer.socket, forged, end.port);
    await sendPlain(peer.socket, own, end.port);
    await until(() => take(end).length === 0 && end.handshakes.length + end.drops.reasons.length === 101);
    expect(end.handshakes.length).toBeLessThan(101);
    expect(end.handshakes.at(-1)![0]).toBe(99);
    end.device.sendHandshake(pattern(28), false);
    await until(() => peer.received.length > 0);
    expect(peer.received[0]!.subarray(12, 20)).toEqual(mark);
  });

  it('seals no frame with a key that is spent, but goes on to ask for another', async () => {
    const peer = await plainSocket();
    const end = open(peer.port, { seal: 'required', keyLimits: { rekeyDatagrams: 5_000, stopDatagrams: 2 ** 16 } });
    const keys = (epoch: number) => {
      const secret = pattern(44, epoch);
      end.device.installKeys({ epoch, algorithm: 'aes-256-gcm', send: secret, receive: [secret] });
      end.device.useKeys(epoch);
    };
    const frame = superFrame({ version: 4, protocol: 'tcp', payload: pattern(60_000) }, 1448);
    keys(7);
    while (end.drops.reasons.length === 0 && end.device.sentDatagrams() < 2 ** 16)
      end.device.txBatch(batchOf(end.io.arena, [frame]), 0);
    expect(end.drops.reasons).toEqual(['keySpent']);
    expect(end.said).toEqual(['volume 7', 'spent 7']);
    expect(end.device.sentDatagrams()).toBeLessThan(2 ** 16 - 2 ** 14);
    send(end, [plainFrame(60)]);
    expect(end.drops.reasons).toEqual(['keySpent', 'keySpent']);
    await until(() => peer.received.length > 0);
    peer.received.length = 0;
    end.device.sendHandshake(pattern(28), true);
    await until(() => peer.received.some((data) => data[1] === DatagramType.handshake));
    const asked = peer.received.find((data) => data[1] === DatagramType.handshake)!;
    expect(asked.byteLength).toBe(DATAGRAM_HEADER_BYTES + 28 + TAG_BYTES);
    keys(8);
    const before = end.device.sentDatagrams();
    send(end, [plainFrame(60)]);
    expect(end.device.sentDatagrams()).toBe(before + 1);
    expect(end.drops.reasons).toHaveLength(2);
    expect(end.said).toHaveLength(2);
  });

  it('tells which handshakes were sealed, each once', async () => {
    const peer = await plainSocket();
    const end = open(peer.port, { seal: 'required' });
    const secret = pattern(44);
    end.device.sendHandshake(pattern(28), true);
    end.device.installKeys({ epoch: 7, algorithm: 'aes-256-gcm', send: secret, receive: [secret] });
    const own = sealed(secret, headerOf(DatagramType.handshake, 7, 1));
    const open7 = Buffer.concat([headerOf(DatagramType.handshake, 7, 2), pattern(40)]);
    for (const data of [own, own, open7, Buffer.concat([headerOf(DatagramType.handshake, 0, 0), pattern(28)])])
      await sendPlain(peer.socket, data, end.port);
    await until(() => take(end).length === 0 && end.handshakes.length + end.drops.reasons.length === 4);
    expect(end.handshakes.map(({ byteLength }) => byteLength)).toEqual([2, 28]);
    expect(end.areSealed).toEqual([true, false]);
    expect(end.drops.reasons).toEqual(['replayed', 'notAuthentic']);
    // Without a key in use, none was sent.
    expect(peer.received).toEqual([]);
  });

  it.each(['required', 'none'] as const)(
    'tells what comes of other versions and networks (seal: %s), not each',
    async (seal) => {
      const peer = await plainSocket();
      const end = open(peer.port, { seal });
      const secret = pattern(44);
      // An open handshake, and frames that are sealed.
      const others = [
        Buffer.concat([headerOf(DatagramType.handshake, 0, 0), pattern(28)]),
        sealed(secret, headerOf(DatagramType.frames, 7, 1)),
      ];
      for (const other of others) {
        const [version, network] = [Buffer.from(other), Buffer.from(other)];
        version[0] = WIRE_VERSION + 1;
        network.writeUInt32BE(0xffff_fff9, 4);
        for (const data of [version, network]) await sendPlain(peer.socket, data, end.port);
      }
      const flood = Buffer.from(others[1]!);
      flood[0] = WIRE_VERSION + 1;
      for (let i = 0; i < 50; i++) await sendPlain(peer.socket, flood, end.port);
      await until(() => take(end).length === 0 && end.drops.reasons.length === 54);
      expect(new Set(end.drops.reasons)).toEqual(new Set(['badDatagram']));
      const told = [`foreign ${WIRE_VERSION + 1} 0`, `foreign ${WIRE_VERSION} 4294967289`];
      expect(end.said.slice(0, 4)).toEqual([...told, ...told]);
      expect(end.said.length).toBeLessThan(20);
    },
  );

  describe.each(['required', 'none'] as const)('toward a socket that holds little, seal %s', (seal) => {
    /** As of a socket that nobody asked to hold more; the kernel doubles it. */
    const USUAL_BYTES = 212_992;
    const SECRET = Uint8Array.from({ length: 44 }, (_, i) => i * 5 + 1);
    const clock = new ManualClock();

    function pairOf(receiveBufferBytes: number): [Open, Open] {
      const reserved = native.udpOpen({ bind: { address: '127.0.0.1', port: 0 } });
      const { port } = native.udpAddress(reserved);
      const first = open(port, { seal, clock, receiveBufferBytes });
      native.close(reserved);
      const pair: [Open, Open] = [first, open(first.port, { seal, clock, receiveBufferBytes, port })];
      for (const { device } of seal === 'required' ? pair : []) {
        device.installKeys({ epoch: 7, algorithm: 'aes-256-gcm', send: SECRET, receive: [SECRET] });
        device.useKeys(7);
      }
      return pair;
    }

    /** Each asks the other, and so says what it holds. */
    function meet(ends: readonly Open[]): void {
      for (const { device } of ends) device.poll(clock.nowNs());
      for (const end of ends) expect(take(end)).toEqual([]);
    }

    const bursts: readonly (readonly [string, readonly Frame[]])[] = [
      [
        'super-frames',
        Array.from({ length: 20 }, (_, i) =>
          superFrame({ version: 4, protocol: 'tcp', payload: pattern(60_000, i) }, 1448, 1),
        ),
      ],
      ['frames', Array.from({ length: 600 }, (_, i) => plainFrame(1514, i))],
      ['short frames', Array.from({ length: 900 }, (_, i) => plainFrame(60, i))],
    ];

    it.each(bursts)('sends a burst of %s bit by bit, so that none is lost', (_, frames) => {
      const [from, to] = pairOf(USUAL_BYTES / 2);
      meet([from, to]);
      from.device.poll(clock.nowNs());
      expect(from.telemetry.tunnel(0)).toMatchObject({ peerBufferBytes: USUAL_BYTES });
      const batch = batchOf(from.io.arena, frames);
      const got: Frame[] = [];
      for (let done = 0; done < frames.length;) {
        const more = from.device.txBatch(batch, done);
        done += more;
        for (let frame = take(to); frame.length > 0; frame = take(to)) got.push(...frame);
        if (done === frames.length) break;
        expect(from.device).toMatchObject({ isHolding: true });
        const { nextNs } = from.device;
        expect(nextNs).toBeGreaterThan(clock.nowNs());
        // Until then it takes nothing more, as often as it is asked.
        expect(from.device.txBatch(batch, done)).toBe(0);
        clock.advance(nextNs - clock.nowNs());
        from.device.poll(clock.nowNs());
      }
      expect(got.map(describeFrame)).toEqual(frames.map(describeFrame));
      meet([from, to]);
      expect(to.telemetry.tunnel(0)).not.toHaveProperty('rxOverruns');
    });

    it('would lose of it otherwise, and count that', () => {
      const [from, to] = pairOf(USUAL_BYTES / 2);
      const [, frames] = bursts[0]!;
      send(from, frames);
      let count = 0;
      for (let got = take(to); got.length > 0; got = take(to)) count += got.length;
      expect(count).toBeLessThan(frames.length);
      meet([from, to]);
      clock.advance(1e9);
      meet([from, to]);
      expect(to.telemetry.tunnel(0)!.rxOverruns).toBeGreaterThan(0);
      expect(from.telemetry.tunnel(0)).not.toHaveProperty('rxOverruns');
    });

    it('sends it at once where the peer holds much', ({ skip }) => {
      const [from, to] = pairOf(8 * 2 ** 20);
      if (native.udpReceiveBufferBytes(to.device.fd) < 16 * 2 ** 20) skip('needs a receive buffer of 8 MiB: root');
      meet([from, to]);
      const [, frames] = bursts[0]!;
      send(from, frames);
      expect(from.device.isHolding).toBe(false);
      const got: Frame[] = [];
      for (let more = take(to); more.length > 0; more = take(to)) got.push(...more);
      expect(got.map(describeFrame)).toEqual(frames.map(describeFrame));
    });
  });

  it('tells of no epochs where nothing is sealed', async () => {
    const peer = await plainSocket();
    const end = open(peer.port);
    for (const epoch of [1, 2, 3]) await sendPlain(peer.socket, headerOf(DatagramType.frames, epoch, 0), end.port);
    await until(() => take(end).length === 0 && end.drops.reasons.length === 3);
    expect(end.epochs).toEqual([]);
  });

  it('needs the addon', () => {
    const { io, drops } = open(9);
    const options = { fd: -1, networkNumber: 1, pathMtuBytes: 1500, ipHeaderBytes: 20, seal: 'none' as const };
    expect(() => new UdpDevice({ arena: io.arena, drops, clock: io, index: 0 }, options)).toThrow(TypeError);
  });
});

/** A shell in a network namespace of its own, whose loopback can be made narrow; undefined where that is not allowed. */
class Narrow {
  readonly netns: string;
  readonly #shell: ChildProcess;

  private constructor(shell: ChildProcess) {
    this.#shell = shell;
    this.netns = `/proc/${shell.pid}/ns/net`;
  }

  static async start(): Promise<Narrow | undefined> {
    const shell = spawn('unshare', ['--net', 'sh'], { stdio: ['pipe', 'pipe', 'ignore'] });
    shell.stdin.on('error', () => undefined);
    shell.stdin.write('ip link set dev lo up && echo done\n');
    const said = await Promise.race([once(shell.stdout, 'data'), once(shell, 'exit'), once(shell, 'error')]);
    return String(said[0]).includes('done') ? new Narrow(shell) : undefined;
  }

  async setMtu(mtuBytes: number): Promise<void> {
    this.#shell.stdin!.write(`ip link set dev lo mtu ${mtuBytes} && echo done\n`);
    await once(this.#shell.stdout!, 'data');
  }

  end(): void {
    this.#shell.stdin!.end();
  }
}

const narrow = found instanceof Error ? undefined : await Narrow.start();
const why = narrow === undefined ? ' (skipped: needs the addon and a network namespace)' : '';

describe.skipIf(narrow === undefined)(`udp devices over a path that takes less than was said${why}`, () => {
  afterAll(() => narrow?.end());

  /** Two that are connected to each other. */
  function pair(): [Open, Open] {
    const { netns } = narrow!;
    return [open(7001, { netns, port: 7000 }), open(7000, { netns, port: 7001 })];
  }

  /** What the engine does: time, polls, reads. Returns what came to the second. */
  function breathe(ends: readonly [Open, Open]): Frame[] {
    for (const { device, io } of ends) {
      native.tick(io.handle);
      if (device.nextNs <= io.nowNs()) device.poll(io.nowNs());
    }
    expect(take(ends[0])).toEqual([]);
    return take(ends[1]);
  }

  const pathMtu = ({ telemetry }: Open): number | undefined => telemetry.tunnel(0)?.pathMtuBytes;

  it('find what it takes, and lose nothing when the interface takes less', async () => {
    const ends = pair();
    const [end] = ends;
    for (const mtuBytes of [1500, 1400]) {
      await narrow!.setMtu(mtuBytes);
      const frames = [plainFrame(60, 1), plainFrame(1420, 2), plainFrame(1514, 3), plainFrame(62, 4)];
      send(end, frames);
      const got: Frame[] = [];
      await until(() => {
        got.push(...breathe(ends));
        return got.length === frames.length && pathMtu(end) === mtuBytes;
      });
      expect(got.map(describeFrame)).toEqual(frames.map(describeFrame));
    }
    expect(end.device.outgoing.tooLong).toBe(1);
    expect([end.device.outgoing.failed, end.drops.reasons]).toEqual([0, []]);
    expect(end.telemetry.tunnel(0)).toMatchObject({ liveness: 'alive', pathMtuBytes: 1400 });
    expect(end.telemetry.tunnel(0)!.rttNs).toBeGreaterThan(0);
  });

  /** Datagrams by the ECN field that the kernel has seen in the namespace: Not-ECT, ECT(1), ECT(0), CE. */
  function seen(): number[] {
    const text = readFileSync(narrow!.netns.replace('ns/net', 'net/netstat'), 'utf8');
    const [names, values] = text.split('\n').flatMap((line) => (line.startsWith('IpExt:') ? [line.split(' ')] : []));
    return ['InNoECTPkts', 'InECT1Pkts', 'InECT0Pkts', 'InCEPkts'].map((name) => Number(values![names!.indexOf(name)]));
  }

  /** One that something on the way has marked. */
  function sendMarked({ device, io }: Open, [datagram]: readonly Uint8Array[], ecn: Ecn): void {
    const frame = io.arena.write(datagram!);
    io.iov.set([io.arena.start(frame), datagram!.byteLength]);
    io.lengths[0] = 1;
    io.cuts[0] = 0;
    io.ecn[0] = ecn;
    expect(native.udpWrite(io.handle, device.fd, 0, 0, 1, 0, 0, 0, 0)).toBe(1);
    io.arena.release(frame);
  }

  const tcp = (ecn: Ecn, payloadBytes = 300): Frame =>
    superFrame({ version: 4, protocol: 'tcp', payload: pattern(payloadBytes), ecn }, payloadBytes > 1448 ? 1448 : 0);

  it('send datagrams with the ECN field of their frames, probes with none', async () => {
    await narrow!.setMtu(1500);
    const ends = pair();
    const before = seen();
    const frames = [Ecn.ect1, Ecn.ect0, Ecn.ect0, Ecn.ce, Ecn.notEct].map((ecn) => tcp(ecn));
    // Of 16 pieces at the path MTU that a tunnel begins with; merged or not, each is counted.
    frames.push(tcp(Ecn.ect0, 19_000));
    send(ends[0], frames);
    const got: Frame[] = [];
    await until(() => got.push(...breathe(ends)) > 0 && got.length === frames.length);
    expect(got.map(describeFrame)).toEqual(frames.map(describeFrame));
    const [probes, ...counts] = seen().map((count, i) => count - before[i]!);
    expect(counts).toEqual([1, 17, 1]);
    expect(probes).toBeGreaterThan(1);
    expect(ends[1].telemetry.tunnel(0)).not.toHaveProperty('ecnAnomalies');
  });

  it('give frames the marks of their datagrams, and complain once a minute of those that nobody should make', async () => {
    const ends = pair();
    const [from, to] = ends;
    const deliver = async (frame: Frame, ecn: Ecn): Promise<Frame[]> => {
      const sender = new TestSender();
      sendMarked(from, sender.send([frame]), ecn);
      // What follows says that it has been there.
      sendMarked(from, sender.send([plainFrame(60)]), Ecn.notEct);
      const got: Frame[] = [];
      await until(() => got.push(...breathe(ends)) > 0 && got.at(-1)!.bytes.byteLength === 60);
      return got.slice(0, -1);
    };
    expect((await deliver(tcp(Ecn.ect0), Ecn.ce)).map(describeFrame)).toEqual([describeFrame(tcp(Ecn.ce))]);
    expect(to.drops.reasons).toEqual([]);
    for (let i = 0; i < 3; i++) expect(await deliver(tcp(Ecn.notEct), Ecn.ce)).toEqual([]);
    expect(to.drops.reasons).toEqual(Array(3).fill('ecnConflict'));
    expect(to.anomalies).toEqual([1]);
    to.device.poll(to.io.nowNs());
    expect(to.telemetry.tunnel(0)).toMatchObject({ ecnAnomalies: 3 });
  });

  it('drop and count what is too long even for the least path', async () => {
    await narrow!.setMtu(1000);
    const [end] = pair();
    for (const bytes of [60, 1200, 61]) send(end, [plainFrame(bytes)]);
    expect([end.device.outgoing.tooLong, end.device.outgoing.failed]).toEqual([1, 0]);
    expect(end.drops.reasons).toEqual(['deviceError']);
  });
});
