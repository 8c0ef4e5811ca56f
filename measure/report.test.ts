import { describe, expect, it } from 'vitest';
import { armReports, caseReport } from './report.js';
import type { CaseSamples } from './run.js';

const ARMS = [
  { name: 'kernel', title: 'kernel', isReference: true },
  { name: 'ours', title: 'ours', isReference: false },
];

/** Seven pairs, in each of which ours has half the rate at twice the CPU of that pair's reference, and 20 µs more. */
const samples: CaseSamples = {
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
