import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_DATA_BYTES } from './packet.js';
import { HandshakeStream, MAX_STREAM_BYTES } from './stream.js';

interface Piece {
  readonly offset: number;
  readonly acknowledged: number;
  readonly data: Uint8Array;
}

/** A stream, what it sent, and what it delivered. */
function end(): { stream: HandshakeStream; sent: Piece[]; delivered: () => Buffer } {
  const sent: Piece[] = [];
  const delivered: Uint8Array[] = [];
  const stream = new HandshakeStream(
    {
      send: (offset, acknowledged, data) => sent.push({ offset, acknowledged, data: data.slice() }),
      deliver: (data) => delivered.push(data),
    },
    0,
  );
  return { stream, sent, delivered: () => Buffer.concat(delivered) };
}

function bytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (i * 7 + (i >> 8)) & 255);
}

describe('the stream of a handshake', () => {
  it('brings every byte once and in order, whatever becomes of the pieces', () => {
    const fate = fc.constantFrom('pass', 'pass', 'lose', 'double', 'hold');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 30_000 }), fc.array(fate, { maxLength: 60 }), (count, fates) => {
        const [a, b] = [end(), end()];
        const wanted = bytes(count);
        a.stream.write(wanted, 0);
        const held: [typeof a, Piece][] = [];
        const pass = (to: typeof a, { offset, acknowledged, data }: Piece, nowMs: number): void =>
          to.stream.receive(offset, acknowledged, data, nowMs);
        let nowMs = 0;
        for (let round = 0; round < 400 && !a.stream.isAcknowledged; round++) {
          for (const [from, to] of [
            [a, b],
            [b, a],
          ] as const) {
            for (const piece of from.sent.splice(0)) {
              const next = fates.shift() ?? 'pass';
              if (next === 'hold') held.push([to, piece]);
              if (next === 'pass' || next === 'double') pass(to, piece, nowMs);
              if (next === 'double') pass(to, piece, nowMs);
            }
          }
          if (a.sent.length + b.sent.length > 0) continue;
          for (const [to, piece] of held.splice(0)) pass(to, piece, nowMs);
          nowMs = Math.min(a.stream.nextMs, nowMs + 1_000);
          a.stream.poll(nowMs);
        }
        expect(a.stream.isAcknowledged).toBe(true);
        expect(b.delivered().equals(wanted)).toBe(true);
      }),
    );
  });

  it('repeats what is not acknowledged at ever longer intervals, up to a second', () => {
    const { stream, sent } = end();
    stream.write(bytes(10), 0);
    const times: number[] = [];
    for (let i = 0; i < 7; i++) {
      times.push(stream.nextMs);
      stream.poll(stream.nextMs);
    }
    expect(times).toEqual([100, 300, 700, 1500, 2500, 3500, 4500]);
    expect(sent).toHaveLength(8);
  });

  it('acknowledges again what it has already', () => {
    const { stream, sent } = end();
    stream.receive(0, 0, bytes(10), 0);
    stream.receive(0, 0, bytes(10), 5);
    expect(sent.map(({ acknowledged }) => acknowledged)).toEqual([10, 10]);
  });

  it('has a bounded number of pieces under way, and of pieces before their turn', () => {
    const { stream, sent } = end();
    expect(stream.write(bytes(MAX_STREAM_BYTES), 0)).toBe(true);
    expect(stream.write(bytes(1), 0)).toBe(false);
    expect(sent).toHaveLength(8);
    const { stream: other, delivered } = end();
    const all = bytes(20 * MAX_DATA_BYTES);
    const piece = (i: number): Uint8Array => all.subarray(i * MAX_DATA_BYTES, (i + 1) * MAX_DATA_BYTES);
    for (let i = 19; i >= 0; i--) other.receive(i * MAX_DATA_BYTES, 0, piece(i), 0);
    // The first, and the eight that came first of those after it: of these none follows it.
    expect(delivered()).toHaveLength(MAX_DATA_BYTES);
  });

  it('takes nothing that lies about the streams', () => {
    const { stream, delivered } = end();
    stream.write(bytes(10), 0);
    stream.receive(0, 11, new Uint8Array(0), 0);
    expect(stream.isAcknowledged).toBe(false);
    stream.receive(MAX_STREAM_BYTES - 1, 0, bytes(2), 0);
    stream.receive(2 ** 32 - 1, 0, bytes(2), 0);
    expect(delivered()).toHaveLength(0);
  });
});
