/**
 * A recording again, in virtual time: to each direction of each link comes what came then, at the same nanosecond, and what
 * becomes of it is compared with what became of it then. The engine is the very one; a link leads from one device to another,
 * so that no direction has anything but what was recorded of it. Called by `luthier simulate --replay` and tests.
 *
 * What is compared, of each direction: the frames that left it, in order, with their bytes, when they were due and when they
 * had come; and what was dropped, in order, with its reason. When a drop is told is the engine's convenience, so that at the
 * end of a recording one may not have been told yet.
 *
 * A direction is as the network's file has it, from the beginning; one whose recording says when it has begun, from then on
 * and as it was then.
 */
import { ManualClock } from '../model/clock.js';
import { UsageError } from '../model/errors.js';
import { PLAIN } from '../model/emulation.js';
import type { LinkChange } from '../model/messages.js';
import type { Link, Network } from '../model/network.js';
import type { ReplayReport } from '../model/simulation.js';
import type { Cause, Outcome, Way } from '../vswitch/recording/lines.js';
import { Gauge } from '../vswitch/telemetry.js';
import { FollowedDirection } from './followed-direction.js';
import type { Recording } from './recording.js';
import { VirtualSwitch } from './virtual-switch.js';

/** Longer than any frame that was recorded: what left a link then leaves it now. */
const MTU_BYTES = 65_521;

export function replay(network: Network, recording: Recording, memoryBytes: number): ReplayReport {
  const links = linksOf(network, recording);
  const clock = new ManualClock();
  const machine = new VirtualSwitch(clock, memoryBytes);
  machine.engine.telemetry.gauges[Gauge.compensationNs] = recording.compensationNs;
  machine.apply(
    {
      network: network.name,
      networkNumber: 1,
      machine: 'replay',
      bridges: [],
      devices: [...links.keys()].flatMap((link) =>
        WAYS.map((way) => ({
          kind: 'tap' as const,
          name: deviceOf({ link, way }),
          mtuBytes: MTU_BYTES,
          vnetHdr: true,
        })),
      ),
      links: [...links.values()].map(({ name, forward, reverse }) => ({
        name,
        ends: [{ tap: deviceOf({ link: name, way: 0 }) }, { tap: deviceOf({ link: name, way: 1 }) }],
        forward,
        reverse,
      })),
      seed: network.seed,
      inputs: network.inputs,
    },
    (name) => {
      throw new RangeError(`a replay has no tunnel ${name}`);
    },
  );
  const outcomes: Outcome[] = [];
  const target = { cause: () => undefined, outcome: (outcome: Outcome) => outcomes.push(outcome) };
  const directions = [...links.values()].flatMap((link) =>
    WAYS.map((way) => new FollowedDirection(link, way, machine.engine, clock, target)),
  );
  for (const group of groups(recording.causes)) {
    runUntil(machine, clock, group[0]!.at);
    const changes = changesOf(group, links);
    if (changes.length > 0) machine.engine.topology.setLinks(changes);
    for (const cause of group) if ('frame' in cause) machine.offer(deviceOf(cause), cause.frame);
    machine.settle();
  }
  runUntil(machine, clock, recording.endNs);
  const durationNs = recording.endNs - recording.startNs;
  const report = directions.map((direction) => direction.report(durationNs));
  // What is in links yet: it is what may have been dropped, and not told.
  runUntil(machine, clock, Infinity);
  return {
    network: network.name,
    seed: network.seed,
    durationNs,
    frames: recording.causes.filter((cause) => 'frame' in cause).length,
    ...compare(recording, outcomes),
    directions: report,
  };
}

const WAYS = [0, 1] as const;

function deviceOf({ link, way }: Way): string {
  return `${link} ${way}`;
}

/** Does all that is due before then. */
function runUntil(machine: VirtualSwitch, clock: ManualClock, untilNs: number): void {
  for (let nextNs = machine.nextNs; nextNs < untilNs; nextNs = machine.nextNs) {
    clock.moveTo(Math.max(clock.nowNs(), nextNs));
    machine.settle();
  }
  if (untilNs < Infinity) clock.moveTo(Math.max(clock.nowNs(), untilNs));
}

/** Those that the recording tells of. Throws a UsageError where the network is another one. */
function linksOf(network: Network, recording: Recording): Map<string, Link> {
  if (recording.network !== network.name || recording.seed !== network.seed)
    throw new UsageError(
      `the recording is of ${recording.network} with seed ${recording.seed}, the file is of ${network.name} with seed ${network.seed}`,
      { hint: 'replay it with the file that it was made from' },
    );
  const recorded = new Set(recording.causes.map(({ link }) => link));
  const begun = new Set(recording.causes.flatMap((cause) => ('begun' in cause ? [deviceOf(cause)] : [])));
  const links = new Map(
    network.links.flatMap((link) => {
      if (!recorded.has(link.name)) return [];
      const isBegun = WAYS.map((way) => begun.has(deviceOf({ link: link.name, way })));
      const forward = isBegun[0] ? PLAIN : link.forward;
      const reverse = isBegun[1] ? PLAIN : link.reverse;
      return [[link.name, { ...link, forward, reverse }] as const];
    }),
  );
  for (const name of recorded)
    if (!links.has(name))
      throw new UsageError(`the recording has a link ${name}, which ${network.name} has not`, {
        hint: 'replay it with the file that it was made from',
      });
  return links;
}

/** Neighbours of the same time, without a change after a frame or two of the same direction. */
function* groups(causes: readonly Cause[]): Generator<readonly Cause[]> {
  let group: Cause[] = [];
  for (const cause of causes) {
    const isChange = !('frame' in cause);
    const ends =
      group.length > 0 &&
      (group[0]!.at !== cause.at ||
        (isChange && group.some((other) => 'frame' in other || deviceOf(other) === deviceOf(cause))));
    if (ends) {
      yield group;
      group = [];
    }
    group.push(cause);
  }
  if (group.length > 0) yield group;
}

/** What links become by a group; `links` has what they are, and is kept so. */
function changesOf(group: readonly Cause[], links: Map<string, Link>): LinkChange[] {
  const changed = new Set<string>();
  for (const cause of group) {
    if ('frame' in cause) continue;
    const link = links.get(cause.link)!;
    const properties = 'changed' in cause ? cause.changed : cause.begun;
    links.set(cause.link, { ...link, [cause.way === 0 ? 'forward' : 'reverse']: properties });
    changed.add(cause.link);
  }
  return [...changed].map((name) => {
    const { forward, reverse } = links.get(name)!;
    return { name, forward, reverse };
  });
}

/** What left, or was dropped, by direction, each as text. */
function byDirection(outcomes: readonly Outcome[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const outcome of outcomes) {
    const { link, way } = outcome;
    const [kind, text] =
      'left' in outcome
        ? ['left', `frame ${outcome.left} of ${outcome.since} ns left at ${outcome.at} ns`]
        : ['dropped', `frame ${outcome.frame} dropped: ${outcome.dropped}`];
    const key = `${link}, ${way === 0 ? 'forward' : 'reverse'}, ${kind}`;
    const own = found.get(key);
    if (own === undefined) found.set(key, [text]);
    else own.push(text);
  }
  return found;
}

function compare(
  { outcomes, endNs, gone }: Recording,
  replayed: readonly Outcome[],
): Pick<ReplayReport, 'outcomes' | 'same' | 'difference'> {
  const then = byDirection(outcomes);
  const now = byDirection(replayed);
  const ends = new Map(gone.map((each) => [deviceOf(each), Math.min(each.at, endNs)]));
  const inTime = byDirection(
    replayed.filter((outcome) => 'left' in outcome && outcome.at < (ends.get(deviceOf(outcome)) ?? endNs)),
  );
  let same = 0;
  let difference: string | undefined;
  for (const key of new Set([...then.keys(), ...inTime.keys()])) {
    const [was, is] = [then.get(key) ?? [], now.get(key) ?? []];
    const count = Math.max(was.length, inTime.get(key)?.length ?? 0);
    for (let i = 0; i < count; i++) {
      if (was[i] === is[i]) same++;
      else difference ??= `${key}: recorded: ${was[i] ?? 'nothing'}; replayed: ${is[i] ?? 'nothing'}`;
    }
  }
  if (difference === undefined) return { outcomes: outcomes.length, same };
  const overloads = outcomes.filter((outcome) => 'dropped' in outcome && outcome.dropped === 'overload').length;
  const why =
    overloads === 0
      ? ''
      : `; in the recording ${overloads} times the engine had no memory (overload), as no replay knows`;
  return { outcomes: outcomes.length, same, difference: `${difference}${why}` };
}
