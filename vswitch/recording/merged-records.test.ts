import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../../model/emulation.js';
import { Arena } from '../arena.js';
import { MergedRecords } from './merged-records.js';
import { RecordKind, RecordPoint, RecordReader, type TakenRecord } from './record-ring.js';

/** What an engine has told, and where it tells it. */
class Teller {
  readonly reader = new RecordReader();
  readonly point = new RecordPoint(this.reader.buffer);
  readonly links: readonly string[];

  constructor(...links: string[]) {
    this.links = links;
  }

  changed(direction: number, at: number): void {
    this.point.properties(RecordKind.changed, direction, at, PLAIN);
  }

  mark(nowNs: number, settledNs = nowNs, waiting = 0): void {
    this.point.settled(settledNs, nowNs, waiting);
  }
}

function all(records: MergedRecords): TakenRecord[] {
  const taken: TakenRecord[] = [];
  for (let next = records.next(); next !== undefined; next = records.next()) taken.push(next);
  return taken;
}

const brief = ({ kind, at, direction }: TakenRecord): [number, number, number] => [kind, at, direction];

describe('records of several engines', () => {
  it('come in order of time, as far as all have told', () => {
    const [a, b] = [new Teller('x', 'y'), new Teller('z')];
    const records = new MergedRecords([a, b]);
    expect(records.links).toEqual(['x', 'y', 'z']);
    a.changed(3, 10);
    a.changed(0, 40);
    expect(all(records)).toEqual([]);
    b.changed(1, 20);
    b.mark(30);
    expect(all(records).map(brief)).toEqual([
      [RecordKind.changed, 10, 3],
      [RecordKind.changed, 20, 5],
    ]);
    a.mark(45, 41, 2);
    b.mark(50, 50, 1);
    // All that was due before 30 was told; then, all before 41.
    expect(all(records).map(brief)).toEqual([
      [RecordKind.changed, 40, 0],
      [RecordKind.settled, 30, 2],
    ]);
    records.end();
    expect(all(records).map(brief)).toEqual([[RecordKind.settled, 41, 3]]);
  });

  it('are those of each in its order, whatever is taken when', () => {
    const told = fc.record({
      teller: fc.nat(2),
      kind: fc.constantFrom(RecordKind.changed, RecordKind.left, RecordKind.settled),
      afterNs: fc.nat(3),
      earlierNs: fc.nat(5),
      isTaken: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(told, { maxLength: 60 }), (steps) => {
        const arena = new Arena(new Uint8Array(2 ** 16));
        const frame = arena.write(new Uint8Array(60));
        const tellers = [new Teller('a'), new Teller('b'), new Teller('c')];
        const records = new MergedRecords(tellers);
        const taken: TakenRecord[] = [];
        const expected: number[][] = [[], [], []];
        let nowNs = 10;
        let serial = 0;
        for (const { teller, kind, afterNs, earlierNs, isTaken } of steps) {
          nowNs += afterNs;
          const { point } = tellers[teller]!;
          if (kind === RecordKind.settled) {
            tellers[teller]!.mark(nowNs, nowNs - earlierNs);
          } else {
            expected[teller]!.push(++serial);
            // When a frame had come is no time that it is told: here, which one it is.
            if (kind === RecordKind.left) point.frame(kind, 0, nowNs - earlierNs, serial, arena, frame);
            else point.properties(kind, 0, nowNs, { ...PLAIN, serial } as typeof PLAIN);
          }
          if (isTaken) taken.push(...all(records));
        }
        records.end();
        taken.push(...all(records));
        const serialOf = ({ kind, since, body }: TakenRecord): number =>
          kind === RecordKind.left ? since : (JSON.parse(Buffer.from(body).toString()) as { serial: number }).serial;
        const facts = taken.filter(({ kind }) => kind !== RecordKind.settled);
        for (const [i, serials] of expected.entries())
          expect(facts.filter(({ direction }) => direction === 2 * i).map(serialOf)).toEqual(serials);
        const changes = facts.filter(({ kind }) => kind === RecordKind.changed).map(({ at }) => at);
        expect(changes).toEqual([...changes].sort((x, y) => x - y));
      }),
    );
  });

  it('end where one has missed some', () => {
    const [a, b] = [new Teller('x'), new Teller('y')];
    const records = new MergedRecords([a, b]);
    const arena = new Arena(new Uint8Array(2 ** 18));
    const frame = arena.write(new Uint8Array(65_000));
    a.changed(0, 5);
    for (let i = 0; i < 300; i++) b.point.frame(RecordKind.came, 0, 10, 10 + i, arena, frame);
    a.changed(0, 1000);
    a.mark(1001);
    records.end();
    const taken = all(records);
    expect(taken[0]!.at).toBe(5);
    expect(taken.slice(1).every(({ direction }) => direction === 2)).toBe(true);
    expect(records.missed).toBe(301 - taken.length);
    expect(records.next()).toBeUndefined();
  });
});
