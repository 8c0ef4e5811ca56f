/** A direction of a link in virtual time: who follows it, and what it comes to in the end. */
import type { Clock } from '../model/clock.js';
import type { Link, LinkEnd } from '../model/network.js';
import type { SimulatedDirection } from '../model/simulation.js';
import type { Engine } from '../vswitch/engine.js';
import type { LinkDirection } from '../vswitch/link.js';
import { DirectionField, Telemetry } from '../vswitch/telemetry.js';
import { Both, Recorder, type RecordingTarget } from './recorder.js';
import { Tally } from './tally.js';

export class FollowedDirection {
  readonly #link: Link;
  readonly #way: 0 | 1;
  readonly #direction: LinkDirection;
  readonly #counters: Float64Array;
  readonly #tally: Tally;

  /** From here on; `engine` is that which emulates it. */
  constructor(link: Link, way: 0 | 1, engine: Engine, clock: Clock, recording?: RecordingTarget) {
    const { directions, index } = engine.topology.links.get(link.name)!;
    this.#link = link;
    this.#way = way;
    this.#direction = directions[way];
    const base = Telemetry.directionBase(index, way);
    this.#counters = engine.telemetry.directions.subarray(base, Telemetry.directionBase(index, way + 1));
    this.#tally = new Tally();
    this.#direction.observer =
      recording === undefined
        ? this.#tally
        : new Both(this.#tally, new Recorder(recording, { link: link.name, way }, engine.arena, clock));
  }

  report(durationNs: number): SimulatedDirection {
    const [from, to] = this.#way === 0 ? this.#link.ends : [this.#link.ends[1], this.#link.ends[0]];
    const count = (field: number): number => this.#counters[field]!;
    const bytes = count(DirectionField.bytes);
    const delay = this.#tally.delays.summary();
    return {
      link: this.#link.name,
      from: endName(from),
      to: endName(to),
      framesIn: this.#tally.framesIn,
      frames: count(DirectionField.packets),
      bytes,
      rateBps: Math.round((bytes * 8e9) / durationNs),
      lost: count(DirectionField.lost),
      queueDropped: count(DirectionField.queueDropped),
      duplicated: count(DirectionField.duplicated),
      corrupted: count(DirectionField.corrupted),
      reordered: count(DirectionField.reordered),
      marked: count(DirectionField.marked),
      overloaded: count(DirectionField.overloaded),
      refused: this.#tally.refused,
      held: this.#direction.qdisc.length,
      ...(delay === undefined ? {} : { delay }),
    };
  }
}

function endName({ node, port }: LinkEnd): string {
  return port === undefined ? node : `${node}:${port}`;
}
