/** Directions that wait for a time: with a qdisc that holds frames, in an engine on a clock that is moved by hand. */
import { describe, expect, it } from 'vitest';
import { type Clock, ManualClock } from '../model/clock.js';
import { Arena, FrameBatch } from './arena.js';
import { DropCounter } from './drop-counter.js';
import { FlightRecorder } from './flight-recorder.js';
import { LinkDirection } from './link.js';
import type { Port } from './port.js';
import type { Qdisc } from './qdisc/qdisc.js';
import { Telemetry } from './telemetry.js';
import { TransmitList } from './transmit-list.js';

/** Holds each frame for as many nanoseconds as its first byte says. */
class HoldingQdisc implements Qdisc {
  readonly dueAt = 0;
  readonly #arena: Arena;
  readonly #clock: Clock;
  readonly #held: { frame: number; dueNs: number }[] = [];

  constructor(arena: Arena, clock: Clock) {
    this.#arena = arena;
    this.#clock = clock;
  }

  get length(): number {
    return this.#held.length;
  }

  get due(): Float64Array {
    return Float64Array.of(Math.min(...this.#held.map(({ dueNs }) => dueNs)));
  }

  enqueue(frame: number): boolean {
    this.#held.push({ frame, dueNs: this.#clock.nowNs() + this.#arena.bytes[this.#arena.start(frame)]! });
    this.#held.sort((a, b) => a.dueNs - b.dueNs);
    return true;
  }

  enqueueAll(frames: FrameBatch): number {
    for (const frame of frames.ids.subarray(0, frames.count)) this.enqueue(frame);
    return frames.count;
  }

  dequeueAll(frames: FrameBatch, most: number): void {
    for (let frame = this.dequeue(); frame !== -1; frame = frames.count < most ? this.dequeue() : -1)
      frames.push(frame, 0);
  }

  dequeue(): number {
    return this.due[0]! <= this.#clock.nowNs() ? this.remove() : -1;
  }

  remove(): number {
    return this.#held.shift()?.frame ?? -1;
  }
}

function lab(directions: number): {
  list: TransmitList;
  directions: LinkDirection[];
  /** Frames that left, as `direction:first byte`. */
  left: string[];
  send: (direction: number, holdNs: number) => void;
  /** Lets the list run at a time that is not before the last one. */
  runAt: (nowNs: number, budget: number) => number;
  arena: Arena;
} {
  const arena = new Arena(new Uint8Array(2 ** 16));
  const clock = new ManualClock();
  const telemetry = new Telemetry(Telemetry.allocate());
  const drops = new DropCounter(arena, clock, telemetry, new FlightRecorder(FlightRecorder.allocate()));
  const list = new TransmitList(clock);
  list.reserve(2 * directions);
  const left: string[] = [];
  const made = Array.from({ length: directions }, (_, i) => {
    const direction = new LinkDirection(i, 0, new HoldingQdisc(arena, clock), {
      arena,
      drops,
      telemetry,
      transmitList: list,
    });
    const port = {
      index: 0,
      send: ({ ids, count }: FrameBatch) => {
        for (const frame of ids.subarray(0, count)) {
          left.push(`${i}:${arena.bytes[arena.start(frame)]}`);
          arena.release(frame);
        }
      },
    };
    direction.toPort(port as unknown as Port, 0);
    return direction;
  });
  const send = (direction: number, holdNs: number): void => {
    made[direction]!.send(new FrameBatch(1).only(arena.write(Uint8Array.of(holdNs))));
  };
  const runAt = (nowNs: number, budget: number): number => {
    clock.advance(nowNs - clock.nowNs());
    return list.run(budget);
  };
  return { list, directions: made, left, send, runAt, arena };
}

describe('TransmitList', () => {
  it('passes frames on when they are due, and says when that is', () => {
    const { list, left, send, runAt } = lab(2);
    send(0, 10);
    send(1, 5);
    expect(runAt(0, 100)).toBe(0);
    expect([list.empty, list.nextNs]).toEqual([true, 5]);
    expect(runAt(4, 100)).toBe(0);
    expect(runAt(5, 100)).toBe(1);
    expect(list.nextNs).toBe(10);
    expect(runAt(20, 100)).toBe(1);
    expect([left, list.nextNs]).toEqual([['1:5', '0:10'], Infinity]);
  });

  it('hears of a frame that is due before those that wait already', () => {
    const { list, left, send, runAt } = lab(1);
    send(0, 100);
    runAt(0, 100);
    runAt(1, 100);
    send(0, 3);
    expect(list.nextNs).toBe(4);
    expect(runAt(4, 100)).toBe(1);
    expect([left, list.nextNs]).toEqual([['0:3'], 100]);
  });

  it('takes directions in turn, and leaves the rest for later when the budget is spent', () => {
    const { list, left, send, runAt } = lab(3);
    for (let direction = 0; direction < 3; direction++) for (let i = 0; i < 2; i++) send(direction, 0);
    expect(runAt(0, 3)).toBe(4);
    expect(list.empty).toBe(false);
    expect(runAt(0, 100)).toBe(2);
    expect(left).toEqual(['0:0', '0:0', '1:0', '1:0', '2:0', '2:0']);
  });

  it('forgets a direction, due or waiting, and keeps the others', () => {
    const { list, directions, left, send, runAt, arena } = lab(3);
    send(0, 0);
    send(1, 0);
    send(2, 9);
    runAt(0, 1);
    for (const direction of [directions[1]!, directions[2]!]) {
      direction.drain();
      list.remove(direction);
    }
    expect(runAt(50, 100)).toBe(0);
    expect(left).toEqual(['0:0']);
    expect(arena.freeSlots).toBe(arena.slotCount);
  });
});
