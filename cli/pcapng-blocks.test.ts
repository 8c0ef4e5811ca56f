import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pcapngBlocks } from './pcapng-blocks.js';

function block(type: number, bodyBytes: number): Buffer {
  const length = 12 + bodyBytes;
  const bytes = Buffer.alloc(length, type);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(length, 4);
  bytes.writeUInt32LE(length, length - 4);
  return bytes;
}

// Generators of promises are what streams are; this one has nothing to wait for.
async function* pieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) yield bytes.subarray(at, (at += size));
  yield await Promise.resolve(bytes.subarray(at));
}

/** What came out, all together: the bytes, and where in them each packet ends. */
async function collect(stream: AsyncIterable<Uint8Array>): Promise<{ bytes: Buffer; packetEnds: number[] }> {
  const found: Buffer[] = [];
  const packetEnds: number[] = [];
  let length = 0;
  for await (const blocks of pcapngBlocks(stream)) {
    found.push(blocks.bytes);
    packetEnds.push(...blocks.packetEnds.map((end) => length + end));
    length += blocks.bytes.length;
  }
  return { bytes: Buffer.concat(found), packetEnds };
}

describe('pcapng blocks', () => {
  it('are the same whatever pieces they arrive in', async () => {
    const types = fc.array(fc.record({ type: fc.constantFrom(1, 6, 0x0a0d0d0a), words: fc.nat(40) }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(types, fc.array(fc.nat(60), { maxLength: 40 }), async (blocks, sizes) => {
        const written = blocks.map(({ type, words }) => block(type, words * 4));
        const { bytes, packetEnds } = await collect(pieces(Buffer.concat(written), sizes));
        expect(bytes.toString('hex')).toBe(Buffer.concat(written).toString('hex'));
        let end = 0;
        const ends = written.map((one) => (end += one.length));
        expect(packetEnds).toEqual(ends.filter((_, index) => blocks[index]!.type === 6));
      }),
    );
  });

  it('that are cut off at the end are left out', async () => {
    const { bytes } = await collect(pieces(Buffer.concat([block(6, 8), block(6, 8).subarray(0, 15)]), []));
    expect(bytes).toEqual(block(6, 8));
  });

  it.each([0, 11, 13, 1 << 21])('cannot have %i bytes', async (length) => {
    const bytes = block(6, 8);
    bytes.writeUInt32LE(length, 4);
    await expect(collect(pieces(bytes, []))).rejects.toThrow(RangeError);
  });
});
