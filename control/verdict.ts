/**
 * Judges a run: from what switch processes and the kernel have counted to `faithful`, or the reasons why not. Pure; the
 * numbers come from `run.ts`. Why the bounds are what they are: docs/verdict.md.
 */
import type { Emulation } from '../model/emulation.js';
import type { SwitchState } from '../model/messages.js';
import type { Link, LinkEnd } from '../model/network.js';
import {
  type DirectionVerdict,
  type EmulationCounters,
  type Finding,
  LATE_NS,
  type Strain,
  type Verdict,
} from '../model/verdict.js';
import { atMostNs } from './lateness.js';

/** More than this part of a direction's frames may not be late. */
export const LATE_RATIO = 0.001;
/** Strains that are named; further ones are counted. */
const NAMED_STRAINS = 5;
/** Of a strain, from which part on the engine's thread is said to have waited. */
const WAITED_RATIO = 0.05;

/** What a machine without time to spare can be the cause of. */
const BY_STRAIN: ReadonlySet<Finding['code']> = new Set(['late', 'tap-drops', 'tunnel-drops', 'overload']);

/** All that is known of a network's run. */
export interface Run {
  readonly network: string;
  readonly links: readonly Link[];
  /** Links that events or people have changed, or events will. */
  readonly changed: ReadonlySet<string>;
  /** `state` is absent where the process does not answer. */
  readonly switches: readonly { readonly machine: string; readonly state?: SwitchState }[];
  /** By `NODE:PORT`, packets that the kernel dropped since the switch had not read those before them. */
  readonly taps: readonly { readonly port: string; readonly dropped: number }[];
  /** When the processors of this machine were busy: of which the agent knows. */
  readonly busy: readonly Strain[];
  /** CLOCK_MONOTONIC: time zero, and when the switches were asked; they may have answered later. */
  readonly zeroNs: number;
  readonly askedNs: number;
}

interface Way {
  readonly link: Link;
  readonly from: string;
  readonly to: string;
  readonly counters: EmulationCounters;
}

export function verdictOf(run: Run): Verdict {
  const ways = waysOf(run);
  const isAsked = ways.length > 0 || run.changed.size > 0 || run.links.some((link) => emulations(link).length > 0);
  if (!isAsked) {
    const message = 'no link was asked to do anything to frames: there is nothing that it could have missed';
    const note: Finding = { code: 'nothing-asked', where: run.network, message };
    return { network: run.network, faithful: true, reasons: [], notes: [note], directions: [] };
  }
  const reasons = [
    ...ways.flatMap(lateReasons),
    ...ways.flatMap(overloadReasons),
    ...run.switches.flatMap(memoryReasons),
    ...run.taps.flatMap(tapReasons),
    ...run.switches.flatMap(tunnelDropReasons),
    ...run.switches.flatMap(vxlanDropReasons),
    ...run.links.flatMap((link) => tunnelTimeReasons(run, link)),
    ...run.switches.flatMap((each) => unknownReasons(run, each)),
  ];
  // A machine that is busy while all frames are in time has enough; where something failed, it is the likeliest cause.
  const strains = strainFindings(run);
  const isStrainToBlame = reasons.some(({ code }) => BY_STRAIN.has(code));
  return {
    network: run.network,
    faithful: reasons.length === 0,
    reasons: isStrainToBlame ? [...reasons, ...strains] : reasons,
    notes: [...(isStrainToBlame ? [] : strains), ...run.switches.flatMap(switchNotes)],
    directions: ways.map(directionVerdict),
  };
}

/** Directions on which something has passed. Each is emulated by one process: its sender's. */
function waysOf({ links, switches }: Run): Way[] {
  const parts = new Map<string, SwitchState['links'][number][]>();
  for (const { state } of switches)
    for (const part of state?.links ?? []) parts.set(part.name, [...(parts.get(part.name) ?? []), part]);
  return links.flatMap((link) => {
    const [first, second] = [endName(link.ends[0]), endName(link.ends[1])];
    return (parts.get(link.name) ?? []).flatMap(({ forwardEmulation, reverseEmulation }): Way[] => [
      ...(forwardEmulation === undefined ? [] : [{ link, from: first, to: second, counters: forwardEmulation }]),
      ...(reverseEmulation === undefined ? [] : [{ link, from: second, to: first, counters: reverseEmulation }]),
    ]);
  });
}

function lateReasons({ link, from, to, counters }: Way): Finding[] {
  const { timed, late, lateness } = counters;
  if (late <= LATE_RATIO * timed) return [];
  const p99 = `99 % of ${timed} within ${durationText(atMostNs(lateness, 0.99))}`;
  return [
    {
      code: 'late',
      where: `link ${link.name}`,
      message: `${percent(late / timed)} of frames ${from} → ${to} later than ${durationText(LATE_NS)} (${p99})`,
      hint: 'give the machine fewer or smaller loads beside it, or more cores; hosts can be bounded with cpu',
    },
  ];
}

function overloadReasons({ link, from, to, counters: { overloaded } }: Way): Finding[] {
  if (overloaded === 0) return [];
  return [
    {
      code: 'overload',
      where: `link ${link.name}`,
      message: `${packets(overloaded)} ${from} → ${to} dropped for want of memory, not by the link`,
      hint: MEMORY_HINT,
    },
  ];
}

const MEMORY_HINT = 'what is in flight takes rate × delay of memory: take it down, and up again with a larger --memory';

/**
 * Before any link had them: a TAP that is not read holds some hundred packets, which are late then though no link knows of it;
 * the kernel drops those beyond.
 */
function memoryReasons({ machine, state }: Run['switches'][number]): Finding[] {
  if (state === undefined) return [];
  const { starved } = state.arena;
  const dropped = state.drops.arenaFull ?? 0;
  const what = [
    ...(starved === 0
      ? []
      : [`had no memory ${starved === 1 ? 'once' : `${starved} times`}, and let hosts or peers wait`]),
    ...(dropped === 0 ? [] : [`dropped ${dropped} frames for want of memory, before a link had them`]),
  ];
  return what.map((message) => ({ code: 'overload', where: `switch of ${machine}`, message, hint: MEMORY_HINT }));
}

function tapReasons({ port, dropped }: Run['taps'][number]): Finding[] {
  if (dropped === 0) return [];
  return [
    {
      code: 'tap-drops',
      where: `tap:${port}`,
      message: `${packets(dropped)} dropped before the switch read them`,
      hint: 'the host sent faster than the switch reads: nothing tells a sender of datagrams to slow down; pace it',
    },
  ];
}

const SOCKET_HINT = 'give the machine more cores, or larger socket buffers (luthier doctor)';

function tunnelDropReasons({ machine, state }: Run['switches'][number]): Finding[] {
  return (state?.tunnels ?? []).flatMap(({ peer, health }): Finding[] => {
    const overruns = health?.rxOverruns ?? 0;
    if (overruns === 0) return [];
    return [
      {
        code: 'tunnel-drops',
        where: `tunnel ${peer}–${machine}`,
        message: `${overruns} datagrams dropped before the switch of ${machine} read them`,
        hint: SOCKET_HINT,
      },
    ];
  });
}

function vxlanDropReasons({ machine, state }: Run['switches'][number]): Finding[] {
  return (state?.devices ?? []).flatMap(({ name, rxOverruns = 0 }): Finding[] => {
    if (rxOverruns === 0) return [];
    return [
      {
        code: 'tunnel-drops',
        where: `vxlan ${name.split(':')[1]!}`,
        message: `${rxOverruns} datagrams dropped before the switch of ${machine} read them`,
        hint: SOCKET_HINT,
      },
    ];
  });
}

/** Of a link between machines, half the round trip of the tunnel that it goes by comes on top of its delay. */
function tunnelTimeReasons({ switches }: Run, link: Link): Finding[] {
  const asked = emulations(link).flatMap(({ delayNs }) => (delayNs > 0 ? [delayNs] : []));
  if (asked.length === 0) return [];
  const delayNs = Math.min(...asked);
  const holders = switches.filter(({ state }) => state?.links.some(({ name }) => name === link.name));
  if (holders.length < 2) return [];
  const names = holders.map(({ machine }) => machine);
  const times = holders.flatMap(({ state }) =>
    (state?.tunnels ?? []).flatMap(({ peer, health }) =>
      names.includes(peer) && health?.rttNs !== undefined ? [health.rttNs / 2] : [],
    ),
  );
  const tunnelNs = Math.max(0, ...times);
  if (tunnelNs <= delayNs) return [];
  return [
    {
      code: 'tunnel-time',
      where: `tunnel ${names.join('–')}`,
      message: `takes ${durationText(tunnelNs)}, more than the delay of ${durationText(delayNs)} of link ${link.name}`,
      hint: 'put both ends of the link on one machine, or ask for a delay that machines so far apart can keep',
    },
  ];
}

function unknownReasons({ zeroNs, askedNs }: Run, { machine, state }: Run['switches'][number]): Finding[] {
  const where = `switch of ${machine}`;
  if (state === undefined)
    return [{ code: 'unknown', where, message: 'does not answer: what it did is not known', hint: 'luthier ls' }];
  const afterNs = askedNs - state.uptimeNs - zeroNs;
  if (afterNs <= 0) return [];
  const message = `began ${seconds(afterNs)} after time zero: what was before, and in flight then, is not known`;
  return [{ code: 'unknown', where, message, hint: 'an up begins a new run, after a down' }];
}

/** These make nothing unfaithful, but whoever measures delays is to know of them. */
function switchNotes({ machine, state }: Run['switches'][number]): Finding[] {
  if (state === undefined) return [];
  const where = `switch of ${machine}`;
  const compensation =
    state.compensationNs === 0
      ? 'leaves nothing out of delays: what it takes itself comes on top (up --no-compensation)'
      : `leaves ${durationText(state.compensationNs)} out of delays, the time it takes itself`;
  const notes: Finding[] = [{ code: 'compensation', where, message: compensation }];
  // One from before there was such a thing does not say it.
  if (state.unwatchedTaps !== 0)
    notes.push({
      code: 'arrivals',
      where,
      message: 'counts delays from when it reads a frame, some time after its host sent it',
      hint: 'as root, the kernel writes down when hosts send, and delays count from then',
    });
  return notes;
}

function strainFindings({ switches, busy, zeroNs }: Run): Finding[] {
  const engines = switches.flatMap(({ machine, state }) =>
    (state?.strains ?? []).map((strain): [number, Finding] => [strain.fromNs, engineStrain(machine, strain, zeroNs)]),
  );
  // The agent may be older than the network.
  const processors = busy
    .filter(({ toNs }) => toNs > zeroNs)
    .map((strain): [number, Finding] => [
      strain.fromNs,
      {
        code: 'strain',
        where: 'host CPU',
        message: `${percent(strain.busyNs / strain.hardNs)} ${times(strain, zeroNs)}`,
      },
    ]);
  const all = [...engines, ...processors].sort(([a], [b]) => a - b).map(([, finding]) => finding);
  if (all.length <= NAMED_STRAINS) return all;
  const more = {
    code: 'strain',
    where: 'host',
    message: `strained at ${all.length - NAMED_STRAINS} other times`,
  } as const;
  return [...all.slice(0, NAMED_STRAINS), more];
}

function engineStrain(machine: string, strain: Strain, zeroNs: number): Finding {
  const { engineWaitNs, hardNs, timed, late } = strain;
  const what = [
    ...(engineWaitNs > WAITED_RATIO * hardNs
      ? [`waited for a processor ${percent(engineWaitNs / hardNs)} of the time`]
      : []),
    ...(late > 0 ? [`${late} of ${timed} frames late`] : []),
  ];
  return { code: 'strain', where: `switch of ${machine}`, message: `${what.join(', ')} ${times(strain, zeroNs)}` };
}

/** `from 12.0 s to 19.0 s`, since time zero; of strains that were told as one, how much of it was hard. */
function times({ fromNs, toNs, hardNs }: Strain, zeroNs: number): string {
  const range = `from ${seconds(Math.max(0, fromNs - zeroNs))} to ${seconds(toNs - zeroNs)}`;
  return hardNs < toNs - fromNs ? `for ${seconds(hardNs)} ${range}` : range;
}

function directionVerdict({ link, from, to, counters: { lateness, ...counts } }: Way): DirectionVerdict {
  const [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1].map((part) => atMostNs(lateness, part)) as [
    number,
    number,
    number,
    number,
  ];
  return { link: link.name, from, to, ...counts, lateNs: { p50, p99, p999, max } };
}

function emulations({ forward, reverse }: Link): Emulation[] {
  return [forward, reverse].flatMap(({ emulation }) => (emulation === undefined ? [] : [emulation]));
}

function endName({ node, port }: LinkEnd): string {
  return port === undefined ? node : `${node}:${port}`;
}

function packets(count: number): string {
  return count === 1 ? '1 packet' : `${count} packets`;
}

function percent(ratio: number): string {
  return `${Number((ratio * 100).toPrecision(ratio < 0.9995 ? 2 : 3))} %`;
}

function seconds(ns: number): string {
  return `${(ns / 1e9).toFixed(1)} s`;
}

/** Two digits: what is measured is no more exact. */
function durationText(ns: number): string {
  const [unitNs, unit] = ns >= 1e9 ? [1e9, 's'] : ns >= 1e6 ? [1e6, 'ms'] : [1e3, 'µs'];
  return `${Number((ns / unitNs).toPrecision(2))} ${unit}`;
}
