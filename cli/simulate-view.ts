/** What `luthier simulate` prints: a table of the directions of links, the same for the same run. */
import type { ReplayReport, SimulatedDirection, SimulatedDelay, SimulationReport } from '../model/simulation.js';
import { formatDuration } from '../model/units.js';
import { counted, table } from './output.js';

/** A column that is left out where all of it is 0. */
const SELDOM = ['duplicated', 'corrupted', 'reordered', 'marked', 'overloaded', 'refused'] as const;

export function renderSimulation(report: SimulationReport): string {
  const { network, seed, durationNs, flows, changes, directions } = report;
  const parts = [`seed ${seed}`, counted(flows, 'stream'), ...(changes === 0 ? [] : [counted(changes, 'event')])];
  return [`${network}: ${formatDuration(durationNs)}, ${parts.join(', ')}`, directionTable(directions)].join('\n');
}

export function renderReplay({
  network,
  durationNs,
  frames,
  outcomes,
  same,
  difference,
  directions,
}: ReplayReport): string {
  return [
    `${network}: ${formatDuration(durationNs)} replayed, ${counted(frames, 'frame')}`,
    directionTable(directions),
    difference === undefined
      ? `as recorded, to the nanosecond: ${counted(outcomes, 'outcome')}`
      : `not as recorded: ${same} of ${counted(outcomes, 'outcome')} are; the first that is not:\n  ${difference}`,
  ].join('\n');
}

function directionTable(directions: readonly SimulatedDirection[]): string {
  const seldom = SELDOM.filter((key) => directions.some((direction) => direction[key] > 0));
  return table(
    [
      'LINK',
      'FROM',
      'TO',
      ...['IN', 'OUT', 'BYTES', 'RATE', 'LOST', 'QUEUE DROPS', ...seldom.map((key) => key.toUpperCase()), 'HELD'],
      ...['MEAN', 'P50', 'P99', 'MAX'],
    ].map((title, i) => (i < 3 ? title : `>${title}`)),
    directions.map((direction) => [
      direction.link,
      direction.from,
      direction.to,
      ...[direction.framesIn, direction.frames, direction.bytes].map(String),
      rate(direction.rateBps),
      ...[direction.lost, direction.queueDropped, ...seldom.map((key) => direction[key]), direction.held].map(String),
      ...delays(direction.delay),
    ]),
  );
}

function rate(rateBps: number): string {
  if (rateBps < 1e6) return `${(rateBps / 1e3).toFixed(3)} kbit/s`;
  return rateBps < 1e9 ? `${(rateBps / 1e6).toFixed(3)} Mbit/s` : `${(rateBps / 1e9).toFixed(3)} Gbit/s`;
}

function delays(delay: SimulatedDelay | undefined): string[] {
  if (delay === undefined) return ['-', '-', '-', '-'];
  return [delay.meanNs, delay.p50Ns, delay.p99Ns, delay.maxNs].map((ns) => `${(ns / 1e6).toFixed(6)} ms`);
}
