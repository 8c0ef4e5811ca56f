/** What the oracle (test/emulation/) says nothing of: super-frames, shared frames, memory, and an engine that is late. */
import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { type Emulation, NO_EMULATION } from '../../model/emulation.js';
import { Arena, Checksum } from '../arena.js';
import { DROP_REASONS } from '../drops.js';
import { DirectionField, Telemetry } from '../telemetry.js';
import { completeChecksum, internetChecksum, pseudoHeaderSum } from '../wire/checksum.js';
import { Ecn } from '../wire/ecn.js';
import { FrameHeaders } from '../wire/headers.js';
import { segmentFrame } from '../wire/segment.js';
import { Emulator } from './emulator.js';
import { EmulatorParts, type NetworkInputs } from './parts.js';

const LINK = { seed: 7, name: 'h1--s1', direction: 0 as const };
const NO_RECORDINGS: NetworkInputs = { seed: LINK.seed, traces: {}, distributions: new Map() };
const ETHERNET_BYTES = 14;
const HEADER_BYTES = ETHERNET_BYTES + 20 + 20;

class Bench {
  readonly clock: ManualClock;
  readonly arena: Arena;
  readonly telemetry: Telemetry;
  readonly #parts: EmulatorParts;
  readonly #direction: 0 | 1;
  readonly entries: EmulatorParts['entries'];
  readonly emulator: Emulator;
  /** Of frames that came out: their bytes and when. */
  readonly out: {
    readonly atNs: number;
    readonly bytes: Uint8Array;
    readonly gsoSize: number;
    readonly isPartial: boolean;
  }[] = [];
  readonly drops: { readonly reason: string; readonly bytes: Uint8Array }[] = [];

  /** `beside`: it is the other direction of that one's link, in the same engine. */
  constructor(
    emulation: Emulation,
    memoryBytes = 2 ** 23,
    recordings = NO_RECORDINGS,
    compensationNs = 0,
    beside?: Bench,
  ) {
    this.clock = beside?.clock ?? new ManualClock();
    this.arena = beside?.arena ?? new Arena(new Uint8Array(memoryBytes));
    this.telemetry = beside?.telemetry ?? new Telemetry(Telemetry.allocate());
    const { arena } = this;
    const parts = beside === undefined ? new EmulatorParts(this, 2) : beside.#parts;
    parts.compensationNs[0] = compensationNs;
    this.#parts = parts;
    this.#direction = beside === undefined ? LINK.direction : 1;
    this.entries = parts.entries;
    this.emulator = new Emulator(
      parts,
      {
        index: this.#direction,
        discard: (reason, frame) => {
          const bytes = frame === -1 ? new Uint8Array(0) : arena.read(frame);
          this.drops.push({ reason: DROP_REASONS[reason]!, bytes });
          if (frame !== -1) arena.release(frame);
        },
      },
      LINK.name,
      emulation,
      recordings,
    );
  }

  get dueNs(): number {
    return this.emulator.due[this.emulator.dueAt]!;
  }

  /** What is due until then comes out, each at its time. */
  until(atNs: number): void {
    for (let wakes = 0; ; wakes++) {
      // Each packet is worth a few.
      if (wakes > 10_000) throw new Error('it is woken for nothing');
      const { dueNs } = this;
      if (dueNs === Infinity || dueNs > atNs) break;
      this.clock.advance(Math.max(0, dueNs - this.clock.nowNs()));
      this.take();
    }
    if (atNs < Infinity) this.clock.advance(atNs - this.clock.nowNs());
  }

  /** Whatever time it is. */
  take(): void {
    for (let frame = this.emulator.dequeue(); frame !== -1; frame = this.emulator.dequeue()) {
      this.out.push({
        atNs: this.clock.nowNs(),
        bytes: this.arena.read(frame),
        gsoSize: this.arena.gsoSize[frame]!,
        isPartial: this.arena.csumState[frame] === Checksum.partial,
      });
      this.arena.release(frame);
    }
    this.#parts.lateness.tell();
  }

  send(bytes: Uint8Array, gsoSize = 0): void {
    const frame = this.arena.write(bytes);
    if (frame === -1) throw new Error('the arena is full');
    this.arena.gsoSize[frame] = gsoSize;
    this.arena.csumState[frame] = Checksum.partial;
    this.arena.csumStart[frame] = ETHERNET_BYTES + 20;
    this.arena.csumOffset[frame] = 16;
    this.emulator.enqueue(frame);
  }

  counter(field: keyof typeof DirectionField): number {
    return this.telemetry.directions[Telemetry.directionBase(0, this.#direction) + DirectionField[field]]!;
  }

  expectNothingHeld(): void {
    expect(this.emulator.length).toBe(0);
    expect(this.arena.freeSlots).toBe(this.arena.slotCount);
    let free = 0;
    while (this.entries.take() !== -1) free++;
    expect(free).toBe(this.entries.capacity);
  }
}

/** TCP over IPv4, to be cut into segments of `gsoSize` where that is not 0; the payload tells which byte of all it is. */
function frame(id: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payloadBytes);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, Ecn.ect0]);
  view.setUint16(ETHERNET_BYTES + 2, bytes.byteLength - ETHERNET_BYTES);
  bytes.set([64, 6], ETHERNET_BYTES + 8);
  bytes.set([10, 0, 0, 1, 10, 0, 0, 2], ETHERNET_BYTES + 12);
  view.setUint16(ETHERNET_BYTES + 10, internetChecksum(bytes, ETHERNET_BYTES, 20));
  view.setUint16(ETHERNET_BYTES + 20, 1024);
  view.setUint16(ETHERNET_BYTES + 22, 80);
  view.setUint32(ETHERNET_BYTES + 24, id << 20);
  bytes[ETHERNET_BYTES + 32] = 0x50;
  for (let i = 0; i < payloadBytes; i++) bytes[HEADER_BYTES + i] = (id * 31 + i * 7) & 0xff;
  completeChecksumOf(bytes);
  return bytes;
}

/** As a sending kernel leaves it: the sum of the pseudo-header, for whoever cuts it to go on with. */
function completeChecksumOf(bytes: Uint8Array): void {
  const headers = new FrameHeaders();
  if (!headers.parse(bytes, 0, bytes.byteLength)) throw new Error('not a frame');
  const transportBytes = bytes.byteLength - headers.transport;
  new DataView(bytes.buffer).setUint16(
    headers.transport + headers.checksumOffset,
    pseudoHeaderSum(bytes, 0, headers, transportBytes),
  );
}

/** What a wire would carry of what came out, packet by packet, and when each left. */
function onTheWire(bench: Bench): { readonly atNs: number; readonly bytes: Uint8Array }[] {
  return bench.out.flatMap(({ atNs, bytes, gsoSize, isPartial }) => {
    if (gsoSize > 0) return segmentFrame(bytes, gsoSize)!.map((segment) => ({ atNs, bytes: segment }));
    if (isPartial) completeChecksum(bytes, ETHERNET_BYTES + 20, 16);
    return [{ atNs, bytes }];
  });
}

/** Its length, where it stands in what was sent, and a hash of all of it. */
function digest(bytes: Uint8Array): string {
  const sequence = new DataView(bytes.buffer, bytes.byteOffset).getUint32(ETHERNET_BYTES + 24);
  return `${bytes.byteLength} of ${sequence >>> 20} at ${sequence & 0xfffff}: ${hash('md5', bytes)}`;
}

interface Burst {
  readonly gapNs: number;
  readonly payloadBytes: number;
  readonly gsoSize: number;
}

const bursts = fc.array(
  fc.record({
    gapNs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2_000_000 })),
    payloadBytes: fc.integer({ min: 1, max: 62_000 }),
    gsoSize: fc.constantFrom(536, 1000, 1460),
  }),
  { minLength: 1, maxLength: 25 },
);

function pass(emulation: Emulation, given: readonly Burst[]): Bench {
  const bench = new Bench(emulation);
  let atNs = 0;
  given.forEach(({ gapNs, payloadBytes, gsoSize }, id) => {
    bench.until((atNs += gapNs));
    bench.send(frame(id, payloadBytes), payloadBytes > gsoSize ? gsoSize : 0);
  });
  bench.until(Infinity);
  return bench;
}

describe('Emulator', () => {
  const ratio = fc.constantFrom(0, 0, 0.02, 0.2);
  const emulations = fc
    .record({
      rateBps: fc.option(fc.integer({ min: 1_000_000, max: 20_000_000_000 }), { nil: undefined }),
      delayNs: fc.integer({ min: 0, max: 5_000_000 }),
      overheadBytes: fc.constantFrom(0 as const, 24 as const),
      lossRatio: ratio,
      duplicateRatio: ratio,
      reorderRatio: ratio,
      corruptRatio: ratio,
      limit: fc.oneof(
        fc.integer({ min: 1, max: 100 }).map((packets) => ({ unit: 'packets' as const, packets })),
        fc.integer({ min: 1514, max: 300_000 }).map((bytes) => ({ unit: 'bytes' as const, bytes })),
        fc.integer({ min: 1_000_000, max: 50_000_000 }).map((durationNs) => ({ unit: 'time' as const, durationNs })),
      ),
    })
    .map(({ rateBps, lossRatio, limit, ...rest }): Emulation => ({
      ...NO_EMULATION,
      ...rest,
      ...(rateBps === undefined ? {} : { rateBps }),
      ...(lossRatio === 0 ? {} : { loss: { model: 'random', lossRatio, correlationRatio: 0 } }),
      queue: { discipline: 'drop-tail', limit },
    }));

  it('does the same to super-frames as to their segments: bytes, drops and order; a packet is at most 100 µs later', () => {
    fc.assert(
      fc.property(emulations, bursts, (emulation, given) => {
        const [auto, wire] = [pass(emulation, given), pass({ ...emulation, segments: 'wire' }, given)];
        const [is, should] = [onTheWire(auto), onTheWire(wire)];
        expect(is.map(({ bytes }) => digest(bytes))).toEqual(should.map(({ bytes }) => digest(bytes)));
        is.forEach(({ atNs }, i) => {
          const laterNs = atNs - should[i]!.atNs;
          expect(laterNs).toBeGreaterThanOrEqual(0);
          expect(laterNs).toBeLessThanOrEqual(100_000);
        });
        for (const field of ['lost', 'corrupted', 'duplicated', 'reordered', 'queueDropped'] as const)
          expect({ [field]: auto.counter(field) }).toEqual({ [field]: wire.counter(field) });
        auto.expectNothingHeld();
        wire.expectNothingHeld();
      }),
      { numRuns: 100 },
    );
  });

  it('keeps runs together where nobody can tell, and nowhere else', () => {
    const sizes = (emulation: Partial<Emulation>): number[] =>
      pass({ ...NO_EMULATION, ...emulation }, [{ gapNs: 0, payloadBytes: 14_600, gsoSize: 1460 }]).out.map(
        ({ bytes }) => Math.ceil((bytes.byteLength - HEADER_BYTES) / 1460),
      );
    expect(sizes({ delayNs: 1000 })).toEqual([10]);
    // 100 µs at 500 Mbit/s are 6250 bytes.
    expect(sizes({ rateBps: 500e6 })).toEqual([4, 4, 2]);
    expect(sizes({ rateBps: 100e6 })).toEqual(Array<number>(10).fill(1));
    expect(sizes({ delayNs: 1000, segments: 'wire' })).toEqual(Array<number>(10).fill(1));
    const jitter = { jitterNs: 10, distribution: 'normal', correlationRatio: 0 } as const;
    expect(sizes({ delayNs: 1000, jitter })).toEqual(Array<number>(10).fill(1));
  });

  it('completes a checksum before it corrupts, so that the receiver finds it wrong', () => {
    const bench = pass({ ...NO_EMULATION, corruptRatio: 1 }, [{ gapNs: 0, payloadBytes: 5000, gsoSize: 1460 }]);
    const clean = segmentFrame(frame(0, 5000), 1460)!;
    expect(bench.out.map(({ isPartial }) => isPartial)).toEqual([false, false, false, false]);
    bench.out.forEach(({ bytes }, i) => {
      let bits = 0;
      bytes.forEach((byte, at) => {
        for (let difference = byte ^ clean[i]![at]!; difference !== 0; difference &= difference - 1) bits++;
      });
      expect(bits).toBe(1);
    });
  });

  it('changes a frame that others hold as well in a copy', () => {
    const bench = new Bench({ ...NO_EMULATION, corruptRatio: 1 });
    const sent = frame(1, 100);
    const shared = bench.arena.write(sent);
    bench.arena.retain(shared);
    bench.emulator.enqueue(shared);
    bench.until(Infinity);
    expect(bench.arena.read(shared)).toEqual(sent);
    expect(bench.out[0]!.bytes).not.toEqual(sent);
    bench.arena.release(shared);
    bench.expectNothingHeld();
  });

  it('a minute of ten times its rate leaves memory for others, is counted apart, and is over at once', () => {
    const emulation: Emulation = {
      ...NO_EMULATION,
      rateBps: 10e6,
      delayNs: 500e6,
      queue: { discipline: 'drop-tail', limit: { unit: 'bytes', bytes: 2 ** 20 } },
    };
    const bench = new Bench(emulation, 2 ** 19);
    let leastFree = Infinity;
    for (let atNs = 0; atNs < 60e9; atNs += 121_120) {
      bench.until(atNs);
      bench.send(frame(1, 1460));
      leastFree = Math.min(leastFree, bench.arena.freeSlots);
      bench.out.length = 0;
      bench.drops.length = 0;
    }
    // 256 slots, of which it has three for each that is free, but for the 8 that are spared; and one frame comes.
    expect(leastFree).toBeGreaterThanOrEqual(8 + 248 / 4 - 1);
    expect(bench.counter('overloaded')).toBeGreaterThan(400_000);
    expect(bench.counter('lost')).toBe(0);
    bench.until(Infinity);
    bench.out.length = 0;
    bench.send(frame(1, 1460));
    const sentNs = bench.clock.nowNs();
    bench.until(Infinity);
    expect(bench.out.map(({ atNs }) => atNs - sentNs)).toEqual([500e6 + 1_211_200]);
    bench.expectNothingHeld();
  });

  it('a link is not disturbed by another one that is flooded with ten times its rate', () => {
    const emulation: Emulation = { ...NO_EMULATION, rateBps: 10e6, delayNs: 100e6 };
    const flooded = { ...emulation, delayNs: 2e9 };
    const leaves = (isBesideFlood: boolean): number[] => {
      const bench = new Bench(emulation, 2 ** 20);
      const beside = new Bench(flooded, 0, NO_RECORDINGS, 0, bench);
      const until = (atNs: number): void => {
        while (Math.min(bench.dueNs, beside.dueNs) <= atNs) {
          const [first, second] = bench.dueNs <= beside.dueNs ? [bench, beside] : [beside, bench];
          first.until(Math.min(first.dueNs, second.dueNs, atNs));
        }
        bench.clock.advance(atNs - bench.clock.nowNs());
      };
      for (let id = 0; id < 40_000; id++) {
        until(id * 121_120);
        if (isBesideFlood) beside.send(frame(id % 1000, 1460));
        // Nine tenths of its own rate.
        if (id % 11 === 0) bench.send(frame(id % 1000, 1460));
      }
      until(20e9);
      expect(beside.counter('overloaded') > 0).toBe(isBesideFlood);
      expect(bench.drops).toEqual([]);
      bench.expectNothingHeld();
      return bench.out.map(({ atNs }) => atNs);
    };
    expect(leaves(true)).toEqual(leaves(false));
  });

  it('counts as overload what it has no room for, and not as lost or too much for the queue', () => {
    const bench = new Bench({ ...NO_EMULATION, delayNs: 1e6 }, 2 ** 18);
    const held: number[] = [];
    for (let entry = bench.entries.take(); entry !== -1; entry = bench.entries.take()) held.push(entry);
    bench.send(frame(1, 100));
    expect(bench.drops.map(({ reason }) => reason)).toEqual(['overload']);
    expect([bench.counter('overloaded'), bench.counter('lost'), bench.counter('queueDropped')]).toEqual([1, 0, 0]);
    for (const entry of held) bench.entries.giveBack(entry);
    bench.expectNothingHeld();
  });

  it('is as late as the engine, and no later: what was due meanwhile is done as of its time', () => {
    const emulation: Emulation = { ...NO_EMULATION, rateBps: 12_112_000, delayNs: 1e6 };
    const bench = new Bench(emulation);
    for (let id = 0; id < 3; id++) bench.send(frame(id, 1460));
    // Each takes 1 ms on the line: due at 2, 3 and 4 ms; the engine sleeps until 3.5 ms.
    bench.clock.advance(3.5e6);
    bench.take();
    expect(bench.out.map(({ atNs }) => atNs)).toEqual([3.5e6, 3.5e6]);
    expect(bench.dueNs).toBe(4e6);
    bench.until(Infinity);
    const buckets = bench.telemetry.lateness.subarray(Telemetry.latenessBase(Telemetry.directionBase(0, 0)));
    const late = [...buckets].flatMap((frames, bucket) => (frames > 0 ? [[bucket, frames]] : []));
    // 0 ns, 0.5 ms and 1.5 ms.
    expect(late).toEqual([
      [0, 1],
      [19, 1],
      [21, 1],
    ]);
    const told = bench.telemetry.emulation(0, 0)!;
    expect(told).toMatchObject({ timed: 3, late: 2, lost: 0, overloaded: 0 });
    expect(told.lateness.flatMap((frames, bucket) => (frames > 0 ? [[bucket, frames]] : []))).toEqual(late);
    expect(told.lateness).toHaveLength(22);
    expect(bench.telemetry.emulation(0, 1)).toBeUndefined();
  });

  it('what waited for a rate that is no more goes with the delay of now', () => {
    const bench = new Bench({ ...NO_EMULATION, rateBps: 12_112_000 });
    for (let id = 0; id < 3; id++) bench.send(frame(id, 1460));
    bench.emulator.configure({ ...NO_EMULATION, delayNs: 10e6 }, NO_RECORDINGS);
    bench.until(Infinity);
    // The first was on the line: it ends at 1 ms, and the others pass at once after it.
    expect(bench.out.map(({ atNs }) => atNs)).toEqual([1e6, 11e6, 11e6]);
    bench.expectNothingHeld();
  });

  it('a run that was on the line takes no room in the queue of the trace that comes after it', () => {
    const queue = { discipline: 'drop-tail', limit: { unit: 'packets', packets: 5 } } as const;
    const bench = new Bench({
      ...NO_EMULATION,
      rateBps: 20e9,
      queue: { ...queue, limit: { unit: 'packets', packets: 100 } },
    });
    bench.send(frame(0, 14_600), 1460);
    bench.until(5e6);
    bench.emulator.configure({ ...NO_EMULATION, trace: 't', queue }, { ...NO_RECORDINGS, traces: { t: [1] } });
    bench.send(frame(1, 1000));
    bench.until(Infinity);
    expect(bench.drops).toEqual([]);
    expect(bench.out.map(({ atNs }) => atNs).at(-1)).toBe(6e6);
    bench.expectNothingHeld();
  });

  it('a trace of the same name with other contents is another one, and begins anew; with the same, it goes on', () => {
    const emulation: Emulation = { ...NO_EMULATION, trace: 't' };
    const bench = new Bench(emulation, 2 ** 20, { ...NO_RECORDINGS, traces: { t: [3] } });
    bench.until(2e6);
    bench.emulator.configure(emulation, { ...NO_RECORDINGS, traces: { t: [3] } });
    bench.send(frame(0, 1000));
    bench.until(4e6);
    bench.emulator.configure(emulation, { ...NO_RECORDINGS, traces: { t: [7] } });
    bench.send(frame(1, 1000));
    bench.until(Infinity);
    expect(bench.out.map(({ atNs }) => atNs)).toEqual([3e6, 11e6]);
  });

  it('is not woken for what still waits, whatever is taken off for the engine itself', () => {
    const bench = new Bench({ ...NO_EMULATION, rateBps: 12_112_000 }, 2 ** 20, NO_RECORDINGS, 50_000);
    for (let id = 0; id < 3; id++) bench.send(frame(id, 1460));
    bench.until(Infinity);
    expect(bench.out.map(({ atNs }) => atNs)).toEqual([0.95e6, 1.95e6, 2.95e6]);
  });

  it('the last segment of a super-frame passes where it alone is no longer than the mtu', () => {
    for (const segments of ['auto', 'wire'] as const) {
      const bench = new Bench({ ...NO_EMULATION, mtuBytes: 1400, segments });
      bench.send(frame(0, 3000), 1460);
      bench.until(Infinity);
      expect(bench.out.map(({ bytes }) => bytes.byteLength)).toEqual([HEADER_BYTES + 80]);
      bench.expectNothingHeld();
    }
  });

  it('a packet that very many links hold is kept until the last has passed it on', () => {
    const bench = new Bench({ ...NO_EMULATION, delayNs: 1e6 }, 2 ** 28);
    const shared = bench.arena.write(frame(0, 100));
    for (let i = 0; i < 65_536; i++) {
      bench.arena.retain(shared);
      bench.emulator.enqueue(shared);
    }
    bench.clock.advance(1e6);
    for (let i = 0; i < 65_536; i++) bench.arena.release(bench.emulator.dequeue());
    expect(bench.arena.slotCount - bench.arena.freeSlots).toBe(1);
    bench.arena.release(shared);
    bench.expectNothingHeld();
  });
});
