import { expect, it } from 'vitest';
import { benchReport, peersReport } from '../test/fixtures/bench-report.js';
import { renderReport } from './bench-view.js';

const text = renderReport(benchReport);

it('says where and how it was measured', () => {
  expect(text).toMatch(/^2 × A & B <C>, Linux 6, Node v20; 15 pairs of 2 s a phase/);
  expect(text).toContain('underlay: veth as it is');
});

it('has medians, ratios with their intervals, and whether goals are met', () => {
  expect(text).toMatch(/^ +1 {2}kernel VXLAN +15\.00 +1\.00$/m);
  expect(text).toMatch(/^ +1 {2}Luthier, sealed .* 0\.40 \(0\.25 … 0\.80\) ✗ at least 0\.5 .* 4\.00$/m);
  expect(text).toMatch(/^Luthier, sealed +150 MiB +0\.10 % of a core ✓ at most 0\.3 %$/m);
});

it('has differences of round trips, and losses', () => {
  expect(text).toMatch(/^idle +Luthier, sealed .* −1 \(−4 … \+41\) +2 of 3$/m);
});

it('says when there are too few pairs for an interval', () => {
  expect(text).toContain('95 %');
  const { cases } = benchReport;
  const bare = cases.map((results) => ({
    ...results,
    tcp: results.tcp.map((tcp) => ({
      ...tcp,
      arms: tcp.arms.map((arm) => ({ ...arm, ...(arm.rateRatio && { rateRatio: { median: 1 } }) })),
    })),
  }));
  expect(renderReport({ ...benchReport, pairs: 1, cases: bare })).toContain('fewer than 6 pairs');
});

it('has peers with their versions, small frames, Luthier beside them, and what is absent', () => {
  const peers = renderReport(peersReport);
  expect(peers).toMatch(/^two machines$/m);
  expect(peers).toMatch(/^no loss +n2n \(1\.3\) +0 +0 +0\.000$/m);
  expect(peers).toMatch(/^no loss +Luthier, sealed +100 +100 +0\.50$/m);
  expect(peers).toMatch(/^Luthier, sealed +n2n \(1\.3\) +10\.00$/m);
  expect(peers).toMatch(/^Luthier, sealed +the best of these +5\.00 \(4\.00 … 6\.00\) ✗ at least 6 +3\.00$/m);
  expect(peers).toContain('not measured: Open vSwitch: it is not here; apt-get install it');
});
