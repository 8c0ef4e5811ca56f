/**
 * What the addon seals and opens, by each library that can. The oracles are published vectors and node:crypto.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { native, nativeDirectory, UdpRefusal, type AeadAlgorithm, type AeadLibrary } from './binding.js';
import { isRoot, releaseAll } from './fixture.js';
import {
  bytes,
  datagram,
  DATAGRAM_HEADER,
  destroyKeyrings,
  keyring,
  Line,
  NETWORK,
  OURS_AT,
  plainPeer,
  seal,
  SECRET,
  type Fields,
} from './tunnel-fixture.js';

/** With the tag, as long as jumbo frames make it. */
const MAX_PAYLOAD = 9000;
const LENGTHS_AT_ONCE = 20;

const { whyNotIpsecMb } = native.aeadFind();
const isIpsecMbHere = whyNotIpsecMb === undefined;
const why = isIpsecMbHere ? '' : ` (skipped: ipsec-mb cannot be used, ${whyNotIpsecMb})`;

interface Way {
  readonly algorithm: AeadAlgorithm;
  readonly library: AeadLibrary;
  readonly isHere: boolean;
  readonly why: string;
}

const WAYS: readonly Way[] = [
  { algorithm: 'aes-256-gcm', library: 'openssl', isHere: true, why: '' },
  { algorithm: 'aes-256-gcm', library: 'ipsec-mb', isHere: isIpsecMbHere, why },
  { algorithm: 'chacha20-poly1305', library: 'openssl', isHere: true, why: '' },
];

let line: Line;

beforeEach(() => {
  line = Line.over();
});

afterEach(() => {
  line.close();
  destroyKeyrings();
  releaseAll();
});

describe.each(WAYS)('sealed with $algorithm by $library$why', ({ algorithm, library, isHere }) => {
  const it = test.skipIf(!isHere);
  const ring = (seals: boolean): number => keyring(seals, algorithm, [7], library);
  const plain = (counter: bigint, payload = bytes(100)) => datagram({ epoch: 7, counter, payload });

  it('is what node:crypto makes of it', async () => {
    const { fd, got, socket } = await plainPeer();
    const datagrams = [plain(0n), plain(1n, bytes(1)), plain(0x0123_4567_89ab_cdefn, bytes(1400))];
    const { arrays, handle } = line.io;
    let at = OURS_AT;
    datagrams.forEach((data, i) => {
      arrays.arena.set(data, at);
      arrays.iov.set([at, data.byteLength], 2 * i);
      arrays.lengths[i] = 1;
      arrays.cuts[i] = 0;
      arrays.ecn[i] = 0;
      at += data.byteLength;
    });
    const before = Buffer.from(arrays.arena);
    expect(native.udpWrite(handle, fd, 0, 0, 3, ring(true), 1, 0, 0)).toBe(3);
    while (got.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(got).toEqual(datagrams.map((data) => seal(data, algorithm)));
    // Others may be sending the same frame: nothing is sealed where it lies.
    expect(Buffer.from(arrays.arena).equals(before)).toBe(true);
    socket.close();
  });

  it('is opened as it was, and only once', () => {
    const opening = ring(false);
    const sealed = [0n, 1n, 2n].map((counter) => seal(plain(counter, bytes(50, Number(counter))), algorithm));
    line.send(sealed);
    expect(line.receive(opening)).toEqual([0n, 1n, 2n].map((counter) => plain(counter, bytes(50, Number(counter)))));
    line.send([sealed[1]!, sealed[2]!]);
    expect(line.receive(opening)).toEqual([UdpRefusal.replayed, UdpRefusal.replayed]);
  });

  it('is refused with any bit changed, and the window does not move for it', () => {
    const opening = ring(false);
    const sealed = seal(plain(5n), algorithm);
    const refusals = new Set<unknown>();
    for (let at = 0; at < sealed.byteLength; at++) {
      const forged = Buffer.from(sealed);
      forged[at]! ^= 1 << (at % 8);
      line.send([forged]);
      const [got] = line.receive(opening);
      expect(typeof got, `byte ${at}`).toBe('number');
      refusals.add(got);
    }
    expect(refusals).toEqual(new Set([UdpRefusal.notAuthentic, UdpRefusal.unknownEpoch, UdpRefusal.foreign]));
    line.send([sealed]);
    expect(line.receive(opening)).toEqual([plain(5n)]);
  });

  it('is refused cut short, unsealed, or of another epoch, lane or direction; a handshake needs no seal', () => {
    const opening = ring(false);
    const sealed = seal(plain(1n), algorithm);
    const of = (fields: Omit<Fields, 'payload'>) => seal(datagram({ payload: bytes(10), ...fields }), algorithm);
    const other = seal(
      plain(2n),
      algorithm,
      SECRET.map((byte) => byte ^ 1),
    );
    const handshake = datagram({ type: 1, payload: bytes(10) });
    line.send([
      sealed.subarray(0, 35),
      sealed.subarray(0, sealed.byteLength - 1),
      datagram({ payload: bytes(10) }),
      of({ epoch: 8 }),
      of({ epoch: 7, lane: 1 }),
      other,
      handshake,
      sealed.subarray(0, 19),
    ]);
    expect(line.receive(opening)).toEqual([
      UdpRefusal.badDatagram,
      UdpRefusal.notAuthentic,
      UdpRefusal.unsealed,
      UdpRefusal.unknownEpoch,
      UdpRefusal.unknownEpoch,
      UdpRefusal.notAuthentic,
      handshake,
      UdpRefusal.badDatagram,
    ]);
  });

  it('is refused of another version or network, which is said, whatever its seal and type', () => {
    const opening = ring(false);
    const { arrays, handle } = line.io;
    const payload = bytes(10);
    const foreign = [
      seal(datagram({ version: 2, epoch: 7, payload }), algorithm),
      seal(datagram({ network: NETWORK - 1, epoch: 8, payload }), algorithm),
      datagram({ version: 255, network: 9, payload }),
      datagram({ type: 1, network: 9, payload }),
      datagram({ type: 2, network: 9, payload }),
    ];
    line.send([...foreign, foreign[0]!.subarray(0, 20), datagram({ payload }), foreign[0]!.subarray(0, 19)]);
    line.io.offerSlots(90);
    const count = native.udpRead(handle, line.buffers, line.b, 90, opening, 0);
    const told = Array.from({ length: count }, (_, i) =>
      arrays.lengths[i] === -UdpRefusal.foreign ? [arrays.ecn[i], arrays.cuts[i]! >>> 0] : -arrays.lengths[i]!,
    );
    const others = [
      [2, NETWORK],
      [1, NETWORK - 1],
      [255, 9],
      [1, 9],
      [1, 9],
      [2, NETWORK],
    ];
    expect(told).toEqual([...others, UdpRefusal.unsealed, UdpRefusal.badDatagram]);
  });

  it('is what node:crypto makes of it, and opened from it, at every length', () => {
    const sealing = ring(true);
    const opening = ring(false);
    const pool = bytes(MAX_PAYLOAD + 64);
    // A few lengths in one send, so that datagrams begin at every alignment.
    for (let from = 0; from <= MAX_PAYLOAD; from += LENGTHS_AT_ONCE) {
      const plains = Array.from({ length: Math.min(LENGTHS_AT_ONCE, MAX_PAYLOAD + 1 - from) }, (_, i) => {
        const length = from + i;
        // Not a frame's, which would be joined.
        const header = datagram({ type: 1, epoch: 7, counter: BigInt(length), payload: bytes(0) });
        const payload = pool.subarray(length % 64, (length % 64) + length);
        return Buffer.concat([header.subarray(0, DATAGRAM_HEADER), payload]);
      });
      const sealed = plains.map((one) => seal(one, algorithm));
      expect(line.send(plains, { ring: sealing })).toBe(plains.length);
      // Without a keyring, what arrives is left as it is.
      expect(equal(line.receive(), sealed), `sealed, from ${from} on`).toBe(true);
      expect(line.send(sealed)).toBe(sealed.length);
      expect(equal(line.receive(opening), plains), `opened, from ${from} on`).toBe(true);
    }
  });
});

function equal(got: readonly (Buffer | number)[], expected: readonly Buffer[]): boolean {
  return got.length === expected.length && got.every((one, i) => typeof one === 'object' && one.equals(expected[i]!));
}

/** Of 20 bytes of associated data, which are our header then (one that we seal, and would not read), and a nonce of 12. */
const VECTORS = [
  {
    source: 'McGrew and Viega, The Galois/Counter Mode of Operation, test case 16',
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
    nonce: 'cafebabefacedbaddecaf888',
    header: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plain:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
    tag: '76fc6ece0f4e1768cddf8853bb2d551b',
  },
  {
    source: 'NIST CAVP, GCM, 256 bits of key, 160 of associated data',
    key: '83688deb4af8007f9b713b47cfa6c73e35ea7a3aa4ecdb414dded03bf7a0fd3a',
    nonce: '0b459724904e010a46901cf3',
    header: '794a14ccd178c8ebfd1379dc704c5e208f9d8424',
    plain: '33d893a2114ce06fc15d55e454cf90c3',
    sealed: 'cc66bee423e3fcd4c0865715e9586696',
    tag: '0fb291bd3dba94a1dfd8b286cfb97ac5',
  },
];

describe.each(WAYS.filter(({ algorithm }) => algorithm === 'aes-256-gcm'))(
  'AES-256-GCM by $library$why',
  ({ library, isHere }) => {
    test.skipIf(!isHere).each(VECTORS)('is that of $source', (vector) => {
      const header = Buffer.from(vector.header, 'hex');
      const iv = Buffer.from(vector.nonce, 'hex');
      for (let i = 0; i < 8; i++) iv[4 + i]! ^= header[12 + i]!;
      const secret = Buffer.concat([Buffer.from(vector.key, 'hex'), iv]);
      const ring = keyring(true, 'aes-256-gcm', []);
      const [lane, epoch] = [header[3]!, header.readUInt32BE(8)];
      native.keyringAdd(ring, { algorithm: 'aes-256-gcm', library, epoch, lane, seals: true, secret });
      const plain = Buffer.concat([header, Buffer.from(vector.plain, 'hex')]);
      const sealed = Buffer.concat([header, Buffer.from(vector.sealed + vector.tag, 'hex')]);
      expect(line.send([plain], { ring })).toBe(1);
      expect(line.receive()).toEqual([sealed]);
    });
  },
);

describe(`two ends with different libraries${why}`, () => {
  it.skipIf(!isIpsecMbHere).each([
    ['ipsec-mb', 'openssl'],
    ['openssl', 'ipsec-mb'],
  ] as const)('%s seals what %s opens, cut and joined', (sealer, opener) => {
    const frame = bytes(60_000);
    const long = datagram({ payload: frame, epoch: 7, counter: 1n });
    const sealing = keyring(true, 'aes-256-gcm', [7], sealer);
    // An odd number on the wire: in what the kernel merges, pieces begin at every alignment.
    expect(line.send([long], { cuts: [1381], ring: sealing })).toBe(1);
    expect(line.receive(keyring(false, 'aes-256-gcm', [7], opener))).toEqual([long]);
  });
});

describe('a library', () => {
  it('is ipsec-mb where it can be used, else openssl, and says why', () => {
    const found = native.aeadFind();
    if (found.library === 'ipsec-mb')
      expect(found).toEqual({
        library: 'ipsec-mb',
        ipsecMbVersion: expect.stringMatching(/^[12]\.\d+\.\d+$/) as string,
      });
    else expect(found).toEqual({ library: 'openssl', whyNotIpsecMb: expect.stringMatching(/^it |^this /) as string });
    expect(native.aeadFind()).toEqual(found);
  });

  it('is refused where it is unknown, or does not know the algorithm', () => {
    const options = { algorithm: 'aes-256-gcm', payloadBytes: 100 } as const;
    expect(() => native.aeadMeasure({ ...options, library: 'rot13' as 'openssl' })).toThrow('neither ipsec-mb nor');
    expect(() => native.aeadMeasure({ ...options, library: 'ipsec-mb', algorithm: 'chacha20-poly1305' })).toThrow(
      'ipsec-mb cannot be used: it knows AES-256-GCM alone',
    );
    expect(() => native.aeadMeasure({ ...options, payloadBytes: -1 })).toThrow('payloadBytes');
  });

  it.each(WAYS.filter(({ isHere }) => isHere))('is measured: $algorithm by $library', ({ algorithm, library }) => {
    const { sealNs, openNs } = native.aeadMeasure({ algorithm, library, payloadBytes: 1418 });
    for (const ns of [sealNs, openNs]) {
      expect(ns).toBeGreaterThan(0);
      // Infinite, nearly, where a datagram was not sealed or not opened.
      expect(ns).toBeLessThan(1e9);
    }
  });

  // Another process: a library is looked for once in each.
  it.skipIf(!isRoot || !isIpsecMbHere)('may be absent', () => {
    const file = readFileSync('/proc/self/maps', 'utf8').match(/\/\S*libIPSec_MB\.so\S*/)![0];
    const addon = join(nativeDirectory, 'luthier.napi.node');
    const hidden = 'mount --bind /dev/null "$1" && shift && exec "$@"';
    const print = `console.log(JSON.stringify(require(${JSON.stringify(addon)}).aeadFind()))`;
    const command = ['--mount', 'sh', '-c', hidden, 'sh', file, process.execPath, '-e', print];
    expect(JSON.parse(execFileSync('unshare', command, { encoding: 'utf8' }))).toEqual({
      library: 'openssl',
      whyNotIpsecMb: 'it is not installed',
    });
  });
});
