import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packet, pattern, type PacketOptions } from '../../test/tunnel/fixture.js';
import { Arena, Checksum } from '../arena.js';
import { completeChecksum, completeFrameChecksum } from '../wire/checksum.js';
import { FrameHeaders } from '../wire/headers.js';
import { UnfinishedFrames } from './unfinished.js';

const MTU_BYTES = 1450;
const arena = new Arena(new Uint8Array(256 * 2048));

/** What the arena says of a frame with these bytes; and the bytes once its checksum is completed. */
function marked(bytes: Uint8Array): { csumState: number; gsoSize: number; completed: string } {
  const frame = arena.write(bytes);
  new UnfinishedFrames(arena, MTU_BYTES).mark(frame);
  const said = { csumState: arena.csumState[frame]!, gsoSize: arena.gsoSize[frame]! };
  if (said.csumState === Checksum.partial) expect(completeFrameChecksum(arena, frame)).toBe(true);
  const completed = Buffer.from(arena.read(frame)).toString('hex');
  arena.release(frame);
  return { ...said, completed };
}

/** The same frame as a wire has it. */
function finished(bytes: Uint8Array): Uint8Array {
  const headers = new FrameHeaders();
  const copy = Uint8Array.from(bytes);
  headers.parse(copy, 0, copy.byteLength);
  completeChecksum(copy, headers.transport, headers.checksumOffset);
  return copy;
}

const options: fc.Arbitrary<PacketOptions> = fc.record({
  version: fc.constantFrom(4, 6),
  protocol: fc.constantFrom('tcp', 'udp'),
  payload: fc.tuple(fc.nat(1200), fc.nat(255)).map(([bytes, salt]) => pattern(bytes, salt)),
  tags: fc.nat(1),
});

describe('a frame that a kernel left unfinished', () => {
  it('is known by its checksum, and becomes what a wire would have made of it', () => {
    fc.assert(
      fc.property(options, (its) => {
        const bytes = packet(its);
        const completed = Buffer.from(finished(bytes)).toString('hex');
        expect(marked(bytes)).toEqual({ csumState: Checksum.partial, gsoSize: 0, completed });
        // One that is finished is left as it is, taken for the other or not.
        expect(marked(finished(bytes)).completed).toBe(completed);
      }),
    );
  });

  it('is a super-frame of TCP where it is too long, of segments as long as may be', () => {
    const payload = pattern(30_000);
    expect(marked(packet({ version: 4, protocol: 'tcp', payload }))).toMatchObject({ gsoSize: MTU_BYTES - 52 });
    expect(marked(packet({ version: 6, protocol: 'tcp', payload, tcpOptionBytes: 0 }))).toMatchObject({
      gsoSize: MTU_BYTES - 60,
    });
    expect(marked(packet({ version: 4, protocol: 'udp', payload }))).toMatchObject({ gsoSize: 0 });
    // One that a wire brought is too long, and nothing else.
    expect(marked(finished(packet({ version: 4, protocol: 'tcp', payload })))).toMatchObject({
      csumState: Checksum.unknown,
      gsoSize: 0,
    });
  });

  it('is not looked for in what is padded, cut, or no packet at all', () => {
    const bytes = packet({ version: 4, protocol: 'tcp', payload: pattern(3) });
    const unknown = { csumState: Checksum.unknown, gsoSize: 0 };
    expect(marked(Uint8Array.from([...bytes, 0, 0]))).toMatchObject(unknown);
    expect(marked(bytes.subarray(0, bytes.byteLength - 1))).toMatchObject(unknown);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 14, maxLength: 3000 }), (noise) => {
        const { csumState, gsoSize } = marked(noise);
        expect({ csumState, gsoSize }).toEqual(unknown);
      }),
    );
  });
});
