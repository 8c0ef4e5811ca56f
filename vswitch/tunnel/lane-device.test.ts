/** Lanes of one tunnel on one real socket, each with arrays of its own as threads have them; the peer is a device, or plain. */
import { createDecipheriv } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { RecordingSink } from '../../test/compliance/recording-sink.js';
import {
  batchOf,
  describeFrame,
  NETWORK,
  pattern,
  plainFrame,
  superFrame,
  type Frame,
} from '../../test/tunnel/fixture.js';
import type { Native } from '../../native/binding.js';
import { type Checksum, FrameBatch } from '../arena.js';
import { type Clock, ManualClock } from '../../model/clock.js';
import type { EpochKeys } from '../device/device.js';
import { NativeIo } from '../device/native-io.js';
import { MAX_ENGINES } from '../limits.js';
import { allocateBoard, BoardReader, BoardWriter, type LaneBoard } from './lane-board.js';
import { LaneDevice } from './lane-device.js';
import { parseEndpoint } from './roaming/endpoint.js';
import { keysOfLane } from './tunnel-keys.js';
import { UdpDevice } from './udp.js';
import { DATAGRAM_HEADER_BYTES, DatagramHeader, DatagramType, MIN_PATH_MTU_BYTES, TAG_BYTES } from './wire.js';

const found = await import('../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);
const missing = found instanceof Error ? ` (skipped: ${found.message})` : '';
const native = found as Native;

const LANES = 3;
const ADDRESS = '127.0.0.1';
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

/** A key of an epoch, of one lane of one way. */
const secretOf = (epoch: number, way: number, lane: number): Uint8Array => pattern(44, 100 * epoch + 10 * way + lane);

function keysOf(epoch: number, way: 0 | 1, lanes: readonly [number, number]): EpochKeys {
  const secrets = (of: number, count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, lane) => secretOf(epoch, of, lane));
  return { epoch, algorithm: 'aes-256-gcm', send: secrets(way, lanes[0]), receive: secrets(1 - way, lanes[1]) };
}

/** One of the threads that send into a tunnel, and what it drops. */
interface Sender {
  readonly device: UdpDevice | LaneDevice;
  readonly io: NativeIo;
  readonly drops: RecordingSink;
}

/** An end of a tunnel with so many lanes, to a port of this machine. */
class End {
  readonly port: number;
  readonly board: LaneBoard | undefined;
  readonly senders: readonly Sender[];

  readonly #clock: Clock | undefined;

  constructor(fd: number, lanes: number, seal: 'required' | 'none' = 'required', given?: Clock) {
    this.#clock = given;
    this.port = native.udpAddress(fd).port;
    this.board = lanes > 1 ? allocateBoard(lanes) : undefined;
    const { board } = this;
    const shape = { networkNumber: NETWORK, pathMtuBytes: 1500, ipHeaderBytes: 20, seal } as const;
    this.senders = Array.from({ length: lanes }, (_, lane) => {
      const io = new NativeIo(native, 4 * 2 ** 20);
      const drops = new RecordingSink();
      const clock = given ?? io;
      const context = { arena: io.arena, io, drops, clock, index: 0, ...(board === undefined ? {} : { board }) };
      const device =
        lane === 0
          ? new UdpDevice(context, { ...shape, fd })
          : new LaneDevice(context, { ...shape, fd: native.dup(fd), lane, board: board! });
      closing.push(() => {
        device.close();
        io.close();
        expect(io.arena.freeSlots, 'slots leaked').toBe(io.arena.slotCount);
      });
      return { device, io, drops };
    });
  }

  get tunnel(): UdpDevice {
    return this.senders[0]!.device as UdpDevice;
  }

  install(keys: EpochKeys): void {
    for (const [lane, { device }] of this.senders.entries()) device.keys.installKeys(keysOfLane(keys, lane));
    for (const { device } of this.senders) device.keys.useKeys(keys.epoch);
  }

  send(lane: number, frames: readonly Frame[]): void {
    const { device, io } = this.senders[lane]!;
    const batch = batchOf(io.arena, frames);
    // What the peer may have no room for yet waits.
    for (let done = 0; done < frames.length;) {
      io.tick();
      device.poll(io.nowNs());
      done += device.txBatch(batch, done);
    }
  }

  /** What came; answers what it is asked. */
  take(): Frame[] {
    const { io } = this.senders[0]!;
    const batch = new FrameBatch(256);
    const frames: Frame[] = [];
    io.tick();
    const nowNs = (this.#clock ?? io).nowNs();
    if (this.tunnel.nextNs <= nowNs) this.tunnel.poll(nowNs);
    this.tunnel.rxBatch(batch);
    for (let i = 0; i < batch.count; i++) {
      const frame = batch.ids[i]!;
      frames.push({
        ...{ bytes: io.arena.read(frame), channel: batch.channels[i]! },
        ...{ gsoSize: io.arena.gsoSize[frame]!, checksum: io.arena.csumState[frame] as Checksum },
      });
      io.arena.release(frame);
    }
    return frames;
  }
}

function opened(peerPort: number, port = 0, receiveBufferBytes = 0): number {
  const holds = receiveBufferBytes === 0 ? {} : { receiveBufferBytes };
  return native.udpOpen({ bind: { address: ADDRESS, port }, connect: { address: ADDRESS, port: peerPort }, ...holds });
}

/** Two ends that are each other's peers; the second one's socket holds so much. */
function pair(
  lanes: readonly [number, number],
  seal: 'required' | 'none',
  { clock, receiveBufferBytes }: { clock?: Clock; receiveBufferBytes?: number } = {},
): [End, End] {
  const reserved = opened(1);
  const { port } = native.udpAddress(reserved);
  native.close(reserved);
  const first = opened(port);
  const second = opened(native.udpAddress(first).port, port, receiveBufferBytes);
  const ends: [End, End] = [new End(first, lanes[0], seal, clock), new End(second, lanes[1], seal, clock)];
  if (seal === 'none') return ends;
  ends[0].install(keysOf(7, 0, lanes));
  ends[1].install(keysOf(7, 1, [lanes[1], lanes[0]]));
  return ends;
}

async function plainSocket(): Promise<{ socket: Socket; port: number; received: Uint8Array[] }> {
  const socket = createSocket('udp4');
  socket.bind(0, ADDRESS);
  await once(socket, 'listening');
  closing.push(() => socket.close());
  const received: Uint8Array[] = [];
  socket.on('message', (data) => received.push(Uint8Array.from(data)));
  return { socket, port: socket.address().port, received };
}

async function until(isSo: () => boolean): Promise<void> {
  await expect.poll(isSo, { interval: 1 }).toBe(true);
}

function headerOf(datagram: Uint8Array): DatagramHeader {
  const header = new DatagramHeader();
  expect(header.parse(datagram, 0, datagram.byteLength)).toBe(true);
  return header;
}

/** Whether it opens with this key. */
function opens(datagram: Uint8Array, secret: Uint8Array): boolean {
  const nonce = secret.slice(32);
  for (let i = 0; i < 8; i++) nonce[4 + i]! ^= datagram[12 + i]!;
  const decipher = createDecipheriv('aes-256-gcm', secret.subarray(0, 32), nonce);
  decipher.setAAD(datagram.subarray(0, DATAGRAM_HEADER_BYTES));
  decipher.setAuthTag(datagram.subarray(-TAG_BYTES));
  decipher.update(datagram.subarray(DATAGRAM_HEADER_BYTES, -TAG_BYTES));
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(found instanceof Error)(`lanes of a tunnel${missing}`, () => {
  describe.each(['required', 'none'] as const)('seal: %s', (seal) => {
    it.each([
      [3, 1],
      [2, 2],
      [1, 3],
    ] as const)('bring all frames, in the order of each lane, from %i to %i', async (...lanes) => {
      const [a, b] = pair(lanes, seal);
      const got: string[][] = [[], []];
      const sent = [a, b].map(({ senders }) => senders.map((): string[] => []));
      for (let n = 0; n < 60; n++)
        for (const [i, end] of [a, b].entries())
          for (const lane of end.senders.keys()) {
            const big = superFrame({ version: 4, protocol: 'tcp', payload: pattern(9000, n) }, 1400, 1 + lane);
            const frames = n % 5 === 0 ? [big] : [plainFrame(80 + n, n, 1 + lane), plainFrame(1514, n, 1 + lane)];
            end.send(lane, frames);
            sent[i]![lane]!.push(...frames.map(describeFrame));
            got[1]!.push(...a.take().map(describeFrame));
            got[0]!.push(...b.take().map(describeFrame));
          }
      await until(() => {
        got[1]!.push(...a.take().map(describeFrame));
        got[0]!.push(...b.take().map(describeFrame));
        return got.every((frames, i) => frames.length === sent[i]!.flat().length);
      });
      for (const [i, end] of [a, b].entries())
        for (const lane of end.senders.keys())
          expect(got[i]!.filter((frame) => frame.startsWith(`${1 + lane} `))).toEqual(sent[i]![lane]);
      for (const { drops } of [...a.senders, ...b.senders]) expect(drops.reasons).toEqual([]);
    });
  });

  it('never seal two datagrams with one key and one nonce, over epochs and with probes between them', async () => {
    const peer = await plainSocket();
    const end = new End(opened(peer.port), LANES);
    for (const epoch of [7, 8]) {
      end.install(keysOf(epoch, 0, [LANES, 1]));
      for (let n = 0; n < 40; n++)
        for (let lane = 0; lane < LANES; lane++) {
          end.send(lane, [
            plainFrame(100, n),
            superFrame({ version: 4, protocol: 'tcp', payload: pattern(5000, n) }, 1200),
          ]);
          end.take();
          const frames = (): number => peer.received.filter((data) => data[1] === DatagramType.frames).length;
          await until(() => frames() === end.tunnel.sentDatagrams());
        }
    }
    const used = new Set<string>();
    const keys = new Set<string>();
    const lanes = new Set<number>();
    for (const datagram of peer.received) {
      const { lane, epoch, counterHigh, counterLow } = headerOf(datagram);
      lanes.add(lane);
      const own = secretOf(epoch, 0, lane);
      expect(opens(datagram, own)).toBe(true);
      keys.add(Buffer.from(own.subarray(0, 32)).toString('hex'));
      const use = `${Buffer.from(own).toString('hex')} ${counterHigh} ${counterLow}`;
      expect(used.has(use)).toBe(false);
      used.add(use);
    }
    expect([...lanes].sort()).toEqual([0, 1, 2]);
    expect(keys.size).toBe(2 * LANES);
    // Only the tunnel's own lane has anything but frames.
    const others = peer.received.filter((data) => data[1] !== DatagramType.frames);
    expect(others.length).toBeGreaterThan(0);
    expect(new Set(others.map((data) => headerOf(data).lane))).toEqual(new Set([0]));
    // With another lane's key, none opens.
    for (const datagram of peer.received.slice(0, 50)) {
      const { lane, epoch } = headerOf(datagram);
      expect(opens(datagram, secretOf(epoch, 0, (lane + 1) % LANES))).toBe(false);
    }
  });

  it('have no key but their own to seal with, each once', async () => {
    const peer = await plainSocket();
    const end = new End(opened(peer.port), LANES);
    const keys = end.senders[2]!.device.keys;
    expect(() => {
      keysOfLane(keysOf(7, 0, [2, 1]), 2);
    }).toThrow('epoch 7 brings no key for lane 2');
    for (const { device, io, drops } of end.senders) {
      device.txBatch(batchOf(io.arena, [plainFrame(60)]), 0);
      expect(drops.reasons).toEqual(['noKey']);
    }
    keys.installKeys(keysOfLane(keysOf(7, 0, [3, 1]), 2));
    expect(() => {
      keys.installKeys(keysOfLane(keysOf(7, 0, [3, 1]), 2));
    }).toThrow('epoch 7 has keys already');
    keys.useKeys(7);
    keys.installKeys(keysOfLane(keysOf(8, 0, [3, 1]), 2));
    keys.useKeys(8);
    expect(() => {
      keys.useKeys(7);
    }).toThrow('epoch 7 was left');
    end.send(2, [plainFrame(60)]);
    await until(() => peer.received.length > 0);
    expect(headerOf(peer.received[0]!)).toMatchObject({ lane: 2, epoch: 8 });
    keys.dropKeys(8);
    end.send(2, [plainFrame(60)]);
    expect(end.senders[2]!.drops.reasons).toEqual(['noKey', 'noKey']);
  });

  it('send no more together than the peer has room for, however many they are', () => {
    const clock = new ManualClock();
    const [a, b] = pair([MAX_ENGINES, 1], 'none', { clock, receiveBufferBytes: 212_992 });
    // Each asks the other, and so says what it holds.
    for (const end of [a, b, a]) end.take();
    a.tunnel.poll(clock.nowNs());
    expect(readOf(a.board!).peerBufferBytes).toBe(2 * 212_992);
    const perLane = 4;
    const lanes = a.senders.map(({ device, io }, lane) => {
      const frames = Array.from({ length: perLane }, (_, n) => {
        return superFrame({ version: 4, protocol: 'tcp', payload: pattern(60_000, n) }, 1400, 1 + lane);
      });
      return { device, batch: batchOf(io.arena, frames), done: 0 };
    });
    let got = 0;
    while (lanes.some(({ done }) => done < perLane)) {
      for (const lane of lanes) {
        lane.device.poll(clock.nowNs());
        lane.done += lane.device.txBatch(lane.batch, lane.done);
      }
      for (let frames = b.take(); frames.length > 0; frames = b.take()) got += frames.length;
      const nextNs = Math.min(...lanes.filter(({ done }) => done < perLane).map(({ device }) => device.nextNs));
      clock.advance(Math.max(0, Math.min(nextNs, clock.nowNs() + 1e6) - clock.nowNs()));
    }
    expect(got).toBe(MAX_ENGINES * perLane);
  });

  it('send packets as long as the tunnel has found the path to be, and are counted with it', async () => {
    const [a, b] = pair([2, 1], 'required');
    const send = (): void => {
      a.send(1, [superFrame({ version: 4, protocol: 'tcp', payload: pattern(60_000) }, 1400)]);
    };
    send();
    expect(a.tunnel.sentDatagrams()).toBe(Math.ceil(60_066 / (1280 - 28 - 38 - 16)));
    await until(() => {
      a.take();
      b.take();
      return new BoardReader(a.board!, 1).pathMtuBytes === MIN_PATH_MTU_BYTES && readOf(a.board!).pathMtuBytes === 1500;
    });
    const before = a.tunnel.sentDatagrams();
    send();
    expect(a.tunnel.sentDatagrams() - before).toBe(Math.ceil(60_066 / (1500 - 28 - 38 - 16)));
  });

  it('send to where the peer has been found', async () => {
    const [home, elsewhere] = [await plainSocket(), await plainSocket()];
    const end = new End(opened(home.port), 2, 'none');
    const writer = new BoardWriter(end.board!);
    const frames = (socket: typeof home): number =>
      socket.received.filter((data) => data[3] === 1 && data[1] === DatagramType.frames).length;
    end.send(1, [plainFrame(60)]);
    await until(() => frames(home) === 1);
    writer.open(parseEndpoint(ADDRESS, elsewhere.port));
    end.send(1, [plainFrame(60)]);
    await until(() => frames(elsewhere) === 1);
    writer.open(parseEndpoint(ADDRESS, home.port));
    end.send(1, [plainFrame(60)]);
    await until(() => frames(home) === 2);
    writer.connected();
    end.send(1, [plainFrame(60)]);
    await until(() => frames(home) === 3);
    expect(frames(elsewhere)).toBe(1);
  });
});

function readOf(board: LaneBoard): BoardReader {
  const reader = new BoardReader(board, 1);
  reader.read();
  return reader;
}

describe('what lanes have in common', () => {
  /** A tunnel's health, and what it was told. */
  const health = (): { path: Parameters<BoardWriter['heed']>[0]; told: string[] } => {
    const told: string[] = [];
    const path = {
      pathMtuBytes: 1500,
      peerBufferBytes: 300_000,
      refused: (): boolean => {
        told.push('refused');
        path.pathMtuBytes = MIN_PATH_MTU_BYTES;
        return true;
      },
      doubtPathMtu: (): void => void told.push('doubted'),
    };
    return { path, told };
  };

  it('is the path, and what the peer holds', () => {
    const board = allocateBoard(LANES);
    const writer = new BoardWriter(board);
    expect(readOf(board)).toMatchObject({ pathMtuBytes: MIN_PATH_MTU_BYTES, peerBufferBytes: 0, isOpen: false });
    const { path } = health();
    writer.tell(path);
    expect(readOf(board)).toMatchObject({ pathMtuBytes: 1500, peerBufferBytes: 300_000, isOpen: false });
  });

  it('is narrow for who was refused until the tunnel has heeded it, and then for all', () => {
    const board = allocateBoard(LANES);
    const writer = new BoardWriter(board);
    const { path, told } = health();
    writer.tell(path);
    const [one, other] = [new BoardReader(board, 1), new BoardReader(board, 2)];
    for (const reader of [one, other]) reader.read();
    expect([one.refused(), one.refused()]).toEqual([true, false]);
    writer.tell(path);
    for (const reader of [one, other]) reader.read();
    expect([one.pathMtuBytes, other.pathMtuBytes]).toEqual([MIN_PATH_MTU_BYTES, 1500]);
    writer.heed(path, undefined, 0);
    writer.heed(path, undefined, 0);
    expect(told).toEqual(['refused']);
    for (const reader of [one, other]) reader.read();
    expect([one.pathMtuBytes, other.pathMtuBytes]).toEqual([MIN_PATH_MTU_BYTES, MIN_PATH_MTU_BYTES]);
    writer.tell({ ...path, pathMtuBytes: 1400 });
    for (const reader of [one, other]) reader.read();
    expect([one.pathMtuBytes, other.pathMtuBytes]).toEqual([1400, 1400]);
  });

  it('is doubted, and the peer looked for, once for what was said meanwhile', () => {
    const board = allocateBoard(LANES);
    const writer = new BoardWriter(board);
    const { path, told } = health();
    const route = { lost: (): boolean => told.push('lost') > 0 };
    const reader = new BoardReader(board, 1);
    reader.doubtPathMtu();
    reader.doubtPathMtu();
    expect(reader.lost()).toBe(false);
    writer.heed(path, route, 0);
    writer.heed(path, route, 0);
    expect(told).toEqual(['doubted', 'lost']);
  });
});
