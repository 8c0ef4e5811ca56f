/** The chart of `luthier bench link`: errors against what was asked for, and distributions of delay beside theory. Pure. */
import type { JitterReport, LinkBenchReport } from '../../model/bench-link.js';
import { quantile } from '../statistics.js';
import { LINK_GOALS } from './goals.js';
import { COLORS, document, drawPanel, PANEL_HEIGHT, text, type Panel, type Series } from './plot.js';
import { distributionFunction } from './theory.js';

const HEADING = 40;
const FOOT = 30;
/** Of pings: a few that a busy machine held up would leave no room for the others. */
const SHOWN = 0.997;

export function linkCharts(report: LinkBenchReport): string {
  const panels = [...rttPanels(report), ...ratePanels(report), ...(report.jitter ?? []).map(jitterPanel)];
  const height = HEADING + panels.length * PANEL_HEIGHT + FOOT;
  const { cpus, cpuModel, kernel } = report.machine;
  return document(height, [
    text(16, 26, 'luthier bench link: error against setting', 'font-size="16" font-weight="bold"'),
    ...panels.map((panel, i) => drawPanel(panel, HEADING + i * PANEL_HEIGHT)),
    text(16, height - 10, `dashed: goal · ${cpus} × ${cpuModel}, Linux ${kernel} · ${report.began}`),
  ]);
}

function rttPanels({ rtt = [] }: LinkBenchReport): Panel[] {
  const delays = rtt.filter(({ delayNs }) => delayNs > 0);
  if (delays.length === 0) return [];
  const ms = (ns: number): number => ns / 1e6;
  const series = (['meanUs', 'p50Us', 'p99Us', 'p999Us'] as const).map((key, i): Series => {
    const points = delays.map(({ delayNs, error }) => [ms(delayNs), Math.max(1, Math.abs(error[key]))] as const);
    return { title: ['mean', 'p50', 'p99', 'p99.9'][i]!, color: COLORS[i]!, style: 'both', points };
  });
  const uncompensated = delays.flatMap(({ delayNs, uncompensatedError }) =>
    uncompensatedError === undefined ? [] : [[ms(delayNs), Math.max(1, Math.abs(uncompensatedError.meanUs))] as const],
  );
  series.push({ title: 'mean, no compensation', color: COLORS[0], style: 'points', points: uncompensated });
  const most = Math.max(1000, ...series.flatMap(({ points }) => points.map(([, y]) => y)));
  return [
    {
      title: 'Round trip, user to user: |error| to the kernel’s mean plus twice the delay',
      x: { label: 'delay each way, ms', isLogarithmic: true, ...around(delays.map(({ delayNs }) => ms(delayNs))) },
      y: { label: 'µs', isLogarithmic: true, low: 1, high: most * 1.2 },
      series,
      goals: [LINK_GOALS.rttMeanUs, LINK_GOALS.rttP99Us, LINK_GOALS.rttP999Us],
    },
  ];
}

function ratePanels({ tcp = [], udp = [] }: LinkBenchReport): Panel[] {
  const percent = (error: number): number => 100 * error;
  const goodput = (segments: 'auto' | 'wire'): Series['points'] =>
    tcp.filter((one) => one.segments === segments).map(({ rateBps, error }) => [rateBps / 1e6, percent(error)]);
  const tcpSeries: Series[] = [
    { title: 'segments: auto', color: COLORS[0], style: 'both', points: goodput('auto') },
    { title: 'segments: wire', color: COLORS[1], style: 'points', points: goodput('wire') },
  ];
  const udpSeries: Series[] = [
    { title: 'Luthier', color: COLORS[0], style: 'both', points: udp.map((o) => [o.rateBps / 1e6, percent(o.error)]) },
    {
      title: 'kernel tbf on veth',
      color: COLORS[1],
      style: 'both',
      points: udp.map((o) => [o.rateBps / 1e6, percent(o.tbfError)]),
    },
  ];
  return [
    ratePanel('TCP goodput against the expectation', tcpSeries, LINK_GOALS.tcpError),
    ratePanel('UDP rate delivered against setting', udpSeries, LINK_GOALS.udpError),
  ].flat();
}

function ratePanel(title: string, all: readonly Series[], goal: number): Panel[] {
  const series = all.filter(({ points }) => points.length > 0);
  if (series.length === 0) return [];
  const points = series.flatMap((one) => one.points);
  const most = 1.2 * Math.max(100 * goal * 1.5, ...points.map(([, y]) => Math.abs(y)));
  const rates = points.map(([x]) => x);
  return [
    {
      title,
      x: { label: 'rate, Mbit/s', isLogarithmic: true, ...around(rates) },
      y: { label: '% error', low: -most, high: most },
      series,
      goals: [100 * goal, -100 * goal],
    },
  ];
}

function jitterPanel({ distribution, delayNs, jitterNs, oneWayUs, distance, bound }: JitterReport): Panel {
  const n = oneWayUs.length;
  const [low, high] = [Math.min(oneWayUs[0]! / 1e3, (delayNs - 3 * jitterNs) / 1e6), quantile(oneWayUs, SHOWN) / 1e3];
  const steps = 300;
  const theory = Array.from({ length: steps + 1 }, (_, i): readonly [number, number] => {
    const ms = low + ((high - low) * i) / steps;
    return [ms, distributionFunction(distribution, (ms * 1e6 - delayNs) / jitterNs)];
  });
  return {
    title:
      `One-way delay ${delayNs / 1e6} ms, jitter ${jitterNs / 1e6} ms, ${distribution}: ${n} pings, ` +
      `distance ${distance.toFixed(3)} (by chance up to ${bound.toFixed(3)})`,
    x: { label: 'one-way delay, ms', low, high },
    y: { label: 'share', low: 0, high: 1 },
    series: [
      { title: 'asked for', color: COLORS[1], style: 'line', points: theory },
      { title: 'met', color: COLORS[0], style: 'line', points: oneWayUs.map((us, i) => [us / 1e3, (i + 1) / n]) },
    ],
  };
}

/** From half of the least to twice the largest. */
function around(values: readonly number[]): { low: number; high: number } {
  return { low: Math.min(...values) / 2, high: Math.max(...values) * 2 };
}
