/**
 * Two tunnel ends with the addon, and between them somebody who loses and repeats datagrams: what comes out must be what went
 * in, each frame once, as long as no more is lost than there is parity for.
 *
 *   a ── socket ⇢ path: what it loses is chosen ⇢ socket ── b         time is virtual, datagrams are real
 */
import { createHash } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { Random } from '../../../test/chaos/random.js';
import { RecordingSink } from '../../../test/compliance/recording-sink.js';
import { batchOf, NETWORK, pattern, plainFrame, superFrame, type Frame } from '../../../test/tunnel/fixture.js';
import { ManualClock } from '../../../model/clock.js';
import type { Fec } from '../../../model/fec.js';
import type { Native } from '../../../native/binding.js';
import { FrameBatch } from '../../arena.js';
import { NativeIo } from '../../device/native-io.js';
import { Telemetry } from '../../telemetry.js';
import { UdpDevice } from '../udp.js';
import { DatagramType } from '../wire.js';

const found = await import('../../../native/binding.js').then(
  (binding) => binding.native,
  (cause: unknown) => cause as Error,
);
const missing = found instanceof Error ? ` (skipped: ${found.message})` : '';
const native = found as Native;

const EPOCH = 7;
const secret = (salt: number): Uint8Array => Uint8Array.from({ length: 44 }, (_, i) => i * salt + 1);
const ADDRESS = '127.0.0.1';
/** Turns of the event loop after which nothing is on its way any more. */
const TURNS = 20;

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

class End {
  readonly io = new NativeIo(native, 8 * 2 ** 20);
  readonly drops = new RecordingSink();
  readonly telemetry = new Telemetry(Telemetry.allocate());
  readonly device: UdpDevice;
  readonly port: number;

  constructor(clock: ManualClock, peerPort: number, isFirst: boolean, seal: 'required' | 'none', fec: Fec | undefined) {
    const bind = { address: ADDRESS, port: 0 };
    const fd = native.udpOpen({ bind, connect: { address: ADDRESS, port: peerPort }, receiveBufferBytes: 4 * 2 ** 20 });
    this.port = native.udpAddress(fd).port;
    const { drops, io, telemetry } = this;
    const context = { arena: io.arena, io, drops, clock, index: 0, telemetry };
    this.device = new UdpDevice(context, {
      ...{ fd, networkNumber: NETWORK, pathMtuBytes: 1500, ipHeaderBytes: 20, seal },
      ...(fec === undefined ? {} : { fec }),
    });
    if (seal === 'required') {
      const [send, receive] = isFirst ? [3, 5] : [5, 3];
      const algorithm = 'aes-256-gcm' as const;
      this.device.installKeys({ epoch: EPOCH, algorithm, send: secret(send), receive: [secret(receive)] });
      this.device.useKeys(EPOCH);
    }
    closing.push(() => {
      this.device.close();
      io.close();
      expect(io.arena.freeSlots, 'slots leaked').toBe(io.arena.slotCount);
    });
  }

  get fec() {
    return this.telemetry.tunnel(0)!.fec;
  }

  send(frames: readonly Frame[]): void {
    expect(this.device.txBatch(batchOf(this.io.arena, frames), 0)).toBe(frames.length);
  }

  /** What came, each as its digest. */
  take(): string[] {
    const batch = new FrameBatch(this.device.batchSize);
    this.device.rxBatch(batch);
    return [...batch.ids.subarray(0, batch.count)].map((id) => {
      const text = digest(this.io.arena.read(id));
      this.io.arena.release(id);
      return text;
    });
  }
}

class LossyTunnel {
  readonly clock = new ManualClock();
  readonly a: End;
  readonly b: End;
  /** What becomes of a datagram from `a` with frames or parity: how often it is delivered. */
  fate: (datagram: Uint8Array) => number = () => 1;
  readonly took: string[] = [];
  /** From `a`, that were on the path. */
  readonly types: number[] = [];

  private constructor(sockets: readonly [Socket, Socket], seal: 'required' | 'none', fec: Fec) {
    const [left, right] = sockets;
    this.a = new End(this.clock, left.address().port, true, seal, fec);
    // Repairing is no setting.
    this.b = new End(this.clock, right.address().port, false, seal, undefined);
    left.on('message', (data) => {
      this.types.push(data[1]!);
      const copies = data[1] === DatagramType.probe ? 1 : this.fate(data);
      for (let i = 0; i < copies; i++) right.send(data, this.b.port, ADDRESS);
    });
    right.on('message', (data) => left.send(data, this.a.port, ADDRESS));
  }

  static async open(seal: 'required' | 'none', fec: Fec): Promise<LossyTunnel> {
    const sockets = [createSocket('udp4'), createSocket('udp4')] as const;
    for (const socket of sockets) {
      socket.bind(0, ADDRESS);
      await once(socket, 'listening');
      socket.setRecvBufferSize(4 * 2 ** 20);
      closing.push(() => socket.close());
    }
    return new LossyTunnel(sockets, seal, fec);
  }

  /** Until nothing is on its way; then so much later. */
  async pass(ns: number): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      const took = [...this.b.take()];
      this.took.push(...took);
      this.a.take();
      if (took.length > 0) turn = 0;
    }
    this.clock.advance(ns);
    for (const { device } of [this.a, this.b]) device.poll(this.clock.nowNs());
  }
}

const frames = (round: number): Frame[] => [
  plainFrame(98, round),
  superFrame({ version: 4, protocol: 'tcp', payload: pattern(60_000, round) }, 1448),
  plainFrame(1514, round),
  plainFrame(60, round),
];

describe.skipIf(found instanceof Error).each(['required', 'none'] as const)(
  `a path that loses, seal: %s${missing}`,
  (seal) => {
    it.each([
      ['one in twenty', 20, false],
      ['one in a hundred, and repeats as many', 100, true],
    ])('%s: every frame comes, once', async (_, every, repeats) => {
      const tunnel = await LossyTunnel.open(seal, 0.3);
      let datagrams = 0;
      // The receiver begins to keep what it may need with the first parity.
      tunnel.a.send([plainFrame(60, 99)]);
      await tunnel.pass(2e6);
      await tunnel.pass(2e6);
      tunnel.took.length = 0;
      // Of two datagrams and their parity never more than one.
      tunnel.fate = () => {
        datagrams++;
        if (datagrams % every === 7) return 0;
        return repeats && datagrams % every === 50 ? 2 : 1;
      };
      const sent: string[] = [];
      for (let round = 0; round < 30; round++) {
        tunnel.a.send(frames(round));
        sent.push(...frames(round).map(({ bytes }) => digest(bytes)));
        await tunnel.pass(2e6);
      }
      await tunnel.pass(2e6);
      // What is not sealed passes twice when the path repeats it, as on any Ethernet.
      const took = seal === 'none' ? [...new Set(tunnel.took)] : tunnel.took;
      expect(took.sort()).toEqual([...sent].sort());
      await tunnel.pass(1e9);
      await tunnel.pass(1e9);
      expect(tunnel.b.fec!.repaired).toBeGreaterThan(5);
      expect(tunnel.b.fec!.unrepaired).toBe(0);
      expect(tunnel.a.fec!.sentParity).toBe(tunnel.types.filter((type) => type === DatagramType.parity).length);
    });

    it('has parity from when it loses until it no longer does, where it is automatic', async () => {
      const tunnel = await LossyTunnel.open(seal, 'auto');
      const random = new Random(11);
      const ratioAfter = async (seconds: number): Promise<number> => {
        for (let i = 0; i < 4 * seconds; i++) {
          tunnel.a.send(frames(i));
          await tunnel.pass(2e6);
          await tunnel.pass(248e6);
        }
        return tunnel.a.fec!.parityRatio;
      };
      expect(await ratioAfter(3)).toBe(0);
      expect(tunnel.types).not.toContain(DatagramType.parity);
      tunnel.fate = () => (random.chance(0.02) ? 0 : 1);
      expect(await ratioAfter(8)).toBeGreaterThan(0.05);
      expect(tunnel.b.fec!.repaired).toBeGreaterThan(0);
      // The window of the measurement, and what it waits then.
      tunnel.fate = () => 1;
      expect(await ratioAfter(30)).toBe(0);
      tunnel.types.length = 0;
      await ratioAfter(1);
      expect(tunnel.types).not.toContain(DatagramType.parity);
    });
  },
);
