/** Which datagrams are a block, as the sender packs them: what the list says of parity, against what else it says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchOf, NETWORK, pattern, plainFrame, superFrame, type Frame } from '../../../test/tunnel/fixture.js';
import { RecordingSink } from '../../../test/compliance/recording-sink.js';
import { ManualClock } from '../../../model/clock.js';
import { Arena } from '../../arena.js';
import { get16, get32 } from '../../wire/bytes.js';
import { TunnelSender } from '../sender.js';
import { DATAGRAM_HEADER_BYTES, DatagramType, MIN_PATH_MTU_BYTES } from '../wire.js';
import { MIN_BLOCK_DATAGRAMS, Parity } from './parity.js';
import { FEC_MAX_DATA } from './redundancy.js';

const ENTRIES = 4096;
const DATAGRAMS = 128;

/** Of the list, in order. */
interface Entry {
  readonly type: number;
  readonly counter: number;
  /** Datagrams that it stands for. */
  readonly pieces: number;
  readonly blockDatagrams?: number;
  readonly distance?: number;
}

class Ends {
  readonly arena = new Arena(new Uint8Array(8 * 2 ** 20));
  readonly parity: Parity;
  readonly sender: TunnelSender;
  readonly #iov = new Int32Array(2 * ENTRIES);
  readonly #lengths = new Int32Array(DATAGRAMS);
  readonly #cuts = new Int32Array(DATAGRAMS);

  constructor(fec: 'auto' | number, pathMtuBytes = 1500) {
    this.parity = new Parity(fec);
    const context = { arena: this.arena, drops: new RecordingSink(), clock: new ManualClock(), index: 0 };
    this.sender = new TunnelSender(context, {
      ...{ networkNumber: NETWORK, lane: 0, pathMtuBytes, ipHeaderBytes: 20, tagBytes: 16 },
      ...{
        iov: this.#iov,
        lengths: this.#lengths,
        cuts: this.#cuts,
        ecn: new Uint8Array(DATAGRAMS),
        parity: this.parity,
      },
    });
    this.sender.parityChanged();
  }

  /** Sends all, of each list no more than `sendable` entries; returns what went. */
  send(frames: readonly Frame[], sendable: (datagrams: number) => number = (n) => n): Entry[] {
    const batch = batchOf(this.arena, frames);
    const went: Entry[] = [];
    for (let done = 0; done < batch.count;) {
      const n = this.sender.pack(batch, done);
      const sent = Math.min(n, sendable(n));
      went.push(...this.#entries(n).slice(0, sent));
      done += this.sender.finish(sent);
    }
    return went;
  }

  /** What is left to be sent when no more comes. */
  rest(): Entry[] {
    const n = this.sender.packParity();
    const entries = this.#entries(n);
    this.sender.finishParity(n);
    return entries;
  }

  #entries(n: number): Entry[] {
    const entries: Entry[] = [];
    const { bytes } = this.arena;
    for (let i = 0, entry = 0; i < n; entry += this.#lengths[i]!, i++) {
      const at = this.#iov[2 * entry]!;
      const type = bytes[at + 1]!;
      const counter = get32(bytes, at + 16);
      const cut = this.#cuts[i]!;
      if (cut < 0) {
        const blockDatagrams = bytes[at + DATAGRAM_HEADER_BYTES]!;
        const distance = get16(bytes, at + DATAGRAM_HEADER_BYTES + 2);
        entries.push({ type, counter, pieces: -cut, blockDatagrams, distance });
      } else {
        const payloadBytes = get16(bytes, at + DATAGRAM_HEADER_BYTES + 2);
        entries.push({ type, counter, pieces: cut === 0 ? 1 : Math.ceil(payloadBytes / cut) });
      }
    }
    return entries;
  }
}

const big = (bytes: number, salt: number): Frame =>
  superFrame({ version: 4, protocol: 'tcp', payload: pattern(bytes, salt) }, 1448, 1);

/** Every parity is of datagrams that went, in a row and in no other block, and nothing of it stands between them. */
function check(entries: readonly Entry[]): void {
  const data = new Set<number>();
  let next = 0;
  for (const { type, counter, pieces, blockDatagrams, distance } of entries) {
    expect(counter).toBeGreaterThanOrEqual(next);
    next = counter + pieces;
    if (type === DatagramType.frames) {
      for (let i = 0; i < pieces; i++) data.add(counter + i);
      continue;
    }
    expect(type).toBe(DatagramType.parity);
    expect(blockDatagrams).toBeLessThanOrEqual(FEC_MAX_DATA);
    for (let i = 0; i < blockDatagrams!; i++) expect(data.delete(counter - distance! + i)).toBe(true);
  }
}

describe('blocks', () => {
  it('end with the frame that makes them long enough, their parity behind it', () => {
    const ends = new Ends(0.1);
    const entries = ends.send([big(60_000, 1), plainFrame(100, 2), plainFrame(100, 3), big(60_000, 4)]);
    check(entries);
    const parity = entries.filter(({ type }) => type === DatagramType.parity);
    expect(parity.map(({ pieces, blockDatagrams }) => [pieces, blockDatagrams])).toEqual([
      [5, 43],
      [5, 44],
    ]);
    expect(ends.parity.isOpen).toBe(false);
    expect(ends.rest()).toEqual([]);
  });

  it('that do not fill end when they are told to', () => {
    const ends = new Ends(0.1);
    expect(ends.send([plainFrame(98, 1)]).map(({ type }) => type)).toEqual([DatagramType.frames]);
    expect(ends.parity.isOpen).toBe(true);
    expect(ends.rest()).toMatchObject([{ type: DatagramType.parity, pieces: 1, blockDatagrams: 1, distance: 1 }]);
    expect(ends.parity.sentDatagrams).toBe(1);
    expect(ends.sender.sentDatagrams).toBe(2);
  });

  it('end when something else takes a counter', () => {
    const ends = new Ends(0.1);
    ends.send([plainFrame(98, 1)]);
    ends.sender.emitHeader(DatagramType.probe, 0);
    const entries = ends.send([plainFrame(98, 2)]);
    expect(entries).toMatchObject([
      { type: DatagramType.parity, counter: 2, blockDatagrams: 1, distance: 2 },
      { type: DatagramType.frames, counter: 3 },
    ]);
  });

  it('are of nothing where there is no loss, and datagrams as long as ever', () => {
    const ends = new Ends('auto');
    const none = ends.send([big(60_000, 1)]);
    expect(none.every(({ type }) => type === DatagramType.frames)).toBe(true);
    ends.parity.redundancy.measured(0.01, 0);
    ends.sender.parityChanged();
    expect(ends.send([big(60_000, 1)]).some(({ type }) => type === DatagramType.parity)).toBe(true);
  });

  it('are of what went, however little of it goes at once', () => {
    const frame = fc.oneof(
      fc.integer({ min: 14, max: 1514 }).map((length) => plainFrame(length, length)),
      fc.integer({ min: 2000, max: 60_000 }).map((length) => big(length, length)),
    );
    fc.assert(
      fc.property(
        fc.array(fc.array(frame, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 128 })),
        fc.constantFrom(MIN_PATH_MTU_BYTES, 1500, 9000),
        fc.constantFrom(0.01, 0.1, 0.5),
        (batches, sendable, pathMtuBytes, ratio) => {
          const ends = new Ends(ratio, pathMtuBytes);
          const entries: Entry[] = [];
          for (const frames of batches) {
            entries.push(...ends.send(frames, () => sendable.next().value as number));
            expect(ends.parity.count(ends.sender.counter)).toBeLessThan(FEC_MAX_DATA);
            if ((sendable.next().value as number) > 64) entries.push(...ends.rest());
          }
          check(entries);
          ends.sender.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});

it('a block has room for the longest frame behind what is not enough for one', () => {
  const ends = new Ends(0.5, MIN_PATH_MTU_BYTES);
  const small = Array.from({ length: MIN_BLOCK_DATAGRAMS - 1 }, (_, i) => plainFrame(1200, i));
  const entries = ends.send([...small, big(65_000, 1)]);
  check(entries);
  expect(entries.at(-1)!.type).toBe(DatagramType.parity);
});
