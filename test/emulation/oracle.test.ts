import { describe, expect, it } from 'vitest';
import type { Emulation, EmulationInputs, Queue } from '../../model/emulation.js';
import type { Arrival, Change, Packet } from './oracle-packets.js';
import { oracle } from './oracle.js';
import { LEAST_P, ratioP } from './statistics.js';

const MS = 1e6;
const NONE: Emulation = {
  overheadBytes: 0,
  delayNs: 0,
  duplicateRatio: 0,
  reorderRatio: 0,
  corruptRatio: 0,
  queue: { discipline: 'drop-tail', limit: { unit: 'packets', packets: 1000 } },
  segments: 'auto',
};

const at = (atNs: number, bytes = 1000, more: Partial<Arrival> = {}): Arrival => ({
  atNs,
  bytes,
  ecn: 'not-ect',
  flow: 0,
  ...more,
});
const always = (emulation: Partial<Emulation>): Change[] => [
  { atNs: 0, properties: { state: 'up', emulation: { ...NONE, ...emulation } } },
];
const run = (changes: Change[], arrivals: Arrival[], inputs?: EmulationInputs): Packet[] =>
  oracle({ seed: 1, name: 'h1--s1', direction: 0, ...(inputs && { inputs }) }, changes, arrivals);
/** When each was delivered, or why not. */
const fates = (packets: Packet[]): (number | string | number[])[] =>
  packets.map(({ dropped, deliveredNs }) => dropped ?? (deliveredNs.length === 1 ? deliveredNs[0]! : deliveredNs));
const burst = (count: number, atNs = 0, bytes = 1000): Arrival[] =>
  Array.from({ length: count }, () => at(atNs, bytes));

describe('the oracle, by hand', () => {
  it('passes on at once what has no emulation', () => {
    expect(fates(run([{ atNs: 0, properties: { state: 'up' } }], [at(5), at(5), at(9)]))).toEqual([5, 5, 9]);
  });

  it('a delay', () => {
    expect(fates(run(always({ delayNs: 70 }), [at(5), at(6)]))).toEqual([75, 76]);
  });

  it('a rate: 1000 bytes at 8 Mbit/s take 1 ms, one after the other, with 24 bytes of overhead 1.024 ms', () => {
    expect(fates(run(always({ rateBps: 8e6 }), [...burst(2), at(3 * MS)]))).toEqual([MS, 2 * MS, 4 * MS]);
    expect(fates(run(always({ rateBps: 8e6, overheadBytes: 24 }), burst(2)))).toEqual([1_024_000, 2_048_000]);
  });

  it('what is left of a nanosecond is carried on while the link is busy, and forgotten when it was idle', () => {
    // 1 byte at 3 Gbit/s takes 8/3 = 2 2/3 ns: 2, then 2 2/3 + 2/3 = 3 1/3, then 3: after three of them 8 to the nanosecond.
    expect(fates(run(always({ rateBps: 3e9 }), [...burst(3, 0, 1), at(100, 1)]))).toEqual([2, 5, 8, 102]);
  });

  it('drop-tail: one is on the line, two wait, the fourth is dropped; as the first ends, there is room', () => {
    const packets = (limit: Queue['limit']): (number | string | number[])[] =>
      fates(run(always({ rateBps: 8e6, queue: { discipline: 'drop-tail', limit } }), [...burst(4), at(MS)]));
    const expected = [MS, 2 * MS, 3 * MS, 'queue-limit', 4 * MS];
    expect(packets({ unit: 'packets', packets: 2 })).toEqual(expected);
    expect(packets({ unit: 'bytes', bytes: 2999 })).toEqual(expected);
    // 8 Mbit/s pass 2999 bytes in 2.999 ms.
    expect(packets({ unit: 'time', durationNs: 2_999_000 })).toEqual(expected);
    expect(packets({ unit: 'time', durationNs: 3 * MS })[3]).toBe(4 * MS);
  });

  it('an mtu is without the Ethernet header', () => {
    expect(fates(run(always({ mtuBytes: 986 }), [at(0, 1000), at(0, 1001)]))).toEqual([0, 'mtu']);
  });

  describe('a trace', () => {
    const inputs: EmulationInputs = { traces: { t: [1, 1, 4, 10] }, distributions: {} };
    const trace = (arrivals: Arrival[], more: Partial<Emulation> = {}): (number | string | number[])[] =>
      fates(run(always({ trace: 't', ...more }), arrivals, inputs));

    it('each line lets 1504 bytes pass, and it begins again after its last one', () => {
      // At 1 ms two, at 4 ms one, at 10 ms one; then 11, 11, 14, 20.
      expect(trace(burst(7, 0, 1504))).toEqual([1, 1, 4, 10, 11, 11, 14].map((ms) => ms * MS));
    });

    it('several packets share an opportunity, and one may take several', () => {
      // 1504 = 1000 + 504; the second's other 496 and the third's 1000 are of the second line; the fourth is at 4 ms.
      expect(trace(burst(4))).toEqual([MS, MS, MS, 4 * MS]);
      // 4000 bytes: 1504 + 1504 at 1 ms and 992 at 4 ms.
      expect(trace([at(0, 4000)])).toEqual([4 * MS]);
    });

    it('what nobody waits for is lost: what comes at that time is too late', () => {
      expect(trace([at(MS, 100), at(4 * MS, 100), at(4 * MS + 1, 100)])).toEqual([4 * MS, 10 * MS, 10 * MS]);
      // 504 bytes are left at 4 ms; the second came for them, the third did not.
      expect(trace([at(MS), at(3 * MS, 504), at(4 * MS, 10)])).toEqual([4 * MS, 4 * MS, 10 * MS]);
    });

    it('what waits for an opportunity waits: it is in the queue', () => {
      expect(trace(burst(3), { queue: { discipline: 'drop-tail', limit: { unit: 'packets', packets: 2 } } })).toEqual([
        MS,
        MS,
        'queue-limit',
      ]);
    });

    it('its queue in time is of the mean rate', () => {
      // Four lines in 10 ms: 601.6 bytes a millisecond; 1202 in 2 ms, 2005 in 3 1/3 ms.
      const queue = (durationNs: number): Queue => ({ discipline: 'drop-tail', limit: { unit: 'time', durationNs } });
      expect(trace(burst(2), { queue: queue(2 * MS) })[1]).toBe('queue-limit');
      expect(trace(burst(2), { queue: queue(3.334 * MS) })[1]).toBe(MS);
    });
  });

  it('what is lost takes its time on the line', () => {
    const states = [
      { lossRatio: 0, nextRatios: [0, 1] },
      { lossRatio: 1, nextRatios: [1, 0] },
    ];
    expect(fates(run(always({ rateBps: 8e6, loss: { model: 'states', states } }), burst(3)))).toEqual([
      MS,
      'lost',
      3 * MS,
    ]);
  });

  it('a copy comes directly after, and takes no time on the line', () => {
    expect(fates(run(always({ rateBps: 8e6, delayNs: 5, duplicateRatio: 1 }), burst(2)))).toEqual([
      [MS + 5, MS + 5],
      [2 * MS + 5, 2 * MS + 5],
    ]);
  });

  it('a reordered one goes without the delay', () => {
    const packets = run(
      always({ delayNs: 10 * MS, reorderRatio: 0.25 }),
      Array.from({ length: 4000 }, (_, i) => at(i)),
    );
    const early = packets.filter(({ atNs, deliveredNs }) => deliveredNs[0] === atNs);
    const rest = packets.filter(({ atNs, deliveredNs }) => deliveredNs[0] === atNs + 10 * MS);
    expect(early.length + rest.length).toBe(4000);
    expect(ratioP(early.length, 4000, 0.25)).toBeGreaterThan(LEAST_P);
  });

  it('jitter keeps the order, and the delay is never below 0', () => {
    const jitter = { jitterNs: MS, distribution: 'normal', correlationRatio: 0 } as const;
    const packets = run(
      always({ delayNs: MS, jitter }),
      Array.from({ length: 2000 }, (_, i) => at(i * 10_000)),
    );
    const times = packets.map(({ deliveredNs }) => deliveredNs[0]!);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(packets.every(({ atNs, deliveredNs }) => deliveredNs[0]! >= atNs)).toBe(true);
    // So close together that each waits for the longest before it.
    expect(new Set(times).size).toBeLessThan(1000);
  });

  it('a corrupted one says which bit', () => {
    const packets = run(always({ corruptRatio: 1 }), burst(1000, 0, 10));
    const bits = packets.map(({ corruptBit }) => corruptBit!);
    expect(Math.min(...bits)).toBe(0);
    expect(Math.max(...bits)).toBe(79);
  });

  it('a change: what is on the line or in flight keeps its time, what waits goes on by the new one', () => {
    const changes: Change[] = [
      ...always({ rateBps: 8e6, delayNs: 5 * MS }),
      { atNs: 1.5 * MS, properties: { state: 'up', emulation: { ...NONE, rateBps: 80e6, delayNs: 6 * MS } } },
    ];
    // The second ends at 2 ms, with 5 ms of delay; the third takes 0.1 ms, and 6.
    expect(fates(run(changes, burst(3)))).toEqual([6 * MS, 7 * MS, 8.1 * MS]);
    // With no delay any more, the third waits for those before it all the same: order is kept.
    const shorter: Change[] = [changes[0]!, { atNs: 1.5 * MS, properties: { state: 'up' } }];
    expect(fates(run(shorter, burst(3)))).toEqual([6 * MS, 7 * MS, 7 * MS]);
  });

  it('down: what waits, is on the line or in flight is gone', () => {
    const [up] = always({ rateBps: 8e6, delayNs: 1.5 * MS }) as [Change];
    const changes: Change[] = [
      up,
      { atNs: 2.5 * MS, properties: { ...up.properties, state: 'down' } },
      { atNs: 9 * MS, properties: up.properties },
    ];
    expect(fates(run(changes, [...burst(5), at(3 * MS), at(9 * MS)]))).toEqual([
      2.5 * MS,
      ...new Array<string>(5).fill('link-down'),
      11.5 * MS,
    ]);
  });
});

describe('the oracle’s disciplines, by hand', () => {
  const limit = { unit: 'packets', packets: 1000 } as const;
  /** A packet each millisecond, of which the line passes one in two: the queue grows by half a millisecond each. */
  const overload = (count: number, more: Partial<Arrival> = {}): Arrival[] =>
    Array.from({ length: count }, (_, i) => at(i * MS, 1000, more));

  it('CoDel: above the target for an interval, one is dropped, the next ones an interval/√n later', () => {
    const queue: Queue = { discipline: 'codel', limit, targetNs: 5 * MS, intervalNs: 20 * MS, ecn: false };
    const packets = run(always({ rateBps: 4e6, queue }), overload(60));
    // Packet n starts at 2n ms and has waited n ms: n = 5 is the first at the target, at 10 ms. At 30 ms (n = 15) the
    // interval is over: 15 is dropped and 16 goes in its place; the next drop is due at 50 ms: by then 26 is first.
    // Then 50 + 20/√2 = 64.142: at 66 ms it is 35. 64.142 + 20/√3 = 75.689: at 76 ms, 41. + 20/√4 = 85.689: at 86, 47.
    const dropped = packets.flatMap((packet, n) => (packet.dropped === undefined ? [] : [n]));
    expect(dropped.slice(0, 5)).toEqual([15, 26, 35, 41, 47]);
    expect(packets[16]!.deliveredNs).toEqual([32 * MS]);
  });

  it('CoDel with ECN: marks the same ones instead, and they go', () => {
    const queue: Queue = { discipline: 'codel', limit, targetNs: 5 * MS, intervalNs: 20 * MS, ecn: true };
    const packets = run(always({ rateBps: 4e6, queue }), overload(60, { ecn: 'ect' }));
    // At 30 ms 15, at 50 ms 25, at 66 ms 33 (64.142 is over), at 76 ms 38, at 86 ms 43.
    const marked = packets.flatMap((packet, n) => (packet.marked ? [n] : []));
    expect(marked.slice(0, 5)).toEqual([15, 25, 33, 38, 43]);
    expect(packets.every(({ dropped }) => dropped === undefined)).toBe(true);
  });

  it('FQ-CoDel: a new flow goes before those that have had their quantum, then in turn', () => {
    const queue: Queue = {
      discipline: 'fq-codel',
      limit,
      targetNs: 500 * MS,
      intervalNs: 1000 * MS,
      flows: 4,
      quantumBytes: 1000,
      ecn: false,
    };
    const arrivals = [...burst(4), at(1, 1000, { flow: 1 }), at(1, 1000, { flow: 1 })];
    // A1 on the line at 0, its credit spent. At 1 ms A is put behind B, which is new: B1, then A2, B2, A3, A4.
    expect(fates(run(always({ rateBps: 8e6, queue }), arrivals))).toEqual([1, 3, 5, 6, 2, 4].map((ms) => ms * MS));
  });

  it('FQ-CoDel: where there is no room, the flow with most bytes loses half of what it has, from its head', () => {
    const queue: Queue = {
      discipline: 'fq-codel',
      limit: { unit: 'packets', packets: 4 },
      targetNs: 500 * MS,
      intervalNs: 1000 * MS,
      flows: 4,
      quantumBytes: 1514,
      ecn: false,
    };
    const arrivals = [...burst(5), at(1, 1000, { flow: 1 })];
    // A1 is on the line, A2 to A5 wait; with B there are five: A2 and A3 go.
    const packets = run(always({ rateBps: 8e6, queue }), arrivals);
    expect(packets.map(({ dropped }) => dropped)).toEqual([
      undefined,
      'queue-limit',
      'queue-limit',
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('RED: none below the least average, all beyond the greatest, as the average goes', () => {
    const queue: Queue = {
      discipline: 'red',
      limit,
      minBytes: 2000,
      maxBytes: 4000,
      markRatio: 0,
      weightRatio: 0.5,
      ecn: false,
    };
    // One is on the line; the average at each arrival is half of the one before and half of what waits: 0 (idle), 0 (none
    // waits), 500, 1250, 2125, 3062.5; then 4031.25, as 5000 wait, and on.
    const packets = run(always({ rateBps: 8e6, queue }), burst(9));
    expect(packets.map(({ dropped }) => dropped === 'discipline')).toEqual([
      ...new Array<boolean>(6).fill(false),
      ...new Array<boolean>(3).fill(true),
    ]);
  });

  it('PIE: spares a first burst, then drops by a chance that grows until the delay is the target', () => {
    const queue: Queue = {
      discipline: 'pie',
      limit,
      targetNs: 15 * MS,
      updateNs: 15 * MS,
      alpha: 0.125,
      beta: 1.25,
      maxBurstNs: 150 * MS,
      ecn: false,
    };
    const packets = run(always({ rateBps: 4e6, queue }), overload(30_000));
    const first = packets.findIndex(({ dropped }) => dropped === 'discipline');
    expect(packets[first]!.atNs).toBeGreaterThanOrEqual(150 * MS);
    // Once settled: half are dropped, and those that go have waited 15 ms or so.
    const settled = packets.slice(20_000);
    const gone = settled.filter(({ dropped }) => dropped === undefined);
    expect(gone.length / settled.length).toBeCloseTo(0.5, 1);
    const waitedMs = gone.reduce((total, packet) => total + packet.deliveredNs[0]! - packet.atNs, 0) / gone.length / MS;
    expect(waitedMs).toBeGreaterThan(10);
    expect(waitedMs).toBeLessThan(25);
  });
});
