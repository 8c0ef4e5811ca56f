/**
 * Super-frames to hosts that take single frames. The oracle is the kernel: it forwards a super-frame over a bridge to a TAP
 * that was opened without offloads, so that it must cut it and complete its checksums. What comes out there is what
 * `segmentFrame` and the segmenter in the arena say, to the byte. Some of it is kept in `test/golden/segment/*.hex`,
 * written anew, by the kernel, with
 *
 *   npx vitest run -u --project unit vswitch/device/tap.test.ts
 *
 *        ┌──────── br0 ────────┐
 *      whole                 single
 *   all offloads, written   no offloads, read
 */
import * as fc from 'fast-check';
import { constants } from 'node:os';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecordingSink } from '../../test/compliance/recording-sink.js';
import {
  batchOf,
  datagramsIn,
  hex,
  packet,
  pattern,
  superFrame,
  type Frame,
  type PacketOptions,
} from '../../test/tunnel/fixture.js';
import type { Native } from '../../native/binding.js';
import { Arena, Checksum, FrameBatch } from '../arena.js';
import { segmentFrame } from '../wire/segment.js';
import { Segmenter } from '../wire/segmenter.js';
import { type DeviceCalls, NativeIo } from './native-io.js';
import { TapDevice } from './tap.js';

const DIRECTORY = join(import.meta.dirname, '../../test/golden/segment');
const MTU_BYTES = 9000;
const ARENA_BYTES = 2 * 2 ** 20;
/** That frames may take to arrive: a busy machine is no failure. */
const PATIENCE_MS = 20_000;
/** `gso_type` of UDP super-frames, which kernels before 6.2 refuse. */
const GSO_UDP_L4 = 5;

/** TAPs of a namespace's bridge. */
interface Bridged {
  readonly native: Native;
  readonly whole: number;
  readonly single: number;
  /** Without vnet headers. */
  readonly plain: number;
  close(): Promise<void>;
}

const unavailable = await import('../../test/lab/switch-lab.js').then(
  ({ labUnavailable }) => labUnavailable(),
  (error: unknown) => (error as Error).message,
);

async function bridgeTaps(): Promise<Bridged> {
  const { SwitchLab } = await import('../../test/lab/switch-lab.js');
  const { native } = await import('../../native/binding.js');
  const lab = await SwitchLab.start();
  const host = lab.bareHost('taps');
  const options = { vnetHdr: true, mtuBytes: MTU_BYTES };
  const whole = lab.openTap(host, 'whole', '02:00:00:00:01:01', options);
  const single = lab.openTap(host, 'single', '02:00:00:00:01:02', { ...options, offload: 0 });
  const plain = lab.openTap(host, 'plain', '02:00:00:00:01:03', { mtuBytes: MTU_BYTES });
  const script = `
    echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
    ip link add br0 type bridge mcast_snooping 0
    for name in whole single plain; do ip link set $name master br0; ip link set $name up; done; ip link set br0 up`;
  await lab.exec('taps', 'sh', '-ec', script);
  const close = async (): Promise<void> => {
    for (const fd of [whole, single, plain]) native.close(fd);
    await lab.close();
  };
  return { native, whole, single, plain, close };
}

/** What a descriptor of this process is of; undefined where it is closed. */
function targetOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

/** Descriptors of rings: of our own, and of node's where it has one. */
function rings(): number[] {
  const descriptors = readdirSync('/proc/self/fd').map(Number);
  return descriptors.filter((fd) => targetOf(fd) === 'anon_inode:[io_uring]');
}

/** A device on a duplicate of a TAP's descriptor, with an engine's arrays of its own. */
class End {
  readonly io: NativeIo;
  readonly device: TapDevice;
  readonly drops = new RecordingSink();
  readonly #native: Native;
  readonly #ring: number | undefined;

  constructor(
    native: Native,
    fd: number,
    options: { calls?: DeviceCalls; mtuBytes?: number; vnetHdr?: boolean; ioUring?: boolean } = {},
  ) {
    const { calls = native, mtuBytes = MTU_BYTES, vnetHdr = true, ioUring = false } = options;
    this.#native = native;
    this.io = new NativeIo(calls, ARENA_BYTES);
    const before = rings();
    if (ioUring) expect(native.ringStart(this.io.handle)).toBe(0);
    this.#ring = rings().find((fd) => !before.includes(fd));
    const context = { arena: this.io.arena, io: this.io, drops: this.drops, clock: this.io, index: 0 };
    this.device = new TapDevice(context, { fd: native.dup(fd), mtuBytes, vnetHdr });
  }

  get arena(): Arena {
    return this.io.arena;
  }

  /** Something else has the number of its descriptor: the kernel refuses whatever is asked of the ring from now on. */
  breakRing(): void {
    const ring = this.#ring!;
    const others: number[] = [];
    this.#native.close(ring);
    let fd = this.#native.dup(0);
    for (; fd !== ring; fd = this.#native.dup(0)) others.push(fd);
    for (const other of others) this.#native.close(other);
  }

  get ringError(): number {
    return this.#native.ringError(this.io.handle);
  }

  /** Whether it still holds the descriptor that it was left in place of its ring's. */
  get holdsBrokenRing(): boolean {
    return targetOf(this.#ring!) === targetOf(0);
  }

  send(...frames: readonly Frame[]): void {
    expect(this.device.txBatch(batchOf(this.arena, frames), 0)).toBe(frames.length);
  }

  /** The next `count` frames, in hexadecimal, and that the kernel left nothing to be done. */
  async take(count: number): Promise<string[]> {
    const frames: string[] = [];
    const endMs = performance.now() + PATIENCE_MS;
    while (frames.length < count && performance.now() < endMs) {
      const batch = new FrameBatch(this.device.batchSize);
      this.device.rxBatch(batch);
      for (const frame of batch.ids.subarray(0, batch.count)) {
        expect([this.arena.gsoSize[frame], this.arena.csumState[frame] === Checksum.partial]).toEqual([0, false]);
        frames.push(hex(this.arena.read(frame)));
        this.arena.release(frame);
      }
      if (batch.count === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(frames).toHaveLength(count);
    return frames;
  }

  [Symbol.dispose](): void {
    this.device.close();
    this.io.close();
    expect(this.arena.freeSlots, 'slots leaked').toBe(this.arena.slotCount);
  }
}

/** A kernel that does not know UDP super-frames: it refuses them, and does all else. */
function withoutUso(native: Native): { calls: DeviceCalls; readonly refused: number } {
  const seen = { refused: 0 };
  const vnets = new Map<number, Uint8Array>();
  const calls: DeviceCalls = {
    ...native,
    ioCreate: (arrays) => {
      const handle = native.ioCreate(arrays);
      vnets.set(handle, arrays.vnet);
      return handle;
    },
    tapWrite: (handle, fd, first, firstEntry, frames, vnetHdr) => {
      const vnet = vnets.get(handle)!;
      let known = 0;
      while (known < frames && vnet[(first + known) * 12 + 1] !== GSO_UDP_L4) known++;
      if (known > 0) return native.tapWrite(handle, fd, first, firstEntry, known, vnetHdr);
      seen.refused++;
      return -constants.errno.EINVAL;
    },
  };
  return {
    calls,
    get refused() {
      return seen.refused;
    },
  };
}

/** By the segmenter in the arena. */
function cutInArena(arena: Arena, sent: Frame): string[] {
  const segmenter = new Segmenter(arena);
  const frame = arena.write(sent.bytes);
  expect(segmenter.begin(frame, sent.gsoSize, 1000)).toBe(true);
  const segments = Array.from({ length: segmenter.segments }, (_, i) => {
    const segment = segmenter.run(i, i + 1);
    segmenter.complete(segment);
    const text = hex(arena.read(segment));
    arena.release(segment);
    return text;
  });
  arena.release(frame);
  return segments;
}

/** A payload of which a segment's checksum, of the whole payload, would be zero. */
function summingToZero(options: Omit<PacketOptions, 'payload'>, payloadBytes: number): Uint8Array {
  const payload = pattern(payloadBytes);
  payload.fill(0, 0, 2);
  const [segment] = segmentFrame(packet({ ...options, payload }), payloadBytes)!;
  const checksumAt = segment!.byteLength - payloadBytes - (options.protocol === 'tcp' ? 16 : 2);
  payload.set(segment!.subarray(checksumAt, checksumAt + 2));
  return payload;
}

const CWR_PSH_FIN = 0x99;
const zeroTcp = { version: 4, protocol: 'tcp', ipId: 3, sequence: 1000, tcpFlags: 0x10 } as const;
const zeroUdp = { version: 6, protocol: 'udp' } as const;

const golden: readonly (readonly [string, string, PacketOptions, number])[] = [
  [
    'tcp-ipv4',
    'TCP over IPv4 with CWR, PSH and FIN; identification and sequence number pass their ends.',
    {
      version: 4,
      protocol: 'tcp',
      payload: pattern(333),
      tcpFlags: CWR_PSH_FIN,
      ipId: 0xfffe,
      sequence: 2 ** 32 - 150,
    },
    100,
  ],
  [
    'tcp-ipv6',
    'TCP over IPv6 with a destination-options header, and no TCP options.',
    { version: 6, protocol: 'tcp', payload: pattern(300, 1), extensionBytes: 8, tcpOptionBytes: 0 },
    100,
  ],
  ['udp-ipv4', 'UDP over IPv4, an odd size.', { version: 4, protocol: 'udp', payload: pattern(203, 2) }, 101],
  [
    'udp-ipv6',
    'UDP over IPv6 with a VLAN tag.',
    { version: 6, protocol: 'udp', payload: pattern(201, 3), tags: 1 },
    100,
  ],
  [
    'tcp-zero-checksum',
    'TCP of which the first segment has the checksum zero, which stands as it is.',
    { ...zeroTcp, payload: Uint8Array.from([...summingToZero(zeroTcp, 100), 1]) },
    100,
  ],
  [
    'udp-zero-checksum',
    'UDP of which the first datagram has the checksum zero, which is written as 0xffff.',
    { ...zeroUdp, payload: Uint8Array.from([...summingToZero(zeroUdp, 100), 1]) },
    100,
  ],
];

function fileText(title: string, sent: Frame, segments: readonly string[]): string {
  const rows = (text: string): string => text.replace(/.{1,64}/g, '$&\n');
  const parts = segments.map((segment, i) => `# segment ${i}, ${segment.length / 2} bytes\n${rows(segment)}`);
  const head = `# super-frame, ${sent.bytes.byteLength} bytes, checksum partial, gsoSize ${sent.gsoSize}\n`;
  return `# ${title}\n\n${[head + rows(hex(sent.bytes)), ...parts].join('\n')}`;
}

/** An ARP request, padded: a frame that is its own wire frame. */
function small(salt: number): Frame {
  const bytes = new Uint8Array(60);
  bytes.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, salt]);
  return { bytes, channel: 1, gsoSize: 0, checksum: Checksum.unknown };
}

const file = (name: string): string => join(DIRECTORY, `${name}.hex`);

it.each(golden)('the golden segments of %s are what we cut', (name, _, options, gsoSize) => {
  const sent = superFrame(options, gsoSize);
  const [whole, ...segments] = datagramsIn(readFileSync(file(name), 'utf8')).map(hex);
  expect(whole).toBe(hex(sent.bytes));
  expect(segmentFrame(sent.bytes, gsoSize)!.map(hex)).toEqual(segments);
  expect(cutInArena(new Arena(new Uint8Array(ARENA_BYTES)), sent)).toEqual(segments);
});

describe.skipIf(unavailable !== undefined)(
  `a TAP${unavailable === undefined ? '' : ` (skipped: ${unavailable})`}`,
  () => {
    let taps: Bridged;
    let hasIoUring: boolean;

    beforeAll(async () => {
      taps = await bridgeTaps();
      const { Io } = await import('../../native/fixture.js');
      hasIoUring = taps.native.ringStart(new Io(1).handle) === 0;
    });

    afterAll(() => taps.close());

    it.each(golden)('gets golden segments from the kernel: %s', async (name, title, options, gsoSize) => {
      using whole = new End(taps.native, taps.whole);
      using single = new End(taps.native, taps.single);
      const sent = superFrame(options, gsoSize);
      whole.send(sent);
      const segments = await single.take(Math.ceil(options.payload.byteLength / gsoSize));
      await expect(fileText(title, sent, segments)).toMatchFileSnapshot(file(name));
    });

    it('gets from the kernel, whatever the super-frame, what we would cut', async () => {
      using whole = new End(taps.native, taps.whole);
      using single = new End(taps.native, taps.single);
      const options = fc.record({
        version: fc.constantFrom<4 | 6>(4, 6),
        protocol: fc.constantFrom<'tcp' | 'udp'>('tcp', 'udp'),
        payload: fc.integer({ min: 1, max: 60_000 }).map((bytes) => pattern(bytes)),
        tags: fc.nat(1),
        extensionBytes: fc.constantFrom(0, 0, 8, 64),
        tcpOptionBytes: fc.nat(10).map((words) => words * 4),
        tcpFlags: fc.nat(0xff),
        ipId: fc.oneof(fc.nat(0xffff), fc.integer({ min: 0xfff0, max: 0xffff })),
        sequence: fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0xffffff00, max: 0xffffffff })),
      });
      const property = fc.asyncProperty(options, fc.integer({ min: 64, max: 8000 }), async (its, gsoSize) => {
        fc.pre(its.payload.byteLength / gsoSize < 128);
        const sent = superFrame(its, gsoSize);
        const segments = segmentFrame(sent.bytes, gsoSize)!.map(hex);
        whole.send(sent);
        expect(await single.take(segments.length)).toEqual(segments);
        expect(cutInArena(single.arena, sent)).toEqual(segments);
      });
      await fc.assert(property, { numRuns: 60 });
      expect(whole.drops.reasons).toEqual([]);
    });

    it('gets the same cut by us, where its kernel knows no UDP super-frames, which is asked once', async () => {
      const kernel = withoutUso(taps.native);
      using whole = new End(taps.native, taps.whole, { calls: kernel.calls });
      using single = new End(taps.native, taps.single);
      const frames = [4, 6, 4, 6].flatMap((version, salt) =>
        (['udp', 'tcp'] as const).map((protocol) =>
          superFrame({ version: version as 4 | 6, protocol, payload: pattern(9000 + salt, salt) }, 1000 + salt),
        ),
      );
      const expected = frames.flatMap(({ bytes, gsoSize }) => segmentFrame(bytes, gsoSize)!.map(hex));
      whole.send(...frames);
      expect(await single.take(expected.length)).toEqual(expected);
      expect(kernel.refused).toBe(1);
      expect(whole.drops.reasons).toEqual([]);
    });

    it('without vnet headers is written segments, among other frames and in their order', async () => {
      using plain = new End(taps.native, taps.plain, { vnetHdr: false });
      using single = new End(taps.native, taps.single);
      // More segments than are written at once.
      const large = superFrame({ version: 6, protocol: 'tcp', payload: pattern(50_000) }, 500);
      const frames = [
        small(1),
        large,
        small(2),
        superFrame({ version: 4, protocol: 'udp', payload: pattern(999) }, 100),
      ];
      plain.send(...frames);
      const expected = frames.flatMap(({ bytes, gsoSize }) =>
        gsoSize === 0 ? [hex(bytes)] : segmentFrame(bytes, gsoSize)!.map(hex),
      );
      expect(await single.take(expected.length)).toEqual(expected);
      expect(plain.drops.reasons).toEqual([]);
    });

    it('is spared what cannot be cut, or is too long when it is', async () => {
      using plain = new End(taps.native, taps.plain, { vnetHdr: false, mtuBytes: 1500 });
      using single = new End(taps.native, taps.single);
      const tcp = (payloadBytes: number): PacketOptions => ({
        version: 4,
        protocol: 'tcp',
        payload: pattern(payloadBytes),
      });
      const long = superFrame(tcp(2000), 1460);
      plain.send(small(1), superFrame(tcp(3000), 1), superFrame(tcp(3000), 1501), long, small(2));
      const expected = [hex(small(1).bytes), hex(segmentFrame(long.bytes, 1460)![1]!), hex(small(2).bytes)];
      expect(await single.take(3)).toEqual(expected);
      expect(plain.drops.reasons).toEqual(['malformed', 'tooLong', 'tooLong']);
    });

    it.each([false, true])(
      'is given small frames in bursts, but for those it refuses; io_uring %s',
      async (ioUring) => {
        if (ioUring && !hasIoUring) return;
        using whole = new End(taps.native, taps.whole, { ioUring });
        using single = new End(taps.native, taps.single, { ioUring });
        // Shorter than an Ethernet header: tun_get_user in drivers/net/tun.c.
        const short = { ...small(0), bytes: new Uint8Array(10) };
        const large = superFrame({ version: 4, protocol: 'tcp', payload: pattern(9000) }, 1000);
        const good = Array.from({ length: 100 }, (_, i) => small(i));
        whole.send(short, ...good.slice(0, 20), short, large, ...good.slice(20), short);
        const expected = [
          ...good.slice(0, 20).map(({ bytes }) => hex(bytes)),
          ...segmentFrame(large.bytes, 1000)!.map(hex),
          ...good.slice(20).map(({ bytes }) => hex(bytes)),
        ];
        expect(await single.take(expected.length)).toEqual(expected);
        expect(whole.drops.reasons).toEqual(['deviceError', 'deviceError', 'deviceError']);
      },
    );

    it('gets all the same, in their order, where its ring fails in the midst, and says so', async () => {
      if (!hasIoUring) return;
      using whole = new End(taps.native, taps.whole, { ioUring: true });
      using single = new End(taps.native, taps.single, { ioUring: true });
      const frames = Array.from({ length: 200 }, (_, i) => small(i));
      const expected = frames.map(({ bytes }) => hex(bytes));
      whole.send(...frames.slice(0, 50));
      const taken = await single.take(50);
      whole.breakRing();
      whole.send(...frames.slice(50, 100));
      taken.push(...(await single.take(50)));
      whole.send(...frames.slice(100));
      single.breakRing();
      expect([whole.holdsBrokenRing, single.holdsBrokenRing]).toEqual([false, true]);
      expect([whole.ringError > 0, single.ringError]).toEqual([true, 0]);
      taken.push(...(await single.take(100)));
      expect([whole.holdsBrokenRing, single.holdsBrokenRing]).toEqual([false, false]);
      expect(single.ringError).toBe(whole.ringError);
      expect(taken).toEqual(expected);
      expect(whole.drops.reasons).toEqual([]);
    });

    it('gets what there is memory for', async () => {
      using plain = new End(taps.native, taps.plain, { vnetHdr: false });
      using single = new End(taps.native, taps.single);
      const sent = superFrame({ version: 4, protocol: 'tcp', payload: pattern(50_000) }, 500);
      const segments = segmentFrame(sent.bytes, 500)!.map(hex);
      const batch = batchOf(plain.arena, [sent, sent]);
      const held: number[] = [];
      while (plain.arena.freeSlots > 3) held.push(plain.arena.takeSlot());
      expect(plain.device.txBatch(batch, 1)).toBe(1);
      expect(await single.take(segments.length)).toEqual(segments);
      held.push(...Array.from({ length: plain.arena.freeSlots }, () => plain.arena.takeSlot()));
      batch.count = 1;
      expect(plain.device.txBatch(batch, 0)).toBe(1);
      expect(plain.drops.reasons).toEqual(['arenaFull']);
      for (const slot of held) plain.arena.returnSlot(slot);
    });
  },
);
