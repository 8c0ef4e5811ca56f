/** What `luthier bench` prints: a table of rates and one of round trips for each underlay, then what the networks cost. */
import type { BenchReport, CaseReport, ComparisonReport, Estimate } from '../model/bench.js';
import { goalBeside, goalOf, meets, type Goal } from '../measure/goals.js';
import { median } from '../measure/statistics.js';
import { UNDERLAY_TITLES } from '../measure/underlays.js';
import { bytes, colors, duration, table } from './output.js';

export function renderReport(report: BenchReport): string {
  const { cpus, cpuModel, kernel, node } = report.machine;
  const sections = report.cases.flatMap((results) => [
    ...caseTitle(results),
    tcpTable(report, results),
    rttTable(report, results),
    ...udpTable(report, results),
  ]);
  const many = report.pairs === 1 ? 'one pair' : `${report.pairs} pairs`;
  return [
    `${cpus} × ${cpuModel}, Linux ${kernel}, Node ${node}; ${many} of ${report.phaseSeconds} s a phase, ` +
      `${duration(report.ms / 1000)} in all`,
    ...sections,
    ...besideTable(report),
    costTable(report),
    ...absentLines(report),
    report.cases[0]?.tcp[0]?.arms.some(({ rateRatio }) => rateRatio?.interval !== undefined)
      ? 'ratios and differences: medians over the pairs, with an interval that holds the true one with 95 %'
      : 'fewer than 6 pairs: no interval has 95 %',
  ].join('\n\n');
}

function caseTitle({ title, underlay }: CaseReport): string[] {
  const words = [
    ...(title === undefined ? [] : [title]),
    ...(underlay === undefined ? [] : [`underlay: ${UNDERLAY_TITLES[underlay]}`]),
  ];
  return words.length === 0 ? [] : [colors.bold(words.join(', '))];
}

function tcpTable(report: BenchReport, { tcp, underlay }: CaseReport): string {
  const rows = tcp.flatMap(({ streams, arms }) =>
    arms.map(({ arm, rateBps, rateRatio, cpuSecondsPerGB, cpuRatio }) => [
      `${streams}`,
      titleOf(report, arm),
      (median(rateBps) / 1e9).toFixed(2),
      ratioText(rateRatio, goalOf(arm, 'tcp', underlay)),
      median(cpuSecondsPerGB).toFixed(2),
      ratioText(cpuRatio, goalOf(arm, 'cpu', underlay)),
    ]),
  );
  return table(['>TCP STREAMS', 'NETWORK', '>GBIT/S', 'RATIO', '>CPU S/GB', 'RATIO'], rows);
}

function rttTable(report: BenchReport, { rtt, underlay }: CaseReport): string {
  const rows = rtt.flatMap(({ loadStreams, arms }) =>
    arms.map(({ arm, p50Us, p99Us, p999Us, addedP50Us, sent, received }) => [
      loadStreams === 0 ? 'idle' : `${loadStreams} streams`,
      titleOf(report, arm),
      ...[p50Us, p99Us, p999Us].map((us) => us.toFixed(0)),
      differenceText(addedP50Us, loadStreams === 0 ? goalOf(arm, 'addedP50Us', underlay) : undefined),
      sent === received ? '' : `${sent - received} of ${sent}`,
    ]),
  );
  return table(['RTT, µs', 'NETWORK', '>P50', '>P99', '>P99.9', 'P50 ADDED', 'LOST'], rows);
}

const OFFERED = { lossless: 'no loss', full: 'full blast' } as const;

function udpTable(report: BenchReport, { udp = [], underlay }: CaseReport): string[] {
  if (udp.length === 0) return [];
  const rows = udp.flatMap(({ offered, arms }) =>
    arms.map(({ arm, sentPps, deliveredPps, rateRatio }) => [
      OFFERED[offered],
      titleOf(report, arm),
      (median(sentPps) / 1e3).toFixed(0),
      (median(deliveredPps) / 1e3).toFixed(0),
      ratioText(rateRatio, goalOf(arm, 'udp', underlay)),
    ]),
  );
  return [table(['64-BYTE FRAMES', 'NETWORK', '>SENT, KPPS', '>DELIVERED, KPPS', 'RATIO'], rows)];
}

function besideTable(report: BenchReport): string[] {
  const { comparisons = [] } = report;
  if (comparisons.length === 0) return [];
  const rows = comparisons.map((comparison) => {
    const { arm, others, tcp, udp } = comparison;
    const [goals, { lossless, full }] = [
      { tcp: goalBeside(comparison, 'tcp'), udp: goalBeside(comparison, 'udp') },
      Object.fromEntries(udp.map(({ offered, rateRatio }) => [offered, rateRatio])) as UdpRatios,
    ];
    return [
      titleOf(report, arm),
      others.length === 1 ? titleOf(report, others[0]!) : 'the best of these',
      ...tcp.map(({ streams, rateRatio }) => ratioText(rateRatio, streams === 1 ? goals.tcp : undefined)),
      ratioText(lossless, goals.udp),
      ratioText(full, goals.udp),
    ];
  });
  const streams = comparisons[0]!.tcp.map(({ streams: count }) => `TCP, ${count}`);
  return [table(['RATE OF', 'BESIDE', ...streams, '64 B, NO LOSS', '64 B, FULL BLAST'], rows)];
}

type UdpRatios = Partial<Record<ComparisonReport['udp'][number]['offered'], Estimate>>;

function absentLines({ absent = [] }: BenchReport): string[] {
  return absent.map(
    ({ title, reason, install }) => `not measured: ${title}: ${reason}${install ? `; ${install}` : ''}`,
  );
}

function costTable(report: BenchReport): string {
  const rows = report.arms.flatMap(({ name, title, rssBytes, idleCores }) => {
    if (rssBytes === undefined || idleCores === undefined) return [];
    const goal = goalOf(name, 'idleCores');
    const percent = `${(100 * idleCores).toFixed(2)} % of a core`;
    return [[title, bytes(rssBytes), goal === undefined ? percent : `${percent} ${mark(goal, idleCores)}`]];
  });
  return table(['NETWORK', '>RSS OF ITS SWITCHES', 'CPU, IDLE'], rows);
}

/** `0.73 (0.70 … 0.76) ✗ at least 1` */
function ratioText(ratio: Estimate | undefined, goal: Goal | undefined): string {
  if (ratio === undefined) return '';
  return withGoal(ratio, (value) => value.toFixed(value < 0.1 ? 3 : 2), goal);
}

function differenceText(difference: Estimate | undefined, goal: Goal | undefined): string {
  if (difference === undefined) return '';
  return withGoal(difference, (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(0)}`, goal);
}

function withGoal({ median: middle, interval }: Estimate, format: (value: number) => string, goal?: Goal): string {
  const range = interval === undefined ? '' : ` (${format(interval[0])} … ${format(interval[1])})`;
  return `${format(middle)}${range}${goal === undefined ? '' : ` ${mark(goal, middle)}`}`;
}

function mark(goal: Goal, value: number): string {
  const { sense, value: bound } = goal;
  const text = `${sense} ${bound < 0.01 ? `${100 * bound} %` : bound}`;
  return meets(goal, value) ? colors.green(`✓ ${text}`) : colors.yellow(`✗ ${text}`);
}

function titleOf(report: BenchReport, arm: string): string {
  const { title, version } = report.arms.find(({ name }) => name === arm)!;
  return version === undefined ? title : `${title} (${version})`;
}
