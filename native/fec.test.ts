/**
 * Parity as the addon makes it, and what it repairs: what is sent is caught by a plain socket; any of it is lost, repeated,
 * late or changed on its way, and the rest given to a receiver. The oracles are the datagrams themselves.
 */
import fc from 'fast-check';
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { native, UdpRefusal } from './binding.js';
import { releaseAll, until } from './fixture.js';
import { bytes, datagram, DATAGRAM_HEADER, destroyKeyrings, keyring, Line, plainPeer } from './tunnel-fixture.js';

const { EINVAL } = constants.errno;
const EPOCH = 7;
const TAG_BYTES = 16;
const MAX_ROWS = 32;
const HISTORY = 256;

/** To the receiver; and to a socket that catches what is sent. */
let line: Line;
let out: Line;
let peer: Awaited<ReturnType<typeof plainPeer>>;
let parity: number;

beforeEach(async () => {
  line = Line.over();
  peer = await plainPeer();
  out = new Line(peer.fd, peer.fd);
  parity = native.parityCreate();
});

afterEach(() => {
  native.parityDestroy(parity);
  line.close();
  out.close();
  peer.socket.close();
  destroyKeyrings();
  releaseAll();
});

interface Block {
  readonly data: readonly Buffer[];
  /** As it is on the wire. */
  readonly sent: readonly Buffer[];
  readonly rows: readonly Buffer[];
}

function headersOf(first: bigint, count: number, epoch: number): Buffer {
  const headers = datagram({ type: 3, epoch, counter: first + BigInt(count), payload: Buffer.alloc(0) }).subarray(
    0,
    24,
  );
  headers.set([count, 0, count >> 8, count & 255], DATAGRAM_HEADER);
  return headers;
}

/** Sends whole frames of such lengths, and so many rows of parity. */
async function block(lengths: readonly number[], rows: number, first: bigint, ring: number): Promise<Block> {
  const epoch = ring === 0 ? 0 : EPOCH;
  const data = lengths.map((length, i) =>
    datagram({ epoch, counter: first + BigInt(i), frameId: i + 1, payload: bytes(length, i), gsoSize: 0 }),
  );
  peer.got.length = 0;
  native.parityRows(parity, rows);
  const list = [...data, headersOf(first, data.length, epoch)];
  const cuts = [...data.map(() => 0), -rows];
  expect(out.send(list, { cuts, ring, parity })).toBe(list.length);
  await until(() => peer.got.length === data.length + rows);
  return { data, sent: peer.got.slice(0, data.length), rows: peer.got.slice(data.length) };
}

/** Puts datagrams on the wire as they are; returns what the receiver makes of all. */
function arrive(datagrams: readonly Buffer[], ring: number): (Buffer | number)[] {
  const results: (Buffer | number)[] = [];
  for (let i = 0; i < datagrams.length; i += 40) {
    const some = datagrams.slice(i, i + 40);
    expect(line.send(some)).toBe(some.length);
    results.push(...line.receive(ring));
  }
  return results;
}

const framesOf = (results: readonly (Buffer | number)[]): string[] =>
  results.flatMap((result) => (typeof result === 'number' ? [] : [result.toString('hex')])).sort();
const hexOf = (datagrams: readonly Buffer[]): string[] => datagrams.map((data) => data.toString('hex')).sort();
/** Of a stream that has no end. */
const next = (stream: Iterator<number>): number => stream.next().value as number;

/** With the first parity that comes, a receiver begins to keep what it may need. */
async function begin(ring: number): Promise<void> {
  const { sent, rows } = await block([20], 1, 1n, ring);
  arrive([...sent, ...rows], ring);
}

const sealed = () => ({ seals: keyring(true), opens: keyring(false) });
const open = () => ({ seals: 0, opens: 0 });

describe.each([
  ['sealed', sealed],
  ['not sealed', open],
])('a block of datagrams and its parity, %s', (_, ringsOf) => {
  it('gives all of it when no more is lost than there are rows, and never anything else', async () => {
    const rings = ringsOf();
    await begin(rings.seals);
    let first = 100n;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 14, max: 1400 }), { minLength: 1, maxLength: 70 }),
        fc.integer({ min: 1, max: 12 }),
        fc.infiniteStream(fc.nat()),
        fc.constantFrom(0.05, 0.2, 0.6),
        async (lengths, rows, keys, loss) => {
          const { data, sent, rows: parities } = await block(lengths, rows, first, rings.seals);
          first += BigInt(HISTORY);
          const chance = (): boolean => next(keys) % 1000 < loss * 1000;
          const lost = sent.map(() => chance());
          const kept = parities.filter(() => !chance());
          const missing = lost.filter(Boolean).length;
          const path = [...sent.filter((__, i) => !lost[i]), ...kept]
            .map((what) => ({ what, key: next(keys) }))
            .sort((a, b) => a.key - b.key)
            .map(({ what }) => what);
          const got = framesOf(arrive(path, rings.opens));
          const expected = missing <= kept.length ? data : data.filter((__, i) => !lost[i]);
          expect(got).toEqual(hexOf(expected));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gives none twice: what comes after it was rebuilt is told as late, once', async () => {
    const rings = ringsOf();
    await begin(rings.seals);
    const { data, sent, rows } = await block([300, 1400, 60, 500], 2, 100n, rings.seals);
    const results = arrive([sent[0]!, sent[3]!, ...rows], rings.opens);
    expect(framesOf(results)).toEqual(hexOf(data));
    expect(native.udpRepaired(line.buffers)).toBe(2);
    const late = arrive([sent[1]!, sent[2]!], rings.opens);
    expect(late).toEqual([UdpRefusal.late, UdpRefusal.late]);
    // And again the parity, which is a repeat like any other.
    expect(framesOf(arrive([...rows], rings.opens))).toEqual([]);
  });

  it('repairs when a datagram comes late, behind parity that was not enough', async () => {
    const rings = ringsOf();
    await begin(rings.seals);
    const { data, sent, rows } = await block([300, 1400, 60, 500], 1, 100n, rings.seals);
    expect(framesOf(arrive([sent[0]!, sent[1]!, ...rows], rings.opens))).toHaveLength(2);
    expect(framesOf(arrive([sent[2]!], rings.opens))).toEqual(hexOf([data[2]!, data[3]!]));
  });

  it('counts what it could not repair when it is too old, and rebuilds nothing of it then', async () => {
    const rings = ringsOf();
    await begin(rings.seals);
    const { sent, rows } = await block([300, 1400, 60, 500], 2, 100n, rings.seals);
    arrive([sent[0]!, rows[0]!], rings.opens);
    line.io.arrays.clock[0] = 100e6 + 1;
    const results = arrive([sent[1]!, rows[1]!], rings.opens);
    expect(framesOf(results)).toHaveLength(1);
    expect([native.udpRepaired(line.buffers), native.udpUnrepaired(line.buffers)]).toEqual([0, 3]);
  });

  it('has the ECN field of a datagram that did not come', async () => {
    const rings = ringsOf();
    await begin(rings.seals);
    native.parityRows(parity, 1);
    const epoch = rings.seals === 0 ? 0 : EPOCH;
    const data = [100n, 101n].map((counter, i) =>
      datagram({ epoch, counter, frameId: i, payload: bytes(50, i), gsoSize: 0 }),
    );
    peer.got.length = 0;
    out.send([...data, headersOf(100n, 2, epoch)], { cuts: [0, 0, -1], ecn: [0, 2, 0], ring: rings.seals, parity });
    await until(() => peer.got.length === 3);
    arrive([peer.got[0]!, peer.got[2]!], rings.opens);
    expect(line.ecn).toEqual([0, 2]);
  });

  it('has no parity where the block is not what its headers say, or a send failed', async () => {
    const rings = ringsOf();
    const { seals: ring } = rings;
    const epoch = ring === 0 ? 0 : EPOCH;
    native.parityRows(parity, 2);
    const of = (counter: bigint) => datagram({ epoch, counter, payload: bytes(50), gsoSize: 0 });
    // A gap; another length than is said; a block that another send has ended.
    peer.got.length = 0;
    const lists = [
      [of(1n), of(3n), headersOf(1n, 3, epoch)],
      [of(10n), of(11n), headersOf(10n, 3, epoch)],
      [headersOf(10n, 2, epoch)],
    ];
    const sent = lists.map((list) =>
      out.send(list, { cuts: list.map((__, i) => (i === list.length - 1 ? -2 : 0)), ring, parity }),
    );
    expect(sent).toEqual([3, 3, 1]);
    out.send([of(20n)], { ring });
    // The last list asked for what was there still: two rows of it have come.
    await until(() => peer.got.length === 7);
    expect(peer.got.filter((data) => data[1] === 3)).toHaveLength(2);
  });
});

describe('parity', () => {
  it('is at most as long as the longest datagram and eight bytes, and sealed', async () => {
    const rings = sealed();
    const { sent, rows } = await block([60, 1400, 300], 3, 100n, rings.seals);
    const longest = Math.max(...sent.map(({ byteLength }) => byteLength));
    expect(rows.map(({ byteLength }) => byteLength)).toEqual([longest + 8, longest + 8, longest + 8]);
    expect(arrive(rows, rings.opens)).toEqual([UdpRefusal.parity, UdpRefusal.parity, UdpRefusal.parity]);
    rows[0]![rows[0]!.byteLength - TAG_BYTES - 1]! ^= 1;
    line.close();
    line = Line.over();
    expect(arrive([rows[0]!], keyring(false))).toEqual([UdpRefusal.notAuthentic]);
  });

  it('is refused where it breaks a rule, and harms nothing where it is made up', () => {
    const of = (count: number, row: number, distance: number, length = 100): Buffer => {
      const made = Buffer.concat([headersOf(1000n, 1, 0), bytes(length)]);
      made.set([count, row, distance >> 8, distance & 255], DATAGRAM_HEADER);
      return made;
    };
    const wrong = [
      of(0, 0, 5),
      of(81, 0, 100),
      of(5, MAX_ROWS, 5),
      of(5, 0, 4),
      of(5, 0, 1002),
      of(5, 0, 5, 4),
      of(5, 0, 5, 8005),
    ];
    expect(arrive(wrong, 0)).toEqual(wrong.map(() => UdpRefusal.badDatagram));
    const numbers = fc.record({
      count: fc.integer({ min: 1, max: 80 }),
      row: fc.integer({ min: 0, max: MAX_ROWS - 1 }),
      more: fc.integer({ min: 0, max: 300 }),
      length: fc.integer({ min: 5, max: 1500 }),
      counter: fc.bigInt({ min: 1n, max: 1200n }),
      isData: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(numbers, { maxLength: 60 }), (all) => {
        const sent: Buffer[] = all.map(({ count, row, more, length, counter, isData }) => {
          if (isData) return datagram({ counter, payload: bytes(length), gsoSize: 0 });
          const made = of(count, row, count + more, length);
          made.writeBigUInt64BE(counter, 12);
          return made;
        });
        // Whatever an enemy makes of what is not sealed: there are no more frames than one that was lost for each row.
        expect(framesOf(arrive(sent, 0)).length).toBeLessThanOrEqual(sent.length);
      }),
      { numRuns: 100 },
    );
  });

  it('of a receiver that has heard none for long costs it nothing, and begins anew', async () => {
    await begin(0);
    const { data, sent, rows } = await block([300, 400], 1, 100n, 0);
    expect(framesOf(arrive([sent[0]!, ...rows], 0))).toEqual(hexOf(data));
    for (let i = 0; i < 4200; i += 40) {
      arrive(
        Array.from({ length: 40 }, (_, j) => datagram({ counter: BigInt(1000 + i + j), payload: bytes(20) })),
        0,
      );
    }
    const later = await block([300, 400], 1, 9000n, 0);
    expect(framesOf(arrive([later.sent[0]!, ...later.rows], 0))).toHaveLength(1);
    const again = await block([300, 400], 1, 9100n, 0);
    expect(framesOf(arrive([again.sent[0]!, ...again.rows], 0))).toHaveLength(2);
  });

  it('takes no numbers that it cannot have', () => {
    expect(native.parityRows(parity, MAX_ROWS + 1)).toBe(-EINVAL);
    expect(native.parityRows(parity, -1)).toBe(-EINVAL);
    expect(native.parityRows(9999, 1)).toBe(-EINVAL);
    const headers = headersOf(1n, 1, 0);
    expect(out.send([headers], { cuts: [-1] })).toBe(-EINVAL);
    expect(out.send([headers], { cuts: [-33], parity })).toBe(-EINVAL);
    expect(out.send([headers.subarray(0, 22)], { cuts: [-1], parity })).toBe(-EINVAL);
    expect(out.send([datagram({ payload: bytes(50) })], { cuts: [-1], parity })).toBe(-EINVAL);
  });
});
