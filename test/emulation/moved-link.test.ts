/**
 * A direction's state is taken out of one engine at some moment and put into another, with an arena and a clock of its own:
 * nothing that can be seen of its frames is another than if it had stayed.
 */
import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../model/clock.js';
import { type Emulation, NO_EMULATION } from '../../model/emulation.js';
import { Arena, Checksum } from '../../vswitch/arena.js';
import { DROP_REASONS } from '../../vswitch/drops.js';
import { Emulator } from '../../vswitch/emulation/emulator.js';
import { QuantileTable } from '../../vswitch/emulation/jitter.js';
import { EmulatorParts, type NetworkInputs } from '../../vswitch/emulation/parts.js';
import { Telemetry } from '../../vswitch/telemetry.js';
import { put16, put32 } from '../../vswitch/wire/bytes.js';
import { INPUTS, jitter, loss, milliseconds, MS, queues as queuesOf } from './arbitraries.js';

const KNOWN: NetworkInputs = {
  seed: 3,
  traces: INPUTS.traces,
  distributions: new Map([['skewed', new QuantileTable(INPUTS.distributions.skewed!)]]),
};
const UDP_AT = 34;
const PAYLOAD_AT = 42;
/** Counters are many; nobody reads them here. */
const TELEMETRY = new Telemetry(Telemetry.allocate());

interface Sent {
  readonly gapNs: number;
  readonly payloadBytes: number;
  readonly gsoSize: number;
  readonly flow: number;
}

class Side {
  readonly arena = new Arena(new Uint8Array(2 ** 23));
  readonly clock: ManualClock;
  readonly emulator: Emulator;
  readonly #startNs: number;
  readonly #log: string[];

  constructor(emulation: Emulation, startNs: number, log: string[]) {
    this.#startNs = startNs;
    this.#log = log;
    this.clock = new ManualClock(startNs);
    const { arena, clock } = this;
    const discard = (reason: number, frame: number): void => {
      this.#tell(DROP_REASONS[reason]!, frame);
    };
    const parts = new EmulatorParts({ arena, clock, telemetry: TELEMETRY }, 2);
    this.emulator = new Emulator(parts, { index: 1, discard }, 'h1--s1', emulation, KNOWN);
  }

  until(atNs: number): void {
    const { due, dueAt } = this.emulator;
    while (due[dueAt]! < Infinity && due[dueAt]! - this.#startNs <= atNs) {
      this.clock.advance(Math.max(0, due[dueAt]! - this.clock.nowNs()));
      for (let frame = this.emulator.dequeue(); frame !== -1; frame = this.emulator.dequeue()) this.#tell('out', frame);
    }
    if (atNs < Infinity) this.clock.advance(atNs + this.#startNs - this.clock.nowNs());
  }

  send(number: number, { payloadBytes, gsoSize, flow }: Sent): void {
    const bytes = new Uint8Array(PAYLOAD_AT + payloadBytes);
    put16(bytes, 12, 0x0800);
    // Of ECN-capable transport.
    bytes.set([0x45, 2], 14);
    put16(bytes, 16, bytes.byteLength - 14);
    bytes[23] = 17;
    put16(bytes, UDP_AT, flow);
    put16(bytes, UDP_AT + 4, bytes.byteLength - UDP_AT);
    put32(bytes, PAYLOAD_AT, number);
    const frame = this.arena.write(bytes);
    this.arena.gsoSize[frame] = payloadBytes > gsoSize ? gsoSize : 0;
    this.arena.csumState[frame] = Checksum.partial;
    this.arena.csumStart[frame] = UDP_AT;
    this.arena.csumOffset[frame] = 6;
    this.emulator.enqueue(frame);
  }

  #tell(what: string, frame: number): void {
    const { arena } = this;
    const held =
      frame === -1
        ? 'none'
        : [
            hash('md5', arena.read(frame)),
            arena.gsoSize[frame],
            arena.csumState[frame],
            arena.csumStart[frame],
            arena.csumOffset[frame],
          ].join(' ');
    this.#log.push(`${this.clock.nowNs() - this.#startNs} ${what} ${held}`);
    if (frame !== -1) arena.release(frame);
  }
}

/** What became of all, in order. `move`: after which of them it moves, and how much later; to a clock that says what then. */
function pass(
  emulation: Emulation,
  sent: readonly Sent[],
  move?: { readonly after: number; readonly laterNs: number; readonly startNs: number },
): string[] {
  const log: string[] = [];
  let side = new Side(emulation, 0, log);
  let atNs = 0;
  sent.forEach((one, number) => {
    side.until((atNs += one.gapNs));
    side.send(number, one);
    if (move === undefined || number !== move.after % sent.length) return;
    side.until((atNs += move.laterNs));
    const next = new Side(emulation, move.startNs, log);
    next.until(atNs);
    next.emulator.importState(structuredClone(side.emulator.exportState()));
    expect([side.emulator.length, side.arena.freeSlots]).toEqual([0, side.arena.slotCount]);
    side = next;
  });
  side.until(Infinity);
  expect([side.emulator.length, side.arena.freeSlots]).toEqual([0, side.arena.slotCount]);
  return log;
}

const queues = queuesOf(fc.constantFrom(1, 4, 32));
const ratio = fc.constantFrom(0, 0, 0.05, 0.5);
const rest: fc.Arbitrary<Partial<Emulation>> = fc
  .record({
    line: fc.oneof(
      fc.constant({}),
      fc.constant({ trace: 'uneven' }),
      fc.integer({ min: 1_000_000, max: 50_000_000 }).map((rateBps) => ({ rateBps })),
      // Runs of segments wait and fly as one.
      fc.integer({ min: 100_000_000, max: 1_000_000_000 }).map((rateBps) => ({ rateBps })),
    ),
    loss,
    jitter,
    others: fc.record({
      overheadBytes: fc.constantFrom<0 | 24>(0, 24),
      delayNs: fc.integer({ min: 0, max: 30 * MS }),
      duplicateRatio: ratio,
      reorderRatio: ratio,
      corruptRatio: ratio,
      segments: fc.constantFrom<'auto' | 'wire'>('auto', 'wire'),
    }),
  })
  .map(({ line, loss, jitter, others }) => ({ ...line, ...others, ...(loss && { loss }), ...(jitter && { jitter }) }));

const sent: fc.Arbitrary<Sent[]> = fc.array(
  fc.record({
    gapNs: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 2 * MS }) },
      { weight: 1, arbitrary: milliseconds(20) },
    ),
    payloadBytes: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 4, max: 1472 }) },
      { weight: 1, arbitrary: fc.integer({ min: 1473, max: 20_000 }) },
    ),
    gsoSize: fc.constantFrom(500, 1472),
    flow: fc.nat(7),
  }),
  { minLength: 1, maxLength: 80, size: 'max' },
);
const move = fc.record({
  after: fc.nat(),
  laterNs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10 * MS })),
  startNs: fc.integer({ min: 0, max: 1e15 }),
});

describe('a link that moves drops the same packets, and gives the same at the same nanosecond', () => {
  for (const [discipline, arbitrary] of Object.entries(queues)) {
    it(`with the queue ${discipline}`, () => {
      fc.assert(
        fc.property(arbitrary, rest, sent, move, (queue, rest, sent, move) => {
          // Plain objects, as configurations are.
          const emulation: Emulation = structuredClone({ ...NO_EMULATION, ...rest, queue });
          const stayed = pass(emulation, sent);
          expect(pass(emulation, sent, { ...move, laterNs: 0 })).toEqual(stayed);
          // Time that passes before the move passes without it as well.
          const later = sent.map((one, i) =>
            i === (move.after % sent.length) + 1 ? { ...one, gapNs: one.gapNs + move.laterNs } : one,
          );
          expect(pass(emulation, sent, move)).toEqual(pass(emulation, later));
        }),
        { numRuns: 80, endOnFailure: true },
      );
    }, 60_000);
  }
});
