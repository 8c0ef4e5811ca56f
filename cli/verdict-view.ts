/** A verdict for people: `faithful`, or `not faithful` and why, a line for each reason. Pure. */
import type { Finding, Verdict } from '../model/verdict.js';
import { colors, table } from './output.js';

/** What `inspect` and `down` print too: nothing of a network of which nothing was asked. */
export function verdictLines(verdict: Verdict): string[] {
  const { network, faithful, reasons, notes } = verdict;
  if (!isAsked(verdict)) return [];
  const said = faithful ? colors.green('faithful') : colors.red('not faithful:');
  return [`${network} was ${said}`, ...reasons.flatMap(reasonLines), ...notes.map((note) => `  note: ${text(note)}`)];
}

export function renderVerdict(verdict: Verdict): string {
  if (!isAsked(verdict)) return verdict.notes.map(text).join('\n');
  const lines = verdictLines(verdict).join('\n');
  return verdict.directions.length === 0 ? `${lines}\nnothing has passed yet` : `${lines}\n\n${directions(verdict)}`;
}

function isAsked({ notes }: Verdict): boolean {
  return notes.every(({ code }) => code !== 'nothing-asked');
}

function reasonLines(reason: Finding): string[] {
  return [`  ${text(reason)}`, ...(reason.hint === undefined ? [] : [colors.dim(`    ${reason.hint}`)])];
}

function text({ where, message }: Finding): string {
  return `${where}: ${message}`;
}

function directions(verdict: Verdict): string {
  return table(
    [
      'LINK',
      'FROM',
      'TO',
      '>FRAMES',
      '>LATE',
      '>P50 <',
      '>P99 <',
      '>P99.9 <',
      '>ALL <',
      '>LOST',
      '>QUEUE',
      '>OVERLOAD',
    ],
    verdict.directions.map(({ link, from, to, timed, late, lateNs, lost, queueDropped, overloaded }) => [
      link,
      from,
      to,
      String(timed),
      String(late),
      ...[lateNs.p50, lateNs.p99, lateNs.p999, lateNs.max].map(microseconds),
      String(lost),
      String(queueDropped),
      overloaded === 0 ? '0' : colors.red(String(overloaded)),
    ]),
  );
}

function microseconds(ns: number): string {
  return `${ns < 1e5 ? Number((ns / 1e3).toPrecision(2)) : Math.round(ns / 1e3)} µs`;
}
