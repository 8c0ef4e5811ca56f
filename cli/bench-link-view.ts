/** What `luthier bench link` prints: a table for each part that was measured. */
import { LINK_GOALS } from '../measure/link/goals.js';
import type { DelayReport, LinkBenchReport, MachineLateness } from '../model/bench-link.js';
import { bytes, colors, duration, table } from './output.js';

export function renderLinkReport(report: LinkBenchReport): string {
  const { cpus, cpuModel, kernel, node } = report.machine;
  return [
    `${cpus} × ${cpuModel}, Linux ${kernel}, Node ${node}; ${duration(report.ms / 1000)} in all`,
    ...[rttTables(report), jitterTable(report), tcpTable(report), udpTable(report), costTable(report)].flat(),
    ...otherLines(report),
  ].join('\n\n');
}

function rttTables({ rtt, busy, compensationNs = 0, machineLateness }: LinkBenchReport): string[] {
  const compensation = `compensation: a link leaves ${(compensationNs / 1e3).toFixed(1)} µs out of its delay`;
  const machine = machineLateness === undefined ? [] : [latenessLine(machineLateness)];
  return [
    ...(rtt === undefined ? [] : [[rttTable('RTT, µs', rtt), compensation, ...machine].join('\n')]),
    ...(busy === undefined ? [] : [rttTable('RTT BESIDE BUSY LOOPS, µs', busy)]),
  ];
}

function rttTable(title: string, reports: readonly DelayReport[]): string {
  const rows = reports.flatMap((report) => {
    const { delayNs, reference, plain, emulated, uncompensated, uncompensatedError } = report;
    const series = [
      ['kernel bridge', reference, report.referenceError],
      ['switch, nothing emulated', plain, report.plainError],
      ...(delayNs === 0 ? [] : [['switch, emulated', emulated, report.error] as const]),
      ...(uncompensated && uncompensatedError
        ? [['without compensation', uncompensated, uncompensatedError] as const]
        : []),
    ] as const;
    return series.map(([way, { sent, received, oneWaySigmaUs, meanUs }, off]) => {
      const isOurs = way === 'switch, emulated';
      const within = (value: number, goal: number): string => judged(value.toFixed(0), isOurs, Math.abs(value) <= goal);
      return [
        `${delayNs / 1e6} ms`,
        way,
        meanUs.toFixed(0),
        within(off.meanUs, LINK_GOALS.rttMeanUs),
        off.p50Us.toFixed(0),
        within(off.p99Us, LINK_GOALS.rttP99Us),
        within(off.p999Us, LINK_GOALS.rttP999Us),
        off.interfaceMeanUs.toFixed(0),
        off.interfaceP50Us.toFixed(0),
        off.interfaceP99Us.toFixed(0),
        off.oneWayMeanUs.toFixed(0),
        within(oneWaySigmaUs, LINK_GOALS.sigmaUs),
        sent === received ? '' : `${sent - received} of ${sent}`,
      ];
    });
  });
  const pings = ['>ERROR', '>P50', '>P99', '>P99.9'];
  const interfaces = ['>AT INTERFACE', '>P50', '>P99', '>ONE WAY', '>σ'];
  return table(['>DELAY', title, '>MEAN', ...pings, ...interfaces, 'LOST'], rows);
}

function latenessLine({ p50Us, p99Us, p999Us }: MachineLateness): string {
  const [p50, p99, p999] = [p50Us, p99Us, p999Us].map((us) => us.toFixed(0));
  return `the machine itself: a thread that is awake for a moment and has nothing else to do sees it ${p50} µs late, p99 ${p99}, p99.9 ${p999}`;
}

function jitterTable({ jitter }: LinkBenchReport): string[] {
  if (jitter === undefined) return [];
  const rows = jitter.map(({ distribution, delayNs, jitterNs, oneWayUs, meanUs, sigmaUs, distance, bound }) => [
    distribution,
    `${delayNs / 1e6} ms ± ${jitterNs / 1e6} ms`,
    `${oneWayUs.length}`,
    (meanUs / 1000).toFixed(3),
    (sigmaUs / 1000).toFixed(3),
    judged(distance.toFixed(3), true, distance <= bound),
    bound.toFixed(3),
  ]);
  return [table(['JITTER', 'ASKED FOR', '>PINGS', '>MEAN, ms', '>σ, ms', '>DISTANCE', '>BY CHANCE'], rows)];
}

function tcpTable({ tcp }: LinkBenchReport): string[] {
  if (tcp === undefined) return [];
  const rows = tcp.map(({ rateBps, segments, seconds, expectedBps, goodputBps, error }) => [
    megabits(rateBps),
    segments,
    seconds.toFixed(1),
    megabits(expectedBps),
    megabits(goodputBps),
    judged(percent(error), true, Math.abs(error) <= LINK_GOALS.tcpError),
  ]);
  return [table(['>TCP, Mbit/s', 'SEGMENTS', '>SECONDS', '>EXPECTED', '>GOODPUT', '>ERROR'], rows)];
}

function udpTable({ udp }: LinkBenchReport): string[] {
  if (udp === undefined) return [];
  const rows = udp.map(({ rateBps, frameBytes, offeredBps, deliveredBps, error, tbfError }) => [
    megabits(rateBps),
    `${frameBytes}`,
    megabits(offeredBps),
    megabits(deliveredBps),
    // A sender that did not fill the link says nothing of its rate.
    offeredBps < rateBps
      ? `${percent(error)} (sender too slow)`
      : judged(percent(error), true, Math.abs(error) <= LINK_GOALS.udpError),
    percent(tbfError),
  ]);
  return [table(['>UDP, Mbit/s', '>FRAME, B', '>OFFERED', '>DELIVERED', '>ERROR', '>KERNEL TBF'], rows)];
}

function costTable({ cost }: LinkBenchReport): string[] {
  if (cost === undefined) return [];
  const { plain, emulated, rateBps, delayNs, cpuRatio, ownCpuRatio } = cost;
  const row = (title: string, one: typeof plain): string[] => [
    title,
    megabits(one.goodputBps),
    one.cpuSecondsPerGB.toFixed(2),
    one.ownCpuSecondsPerGB.toFixed(2),
  ];
  const rows = [
    row('nothing emulated', plain),
    row(`${megabits(rateBps)} Mbit/s, ${delayNs / 1e6} ms`, emulated),
    ['ratio', '', judged(cpuRatio.toFixed(2), true, cpuRatio <= LINK_GOALS.cpuRatio), ownCpuRatio.toFixed(2)],
  ];
  return [table(['CPU', '>GOODPUT, Mbit/s', '>IN ALL, s/GB', '>SWITCH, s/GB'], rows)];
}

function otherLines({ change, memory }: LinkBenchReport): string[] {
  const lines: string[] = [];
  if (change !== undefined) {
    const { changes, p50Ms, p99Ms, mostMs, answered } = change;
    const p99 = judged(`${p99Ms.toFixed(2)} ms`, true, p99Ms <= LINK_GOALS.changeMs);
    lines.push(
      `a change takes effect in: p50 ${p50Ms.toFixed(2)} ms, p99 ${p99}, at most ${mostMs.toFixed(2)} ms (${changes}); ` +
        `is answered in: p50 ${answered.p50Ms.toFixed(2)}, p99 ${answered.p99Ms.toFixed(2)} ms`,
    );
  }
  if (memory !== undefined) {
    const { links, plainRssBytes, emulatedRssBytes, bytesPerLink } = memory;
    const each = judged(`${bytesPerLink.toFixed(0)} B`, true, bytesPerLink <= LINK_GOALS.bytesPerLink);
    const both = `${bytes(plainRssBytes)} without, ${bytes(emulatedRssBytes)} with`;
    lines.push(`emulation of an idle link takes ${each} (${links} links: ${both})`);
  }
  return lines;
}

function judged(words: string, hasGoal: boolean, isMet: boolean): string {
  if (!hasGoal) return words;
  return isMet ? colors.green(`${words} ✓`) : colors.yellow(`${words} ✗`);
}

function percent(ratio: number): string {
  return `${ratio < 0 ? '−' : '+'}${Math.abs(100 * ratio).toFixed(2)} %`;
}

function megabits(bps: number): string {
  return String(Number((bps / 1e6).toPrecision(5)));
}
