import { expect, it } from 'vitest';
import { benchReport, peersReport } from '../test/fixtures/bench-report.js';
import { chart } from './chart.js';

const svg = chart(benchReport);

/** Of lines and circles: the attribute in each element whose colour is the first arm's. */
function numbers(element: string, attribute: string): number[] {
  const elements = [...svg.matchAll(new RegExp(`<${element} [^>]*#0072b2[^>]*>`, 'g'))].map(([tag]) => tag);
  return elements.map((tag) => Number(new RegExp(`${attribute}="([\\d.]+)"`).exec(tag)![1]));
}

it('has a dot for each ratio but the reference’s, on a logarithmic axis', () => {
  const [, rate, cpu, rtt] = numbers('circle', 'cx'); // the first is the legend's
  // From 0.4 to 4 it is a decade, from 2 to 4 an octave.
  expect((cpu! - rate!) * Math.log10(2)).toBeCloseTo(cpu! - rtt!, 0);
  expect(numbers('line', 'x1')[0]! < rate! && rate! < numbers('line', 'x2')[0]!).toBe(true);
});

it('names what it shows, with nothing unescaped', () => {
  for (const words of ['Luthier, sealed', 'kernel VXLAN', 'veth as it is', '0.40 (0.25 … 0.80)', 'A &amp; B &lt;C>'])
    expect(svg).toContain(words);
});

it('marks a goal only where there is one', () => {
  expect(svg.match(/stroke="#222" stroke-width="3"/g)).toHaveLength(1);
});

it('tells Luthier from others, with a rate of nothing at the left end', () => {
  const drawn = chart(peersReport);
  for (const words of ['others', 'no loss · n2n', 'two machines', 'TCP, 1 stream ÷ the best of others'])
    expect(drawn).toContain(words);
  const dots = [...drawn.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x));
  expect(dots.every((x) => x > 0)).toBe(true);
  expect(drawn).not.toMatch(/NaN|Infinity/);
});
