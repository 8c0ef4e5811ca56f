/**
 * An engine's side of a recording of links: follows their emulated directions and writes what it is told into a ring.
 * Called between two breaths by `worker.ts`; the observers within them.
 *
 * A replay begins with a link on which nothing has ever passed. So does a recording: each direction begins at the first mark
 * at which nothing is in it, with its emulation made anew, streams of chance and all.
 */
import type { Clock } from '../../model/clock.js';
import type { LinkProperties } from '../../model/emulation.js';
import { StateError } from '../../model/errors.js';
import type { Arena } from '../arena.js';
import type { DropReason } from '../drops.js';
import type { LinkDirection } from '../link.js';
import { GivenTime, type LinkObserver } from '../link-observer.js';
import type { Link, Topology } from '../topology.js';
import { RecordKind, RecordPoint } from './record-ring.js';

interface Followed {
  readonly link: Link;
  readonly way: 0 | 1;
  readonly direction: LinkDirection;
  readonly recorder: LinkRecorder;
}

export class LinkRecordings {
  readonly #topology: Topology;
  readonly #arena: Arena;
  readonly #clock: Clock;
  #current: { readonly id: number; readonly point: RecordPoint; readonly followed: readonly Followed[] } | undefined;

  constructor(topology: Topology, arena: Arena, clock: Clock) {
    this.#topology = topology;
    this.#arena = arena;
    this.#clock = clock;
    this.#current = undefined;
  }

  /** `links` are names; `ring` is a `RecordReader`'s. One at a time: another would have emulations begin anew under it. */
  start(id: number, links: readonly string[], ring: SharedArrayBuffer): void {
    if (this.#current !== undefined)
      throw new StateError('the links are being recorded already', { hint: 'end the other recording first' });
    const found = links.map((name) => {
      const link = this.#topology.links.get(name);
      if (link === undefined) throw new StateError(`there is no link ${name}`);
      return link;
    });
    const point = new RecordPoint(ring);
    const followed = found.flatMap((link, place) =>
      ([0, 1] as const).map((way) => {
        const direction = link.directions[way];
        const recorder = new LinkRecorder(point, 2 * place + way, direction, this.#arena, this.#clock);
        direction.observer = recorder;
        return { link, way, direction, recorder };
      }),
    );
    this.#current = { id, point, followed };
    this.mark(id);
  }

  /** Begins with what can begin, and says until when all has been told. */
  mark(id: number): void {
    if (this.#current?.id !== id) return;
    const { point, followed } = this.#current;
    const nowNs = this.#clock.nowNs();
    let settledNs = nowNs;
    let waiting = 0;
    for (const { link, way, direction, recorder } of followed) {
      if (recorder.state === 'gone') continue;
      if (recorder.state === 'waiting' && direction.properties.emulation !== undefined) {
        if (this.#topology.restart(link, way)) recorder.begin(direction.properties);
        else waiting++;
      }
      if (recorder.state === 'begun') settledNs = Math.min(settledNs, recorder.settledNs);
    }
    point.settled(settledNs, nowNs, waiting);
  }

  /** With a last mark: nothing that was told before is in vain. */
  stop(id: number): void {
    if (this.#current?.id !== id) return;
    this.mark(id);
    for (const { direction } of this.#current.followed) direction.observer = null;
    this.#current = undefined;
  }
}

/** Of one direction. */
class LinkRecorder implements LinkObserver {
  state: 'waiting' | 'begun' | 'gone';
  readonly #point: RecordPoint;
  readonly #id: number;
  readonly #direction: LinkDirection;
  readonly #arena: Arena;
  readonly #now: Float64Array;

  constructor(point: RecordPoint, id: number, direction: LinkDirection, arena: Arena, clock: Clock) {
    this.state = 'waiting';
    this.#point = point;
    this.#id = id;
    this.#direction = direction;
    this.#arena = arena;
    this.#now = clock.now;
  }

  /** All that was due before then has left: an engine may be late. */
  get settledNs(): number {
    const { due, dueAt } = this.#direction.qdisc;
    return Math.min(this.#now[0]!, due[dueAt]!);
  }

  begin(properties: LinkProperties): void {
    this.state = 'begun';
    this.#point.properties(RecordKind.begun, this.#id, this.#now[0]!, properties);
  }

  came(frame: number, given: Float64Array | null): void {
    if (this.state !== 'begun') return;
    const cameNs = given === null ? this.#now[0]! : given[GivenTime.came]!;
    this.#point.frame(RecordKind.came, this.#id, cameNs, this.#now[0]!, this.#arena, frame);
  }

  left(frame: number, given: Float64Array | null): void {
    if (this.state !== 'begun') return;
    const dueNs = given === null ? this.#now[0]! : given[GivenTime.due]!;
    const cameNs = given === null ? this.#now[0]! : given[GivenTime.came]!;
    this.#point.frame(RecordKind.left, this.#id, dueNs, cameNs, this.#arena, frame);
  }

  dropped(reason: DropReason, frame: number): void {
    if (this.state !== 'begun') return;
    this.#point.dropped(this.#id, this.#now[0]!, reason, this.#arena, frame);
  }

  changed(properties: LinkProperties): void {
    if (this.state !== 'begun') return;
    this.#point.properties(RecordKind.changed, this.#id, this.#now[0]!, properties);
  }

  gone(): void {
    if (this.state === 'begun') this.#point.gone(this.#id, this.settledNs);
    this.state = 'gone';
  }
}
