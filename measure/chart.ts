/**
 * The ratios of a benchmark as an SVG: a dot with its interval for each, on one logarithmic axis, so that twice and half
 * are equally far from 1, which is the reference. A goal is a bar across its row. Written by hand: a library for plots
 * would be larger than all else that the command loads, for one kind of chart.
 */
import type { BenchReport, CaseReport, Estimate } from '../model/bench.js';
import { goalOf, type Goal } from './goals.js';
import { UNDERLAY_TITLES } from './underlays.js';

interface Row {
  readonly label: string;
  readonly arm: string;
  readonly ratio: Estimate;
  readonly goal?: Goal | undefined;
}

interface Group {
  readonly title: string;
  readonly rows: readonly Row[];
}

const WIDTH = 900;
const LABEL_WIDTH = 290;
const VALUE_WIDTH = 170;
const TOP = 76;
const ROW = 22;
const GROUP_GAP = 34;
/** Okabe and Ito's colours, which nobody confuses. */
const COLORS = ['#0072b2', '#d55e00', '#009e73'];
const INK = '#222';
const PALE = '#ddd';

export function chart(report: BenchReport): string {
  const reference = report.arms.find(({ isReference }) => isReference)!;
  const compared = report.arms.filter(({ isReference }) => !isReference);
  const groups = report.cases.flatMap((results) => groupsOf(report, results));
  const axis = logAxis(groups.flatMap(({ rows }) => rows));
  const parts: string[] = [];
  let y = TOP;
  for (const { title, rows } of groups) {
    y += GROUP_GAP;
    parts.push(text(16, y - 14, title, 'font-weight="bold"'));
    for (const row of rows) {
      parts.push(drawRow(row, y, axis.at, COLORS[compared.findIndex(({ name }) => name === row.arm) % COLORS.length]!));
      y += ROW;
    }
  }
  const height = y + 24;
  const legend = compared.map(({ title }, i) => {
    const x = 16 + i * 190;
    const color = COLORS[i % COLORS.length]!;
    return `<circle cx="${x + 5}" cy="48" r="5" fill="${color}"/>${text(x + 16, 52, title)}`;
  });
  const grid = axis.ticks.map((tick) => {
    const x = axis.at(tick).toFixed(1);
    const line = `<line x1="${x}" x2="${x}" y1="${TOP + 4}" y2="${y - 6}" stroke="${tick === 1 ? INK : PALE}"/>`;
    return line + text(x, TOP - 4, `${tick}`, 'text-anchor="middle"');
  });
  const values = report.pairs === 1 ? 'one pair' : `medians of ${report.pairs} pairs, 95 % intervals`;
  const heading = `luthier bench ${report.name}: ratios to ${reference.title}, ${values}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
      `font-family="Helvetica, Arial, sans-serif" font-size="12" fill="${INK}">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(16, 24, heading, 'font-size="14" font-weight="bold"'),
    ...legend,
    ...grid,
    ...parts,
    text(
      16,
      height - 8,
      `bar: goal · ${report.machine.cpus} × ${report.machine.cpuModel}, Linux ${report.machine.kernel}`,
    ),
    '</svg>\n',
  ].join('\n');
}

function groupsOf({ arms }: BenchReport, { underlay, tcp, rtt }: CaseReport): Group[] {
  const titleOf = (name: string): string => arms.find((arm) => arm.name === name)!.title;
  const where = underlay === undefined ? '' : ` · underlay: ${UNDERLAY_TITLES[underlay]}`;
  const row = (what: string, arm: string, ratio: Estimate | undefined, goal?: Goal): Row[] =>
    ratio === undefined ? [] : [{ label: `${what} · ${titleOf(arm)}`, arm, ratio, goal }];
  return [
    {
      title: `TCP rate, more is better${where}`,
      rows: tcp.flatMap(({ streams, arms: of }) =>
        of.flatMap(({ arm, rateRatio }) => row(streamsText(streams), arm, rateRatio, goalOf(arm, 'tcp', underlay))),
      ),
    },
    {
      title: `CPU time per byte, less is better${where}`,
      rows: tcp.flatMap(({ streams, arms: of }) =>
        of.flatMap(({ arm, cpuRatio }) => row(streamsText(streams), arm, cpuRatio, goalOf(arm, 'cpu', underlay))),
      ),
    },
    {
      title: `RTT, median, less is better${where}`,
      rows: rtt.flatMap(({ loadStreams, arms: of }) =>
        of.flatMap(({ arm, p50Ratio }) =>
          row(loadStreams === 0 ? 'idle' : `beside ${streamsText(loadStreams)}`, arm, p50Ratio),
        ),
      ),
    },
  ];
}

function drawRow({ label, ratio, goal }: Row, y: number, at: (ratio: number) => number, color: string): string {
  const { median, interval } = ratio;
  const [low, high] = interval ?? [median, median];
  const range = interval === undefined ? '' : ` (${digits(low)} … ${digits(high)})`;
  const marks = [
    text(LABEL_WIDTH - 12, y + 4, label, 'text-anchor="end"'),
    `<line x1="${at(low).toFixed(1)}" x2="${at(high).toFixed(1)}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="3" stroke-linecap="round"/>`,
    `<circle cx="${at(median).toFixed(1)}" cy="${y}" r="5" fill="${color}"/>`,
    text(WIDTH - VALUE_WIDTH + 12, y + 4, `${digits(median)}${range}`),
  ];
  if (goal !== undefined) {
    const x = at(goal.value).toFixed(1);
    marks.push(`<line x1="${x}" x2="${x}" y1="${y - 8}" y2="${y + 8}" stroke="${INK}" stroke-width="3"/>`);
  }
  return marks.join('\n');
}

/** From the smallest value to the largest, 1 and the goals included; ticks at 1, 2 and 5 of each decade, of many at 1. */
function logAxis(rows: readonly Row[]): { at: (ratio: number) => number; ticks: number[] } {
  const values = [1, ...rows.flatMap(({ ratio, goal }) => [ratio.median, ...(ratio.interval ?? []), goal?.value ?? 1])];
  const [low, high] = [Math.min(...values) / 1.25, Math.max(...values) * 1.25];
  const width = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const at = (ratio: number): number => LABEL_WIDTH + (width * Math.log(ratio / low)) / Math.log(high / low);
  const decades = Array.from({ length: 9 }, (_, i) => i - 4);
  const steps = high / low < 500 ? [1, 2, 5] : [1];
  const ticks = decades.flatMap((decade) => steps.map((digit) => Number((digit * 10 ** decade).toPrecision(1))));
  return { at, ticks: ticks.filter((tick) => tick >= low && tick <= high) };
}

/** 0.55, 5.49, 54.9, 549 */
function digits(ratio: number): string {
  return ratio.toFixed(ratio < 10 ? 2 : ratio < 100 ? 1 : 0);
}

function streamsText(streams: number): string {
  return streams === 1 ? '1 stream' : `${streams} streams`;
}

function text(x: number | string, y: number, words: string, attributes = ''): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}
