import { describe, expect, it } from 'vitest';
import { armReports, caseReport, comparisonReports } from './report.js';
import type { CaseSamples } from './run.js';

const ARMS = [
  { name: 'kernel', title: 'kernel', isReference: true },
  { name: 'ours', title: 'ours', isReference: false },
];

/** Seven pairs, in each of which ours has half the rate at twice the CPU of that pair's reference, and 20 µs more. */
const samples: CaseSamples = {
  udp: [],
  underlay: 'cut',
  tcp: [1, 2, 3, 4, 5, 6, 7].flatMap((pair) => [
    { arm: 'ours', streams: 1, rateBps: pair * 5e8, cpuSecondsPerGB: 2 / pair, ownCpuSecondsPerGB: 0.5 },
    { arm: 'kernel', streams: 1, rateBps: pair * 1e9, cpuSecondsPerGB: 1 / pair, ownCpuSecondsPerGB: 0 },
  ]),
  rtt: [1, 2, 3, 4, 5, 6, 7].flatMap((pair) => [
    { arm: 'kernel', loadStreams: 0, sent: 4, us: [10 * pair, 10 * pair + 1, 10 * pair + 2] },
    { arm: 'ours', loadStreams: 0, sent: 3, us: [10 * pair + 20, 10 * pair + 21, 10 * pair + 22] },
  ]),
};

describe('the report', () => {
  const { underlay, tcp, rtt } = caseReport(ARMS, samples);

  it('compares within pairs, whatever the order in a pair', () => {
    expect(underlay).toBe('cut');
    const [kernel, ours] = tcp[0]!.arms;
    expect(kernel).toMatchObject({ arm: 'kernel', rateBps: [1e9, 2e9, 3e9, 4e9, 5e9, 6e9, 7e9] });
    expect(kernel).not.toHaveProperty('rateRatio');
    expect(kernel).not.toHaveProperty('ownCpuSecondsPerGB');
    expect(ours).toMatchObject({
      ownCpuSecondsPerGB: [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
      rateRatio: { median: 0.5, interval: [0.5, 0.5] },
      cpuRatio: { median: 2, interval: [2, 2] },
    });
  });

  it('has quantiles over the answers of all pairs, and what was lost', () => {
    const [kernel, ours] = rtt[0]!.arms;
    expect(kernel).toEqual({ arm: 'kernel', sent: 28, received: 21, p50Us: 41, p99Us: 72, p999Us: 72 });
    expect(ours).toMatchObject({ sent: 21, received: 21, p50Us: 61, addedP50Us: { median: 20, interval: [20, 20] } });
  });

  it('has the costs of networks that have processes', () => {
    expect(armReports(ARMS, [{ arm: 'ours', rssBytes: 1, cores: 0.5 }])).toEqual([
      ARMS[0],
      { ...ARMS[1], rssBytes: 1, idleCores: 0.5 },
    ]);
  });
});

describe('the report of peers', () => {
  const PEERS = [
    ...ARMS,
    { name: 'one', title: 'one', isReference: false, isPeer: true },
    { name: 'two', title: 'two', isReference: false, isPeer: true },
  ] as const;
  /** Two pairs; each of the two peers is the better one in one of them. */
  const rates = { kernel: [8, 16], ours: [6, 6], one: [1, 3], two: [2, 0] };
  const tcp = Object.entries(rates).flatMap(([arm, values]) =>
    values.map((rateBps) => ({ arm, streams: 1, rateBps, cpuSecondsPerGB: 1, ownCpuSecondsPerGB: 0 })),
  );
  const udp = Object.entries(rates).flatMap(([arm, values]) =>
    values.flatMap((deliveredPps) =>
      (['full', 'lossless'] as const).map((offered) => ({ arm, offered, sentPps: 100, deliveredPps })),
    ),
  );
  const report = caseReport(PEERS, { underlay: undefined, tcp, rtt: [], udp }, 'one switch');

  it('has rates of datagrams, to the reference’s', () => {
    expect(report).toMatchObject({ title: 'one switch', reference: 'kernel' });
    const [lossless] = report.udp!;
    expect(lossless!.offered).toBe('lossless');
    expect(lossless!.arms[1]).toMatchObject({ deliveredPps: [6, 6], rateRatio: { median: 0.5625 } });
  });

  it('has Luthier beside each, and beside the best of each pair', () => {
    const comparisons = comparisonReports(PEERS, [report]);
    expect(comparisons.map(({ arm, others }) => [arm, ...others])).toEqual([
      ['ours', 'one'],
      ['ours', 'two'],
      ['ours', 'one', 'two'],
    ]);
    expect(comparisons[2]!.tcp).toEqual([{ streams: 1, rateRatio: { median: 2.5 } }]);
    expect(comparisons.map((one) => one.udp.length)).toEqual([2, 0, 2]);
  });

  it('compares with sealed peers what is sealed, where there is such', () => {
    const sealed = PEERS.map((arm) => (arm.name === 'kernel' ? { ...arm, isReference: false, algorithm: 'AES' } : arm));
    expect(new Set(comparisonReports(sealed, [report]).map(({ arm }) => arm))).toEqual(new Set(['kernel']));
  });
});
