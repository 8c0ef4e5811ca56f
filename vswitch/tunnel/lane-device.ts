/**
 * A lane of a tunnel whose device is in another engine: frames go out by it, and none come. It sends through the tunnel's
 * own socket, by another descriptor of it, to where the tunnel's device has found the peer (`lane-board.ts`). Its keys seal for
 * this lane alone, so that no two threads can use a nonce twice, whatever they do.
 */
import type { FrameBatch } from '../arena.js';
import type { DeviceContext, KeyControl, PortDevice } from '../device/device.js';
import type { NativeIo } from '../device/native-io.js';
import { BurstBound } from './burst-bound.js';
import type { DatagramSocket } from './datagram-writer.js';
import { Lane, type LaneShape } from './lane.js';
import { BoardReader, burstOf, type LaneBoard } from './lane-board.js';
import { TunnelKeys } from './tunnel-keys.js';
import { TUNNEL_MTU_BYTES } from './wire.js';

export interface LaneDeviceOptions extends LaneShape {
  /** Of the tunnel's socket; the device closes it. */
  readonly fd: number;
  /** 1 …: that of the tunnel's device is 0. */
  readonly lane: number;
  readonly board: LaneBoard;
  readonly seal: 'required' | 'none';
}

export class LaneDevice implements PortDevice, DatagramSocket {
  readonly mtuBytes = TUNNEL_MTU_BYTES;
  readonly batchSize = 1;
  readonly sendsOnly = true;
  readonly #context: DeviceContext;
  readonly #io: NativeIo;
  readonly #board: BoardReader;
  readonly #lane: Lane;
  #fd: number;

  constructor(context: DeviceContext, options: LaneDeviceOptions) {
    const { io } = context;
    if (io === undefined) throw new TypeError('a lane needs the native addon');
    const { board, fd, lane, seal } = options;
    this.#context = context;
    this.#io = io;
    this.#fd = fd;
    this.#board = new BoardReader(board, lane);
    this.#lane = new Lane(context, io, {
      ...{ shape: options, lane, fd, socket: this, path: this.#board, parity: undefined },
      burst: new BurstBound(burstOf(board)),
      ...{ route: this.#board, keys: seal === 'required' ? new TunnelKeys(io.native, lane) : undefined },
    });
  }

  get fd(): number {
    return this.#fd;
  }

  get nextNs(): number {
    return this.#lane.burst.nextNs;
  }

  get isHolding(): boolean {
    return this.#lane.burst.nextNs !== Infinity;
  }

  get keys(): KeyControl {
    return this.#lane;
  }

  rxBatch(): number {
    return 0;
  }

  txBatch(frames: FrameBatch, from: number): number {
    if (this.#fd === -1) return 0;
    this.#board.read();
    const done = this.#lane.send(frames, from, this.#context.clock.nowNs());
    this.#board.sent(this.#lane.sender.sentDatagrams);
    return done;
  }

  write(first: number, firstEntry: number, datagrams: number, ring: number, segments: number): number {
    const { endpoint, handle, native } = this.#io;
    const { destination, isOpen } = this.#board;
    if (isOpen) endpoint.set(destination);
    return native.udpWrite(handle, this.#fd, first, firstEntry, datagrams, ring, segments, isOpen ? 1 : 0, 0);
  }

  poll(nowNs: number): void {
    this.#lane.burst.poll(nowNs);
  }

  close(): void {
    if (this.#fd === -1) return;
    this.#io.native.close(this.#fd);
    this.#fd = -1;
    this.#lane.close();
  }
}
