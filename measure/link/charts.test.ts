import { expect, it } from 'vitest';
import { linkBenchReport } from '../../test/fixtures/link-bench-report.js';
import { linkCharts } from './charts.js';

const svg = linkCharts(linkBenchReport);

it('has a panel for round trips, each protocol and each jitter', () => {
  const titles = [...svg.matchAll(/font-size="14" font-weight="bold">([^<]*)</g)].map(([, title]) => title);
  expect(titles).toEqual([
    'Round trip, user to user: |error| to the kernel’s mean plus twice the delay',
    'TCP goodput against the expectation',
    'UDP rate delivered against setting',
    expect.stringMatching(/^One-way delay 20 ms, jitter 1 ms, uniform: 3 pings, distance 0\.333/),
  ]);
});

it('draws every value within its panel, and nothing unescaped', () => {
  const places = [...svg.matchAll(/<circle cx="([^"]*)" cy="([^"]*)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
  expect(places.length).toBeGreaterThan(10);
  const height = Number(/height="(\d+)"/.exec(svg)![1]);
  for (const [x, y] of places) {
    expect(x! > 0 && x! < 900).toBe(true);
    expect(y! > 0 && y! < height).toBe(true);
  }
  expect(svg).toContain('A &amp; B &lt;C>');
  expect(svg).not.toContain('NaN');
});

it('has no panel for what was not measured', () => {
  const { name, began, ms, machine } = linkBenchReport;
  expect(linkCharts({ name, began, ms, machine })).not.toContain('font-size="14"');
});
