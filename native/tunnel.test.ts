/**
 * What the addon does to datagrams: cut and joined, opened once. The oracles are what the format says (made here by hand, or
 * by a plain socket's view of what was sent), and a Set for the replay window. What it seals: aead.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { native, UdpFeature, UdpRefusal } from './binding.js';
import { isRoot, KeeperFixture, own, releaseAll, until } from './fixture.js';
import {
  bytes,
  datagram,
  destroyKeyrings,
  HEADERS,
  keyring,
  Line,
  OURS_AT,
  plainPeer,
  seal,
  SECRET,
} from './tunnel-fixture.js';

const { EINVAL } = constants.errno;

let line: Line;

beforeEach(() => {
  line = Line.over();
});

/** Other ends, which have heard nothing yet: what comes after later datagrams is taken for a repeat. */
function anew(): void {
  line.close();
  line = Line.over();
}

afterEach(() => {
  line.close();
  destroyKeyrings();
  releaseAll();
});

describe('a long datagram', () => {
  const frame = bytes(10_000);
  const long = datagram({ payload: frame, counter: 0xffff_fffen, copy: frame.subarray(0, 66) });
  const pieces = [0, 3000, 6000, 9000].map((offset, i) =>
    datagram({
      payload: frame.subarray(offset, offset + 3000),
      frameBytes: 10_000,
      offset,
      counter: 0xffff_fffen + BigInt(i),
      ...(i === 3 ? { copy: frame.subarray(0, 66) } : {}),
    }),
  );

  it('is cut into pieces with headers of their own', async () => {
    const { fd, got, socket } = await plainPeer();
    const { arrays, handle } = line.io;
    arrays.arena.set(long, OURS_AT);
    // In parts that end anywhere.
    const ends = [40, 3000, 3001, 7777, long.byteLength];
    ends.forEach((end, i) => arrays.iov.set([OURS_AT + (ends[i - 1] ?? 0), end - (ends[i - 1] ?? 0)], 2 * i));
    arrays.lengths[0] = ends.length;
    arrays.cuts[0] = 3000;
    expect(native.udpWrite(handle, fd, 0, 0, 1, 0, 1, 0, 0)).toBe(1);
    while (got.length < 4) await new Promise((resolve) => setImmediate(resolve));
    expect(got).toEqual(pieces);
    socket.close();
  });

  it('arrives as one, without the header copy that a whole frame does not need', () => {
    const whole = datagram({ payload: frame, counter: 0xffff_fffen });
    // Piece by piece, then in one segmented send.
    expect(line.send(pieces, { segments: 0 })).toBe(4);
    expect(line.receive()).toEqual([whole]);
    anew();
    expect(line.send([long], { cuts: [3000] })).toBe(1);
    expect(line.receive()).toEqual([whole]);
  });

  it('is joined over garbage in between', () => {
    const [first, ...rest] = pieces;
    for (const data of [first!, Buffer.alloc(5), ...rest]) expect(line.send([data], { segments: 0 })).toBe(1);
    expect(line.receive()).toEqual([datagram({ payload: frame, counter: 0xffff_fffen }), UdpRefusal.badDatagram]);
  });

  it('is not joined to a repeat of what came with an earlier call, but where its sender begins anew', () => {
    const [p0, p1, p2, p3] = pieces as [Buffer, Buffer, Buffer, Buffer];
    const got = (...datagrams: Buffer[]): number[] => {
      for (const one of datagrams) expect(line.send([one], { segments: 0 })).toBe(1);
      return line.receive().map((data) => (data as Buffer).byteLength - HEADERS);
    };
    expect(got(p0, p1)).toEqual([6000]);
    expect(got(p1, p2, p3)).toEqual([3000, 4066]);
    const later = (i: number) =>
      datagram({ payload: bytes(3000), frameBytes: 6000, offset: 3000 * i, counter: BigInt(i) });
    expect(got(later(0), later(1))).toEqual([6000]);
    // Sealed ones have a replay window instead.
    const ring = keyring(false);
    const sealed = (i: number) => {
      const fields = { payload: bytes(3000), frameBytes: 6000, offset: 3000 * (i % 2), frameId: i >> 1 };
      return seal(datagram({ ...fields, epoch: 7, counter: BigInt(i) }), 'aes-256-gcm');
    };
    for (const i of [2, 3, 0, 1]) line.send([sealed(i)], { segments: 0 });
    expect(line.receive(ring).map((data) => (data as Buffer).byteLength - HEADERS)).toEqual([6000, 6000]);
  });

  it('is known for a repeat though another lane of its sender came in between', () => {
    const [p0, p1, p2, p3] = pieces as [Buffer, Buffer, Buffer, Buffer];
    const other = datagram({ payload: bytes(3000), lane: 1, counter: 5n });
    for (const one of [p0, p1, other, p1, p2, p3]) expect(line.send([one], { segments: 0 })).toBe(1);
    const got = line.receive().map((data) => (data as Buffer).byteLength - HEADERS);
    expect(got).toEqual([6000, 3000, 3000, 4066]);
  });

  it('is refused where it cannot be', () => {
    const refused = -22;
    expect(line.send([long], { cuts: [3000], segments: 0 })).toBe(refused);
    expect(line.send([long], { cuts: [20] })).toBe(refused); // 501 pieces
    expect(line.send([long], { cuts: [-1] })).toBe(refused);
    expect(line.send([datagram({ payload: frame, copy: bytes(200) })], { cuts: [2500] })).toBe(refused); // no room for the copy
    expect(line.send([long.subarray(0, 9000)], { cuts: [3000] })).toBe(refused); // shorter than it says
    expect(line.receive()).toEqual([]);
  });

  it('is joined again only where each piece carries the one before on', () => {
    const [p0, p1, p2, p3] = pieces as [Buffer, Buffer, Buffer, Buffer];
    const changed = (piece: Buffer, at: number): Buffer => {
      const copy = Buffer.from(piece);
      copy[at]! ^= 1;
      return copy;
    };
    const join = (...datagrams: Buffer[]): number[] => {
      anew();
      // One send each: what the kernel merges is the subject of the other tests.
      for (const one of datagrams) expect(line.send([one], { segments: 0 })).toBe(1);
      return line.receive().map((got) => (got as Buffer).byteLength - HEADERS);
    };
    expect(join(p0, p1, p2, p3)).toEqual([10_000]);
    expect(join(p0, p1, p3)).toEqual([6000, 1066]);
    expect(join(p1, p0)).toEqual([3000, 3000]);
    expect(join(p0, p0)).toEqual([3000, 3000]);
    expect(join(p1, p2, p3)).toEqual([7066]);
    // Repeats stay alone, so that what follows them says nothing twice.
    expect(join(p0, p1, p1, p2, p3)).toEqual([6000, 3000, 4066]);
    expect(join(p0, p1, p0, p1, p2, p3)).toEqual([6000, 3000, 3000, 4066]);
    // Version, flags, lane, network, epoch, counter, channel, frame id, checksum, frame length, offset, gsoSize.
    for (const at of [0, 2, 3, 4, 8, 19, 21, 27, 28, 31, 35, 37])
      expect(join(p0, changed(p1, at)), `byte ${at}`).toEqual([3000, 3000]);
    // More than its frame has, and more than a datagram that the header can describe.
    const short = { frameBytes: 4000, counter: 1n };
    expect(
      join(
        datagram({ ...short, counter: 0n, payload: bytes(3000) }),
        datagram({ ...short, offset: 3000, payload: bytes(2000) }),
      ),
    ).toEqual([3000, 2000]);
  });

  it('gives the same bytes, however it is cut, sealed and grouped', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ size: fc.integer({ min: 1, max: 60_000 }), cut: fc.integer({ min: 1000, max: 9000 }) }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.boolean(),
        fc.integer({ min: 34, max: 90 }),
        (frames, isSealed, slots) => {
          const epoch = isSealed ? 7 : 0;
          const [sealing, opening] = isSealed ? [keyring(true), keyring(false)] : [0, 0];
          let counter = 0n;
          const sent = frames.map(({ size, cut }, i) => {
            const from = counter;
            counter += BigInt(Math.ceil(size / cut));
            return datagram({ payload: bytes(size, i), frameId: i, epoch, counter: from });
          });
          const cuts = frames.map(({ size, cut }) => (size > cut ? cut : 0));
          let done = 0;
          const got: (Buffer | number)[] = [];
          while (done < sent.length) {
            const n = line.send(sent.slice(done), { cuts: cuts.slice(done), ring: sealing });
            if (n > 0) done += n;
            got.push(...line.receive(opening, slots));
          }
          // A frame that two reads share comes in two parts, each of which says where it belongs.
          const rebuilt = sent.map(() => Buffer.alloc(60_000));
          const received = sent.map(() => 0);
          for (const part of got) {
            expect(typeof part).toBe('object');
            const data = part as Buffer;
            const i = data.readUInt32BE(24);
            data.copy(rebuilt[i]!, data.readUIntBE(33, 3), HEADERS);
            received[i]! += data.byteLength - HEADERS;
          }
          expect(received).toEqual(frames.map(({ size }) => size));
          frames.forEach(({ size }, i) => {
            expect(rebuilt[i]!.subarray(0, size).equals(bytes(size, i))).toBe(true);
          });
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe.each(['127.0.0.1', '::1'])('the ECN field over %s', (address) => {
  let own: Line;
  beforeEach(() => {
    own = Line.over(address);
  });
  afterEach(() => {
    own.close();
  });
  const all = [0, 1, 2, 3];
  const of = (counter: number, length: number) =>
    datagram({ payload: bytes(length, counter), counter: BigInt(counter), frameId: counter });

  it('is what the sender says, datagram by datagram', () => {
    expect(native.udpFeatures(own.b) & UdpFeature.ecn).toBe(UdpFeature.ecn);
    for (const segments of [0, 1]) {
      const datagrams = [2, 2, 0, 3, 3, 1, 1, 2].map((_, i) => of(i, 500));
      const ecn = [2, 2, 0, 3, 3, 1, 1, 2];
      expect(own.send(datagrams, { ecn, segments })).toBe(8);
      expect(own.receive()).toEqual(datagrams);
      expect(own.ecn).toEqual(ecn);
    }
  });

  it.each([0, 7])('goes with a segmented send of epoch %i', (epoch) => {
    const [sealing, opening] = epoch === 0 ? [0, 0] : [keyring(true), keyring(false)];
    for (const ecn of all) {
      const long = datagram({ payload: bytes(10_000), epoch, counter: BigInt(100 * ecn) });
      expect(own.send([long], { cuts: [3000], ecn: [ecn], ring: sealing })).toBe(1);
      expect(own.receive(opening)).toEqual([long]);
      expect(own.ecn).toEqual([ecn]);
    }
  });

  it('keeps datagrams of one frame apart that differ in it', () => {
    const frame = bytes(9000);
    for (const segments of [0, 1]) {
      const pieces = [0, 3000, 6000].map((offset, i) =>
        datagram({
          payload: frame.subarray(offset, offset + 3000),
          frameBytes: 9000,
          offset,
          counter: BigInt(100 * segments + i),
        }),
      );
      expect(own.send(pieces, { ecn: [2, 2, 3], segments })).toBe(3);
      expect(own.receive().map((got) => (got as Buffer).byteLength - HEADERS)).toEqual([6000, 3000]);
      expect(own.ecn).toEqual([2, 3]);
    }
  });

  it('is two bits', () => {
    expect(own.send([of(0, 10)], { ecn: [4] })).toBe(-22);
    expect(own.receive()).toEqual([]);
  });
});

/** h1 ── br ── h2: h1 cuts what it sends, br marks every third packet of those that may be, h2 merges what arrives. */
describe.runIf(isRoot)('a path that marks some datagrams of a frame', () => {
  it('gives the marks with the bytes that they came with, though the kernel merges the others', async () => {
    await using keeper = await KeeperFixture.start();
    const [h1, br, h2] = ['h1', 'br', 'h2'].map((name) => keeper.host(name)) as [number, number, number];
    const within = (pid: number, ...command: string[]): void => {
      execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...command]);
    };
    within(br, 'ip', 'link', 'add', 'lan', 'up', 'type', 'bridge');
    for (const [pid, address, cable] of [
      [h1, '10.9.0.1', 'm1'],
      [h2, '10.9.0.2', 'm2'],
    ] as const) {
      within(pid, 'ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', cable, 'netns', String(br));
      within(pid, 'ethtool', '-K', 'eth0', 'gso', 'off', 'tx-udp-segmentation', 'off', 'gro', 'on');
      // veth gives its peer's GRO only what could not be longer (veth_skb_is_eligible_for_gro).
      within(br, 'ethtool', '-K', cable, 'gro', 'off', 'tso', 'off');
      within(br, 'ip', 'link', 'set', 'dev', cable, 'master', 'lan', 'up');
      within(pid, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
      within(pid, 'ip', 'link', 'set', 'dev', 'eth0', 'up');
    }
    const chain = 'add chain bridge marks forward { type filter hook forward priority 0; }';
    const rule = 'add rule bridge marks forward ip ecn ect0 numgen inc mod 3 == 2 ip ecn set ce';
    within(br, 'nft', `add table bridge marks; ${chain}; ${rule}`);

    const place = (address: string) => ({ address, port: 7000 });
    const from = place('10.9.0.1');
    const to = place('10.9.0.2');
    const a = own(native.udpOpen({ netns: `/proc/${h1}/ns/net`, bind: from, connect: to }));
    const b = own(
      native.udpOpen({ netns: `/proc/${h2}/ns/net`, bind: to, connect: from, receiveBufferBytes: 4 << 20 }),
    );
    const path = new Line(a, b);
    const got: Buffer[] = [];
    const ecn: number[] = [];
    const messages = (): number => {
      const [names, values] = readFileSync(`/proc/${h2}/net/snmp`, 'utf8')
        .match(/^Udp:.*$/gm)!
        .map((line) => line.split(' '));
      return Number(values![names!.indexOf('InDatagrams')]);
    };
    // 30 datagrams, of which some wait for the peer's hardware address before the first goes out.
    const long = datagram({ payload: bytes(30_000) });
    expect(path.send([long], { cuts: [1000], ecn: [2] })).toBe(1);
    await until(() => {
      got.push(...(path.receive() as Buffer[]));
      ecn.push(...path.ecn);
      return got.reduce((sum, part) => sum + part.byteLength - HEADERS, 0) === 30_000;
    });
    const marked = got.flatMap((part, i) => Array<number>((part.byteLength - HEADERS) / 1000).fill(ecn[i]!));
    expect(marked).toEqual(Array.from({ length: 30 }, (_, i) => (i % 3 === 2 ? 3 : 2)));
    expect(messages()).toBeLessThan(30);
    path.close();
  });
});

describe('a replay window', () => {
  it('takes each counter once, those that are too old never: as a set does', () => {
    const window = 8192n;
    const step = fc.oneof(
      fc.bigInt({ min: -40n, max: 40n }),
      fc.bigInt({ min: -9000n, max: 9000n }),
      fc.constantFrom(-8191n, -8192n, -8193n, 8192n, 64n, -64n, 63n, 1n),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 40n }), fc.array(step, { maxLength: 60 }), (start, steps) => {
        const ring = keyring(false);
        const seen = new Set<bigint>();
        let newest = -1n;
        let counter = start;
        for (const by of steps) {
          counter = counter + by < 0n ? 0n : counter + by;
          const isNew = !seen.has(counter) && (newest === -1n || counter > newest - window);
          line.send([seal(datagram({ epoch: 7, counter, payload: bytes(4) }), 'aes-256-gcm')]);
          const [got] = line.receive(ring);
          expect(got === UdpRefusal.replayed).toBe(!isNew);
          if (isNew) seen.add(counter);
          if (isNew && counter > newest) newest = counter;
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('a socket that hears everybody', () => {
  it('knows copies from elsewhere for such, 63 datagrams of their lane later, whatever other lanes sent', () => {
    const bind = { address: '127.0.0.1', port: 0 };
    const fd = own(native.udpOpen({ bind, receiveBufferBytes: 4 << 20 }));
    const connect = native.udpAddress(fd);
    const [peer, other] = [0, 1].map(() => new Line(own(native.udpOpen({ bind, connect })), fd)) as [Line, Line];
    const lanes = [0, 1, 2, 3, 4, 5, 6, 7];
    const opening = keyring(false);
    for (const lane of lanes.slice(1))
      native.keyringAdd(opening, { epoch: 7, lane, algorithm: 'aes-256-gcm', seals: false, secret: SECRET });
    const sealed = Array.from({ length: 64 }, (_, counter) =>
      lanes.map((lane) =>
        seal(datagram({ epoch: 7, lane, counter: BigInt(counter), payload: bytes(100) }), 'aes-256-gcm'),
      ),
    );
    const receive = (from: Line): (Buffer | number)[] => {
      const all: (Buffer | number)[] = [];
      for (const one of sealed) {
        expect(from.send(one)).toBe(lanes.length);
        all.push(...peer.receive(opening, 90, 1));
      }
      return all;
    };
    expect(receive(peer).filter((one) => typeof one === 'number')).toEqual([]);
    const all = sealed.length * lanes.length;
    expect(receive(other)).toEqual(new Array(all).fill(UdpRefusal.twin));
    // Once: then it is a replay.
    expect(receive(other)).toEqual(new Array(all).fill(UdpRefusal.replayed));
    for (const one of [peer, other]) one.close();
  });
});

describe('what a socket has no room for', () => {
  const datagrams = Array.from({ length: 60 }, (_, i) => datagram({ counter: BigInt(i), payload: bytes(1000, i) }));

  it('is counted, as soon as something comes after it', () => {
    line.close();
    line = Line.over('127.0.0.1', 8192);
    let lost = 0;
    for (const round of [1, 2]) {
      expect(line.send(datagrams, { segments: 0 }), `round ${round}`).toBe(60);
      const got = line.receive().length;
      expect(got).toBeGreaterThan(0);
      expect(got).toBeLessThan(60);
      expect(native.udpOverruns(line.buffers)).toBe(lost);
      lost += 60 - got;
      expect(line.send(datagrams.slice(0, 1))).toBe(1);
      expect(line.receive()).toHaveLength(1);
      expect(native.udpOverruns(line.buffers)).toBe(lost);
    }
  });

  it('is counted beside the ECN field and the length of what is merged', () => {
    line.close();
    line = Line.over('127.0.0.1', 8192);
    expect(line.send(datagrams, { segments: 0 })).toBe(60);
    const lost = 60 - line.receive().length;
    expect(line.send(datagrams.slice(0, 3), { ecn: [3, 3, 3] })).toBe(3);
    expect(line.receive()).toHaveLength(3);
    expect(line.ecn).toEqual([3, 3, 3]);
    expect(native.udpOverruns(line.buffers)).toBe(lost);
  });

  it('is nothing where there is room, and of no receiver an error', () => {
    expect(line.send(datagrams, { segments: 0 })).toBe(60);
    expect(line.receive()).toHaveLength(60);
    expect(native.udpOverruns(line.buffers)).toBe(0);
    expect(native.udpOverruns(0)).toBe(-EINVAL);
  });
});

describe('a keyring', () => {
  it('finds keys by epoch and lane, and forgets an epoch', () => {
    const ring = keyring(false, 'aes-256-gcm', [7, 8]);
    const of = (epoch: number, counter: bigint) => datagram({ epoch, counter, payload: bytes(10) });
    line.send([of(7, 0n), of(8, 0n), of(7, 1n)].map((plain) => seal(plain, 'aes-256-gcm')));
    expect(line.receive(ring)).toEqual([of(7, 0n), of(8, 0n), of(7, 1n)]);
    native.keyringRemove(ring, 7);
    line.send([of(7, 2n), of(8, 1n)].map((plain) => seal(plain, 'aes-256-gcm')));
    expect(line.receive(ring)).toEqual([UdpRefusal.unknownEpoch, of(8, 1n)]);
  });

  it('has one key of an epoch and lane, of the right size, and not more than it holds', () => {
    const ring = keyring(true);
    const key = { epoch: 7, lane: 0, algorithm: 'aes-256-gcm' as const, seals: true, secret: SECRET };
    expect(() => native.keyringAdd(ring, key)).toThrow('is there already');
    expect(() => native.keyringAdd(ring, { ...key, epoch: 8, secret: new Uint8Array(43) })).toThrow('secret');
    expect(() => native.keyringAdd(ring, { ...key, epoch: 0 })).toThrow('epoch');
    expect(() => native.keyringAdd(ring, { ...key, algorithm: 'rot13' as 'aes-256-gcm' })).toThrow('algorithm');
    for (let lane = 1; lane < 64; lane++) native.keyringAdd(ring, { ...key, lane });
    expect(() => native.keyringAdd(ring, { ...key, lane: 64 })).toThrow('full');
    native.keyringRemove(ring, 7);
    native.keyringAdd(ring, key);
  });

  it('seals nothing without the key that the header names', () => {
    expect(line.send([datagram({ epoch: 8, payload: bytes(10) })], { ring: keyring(true) })).toBeLessThan(0);
    expect(line.receive()).toEqual([]);
  });
});
