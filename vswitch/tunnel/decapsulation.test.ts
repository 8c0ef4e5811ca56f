/** ECN from one end of a tunnel to the other, by RFC 6040: every pair of inner and outer field, and every set of them. */
import { describe, expect, it } from 'vitest';
import {
  TestReceiver,
  TestSender,
  batchOf,
  chunksOf,
  datagramOf,
  describeFrame,
  packet,
  pattern,
  plainFrame,
  superFrame,
  testContext,
  type Frame,
} from '../../test/tunnel/fixture.js';
import { Checksum } from '../arena.js';
import { Ecn, getEcn, ipHeaderAt } from '../wire/ecn.js';
import { TunnelSender } from './sender.js';

const { notEct, ect0, ect1, ce } = Ecn;
const ALL = [notEct, ect0, ect1, ce];
const VERSIONS = [4, 6] as const;

/** RFC 6040 §4.2, figure 4: a row for each inner field, its columns the outer Not-ECT, ECT(0), ECT(1), CE. */
const FIGURE_4: readonly [Ecn, ...(Ecn | 'drop')[]][] = [
  [notEct, notEct, notEct, notEct, 'drop'],
  [ect0, ect0, ect0, ect1, ce],
  [ect1, ect1, ect1, ect1, ce],
  [ce, ce, ce, ce, ce],
];
/** Those that it marks as unused, (!!!) and (!): all are to be logged. */
const UNUSED = [
  [notEct, ect0],
  [notEct, ect1],
  [notEct, ce],
  [ect1, ect0],
  [ce, ect1],
].map(String);

const PAIRS = FIGURE_4.flatMap(([inner, ...row]) => row.map((result, i) => ({ inner, outer: ALL[i]!, result })));

function whole(version: 4 | 6, ecn: Ecn, tags = 0): Frame {
  return superFrame({ version, protocol: 'udp', payload: pattern(200), ecn, tags }, 0);
}

/** Cut into several datagrams at a path MTU of 1500. */
function long(version: 4 | 6, ecn: Ecn): Frame {
  return superFrame({ version, protocol: 'tcp', payload: pattern(4000), ecn }, 1448);
}

function ecnOf({ bytes }: Frame): Ecn {
  return getEcn(bytes, ipHeaderAt(bytes, 0, bytes.byteLength));
}

describe.each(VERSIONS)('IPv%i at the end of a tunnel', (version) => {
  it.each(PAIRS)('inner $inner, outer $outer: $result', ({ inner, outer, result }) => {
    const isUnused = UNUSED.includes(String([inner, outer]));
    for (const make of [whole, long, (of: 4 | 6, ecn: Ecn) => whole(of, ecn, 2)]) {
      const receiver = new TestReceiver().takeMarked(outer, ...new TestSender().send([make(version, inner)]));
      const expected = result === 'drop' ? [] : [make(version, result)];
      expect(receiver.frames().map(describeFrame)).toEqual(expected.map(describeFrame));
      expect(receiver.context.drops.reasons).toEqual(result === 'drop' ? ['ecnConflict'] : []);
      expect(receiver.receiver.ecnAnomalies).toBe(isUnused ? 1 : 0);
      expect(receiver.context.arena.freeSlots).toBe(receiver.context.arena.slotCount);
    }
  });

  it('of which the datagrams differ has what they say together', () => {
    const cases: [Ecn, readonly Ecn[], Ecn | 'drop'][] = [
      // RFC 3168 §5.3: a mark is never lost, and never given beside Not-ECT.
      [ect0, [ect0, ce, ect0], ce],
      [ect0, [ce, ect0, ect0], ce],
      [ect1, [ect1, ect0, ce], ce],
      [ect0, [ect0, notEct, ce], 'drop'],
      [notEct, [notEct, ce, notEct], 'drop'],
      // No congestion, or the lesser one.
      [ect0, [ect0, ect1, ect0], ect1],
      [ect0, [notEct, ect0, ect0], ect0],
      [notEct, [notEct, notEct, notEct], notEct],
    ];
    for (const [inner, outers, result] of cases) {
      const datagrams = new TestSender().send([long(version, inner)]);
      expect(datagrams).toHaveLength(outers.length);
      for (const order of [datagrams.keys(), [2, 0, 1]]) {
        const receiver = new TestReceiver();
        for (const i of order) receiver.takeMarked(outers[i]!, datagrams[i]!);
        expect(receiver.frames().map(ecnOf)).toEqual(result === 'drop' ? [] : [result]);
        expect(receiver.context.drops.reasons).toEqual(result === 'drop' ? ['ecnConflict'] : []);
      }
    }
  });

  it('of which datagrams are lost is salvaged with the mark of those that came', () => {
    const sent = superFrame({ version, protocol: 'tcp', payload: pattern(20_000), ecn: ect0 }, 1448);
    const datagrams = new TestSender().send([sent]);
    const receiver = new TestReceiver();
    datagrams.forEach((datagram, i) => {
      if (i !== 5) receiver.takeMarked(i === 9 ? ce : ect0, datagram);
    });
    receiver.receiver.poll(Infinity);
    const saved = receiver.frames();
    expect(saved.map(ecnOf)).toEqual([ce, ce]);
  });

  it('is not marked by what came for the frame before in the same place', () => {
    const sender = new TestSender();
    const receiver = new TestReceiver().takeMarked(ce, ...sender.send([long(version, ect0)]));
    receiver.takeMarked(ect0, ...sender.send([long(version, ect0)]));
    expect(receiver.frames().map(ecnOf)).toEqual([ce, ect0]);
  });
});

describe('what is no IP packet', () => {
  const arp = plainFrame(60, 3);

  it('leaves unmarked, and is dropped where it is marked all the same', () => {
    const [sent] = new TestSender().sendMarked([arp]);
    expect(sent!.ecn).toBe(notEct);
    const receiver = new TestReceiver().takeMarked(ect0, sent!.datagram).takeMarked(ce, sent!.datagram);
    expect(receiver.frames().map(describeFrame)).toEqual([describeFrame(arp)]);
    expect(receiver.context.drops.reasons).toEqual(['ecnConflict']);
    expect(receiver.receiver.ecnAnomalies).toBe(2);
  });

  it('takes nothing with it when others in its datagram are dropped', () => {
    const frames = [whole(4, ect0), whole(6, notEct), whole(4, ce)];
    const shared = datagramOf(frames.flatMap((frame) => new TestSender().send([frame]).flatMap(chunksOf)));
    const receiver = new TestReceiver().takeMarked(ce, shared);
    expect(receiver.frames().map(ecnOf)).toEqual([ce, ce]);
    expect(receiver.context.drops.reasons).toEqual(['ecnConflict']);
  });
});

describe('a datagram on its way out', () => {
  it.each(VERSIONS)('has the field of the IPv%i packet in it', (version) => {
    for (const ecn of ALL) {
      for (const frame of [whole(version, ecn), whole(version, ecn, 1), long(version, ecn)]) {
        const sent = new TestSender().sendMarked([frame]);
        expect(sent.map((datagram) => datagram.ecn)).toEqual(sent.map(() => ecn));
      }
    }
  });

  it('is shared by frames that agree in it, and by no others', () => {
    const fields = [ect0, ect0, notEct, notEct, ce, ect0];
    const frames = fields.map((ecn) => whole(4, ecn));
    // No IP packet, as Not-ECT.
    frames.splice(3, 0, plainFrame(60));
    const sent = new TestSender().sendMarked(frames);
    expect(sent.map(({ ecn, datagram }) => [ecn, chunksOf(datagram).length])).toEqual([
      [ect0, 2],
      [notEct, 3],
      [ce, 1],
      [ect0, 1],
    ]);
    const receiver = new TestReceiver();
    for (const { ecn, datagram } of sent) receiver.takeMarked(ecn, datagram);
    expect(receiver.frames().map(describeFrame)).toEqual(frames.map(describeFrame));
    expect(receiver.receiver.ecnAnomalies).toBe(0);
  });

  it('never carries the rest of one frame and the start of another that differs', () => {
    const sent = new TestSender().sendMarked([long(4, ect0), long(4, notEct), long(6, notEct), long(6, ce)]);
    expect(sent.map(({ ecn }) => ecn)).toEqual([
      ect0,
      ect0,
      ect0,
      notEct,
      notEct,
      notEct,
      notEct,
      notEct,
      notEct,
      ce,
      ce,
      ce,
    ]);
  });

  it('is Not-ECT in compatibility mode', () => {
    const context = testContext();
    const scatter = { iov: new Int32Array(16_384), lengths: new Int32Array(128), ecn: new Uint8Array(128).fill(3) };
    const options = { networkNumber: 1, lane: 0, pathMtuBytes: 1500, ipHeaderBytes: 20, ...scatter };
    const sender = new TunnelSender(context, { ...options, ecnMode: 'compatibility' });
    const frames = [whole(4, ect0), whole(6, ce)];
    expect(sender.pack(batchOf(context.arena, frames), 0)).toBe(1);
    expect(scatter.ecn[0]).toBe(notEct);
    sender.finish(1);
  });
});

it('the checksum state of a marked frame stays', () => {
  const receiver = new TestReceiver().takeMarked(ce, ...new TestSender().send([whole(4, ect0)]));
  expect(receiver.frames()).toMatchObject([{ checksum: Checksum.partial }]);
});

it('a marked frame is the one that its sender would have marked', () => {
  const bytes = packet({ version: 4, protocol: 'tcp', payload: pattern(300), ecn: ect1, tags: 1 });
  const frame: Frame = { bytes, channel: 1, gsoSize: 0, checksum: Checksum.partial };
  const [got] = new TestReceiver().takeMarked(ce, ...new TestSender().send([frame])).frames();
  expect(got!.bytes).toEqual(packet({ version: 4, protocol: 'tcp', payload: pattern(300), ecn: ce, tags: 1 }));
});
