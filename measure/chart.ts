/**
 * The ratios of a benchmark as an SVG: a dot with its interval for each, on one logarithmic axis, so that twice and half
 * are equally far from 1, which is the reference. A goal is a bar across its row. Written by hand: a library for plots
 * would be larger than all else that the command loads, for one kind of chart.
 */
import type { ArmReport, BenchReport, CaseReport, Estimate, UdpReport } from '../model/bench.js';
import { goalBeside, goalOf, type Goal } from './goals.js';
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
/** Of more rows than fit a screen. */
const MANY_ROWS = 40;
const LOW_ROW = 17;
const GROUP_GAP = 34;
/** Okabe and Ito's colours, which nobody confuses. */
const COLORS = ['#0072b2', '#d55e00', '#009e73'];
/** How frames were offered. */
const OFFERED: Readonly<Record<UdpReport['offered'], string>> = { lossless: 'no loss', full: 'full blast' };
const INK = '#222';
const PALE = '#ddd';

export function chart(report: BenchReport): string {
  const compared = report.arms.filter(({ isReference }) => !isReference);
  const legend = legendOf(compared);
  const colorOf = (arm: string): string => legend.find(({ arms }) => arms.includes(arm))!.color;
  const groups = [...report.cases.flatMap((results) => groupsOf(report, results)), ...besideGroups(report)];
  const all = groups.flatMap(({ rows }) => rows);
  const axis = logAxis(all);
  const rowHeight = all.length > MANY_ROWS ? LOW_ROW : ROW;
  const parts: string[] = [];
  let y = TOP;
  for (const { title, rows } of groups) {
    y += GROUP_GAP;
    parts.push(text(16, y - 14, title, 'font-weight="bold"'));
    for (const row of rows) {
      parts.push(drawRow(row, y, axis.at, colorOf(row.arm)));
      y += rowHeight;
    }
  }
  const height = y + 24;
  const entries = legend.map(({ title, color }, i) => {
    const x = 16 + i * 190;
    return `<circle cx="${x + 5}" cy="48" r="5" fill="${color}"/>${text(x + 16, 52, title)}`;
  });
  const grid = axis.ticks.map((tick) => {
    const x = axis.at(tick).toFixed(1);
    const line = `<line x1="${x}" x2="${x}" y1="${TOP + 4}" y2="${y - 6}" stroke="${tick === 1 ? INK : PALE}"/>`;
    return line + text(x, TOP - 4, `${tick}`, 'text-anchor="middle"');
  });
  const intervals = all.some(({ ratio }) => ratio.interval !== undefined) ? ', 95 % intervals' : '';
  const values = report.pairs === 1 ? 'one pair' : `medians of ${report.pairs} pairs${intervals}`;
  const references = report.arms.filter(({ isReference }) => isReference).map(({ title }) => title);
  const heading = `luthier bench ${report.name}: ratios to ${references.join(' or ')}, ${values}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
      `font-family="Helvetica, Arial, sans-serif" font-size="12" fill="${INK}">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(16, 24, heading, 'font-size="14" font-weight="bold"'),
    ...entries,
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

interface Entry {
  readonly title: string;
  readonly color: string;
  readonly arms: readonly string[];
}

/** Each arm; beside peers, which are many, only whose it is. */
function legendOf(compared: readonly ArmReport[]): Entry[] {
  const colors = compared.map((_, i) => COLORS[i % COLORS.length]!);
  if (!compared.some(({ isPeer }) => isPeer))
    return compared.map(({ name, title }, i) => ({ title, color: colors[i]!, arms: [name] }));
  return ['Luthier', 'others'].map((title, i) => ({
    title,
    color: colors[i]!,
    arms: compared.filter(({ isPeer = false }) => isPeer === (i === 1)).map(({ name }) => name),
  }));
}

/** Only what there are goals for: the rest is in the rows before, as distances. */
function besideGroups({ arms, comparisons = [] }: BenchReport): Group[] {
  const titleOf = (name: string): string => arms.find((arm) => arm.name === name)!.title;
  const rows = comparisons.flatMap((comparison): Row[] => {
    const { arm, others, tcp, udp } = comparison;
    const beside = others.length === 1 ? titleOf(others[0]!) : 'the best of others';
    const row = (what: string, ratio: Estimate, goal: Goal | undefined): Row[] =>
      goal === undefined ? [] : [{ label: `${what} ÷ ${beside}`, arm, ratio, goal }];
    return [
      ...tcp.flatMap(({ streams, rateRatio }) =>
        row(`TCP, ${streamsText(streams)}`, rateRatio, streams === 1 ? goalBeside(comparison, 'tcp') : undefined),
      ),
      ...udp.flatMap(({ offered, rateRatio }) =>
        row(`64 B, ${OFFERED[offered]}`, rateRatio, goalBeside(comparison, 'udp')),
      ),
    ];
  });
  return rows.length === 0 ? [] : [{ title: 'Luthier’s rate, as a multiple of others’', rows }];
}

function groupsOf({ arms }: BenchReport, { title, underlay, tcp, rtt, udp = [] }: CaseReport): Group[] {
  const titleOf = (name: string): string => arms.find((arm) => arm.name === name)!.title;
  const where = [
    ...(title === undefined ? [] : [` · ${title}`]),
    ...(underlay === undefined ? [] : [` · underlay: ${UNDERLAY_TITLES[underlay]}`]),
  ].join('');
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
    {
      title: `64-byte frames a second, delivered, more is better${where}`,
      rows: udp.flatMap(({ offered, arms: of }) =>
        of.flatMap(({ arm, rateRatio }) => row(OFFERED[offered], arm, rateRatio, goalOf(arm, 'udp', underlay))),
      ),
    },
  ].filter(({ rows }) => rows.length > 0);
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
  const values = [1, ...rows.flatMap(({ ratio, goal }) => [ratio.median, ...(ratio.interval ?? []), goal?.value ?? 1])]
    // A rate of nothing is at the left end.
    .filter((value) => value > 0);
  const [low, high] = [Math.min(...values) / 1.25, Math.max(...values) * 1.25];
  const width = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const at = (ratio: number): number =>
    LABEL_WIDTH + (width * Math.log(Math.max(ratio, low) / low)) / Math.log(high / low);
  const decades = Array.from({ length: 9 }, (_, i) => i - 4);
  const steps = high / low < 500 ? [1, 2, 5] : [1];
  const ticks = decades.flatMap((decade) => steps.map((digit) => Number((digit * 10 ** decade).toPrecision(1))));
  return { at, ticks: ticks.filter((tick) => tick >= low && tick <= high) };
}

/** 0.055, 0.55, 5.49, 54.9, 549 */
function digits(ratio: number): string {
  return ratio.toFixed(ratio < 0.1 ? 3 : ratio < 10 ? 2 : ratio < 100 ? 1 : 0);
}

function streamsText(streams: number): string {
  return streams === 1 ? '1 stream' : `${streams} streams`;
}

function text(x: number | string, y: number, words: string, attributes = ''): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}
