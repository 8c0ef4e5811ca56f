/** The device over sockets on loopback; what the kernel's own VXLAN devices make of it is in test/e2e/vxlan.test.ts. */
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { NO_INPUTS, PLAIN } from '../../model/emulation.js';
import type { SwitchConfig } from '../../model/messages.js';
import { native } from '../../native/binding.js';
import { batchOf, hex, packet, pattern, plainFrame, superFrame, type Frame } from '../../test/tunnel/fixture.js';
import { Checksum, FrameBatch } from '../arena.js';
import type { PortDevice } from '../device/device.js';
import { MemoryDevice } from '../device/memory.js';
import { NativeIo } from '../device/native-io.js';
import { openDevice } from '../device/registry.js';
import { DROP_REASONS } from '../drops.js';
import { Engine } from '../engine.js';
import { Telemetry } from '../telemetry.js';
import { segmentFrame } from '../wire/segment.js';
import { Correspondent, freePort, openVxlan, type VxlanEnd, type VxlanEndOptions } from './fixture.js';

const VNI = 100;
const HEADER = '0800000000006400';
const MTU_BYTES = 1450;
const HERE = '127.0.0.1';
const [FIRST, SECOND, STRANGER] = ['127.0.0.2', '127.0.0.3', '127.0.0.4'] as const;

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** The device here, and whom it knows. */
async function stage(
  remotes: readonly string[],
  more: Pick<VxlanEndOptions, 'receiveBufferBytes' | 'telemetry'> = {},
): Promise<{ end: VxlanEnd; port: number; at: Correspondent[] }> {
  const port = await freePort();
  const end = openVxlan(native, { local: HERE, remotes, vni: VNI, port, mtuBytes: MTU_BYTES, ...more });
  const at = await Promise.all(remotes.map((remote) => Correspondent.at(remote, port)));
  open.push(end, { close: () => at.forEach((one) => one[Symbol.dispose]()) });
  return { end, port, at };
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
/** Both MACs, an EtherType nobody has, and so many bytes in all. */
const frame = (destination: string, source: string, lengthBytes = 60): Uint8Array =>
  bytesOf((destination + source + '88b5').padEnd(2 * lengthBytes, '5a'));
const [A, B, ALL] = ['02000000000a', '02000000000b', 'ffffffffffff'] as const;
const datagram = (bytes: Uint8Array, header = HEADER): Uint8Array => bytesOf(header + hex(bytes));

function send({ device, arena }: VxlanEnd, ...frames: readonly Frame[]): void {
  const batch = batchOf(arena, frames);
  expect(device.txBatch(batch, 0)).toBe(frames.length);
}
const plain = (bytes: Uint8Array): Frame => ({ bytes, channel: 0, gsoSize: 0, checksum: Checksum.unknown });

async function take(
  { device, arena, drops }: VxlanEnd,
  wanted: number,
  wantedDrops = drops.reasons.length,
): Promise<string[]> {
  const frames: string[] = [];
  await expect
    .poll(() => {
      const batch = new FrameBatch(device.batchSize);
      device.rxBatch(batch);
      for (let i = 0; i < batch.count; i++) {
        frames.push(hex(arena.read(batch.ids[i]!)));
        arena.release(batch.ids[i]!);
      }
      return [frames.length, drops.reasons.length];
    })
    .toEqual([wanted, wantedDrops]);
  return frames;
}

describe('a VXLAN device', () => {
  it('puts its header before a frame, and takes it off', async () => {
    const { end, port, at } = await stage([FIRST]);
    send(end, plain(frame(B, A)));
    await expect.poll(() => at[0]!.got.map(hex)).toEqual([HEADER + hex(frame(B, A))]);
    await at[0]!.send(datagram(frame(A, B)), HERE, port);
    expect(await take(end, 1)).toEqual([hex(frame(A, B))]);
  });

  it('takes what comes from another port of a remote, and answers at its own', async () => {
    const { end, port, at } = await stage([FIRST]);
    using elsewhere = await Correspondent.at(FIRST, 0);
    await elsewhere.send(datagram(frame(A, B)), HERE, port);
    expect(await take(end, 1)).toHaveLength(1);
    send(end, plain(frame(B, A)));
    await expect.poll(() => at[0]!.got).toHaveLength(1);
    expect(elsewhere.got).toEqual([]);
  });

  it('counts what came while its socket was full', async () => {
    const telemetry = new Telemetry(Telemetry.allocate());
    const { end, port, at } = await stage([FIRST], { telemetry, receiveBufferBytes: 8192 });
    const sent = 100;
    for (let i = 0; i < sent; i++) await at[0]!.send(datagram(frame(A, B)), HERE, port);
    const batch = new FrameBatch(end.device.batchSize);
    while (end.device.rxBatch(batch) > 0);
    for (let i = 0; i < batch.count; i++) end.arena.release(batch.ids[i]!);
    expect(batch.count).toBeLessThan(sent);
    // The kernel tells beside what comes next.
    expect(telemetry.port(0)).not.toHaveProperty('rxOverruns');
    await at[0]!.send(datagram(frame(A, B)), HERE, port);
    await take(end, 1);
    expect(telemetry.port(0).rxOverruns).toBe(sent - batch.count);
  });

  it.each([
    ['nothing at all', '', 'badDatagram'],
    ['less than a header', HEADER.slice(2), 'badDatagram'],
    ['a header alone', HEADER, 'malformed'],
    ['less than an Ethernet header', HEADER + hex(frame(A, B)).slice(0, 2 * 13), 'malformed'],
    ['another VNI', `0800000000006500${hex(frame(A, B))}`, 'unknownVni'],
    ['the largest VNI', `08000000ffffff00${hex(frame(A, B))}`, 'unknownVni'],
    ['no VNI', `0000000000006400${hex(frame(A, B))}`, 'badDatagram'],
    ['the flag of VXLAN-GPE', `0c00000000006400${hex(frame(A, B))}`, 'badDatagram'],
    ['a group policy', `8800123400006400${hex(frame(A, B))}`, 'badDatagram'],
    ['a bit behind the VNI', `0800000000006401${hex(frame(A, B))}`, 'badDatagram'],
    ['a frame that is too long', HEADER + hex(frame(A, B, 14 + MTU_BYTES + 1)), 'tooLong'],
    ['all that a datagram holds', HEADER + hex(frame(A, B, 65_507 - 8)), 'tooLong'],
  ])('drops and counts %s, and takes what follows', async (_, text, reason) => {
    const { end, port, at } = await stage([FIRST]);
    await at[0]!.send(bytesOf(text), HERE, port);
    await at[0]!.send(datagram(frame(A, B)), HERE, port);
    expect(await take(end, 1, 1)).toEqual([hex(frame(A, B))]);
    expect(end.drops.reasons).toEqual([reason]);
  });

  it('drops what comes from none of its remotes', async () => {
    const { end, port } = await stage([FIRST, SECOND]);
    using stranger = await Correspondent.at(STRANGER, port);
    await stranger.send(datagram(frame(A, B)), HERE, port);
    await take(end, 0, 1);
    expect(end.drops.reasons).toEqual(['stranger']);
  });

  it('gives or counts each datagram, whatever is in it', async () => {
    const { end, port, at } = await stage([FIRST]);
    const noise = fc.uint8Array({ maxLength: 200 });
    const likely = fc.tuple(fc.constantFrom(HEADER, '0800000000006401', '0800000000000000'), noise);
    const anything = fc.oneof(
      noise,
      likely.map(([header, rest]) => datagram(rest, header)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anything, { minLength: 1, maxLength: 20 }), async (datagrams) => {
        const isFrame = (bytes: Uint8Array): boolean => hex(bytes).startsWith(HEADER) && bytes.byteLength >= 22;
        const expected = datagrams.filter(isFrame).map((bytes) => hex(bytes.subarray(8)));
        const before = end.drops.reasons.length;
        for (const bytes of datagrams) await at[0]!.send(bytes, HERE, port);
        const dropped = datagrams.length - expected.length;
        expect(await take(end, expected.length, before + dropped)).toEqual(expected);
      }),
    );
  });

  it('sends to all remotes what it does not know, and then to the one that the address is behind', async () => {
    const { end, port, at } = await stage([FIRST, SECOND]);
    const got = (): number[] => at.map((one) => one.got.length);
    send(end, plain(frame(ALL, A)), plain(frame(B, A)));
    await expect.poll(got).toEqual([2, 2]);
    await at[1]!.send(datagram(frame(A, B)), HERE, port);
    await take(end, 1);
    send(end, plain(frame(B, A)), plain(frame(ALL, A)));
    await expect.poll(got).toEqual([3, 4]);
    // It is somewhere else now.
    await at[0]!.send(datagram(frame(ALL, B)), HERE, port);
    await take(end, 1);
    send(end, plain(frame(B, A)));
    await expect.poll(got).toEqual([4, 4]);
    expect(end.drops.reasons).toEqual([]);
  });

  it.each(['tcp', 'udp'] as const)('cuts super-frames of %s as a wire would have them', async (protocol) => {
    const { end, at } = await stage([FIRST]);
    const frames = [4, 6].map((version) =>
      superFrame({ version: version as 4 | 6, protocol, payload: pattern(60_000) }, 1300),
    );
    send(end, frames[0]!, plain(frame(B, A)), frames[1]!);
    const cut = (sent: Frame): string[] => segmentFrame(sent.bytes, sent.gsoSize)!.map((bytes) => HEADER + hex(bytes));
    const expected = [...cut(frames[0]!), HEADER + hex(frame(B, A)), ...cut(frames[1]!)];
    await expect.poll(() => at[0]!.got.length).toBe(expected.length);
    expect(at[0]!.got.map(hex)).toEqual(expected);
    expect(end.drops.reasons).toEqual([]);
  });

  it('completes checksums', async () => {
    const { end, at } = await stage([FIRST]);
    const bytes = packet({ version: 4, protocol: 'udp', payload: pattern(100) });
    send(end, superFrame({ version: 4, protocol: 'udp', payload: pattern(100) }, 0));
    const [whole] = segmentFrame(bytes, 1000)!;
    await expect.poll(() => at[0]!.got.map(hex)).toEqual([HEADER + hex(whole!)]);
  });

  it('drops super-frames that have no room, or cannot be cut', async () => {
    const { end, at } = await stage([FIRST]);
    const long = superFrame({ version: 4, protocol: 'tcp', payload: pattern(5000) }, 1400);
    send(end, long, { ...plainFrame(3000), gsoSize: 1000 }, plain(frame(B, A)));
    await expect.poll(() => at[0]!.got.map(hex)).toEqual([HEADER + hex(frame(B, A))]);
    expect(end.drops.reasons).toEqual(['tooLong', 'malformed']);
  });

  it('loses nothing of a super-frame when its socket is full, and goes on where it was', async () => {
    const { end } = await stage([FIRST]);
    const calls = limited(end.io);
    const sent = superFrame({ version: 4, protocol: 'tcp', payload: pattern(50_000) }, 1000);
    const batch = batchOf(end.arena, [sent, plain(frame(B, A))]);
    let done = 0;
    let turns = 0;
    for (; done < 2; turns++) {
      calls.room = 7;
      const refs = end.arena.refs[batch.ids[0]!]!;
      expect(refs).toBe(turns > 0 && done === 0 ? 2 : 1);
      done += end.device.txBatch(batch, done);
    }
    expect(turns).toBe(Math.ceil(51 / 7));
    const expected = [...segmentFrame(sent.bytes, 1000)!.map(hex), hex(frame(B, A))];
    expect(calls.sent).toEqual(expected.map((text) => HEADER + text));
  });
});

/** From here on a socket that takes so many datagrams, and then no more. */
function limited(io: NativeIo): { room: number; readonly sent: string[] } {
  const limits = { room: 0, sent: [] as string[] };
  const udpWrite = (_: number, __: number, first: number, firstEntry: number, datagrams: number): number => {
    const n = Math.min(datagrams, limits.room);
    let entry = firstEntry;
    for (let i = first; i < first + n; i++) {
      let text = '';
      for (let part = 0; part < io.lengths[i]!; part++, entry++) {
        const at = io.iov[2 * entry]!;
        text += hex(io.arena.bytes.subarray(at, at + io.iov[2 * entry + 1]!));
      }
      limits.sent.push(text);
    }
    limits.room -= n;
    return n;
  };
  Object.assign(io, { native: { ...io.native, udpWrite } });
  return limits;
}

it('is a port of a switch like any other', async () => {
  const port = await freePort();
  using peer = await Correspondent.at(FIRST, port);
  const io = new NativeIo(native, 4 * 2 ** 20);
  const engine = new Engine({ arena: io.arena, clock: io, io });
  const config: SwitchConfig = {
    network: 'n',
    networkNumber: 1,
    seed: 1,
    inputs: NO_INPUTS,
    machine: 'local',
    bridges: [{ name: 's1', transparent: false, ageingSeconds: 300, fdbLimit: 64 }],
    devices: [
      { kind: 'tap', name: 'tap:h1:eth0', mtuBytes: MTU_BYTES, vnetHdr: true },
      { kind: 'vxlan', name: 'vxlan:vx', vni: VNI, remotes: [FIRST], port, mtuBytes: MTU_BYTES },
    ],
    links: [
      { name: 'h1', ends: [{ tap: 'tap:h1:eth0' }, { bridge: 's1' }], forward: PLAIN, reverse: PLAIN },
      { name: 'vx', ends: [{ vxlan: 'vxlan:vx' }, { bridge: 's1' }], forward: PLAIN, reverse: PLAIN },
    ],
  };
  let host: PortDevice | undefined;
  engine.apply(config, (device, context) => {
    if (device.kind !== 'tap') return openDevice(device, context, native.udpOpen({ bind: { address: HERE, port } }), 1);
    const [near, far] = MemoryDevice.pair(
      context,
      { ...context, drops: { drop: () => undefined } },
      { mtuBytes: 1500 },
    );
    host = far;
    return near;
  });
  const breathe = (): void => {
    engine.portReady(engine.topology.ports.get('vxlan:vx')!.index);
    while (engine.breath() > 0);
  };

  host!.txBatch(batchOf(io.arena, [plain(frame(B, A))]), 0);
  breathe();
  await expect.poll(() => peer.got.map(hex)).toEqual([HEADER + hex(frame(B, A))]);
  await peer.send(datagram(frame(A, B), '0800000000006500'), HERE, port);
  await peer.send(datagram(frame(A, B)), HERE, port);
  const received = new FrameBatch(16);
  await expect
    .poll(() => {
      breathe();
      return host!.rxBatch(received);
    })
    .toBe(1);
  expect(hex(io.arena.read(received.ids[0]!))).toBe(hex(frame(A, B)));
  io.arena.release(received.ids[0]!);
  expect(
    engine.topology.bridges
      .get('s1')!
      .addresses()
      .map(({ link }) => link),
  ).toHaveLength(2);
  const dropped = DROP_REASONS.filter((_, reason) => engine.telemetry.drops[reason]! > 0);
  expect(dropped).toEqual(['unknownVni']);
  engine.close();
  io.close();
  expect(io.arena.freeSlots).toBe(io.arena.slotCount);
});
