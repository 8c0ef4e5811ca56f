/**
 * The oracle's questions, asked of the engine: an `Emulator` on a clock that stands still until something is due. Packets are
 * UDP in IPv4; what they are recognised by stands in their payload.
 */
import { ManualClock } from '../../model/clock.js';
import { type EmulationInputs, NO_EMULATION, NO_INPUTS } from '../../model/emulation.js';
import { Arena, SLOT_BYTES } from '../../vswitch/arena.js';
import { DropReason } from '../../vswitch/drops.js';
import { Emulator } from '../../vswitch/emulation/emulator.js';
import { Entries } from '../../vswitch/emulation/entries.js';
import { GivenTime } from '../../vswitch/link-observer.js';
import { FlowHash } from '../../vswitch/emulation/flow-hash.js';
import { QuantileTable } from '../../vswitch/emulation/jitter.js';
import { EmulatorParts, type NetworkInputs } from '../../vswitch/emulation/parts.js';
import { RandomStream } from '../../vswitch/emulation/random.js';
import { Telemetry } from '../../vswitch/telemetry.js';
import { get32, put16, put32 } from '../../vswitch/wire/bytes.js';
import { Ecn, getEcn } from '../../vswitch/wire/ecn.js';
import type { Arrival, Change, Link, Packet } from './oracle-packets.js';

/** Ethernet, IPv4 and UDP headers, and a number. */
export const LEAST_BYTES = 46;
const IP_AT = 14;
const UDP_AT = 34;
const NUMBER_AT = 42;

const ECN = { 'not-ect': Ecn.notEct, ect: Ecn.ect0, ce: Ecn.ce } as const;
const REASONS: Partial<Record<DropReason, NonNullable<Packet['dropped']>>> = {
  [DropReason.mtuExceeded]: 'mtu',
  [DropReason.queueLimit]: 'queue-limit',
  [DropReason.discipline]: 'discipline',
  [DropReason.lost]: 'lost',
};

/** Counters are many; nobody reads them here. */
const TELEMETRY = new Telemetry(Telemetry.allocate());

function frameOf(number: number, { bytes, ecn }: Arrival, port: number): Uint8Array {
  const frame = new Uint8Array(bytes);
  put16(frame, 12, 0x0800);
  frame[IP_AT] = 0x45;
  frame[IP_AT + 1] = ECN[ecn];
  put16(frame, IP_AT + 2, bytes - IP_AT);
  frame[IP_AT + 9] = 17;
  put32(frame, IP_AT + 12, 0x0a000001);
  put32(frame, IP_AT + 16, 0x0a000002);
  put16(frame, UDP_AT, port);
  put16(frame, UDP_AT + 4, bytes - UDP_AT);
  put32(frame, NUMBER_AT, number);
  return frame;
}

/** Ports, of which the n-th has its flow in FQ-CoDel's n-th queue of so many. */
function portsOf({ seed, name, direction }: Link, flows: number): number[] {
  const arena = new Arena(new Uint8Array(SLOT_BYTES));
  const hash = new FlowHash(arena, new RandomStream(seed, name, direction, 'queue').next32());
  const ports: number[] = [];
  for (let port = 1, found = 0; found < flows; port++) {
    const frame = arena.write(frameOf(0, { atNs: 0, bytes: LEAST_BYTES, ecn: 'not-ect', flow: 0 }, port));
    const flow = hash.of(frame) % flows;
    arena.release(frame);
    if (ports[flow] !== undefined) continue;
    ports[flow] = port;
    found++;
  }
  return ports;
}

function networkInputs(seed: number, { traces, distributions }: EmulationInputs): NetworkInputs {
  const tables = Object.entries(distributions).map(
    ([name, quantiles]) => [name, new QuantileTable(quantiles)] as const,
  );
  return { seed, traces, distributions: new Map(tables) };
}

/**
 * As `oracle`; links that go down are `link.ts`'s. `lateNs`: how much later than each packet comes the engine comes to it, but never
 * before the one that came before; `atNs` of the answer is as of when it was taken to have come.
 */
export function engineLink(
  link: Link,
  changes: readonly Change[],
  arrivals: readonly Arrival[],
  lateNs: readonly number[] = [],
): Packet[] {
  const queue = changes[0]?.properties.emulation?.queue;
  const ports = portsOf(link, queue?.discipline === 'fq-codel' ? queue.flows : 1);
  const packets = arrivals.map((arrival): Packet => ({ ...arrival, deliveredNs: [], marked: false }));
  const arena = new Arena(new Uint8Array(SLOT_BYTES * 4096));
  const clock = new ManualClock();
  const packetIn = (frame: number): Packet => packets[get32(arena.bytes, arena.start(frame) + NUMBER_AT)]!;
  const known = networkInputs(link.seed, link.inputs ?? NO_INPUTS);
  const emulator = new Emulator(
    new EmulatorParts({ arena, clock, telemetry: TELEMETRY }, 2, new Entries(8192)),
    {
      index: link.direction,
      discard: (reason, frame) => {
        const dropped = REASONS[reason];
        if (dropped === undefined) throw new Error(`dropped for the reason ${reason}`);
        packetIn(frame).dropped = dropped;
        arena.release(frame);
      },
    },
    link.name,
    changes[0]?.properties.emulation ?? NO_EMULATION,
    known,
  );
  const advance = (untilNs: number): void => {
    while (emulator.due[emulator.dueAt]! <= untilNs && emulator.due[emulator.dueAt]! < Infinity) {
      const dueNs = emulator.due[emulator.dueAt]!;
      clock.advance(Math.max(0, dueNs - clock.nowNs()));
      const heldBefore = emulator.length;
      for (let frame = emulator.dequeue(); frame !== -1; frame = emulator.dequeue()) {
        const packet = packetIn(frame);
        packet.deliveredNs.push(emulator.given[GivenTime.due]!);
        if (lateNs.length === 0 && emulator.given[GivenTime.due] !== clock.nowNs())
          throw new Error(`due at ${emulator.given[GivenTime.due]} ns, and it left at ${clock.nowNs()} ns`);
        packet.marked = packet.ecn === 'ect' && getEcn(arena.bytes, arena.start(frame) + IP_AT) === Ecn.ce;
        arena.release(frame);
      }
      if (emulator.due[emulator.dueAt] === dueNs && emulator.length === heldBefore)
        throw new Error(`due at ${dueNs} ns, and nothing came`);
    }
    if (untilNs < Infinity) clock.advance(Math.max(0, untilNs - clock.nowNs()));
  };
  let readNs = 0;
  const steps = [
    ...changes.slice(1).map(({ atNs, properties }) => ({
      atNs,
      take: () => emulator.configure(properties.emulation ?? NO_EMULATION, known),
    })),
    ...packets.map((packet, number) => ({
      atNs: (readNs = Math.max(readNs, packet.atNs + (lateNs[number] ?? 0))),
      take: () => {
        const frame = arena.write(frameOf(number, packet, ports[packet.flow]!));
        if (lateNs.length > 0) arena.cameNs[frame] = packet.atNs;
        packets[number] = { ...packet, atNs: emulator.comes(frame)[GivenTime.came]! };
        emulator.enqueue(frame);
      },
    })),
  ].sort((a, b) => a.atNs - b.atNs);
  for (const { atNs, take } of steps) {
    advance(atNs);
    take();
  }
  advance(Infinity);
  if (arena.freeSlots !== arena.slotCount)
    throw new Error(`${arena.slotCount - arena.freeSlots} slots are not free again`);
  return packets;
}
