import { describe, expect, it } from 'vitest';
import { NO_EMULATION, PLAIN } from '../model/emulation.js';
import type { SwitchState, TunnelHealthState, TunnelState } from '../model/messages.js';
import type { Link } from '../model/network.js';
import type { EmulationCounters, Strain } from '../model/verdict.js';
import { type Run, verdictOf } from './verdict.js';

const DELAYED = { state: 'up', emulation: { ...NO_EMULATION, delayNs: 1e6 } } as const;
const link: Link = {
  name: 'h1--s1',
  id: 1,
  ends: [{ node: 'h1', port: 'eth0' }, { node: 's1' }],
  forward: DELAYED,
  reverse: PLAIN,
};
const ZERO_NS = 1000e9;

const counters = (more: Partial<EmulationCounters> = {}): EmulationCounters => ({
  lost: 0,
  corrupted: 0,
  duplicated: 0,
  reordered: 0,
  queueDropped: 0,
  marked: 0,
  overloaded: 0,
  timed: 10_000,
  late: 0,
  lateness: [9_000, 0, 0, 1_000],
  ...more,
});

function state(forward: EmulationCounters | undefined = counters(), more: Partial<SwitchState> = {}): SwitchState {
  const counted = { forwardPackets: 0, forwardBytes: 0, reversePackets: 0, reverseBytes: 0 };
  return {
    pid: 1,
    rssBytes: 0,
    uptimeNs: 61e9,
    arena: { slots: 1, freeSlots: 1, starved: 0 },
    compensationNs: 9_000,
    unwatchedTaps: 0,
    devices: [],
    links: [{ name: 'h1--s1', state: 'up', ...counted, forwardEmulation: forward }],
    strains: [],
    tunnels: [],
    bridges: [],
    drops: {},
    ...more,
  };
}

const COMPENSATION = {
  code: 'compensation',
  where: 'switch of a',
  message: 'leaves 9 µs out of delays, the time it takes itself',
};

const run = (more: Partial<Run> = {}): Run => ({
  network: 'lab',
  links: [link],
  changed: new Set(),
  switches: [{ machine: 'a', state: state() }],
  taps: [{ port: 'h1:eth0', dropped: 0 }],
  busy: [],
  zeroNs: ZERO_NS,
  askedNs: ZERO_NS + 60e9,
  ...more,
});

const ofState = (...given: Parameters<typeof state>): Partial<Run> => ({
  switches: [{ machine: 'a', state: state(...given) }],
});

const strain = (from: number, to: number, more: Partial<Strain> = {}): Strain => {
  const [fromNs, toNs] = [ZERO_NS + from * 1e9, ZERO_NS + to * 1e9];
  return { fromNs, toNs, hardNs: toNs - fromNs, engineWaitNs: 0, busyNs: 0, timed: 0, late: 0, ...more };
};

const tunnel = (peer: string, health: Partial<TunnelHealthState>): TunnelState => ({
  name: `udp:${peer}`,
  peer,
  state: 'sealed',
  health: {
    liveness: 'alive',
    since: '2026-11-21T09:00:00.000Z',
    pathMtuBytes: 1500,
    address: '100.64.0.2:7000',
    searching: false,
    moves: 0,
    ...health,
  },
});

const NOTHING = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, rxDropped: 0, txDropped: 0 };

const lines = (given: Run): string[] => verdictOf(given).reasons.map(({ where, message }) => `${where}: ${message}`);

const LATE = counters({ late: 310, lateness: [9_690, ...Array.from({ length: 20 }, () => 0), 310] });

describe('verdictOf', () => {
  it('is faithful where all came in time, and says how late it was', () => {
    expect(verdictOf(run())).toMatchObject({
      network: 'lab',
      faithful: true,
      reasons: [],
      notes: [COMPENSATION],
      directions: [
        { link: 'h1--s1', from: 'h1:eth0', to: 's1', timed: 10_000, lateNs: { p50: 0, p99: 8, p999: 8, max: 8 } },
      ],
    });
  });

  it('counts as asked for what was lost, corrupted or dropped by the link', () => {
    expect(lines(run(ofState(counters({ lost: 500, corrupted: 3, queueDropped: 4000, marked: 2 }))))).toEqual([]);
  });

  it('names a link of which more than a thousandth of the frames was late', () => {
    expect(verdictOf(run(ofState(counters({ late: 10 })))).faithful).toBe(true);
    expect(lines(run(ofState(LATE)))).toEqual([
      'link h1--s1: 3.1 % of frames h1:eth0 → s1 later than 200 µs (99 % of 10000 within 2.1 ms)',
    ]);
  });

  it('names what was dropped and nobody asked for: by the engine, the TAP, a socket', () => {
    const tunnels = [tunnel('b', { rxOverruns: 4 })];
    const given = run({
      ...ofState(counters({ overloaded: 17 }), {
        arena: { slots: 1, freeSlots: 0, starved: 3 },
        drops: { arenaFull: 5, lost: 9 },
        tunnels,
        devices: [{ name: 'vxlan:rack:0a1b2c3d', ...NOTHING, rxOverruns: 6 }],
      }),
      taps: [
        { port: 'h1:eth0', dropped: 190 },
        { port: 'h2:eth0', dropped: 0 },
      ],
    });
    expect(lines(given)).toEqual([
      'link h1--s1: 17 packets h1:eth0 → s1 dropped for want of memory, not by the link',
      'switch of a: had no memory 3 times, and let hosts or peers wait',
      'switch of a: dropped 5 frames for want of memory, before a link had them',
      'tap:h1:eth0: 190 packets dropped before the switch read them',
      'tunnel b–a: 4 datagrams dropped before the switch of a read them',
      'vxlan rack: 6 datagrams dropped before the switch of a read them',
    ]);
    for (const { hint } of verdictOf(given).reasons) expect(hint).toBeDefined();
  });

  it('names a tunnel that takes longer than the delay of a link that goes by it', () => {
    const between = (rttNs: number): Run =>
      run({
        switches: [
          { machine: 'a', state: state(counters(), { tunnels: [tunnel('b', { rttNs })] }) },
          { machine: 'b', state: { ...state(undefined, { tunnels: [tunnel('a', {})] }), links: state().links } },
          { machine: 'c', state: state(undefined, { links: [], tunnels: [tunnel('a', { rttNs: 90e6 })] }) },
        ],
      });
    expect(lines(between(2e6))).toEqual([]);
    expect(lines(between(2.8e6))).toEqual(['tunnel a–b: takes 1.4 ms, more than the delay of 1 ms of link h1--s1']);
  });

  it('says when the machine had no time: as a reason where something was late, else as a note', () => {
    const times = {
      busy: [strain(-30, -20, { busyNs: 10e9 }), strain(12, 19, { busyNs: 7e9 })],
      strains: [
        strain(13, 15, { engineWaitNs: 0.5e9, timed: 900, late: 310 }),
        strain(40, 50, { hardNs: 2e9, late: 1, timed: 2 }),
      ],
    };
    const said = [
      'host CPU: 100 % from 12.0 s to 19.0 s',
      'switch of a: waited for a processor 25 % of the time, 310 of 900 frames late from 13.0 s to 15.0 s',
      'switch of a: 1 of 2 frames late for 2.0 s from 40.0 s to 50.0 s',
    ];
    const late = run({ ...ofState(LATE, { strains: times.strains }), busy: times.busy });
    expect(lines(late).slice(1)).toEqual(said);
    const inTime = verdictOf(run({ ...ofState(undefined, { strains: times.strains }), busy: times.busy }));
    expect(inTime.faithful).toBe(true);
    expect(inTime.notes.map(({ where, message }) => `${where}: ${message}`)).toEqual([
      ...said,
      `${COMPENSATION.where}: ${COMPENSATION.message}`,
    ]);
  });

  it('says what delays are shortened by, or that they are not', () => {
    const message = 'leaves nothing out of delays: what it takes itself comes on top (up --no-compensation)';
    expect(verdictOf(run())).toMatchObject({ faithful: true, notes: [COMPENSATION] });
    expect(verdictOf(run(ofState(undefined, { compensationNs: 0 })))).toMatchObject({
      faithful: true,
      notes: [{ ...COMPENSATION, message }],
    });
  });

  it('says where delays count from when frames are read', () => {
    const { faithful, notes } = verdictOf(run(ofState(undefined, { unwatchedTaps: 2 })));
    expect(faithful).toBe(true);
    expect(notes.map(({ code }) => code)).toEqual(['compensation', 'arrivals']);
  });

  it('names five strains, and counts the others', () => {
    const busy = Array.from({ length: 9 }, (_, i) => strain(2 * i, 2 * i + 1, { busyNs: 1e9 }));
    const { notes } = verdictOf(run({ busy }));
    expect(notes.filter(({ code }) => code === 'strain')).toHaveLength(6);
    expect(notes[5]).toMatchObject({ message: 'strained at 4 other times' });
  });

  it('is not faithful where it cannot know', () => {
    expect(lines(run({ switches: [{ machine: 'a' }] }))).toEqual([
      'switch of a: does not answer: what it did is not known',
    ]);
    expect(lines(run(ofState(counters(), { uptimeNs: 48e9 })))).toEqual([
      'switch of a: began 12.0 s after time zero: what was before, and in flight then, is not known',
    ]);
  });

  it('judges nothing where nothing was asked', () => {
    const plain = { ...link, forward: PLAIN };
    const given = run({ links: [plain], ...ofState(undefined), taps: [{ port: 'h1:eth0', dropped: 9 }] });
    const silent = { ...given, switches: [{ machine: 'a', state: state(undefined, { links: [] }) }] };
    expect(verdictOf(silent)).toMatchObject({ faithful: true, reasons: [], notes: [{ code: 'nothing-asked' }] });
    expect(verdictOf({ ...silent, changed: new Set(['h1--s1']) }).faithful).toBe(false);
  });
});
